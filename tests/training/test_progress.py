"""What a run tells while it goes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

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
