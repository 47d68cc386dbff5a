"""What a training run tells: its log file, and a bar on a terminal or a line now and then elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, TextIO

RECENT = 50  # steps over which the speed is averaged
REDRAW_SECONDS = 0.1
BAR_WIDTH = 24


class Log:
    """Rows as JSON lines in a file. On a terminal a bar follows them; elsewhere each validation prints one line."""

    def __init__(self, path: Path, start: int, steps: int, progress: bool, stream: TextIO | None = None) -> None:
        keep_rows(path, start)
        self._file = path.open("a", encoding="utf-8")
        self._steps, self._progress, self._stream = steps, progress, stream or sys.stdout
        self._bar = progress and self._stream.isatty()
        self._recent: deque[tuple[float, int, int]] = deque(maxlen=RECENT + 1)  # (time, step, tokens)
        self._drawn = 0.0

    def begin(self, step: int, tokens: int) -> None:
        """The clock of speed and time left starts here."""
        self._recent.append((time.monotonic(), step, tokens))

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        now, step = time.monotonic(), row["step"]
        self._recent.append((now, step, row["tokens"]))
        if not self._progress:
            return
        if "bits_per_byte" in row:
            end = "\x1b[K\n" if self._bar else "\n"
            valid = f"valid {row['nats_per_token']:.4f} nats/token, {row['bits_per_byte']:.4f} bits/byte"
            self._print(f"step {step}/{self._steps}  {self._state(row)}  {valid}", end)
        elif self._bar and now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            filled = BAR_WIDTH * step // self._steps
            bar = "#" * filled + "-" * (BAR_WIDTH - filled)
            text = f"[{bar}] {100 * step // self._steps:3d} %  step {step}/{self._steps}  {self._state(row)}"
            self._print(text[: shutil.get_terminal_size().columns - 1], "\x1b[K")  # a wrapped line could not be redrawn

    def sync(self) -> None:
        """Make sure that the rows so far survive a power cut."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._bar:
            self._print("", "\x1b[K")
        self._file.close()

    def _state(self, row: dict[str, Any]) -> str:
        (then, first_step, first_tokens), (now, step, tokens) = self._recent[0], self._recent[-1]
        elapsed = max(now - then, 1e-9)
        left = (self._steps - step) * elapsed / max(1, step - first_step)
        return f"loss {row['loss']:.4f}  {(tokens - first_tokens) / elapsed:,.0f} tokens/s  {clock(left)} left"

    def _print(self, text: str, end: str) -> None:
        print(f"\r{text}" if self._bar else text, end=end, file=self._stream, flush=True)


def clock(seconds: float) -> str:
    """h:mm:ss"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a run's log or samples without one that was cut off when the machine stopped; none without a file."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


def keep_rows(path: Path, start: int) -> None:
    """Cut a file of rows off behind step `start`, the checkpoint's: those that follow are written again."""
    kept = [json.dumps(row, ensure_ascii=False) for row in read_rows(path) if row["step"] <= start]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{row}\n" for row in kept), encoding="utf-8")
    partial.replace(path)
