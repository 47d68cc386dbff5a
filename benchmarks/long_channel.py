"""python -m benchmarks.long_channel [--exchanges 1000] [--json]: does a long story cost memory or speed?

Writes exchanges (a member's sentence, a reply of up to 24 tokens) into one channel, through the same session as the
bot, and prints resident memory and milliseconds a token after every tenth of them: neither may grow with the story.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import tempfile
from pathlib import Path

from bot.services import Services
from config.settings import Settings
from memory import Author

WARM_UP = 20  # exchanges before the first reading: allocators and caches reach their size


class Silence:
    """A sink that nobody watches."""

    async def queued(self, position: int, expected_wait: float) -> None: ...
    async def show(self, text: str) -> None: ...
    async def finish(self, text: str) -> None: ...


def resident_mb() -> float:
    """Resident memory of this process now, in MB of 10^6 bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def measure(exchanges: int, weights: Path | None) -> dict[str, object]:
    author = Author(1, "Ada")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), weights=weights, max_new_tokens=24)
        async with await Services.open(settings) as services:
            session, rows = services.session(0), []
            await session.start("A long story", "Once upon a time, Mira and Tom lived by the sea.", author)
            for day in range(WARM_UP):
                await session.write(f"On day {day} Tom told Mira a tale.", author, Silence())
            await services.idle()
            gc.collect()
            start = resident_mb()
            for part in range(10):
                times = []
                for n in range(exchanges // 10):
                    reply = await session.write(f"Then Tom told Mira about day {part}, {n}.", author, Silence())
                    if reply.generated and reply.generated.tokens:
                        times.append(reply.generated.seconds / reply.generated.tokens * 1000)
                await services.idle()
                gc.collect()
                rows.append(
                    {"exchanges": (part + 1) * exchanges // 10, "rss_mb": round(resident_mb(), 1),
                     "ms_per_token": round(statistics.median(times), 2)}
                )  # fmt: skip
    return {"rss_start_mb": round(start, 1), "rss_growth_mb": round(rows[-1]["rss_mb"] - start, 1), "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=1000)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = asyncio.run(measure(args.exchanges, args.weights))
    if args.json:
        print(json.dumps(figures))
        return
    print(f"resident after warm-up {figures['rss_start_mb']} MB, growth {figures['rss_growth_mb']} MB")
    print("exchanges   resident MB   ms/token (median)")
    for row in figures["rows"]:  # type: ignore[attr-defined]
        print(f"{row['exchanges']:9}   {row['rss_mb']:11}   {row['ms_per_token']:8}")


if __name__ == "__main__":
    main()
