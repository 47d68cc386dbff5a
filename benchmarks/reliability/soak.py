"""python -m benchmarks.reliability.soak [--jobs 50000] [--swaps 200]: does a long life cost memory, files or threads?

Channels write, retry, undo, teach and forget through the same services as the bot, while the weights are changed
between two folders. Prints resident memory, open files, threads and tasks after each fiftieth of the jobs, and how
fast memory grows: the slope of the least-squares line through the readings behind the warm-up, the first fifth. Ends
with 1 where that is 1 MB per 10,000 jobs or more, or where the counts differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.long_channel import Silence
from benchmarks.reliability.process import Held, slope
from benchmarks.reliability.tiny import two_weights
from bot.errors import RefusedError
from bot.services import Services
from bot.session import ChannelSession
from config.settings import Settings, load_settings
from engine.errors import EngineError
from engine.host import keep_memory_together
from memory import Author

CHANNELS = 50
READINGS = 50
WARM_UP = 0.2  # of the jobs: caches, allocators and the database's pages reach their size
MOST_GROWTH = 1e6  # bytes per 10,000 jobs
LESSON_EVERY = 200  # jobs; a lesson costs as much as some hundred of these replies
NO_LIMITS = dict.fromkeys(
    [f"{kind}_per_{whose}" for kind in ("requests", "daily_lessons") for whose in ("member", "channel", "server")], 0
)


@dataclass
class Soak:
    jobs: int = 0  # replies that the engine wrote
    swaps: int = 0
    seconds: float = 0.0
    readings: list[tuple[int, Held]] = field(default_factory=list)

    @property
    def settled(self) -> list[tuple[int, Held]]:
        """The readings behind the warm-up."""
        return [(jobs, held) for jobs, held in self.readings if jobs > WARM_UP * self.jobs]

    @property
    def growth(self) -> float:
        """Bytes per 10,000 jobs."""
        return slope([(float(jobs), float(held.rss)) for jobs, held in self.settled]) * 10_000

    @property
    def flat(self) -> bool:
        """Whether files, threads and tasks are as many as they were."""
        counts = [held.counts for _, held in self.settled]
        return all(count == counts[0] for count in counts)


async def soak(jobs: int, swaps: int, place: Path, *, readings: int = READINGS, tell: bool = False) -> Soak:
    keep_memory_together()  # as a bot does, before there are threads: here the weights are made first
    folders = two_weights(place)
    settings: Settings = load_settings(data_dir=place / "data", weights=folders[0], max_new_tokens=16, **NO_LIMITS)
    found, began, chance = Soak(), time.monotonic(), random.Random(1)
    async with await Services.open(settings) as services:
        each, every = max(1, jobs // readings), max(1, jobs // swaps) if swaps else jobs + 1
        channels = range(1, CHANNELS + 1)
        await fill_the_pool()
        for channel in channels:
            await begin(services.session(channel, 1))
        while found.jobs < jobs:
            await asyncio.gather(*(live(services.session(channel, 1), chance) for channel in channels))
            before, found.jobs = found.jobs, services.tally.replies
            if found.jobs // every > before // every and found.swaps < swaps:
                found.swaps += 1
                swap = services.worker.swap(folders[found.swaps % 2])
                await swap.result()
            if found.jobs // LESSON_EVERY > before // LESSON_EVERY:
                await teach(services.session(chance.choice(channels), 1))
            if found.jobs // each > before // each:
                await services.idle()
                found.readings.append((found.jobs, Held.now()))
                if tell:
                    held = found.readings[-1][1]
                    print(f"{found.jobs:8} {held.rss / 1e6:8.1f} MB  {held.counts}", flush=True)
        found.seconds = time.monotonic() - began
    return found


async def fill_the_pool() -> None:
    """The threads of the loop's pool come one by one as they are needed: all of them now, so that none looks lost."""
    threads = min(32, (os.cpu_count() or 1) + 4)  # as many as the pool has
    together = threading.Barrier(threads)
    await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(threads)))


async def live(session: ChannelSession, chance: random.Random) -> None:
    """One thing that a member does, with a reply of the model."""
    try:
        await act(session, Author(session.channel, f"Member {session.channel}"), chance.random(), chance)
    except RefusedError:  # small random weights write anything, and what was refused is never continued
        await begin(session)


async def begin(session: ChannelSession) -> None:
    """A story, the first one or another."""
    person = Author(session.channel, f"Member {session.channel}")
    await session.start("A long story", "Mira and Tom lived by the sea.", person)


async def act(session: ChannelSession, person: Author, what: float, chance: random.Random) -> None:
    if what < 0.5:
        await session.write(f"Then Tom told Mira about day {chance.randrange(1000)}.", person, Silence())
    elif what < 0.75:
        await session.write(None, person, Silence())
        if what < 0.6:
            await session.undo()
    else:
        await session.write(None, person, Silence())
        await session.retry(person, Silence())


async def teach(session: ChannelSession) -> None:
    """Learns something and forgets it, so that no channel comes to hold more and more."""
    person = Author(session.channel, f"Member {session.channel}")
    try:
        await session.teach("The dragon is called", "Zorblax.", person, Silence())
    except EngineError:  # small random weights learn badly
        return
    for row in await session.lessons():
        await session.forget(row.id)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = asyncio.run(soak(args.jobs, args.swaps, Path(place), tell=not args.json))
    first, last = found.settled[0][1], found.settled[-1][1]
    figures = {
        "jobs": found.jobs, "swaps": found.swaps, "minutes": round(found.seconds / 60, 1),
        "rss_growth_mb_per_10000_jobs": round(found.growth / 1e6, 3), "flat": found.flat,
        "after_warm_up": asdict(first), "at_the_end": asdict(last),
    }  # fmt: skip
    print(json.dumps(figures) if args.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))
    return 0 if found.flat and found.growth < MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
