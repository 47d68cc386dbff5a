"""A run that was killed goes on as if it had not been."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import Ground
from tests.training.material import start


def rows(run: Path) -> list[dict[str, Any]]:
    """The log, without the one figure that no two runs share."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("die_at", [10, 25])
def test_a_run_killed_in_the_middle_resumes_to_the_last_digit(ground: Ground, tmp_path: Path, die_at: int) -> None:
    arguments = ("train", "--preset", ground.preset, "--data", ground.data, "--out", tmp_path, "--threads", 1)
    killed = start(*arguments)
    assert killed.stdout is not None
    with killed:
        for line in killed.stdout:
            if line.startswith(f"step {die_at}/"):
                killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert rows(tmp_path)[-1]["step"] < 30

    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 2')  # as a power cut leaves it
    resumed = start(*arguments, "--resume")
    output, _ = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, output
    assert rows(tmp_path) == rows(ground.run)
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 31))


def test_the_log_tells_loss_norm_rate_and_validation(ground: Ground) -> None:
    log = rows(ground.run)
    assert set(log[0]) == {"step", "loss", "norm", "rate", "tokens"}
    assert [row["step"] for row in log if "bits_per_byte" in row] == [5, 10, 15, 20, 25, 30]
    assert log[-1]["bits_per_byte"] < log[4]["bits_per_byte"]
