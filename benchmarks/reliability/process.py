"""What a process holds on to: memory, open files, threads, tasks."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    rss: int  # bytes in memory
    files: int
    threads: int
    tasks: int  # of the event loop, this one among them

    @classmethod
    def now(cls) -> Held:
        """Of this process, without what the garbage collector can take back (Linux)."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(os.listdir("/proc/self/fd")) - 1  # the listing itself
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), files, threading.active_count(), len(asyncio.all_tasks()))

    @property
    def counts(self) -> dict[str, int]:
        return {name: count for name, count in asdict(self).items() if name != "rss"}


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line through the points whose squared vertical distances from them sum to the least."""
    count = len(points)
    middle_x, middle_y = (sum(point[axis] for point in points) / count for axis in (0, 1))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0
