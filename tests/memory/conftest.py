from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from memory import Store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "channels" / "memory.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    async with await Store.open(file) as store:
        yield store
