"""How the process is: what an operator wants to know, without a word of anybody's text."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bot.logs import Trouble
from bot.meter import Tally
from engine.outcome import EngineInfo

MB = 1 << 20


@dataclass(frozen=True)
class Health:
    engine: EngineInfo
    tally: Tally
    waiting: int  # jobs in the queue
    queue: int  # that may wait
    sessions: int  # channels in memory
    resident: int | None  # bytes; None where the system does not say
    database: int  # bytes, with its journal
    uptime: float  # seconds
    troubles: Sequence[Trouble]  # the newest last

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What is told, and it."""
        tally, info = self.tally, self.engine
        speed = tally.tokens_per_second
        done = f"replies {tally.replies:,}, lessons {tally.lessons:,}, failures {tally.failures:,}"
        return [
            ("Weights", f"{info.name}, {info.parameters / 1e6:.1f}M parameters, {info.base_id[:12]}; {info.backend}"),
            ("Queue", f"{self.waiting:,} of {self.queue:,} places taken"),
            ("Done", f"{done}; {'no speed yet' if speed is None else f'{speed:,.0f} tokens/s lately'}"),
            ("Memory", f"{megabytes(self.resident)} resident, channels in it {self.sessions:,}"),
            ("Database", megabytes(self.database)),
            ("Running for", lasting(self.uptime)),
        ]

    @property
    def trouble_lines(self) -> list[str]:
        return [
            f"{datetime.fromtimestamp(one.at):%Y-%m-%d %H:%M:%S} {one.level} {one.where}: {one.what}"
            for one in self.troubles
        ]


def resident() -> int | None:
    """Bytes of this process in memory."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def size(database: Path) -> int:
    """Bytes of the file and its journal."""
    total = 0
    for file in (database, database.with_name(database.name + "-wal")):
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total


def megabytes(count: int | None) -> str:
    return "not known" if count is None else f"{count / MB:,.1f} MB"


def lasting(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60) % 60, int(seconds // 3600) % 24, int(seconds // 86400)
    return f"{days} d {hours} h {minutes} min"


class Uptime:
    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began
