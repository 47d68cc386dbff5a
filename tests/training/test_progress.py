"""What a run tells while it goes."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.training.conftest import Ground
from tests.training.material import training_command
from training.progress import Log, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def write_rows(path: Path, stream: io.StringIO, start: int = 0) -> list[str]:
    log = Log(path, start, 4, True, stream)
    log.begin(start, 100 * start)
    for step in range(start + 1, 5):
        valid = {"nats_per_token": 1.5, "bits_per_byte": 0.7} if step == 4 else {}
        log.write({"step": step, "loss": 2.0, "tokens": 100 * step, "seconds": 1.0, **valid})
    log.close()
    return stream.getvalue().split("\r")[1:]


def test_a_terminal_gets_a_bar_that_fills(tmp_path: Path) -> None:
    drawn = write_rows(tmp_path / "log.jsonl", Terminal())
    assert drawn[0].startswith("[######------------------]  25 %  step 1/4  loss 2.0000")
    assert "tokens/s" in drawn[0]
    assert drawn[-2].startswith("step 4/4  loss 2.0000")
    assert "0:00:00 left  valid 1.5000 nats/token, 0.7000 bits/byte" in drawn[-2]
    assert all("\n" not in bar for bar in drawn[:-2])


def test_elsewhere_only_validations_are_told_a_line_each(tmp_path: Path) -> None:
    stream = io.StringIO()
    write_rows(tmp_path / "log.jsonl", stream)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().startswith("step 4/4")
    assert not set(stream.getvalue()) & {"\r", "\x1b"}


def test_rows_behind_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write_rows(path, io.StringIO())
    write_rows(path, io.StringIO(), start=2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00:00"), (59.6, "0:01:00"), (4542, "1:15:42")])
def test_time_left_reads_as_a_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


FAKE_TENSORBOARD = """
import json, sys, types
__version__ = "2.99.0"
writer = types.ModuleType("torch.utils.tensorboard.writer")
class SummaryWriter:
    def __init__(self, log_dir, purge_step):
        self.path, self.rows = log_dir + ".jsonl", [["purge", purge_step, 0]]
    def add_scalar(self, name, value, step):
        self.rows.append([name, value, step])
    def close(self):
        open(self.path, "w").write("".join(json.dumps(row) + "\\n" for row in self.rows))
writer.SummaryWriter = writer.FileWriter = SummaryWriter
sys.modules[writer.__name__] = writer
records = types.ModuleType("tensorboard.summary.writer.record_writer")
records.RecordWriter = None
for name in ("tensorboard.summary", "tensorboard.summary.writer"):
    sys.modules[name] = types.ModuleType(name)
sys.modules[records.__name__] = records
"""


def test_scalars_reach_tensorboard_where_it_is_installed(ground: Ground, tmp_path: Path) -> None:
    """A package of that name lies on the child's path; what it is given is what the log says."""
    site = tmp_path / "site"
    (site / "tensorboard").mkdir(parents=True)
    (site / "tensorboard" / "__init__.py").write_text(FAKE_TENSORBOARD, encoding="utf-8")
    run = tmp_path / "run"
    arguments = ("train", "--preset", ground.preset, "--data", ground.data, "--out", run, "--steps", 5, "--threads", 1)
    env = os.environ | {"PYTHONPATH": str(site)}
    child = subprocess.run(training_command(*arguments), env=env, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    told = [json.loads(line) for line in (run / "tensorboard.jsonl").read_text(encoding="utf-8").splitlines()]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert told[0] == ["purge", 1, 0]
    assert told[1:] == [[name, value, row["step"]] for row in log for name, value in row.items() if name != "step"]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="it is installed here")
def test_without_tensorboard_nothing_is_missed(ground: Ground) -> None:
    assert not (ground.run / "tensorboard").exists()
    assert (ground.run / "log.jsonl").is_file()
