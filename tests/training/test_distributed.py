"""Two processes that share each batch train as one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.conftest import Ground
from training.__main__ import main
from training.distributed import Processes
from training.errors import RunError

STEPS = 6


def command(ground: Ground, out: Path, *more: object) -> list[str]:
    arguments = ("train", "--preset", ground.preset, "--data", ground.data, "--out", out, "--steps", STEPS, *more)
    return [*map(str, arguments), "--threads", "1", "--device", "cpu"]


def test_two_processes_train_as_one(ground: Ground, tmp_path: Path) -> None:
    """Pieces of the batch, masked documents and rows without any target are in it."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(command(ground, one)) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    arguments = [*torchrun, "training", *command(ground, two)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parameters") == 1  # one of them tells
    alone, shared = ([json.loads(row) for row in (run / "log.jsonl").read_text().splitlines()] for run in (one, two))
    assert [row["step"] for row in shared] == list(range(1, STEPS + 1))
    for key, apart in (("loss", 1e-3), ("norm", 5e-3), ("tokens", 0)):  # added up in another order, in bfloat16
        assert [row[key] for row in shared] == pytest.approx([row[key] for row in alone], abs=apart), key
    assert shared[4]["bits_per_byte"] == pytest.approx(alone[4]["bits_per_byte"], abs=1e-3)
    assert json.loads((two / "run.json").read_text())["processes"] == 2


def test_rows_are_shared_out_or_refused() -> None:
    batch = torch.arange(12).view(6, 2)  # (B, T)
    shares = [Processes(rank, 3, torch.device("cpu")).rows(batch) for rank in range(3)]
    assert torch.equal(torch.cat(shares), batch)
    with pytest.raises(RunError, match="6 rows of a batch cannot be shared evenly by 4 processes"):
        Processes(0, 4, torch.device("cpu")).rows(batch)


@pytest.mark.parametrize("device", ["cuda:99", "toaster", "meta"])
def test_a_device_that_is_not_there_is_named(
    ground: Ground, tmp_path: Path, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--preset", ground.preset, "--data", ground.data, "--out", tmp_path, "--device", device]
    assert main([str(argument) for argument in arguments]) == 2
    assert f"no device '{device}'" in capsys.readouterr().err
