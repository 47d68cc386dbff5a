from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.training.material import write_corpora, write_preset
from training.__main__ import main


@dataclass(frozen=True)
class Ground:
    """Corpora, a preset, prepared data and a finished run."""

    corpora: Path
    preset: Path
    data: Path
    run: Path


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    home = tmp_path_factory.mktemp("ground")
    corpora, preset = write_corpora(home / "corpora"), write_preset(home / "tiny.toml")
    data, run = home / "data", home / "run"
    assert main(["prepare", "--preset", str(preset), "--data", str(corpora), "--out", str(data)]) == 0
    assert main(["train", "--preset", str(preset), "--data", str(data), "--out", str(run), "--threads", "1"]) == 0
    return Ground(corpora, preset, data, run)
