"""A run that was killed goes on as if it had not been."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.conftest import Ground
from tests.training.material import start
from training.__main__ import main
from training.checkpoint import read_checkpoint


def rows(run: Path) -> list[dict[str, Any]]:
    """The log, without the one figure that no two runs share. The preset averages weights and masks documents."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("die_at", [10, 25])
def test_a_run_killed_in_the_middle_resumes_to_the_last_digit(ground: Ground, tmp_path: Path, die_at: int) -> None:
    arguments = ["train", "--preset", ground.preset, "--data", ground.data, "--out", tmp_path, "--threads", 1]
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
    assert main([*map(str, arguments), "--resume"]) == 0
    assert rows(tmp_path) == rows(ground.run)
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 31))
    assert (tmp_path / "samples.jsonl").read_bytes() == (ground.run / "samples.jsonl").read_bytes()
    ends = [read_checkpoint(run / "checkpoint.pt")["average"] for run in (tmp_path, ground.run)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[1])


def test_the_log_tells_loss_norm_rate_and_validation(ground: Ground) -> None:
    log = rows(ground.run)
    assert set(log[0]) == {"step", "loss", "norm", "rate", "lr", "tokens"}
    assert log[4]["lr"] == 4e-3
    assert [row["step"] for row in log if "bits_per_byte" in row] == [5, 10, 15, 20, 25, 30]
    assert log[-1]["bits_per_byte"] < log[4]["bits_per_byte"]


def test_samples_are_written_at_each_validation(ground: Ground) -> None:
    told = [json.loads(line) for line in (ground.run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in told] == [5, 5, 10, 10, 15, 15, 20, 20, 25, 25, 30, 30]
    assert all(row["prompt"] and row["text"] for row in told)
    assert told[0]["text"] != told[-2]["text"]


def test_a_finished_run_has_nothing_to_resume(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    before = (ground.run / "checkpoint.pt").read_bytes()
    arguments = ["train", "--preset", str(ground.preset), "--data", str(ground.data), "--out", str(ground.run)]
    assert main([*arguments, "--threads", "1", "--resume"]) == 0
    assert "all steps are done" in capsys.readouterr().out
    assert (ground.run / "checkpoint.pt").read_bytes() == before


def test_what_is_told_of_a_run_lies_beside_its_log(ground: Ground) -> None:
    told = json.loads((ground.run / "run.json").read_text(encoding="utf-8"))
    assert (told["preset"], told["device"], told["processes"], told["ema"]) == ("tiny", "CPU", 1, 0.9)
    assert (told["steps"], told["planned_steps"], told["tokens"]) == (30, 30, 18 * 4 * 16 + 12 * 2 * 32)
    assert told["parameters"] > 0
    assert told["peak_memory_mb"] > 1
