"""Real services on tiny weights, and what the tests of the bot room write to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import torch

from bot.rules import ContentRules
from bot.services import Services
from config.settings import Settings, load_settings
from engine.generation import Engine
from engine.sampling import SamplingParams
from engine.worker import Worker
from memory import Author, Store
from tests.bot.staff import World, staffed
from tests.bot.storytelling import short_replies

ANN, BEN = Author(11, "Ann"), Author(12, "Ben")
BANNED = "frobozz"  # an invented word, on the list of these tests alone


class Paper:
    """A sink that keeps what it is given; `on_show` and `on_finish` are called with each text."""

    def __init__(
        self,
        on_show: Callable[[str], object] = lambda text: None,
        on_finish: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.positions: list[int] = []
        self.shown: list[str] = []
        self.finished: list[str] = []
        self._on_show, self._on_finish = on_show, on_finish

    async def queued(self, position: int, expected_wait: float) -> None:
        self.positions.append(position)

    async def show(self, text: str) -> None:
        self.shown.append(text)
        self._on_show(text)

    async def finish(self, text: str) -> None:
        self._on_finish(text)
        self.finished.append(text)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine's owner gets in, and one thread is as fast as two for weights this small."""
    for name in [name for name in os.environ if name.startswith("MINIATURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture
def settings(tmp_path: Path, tiny_weights: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data", weights=tiny_weights, max_new_tokens=24)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The bot on the loopback, in a server with somebody in each role; one for all tests of a file."""
    async with staffed(short_replies(tmp_path_factory)) as world:
        yield world


CHATTY = SamplingParams(max_new_tokens=120, min_new_tokens=120, temperature=5.0, top_p=1.0, seed=1)
"""Long replies, the same every time, with blanks in them: so that there is something to show before the end."""


async def open_services(settings: Settings, sampling: SamplingParams | None = None) -> Services:
    store = await Store.open(settings.database_file)
    worker = Worker(Engine.load(settings.weights), max_queue=settings.queue_size)
    worker.start()
    return Services(settings, store, worker, ContentRules({"invented words": [BANNED]}), sampling=sampling)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with await open_services(settings) as services:
        yield services


@pytest.fixture
async def chatty_services(settings: Settings) -> AsyncIterator[Services]:
    async with await open_services(settings, CHATTY) as services:
        yield services
