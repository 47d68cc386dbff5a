"""python -m benchmarks.long_channel [--exchanges 1000] [--parts] [--json]: does a long story cost memory or speed?

Writes exchanges (a member's sentence, a reply of up to 24 tokens) into one channel, through the same session as the
bot, and prints after every tenth of them: resident memory; milliseconds a reply, from the request until it is stored,
and milliseconds of processor time, the work behind the replies included; and what the story adds to the database, in
bytes a turn. None of that may grow with the story. What counts as growth begins behind WARM_UP exchanges. `--parts`
says as well what the memory is made of.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.held_memory import parts
from bot.services import Services
from config.settings import Settings
from memory import Author

WARM_UP = 100  # exchanges before the first reading: they fill the window, and all kinds of work were done once


class Silence:
    """A sink that nobody watches."""

    async def queued(self, position: int, expected_wait: float) -> None: ...
    async def show(self, text: str) -> None: ...
    async def finish(self, text: str) -> None: ...


def resident_mb() -> float:
    """Resident memory of this process now, in MB of 10^6 bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def stored_bytes(file: Path) -> int:
    """Of a database and its journal."""
    return sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))


async def measure(exchanges: int, weights: Path | None, tokens: int, *, in_parts: bool = False) -> dict[str, Any]:
    author = Author(1, "Ada")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), weights=weights, max_new_tokens=tokens)
        async with await Services.open(settings) as services:
            session, rows = services.session(0), list[dict[str, float]]()

            async def write(day: str) -> float:
                began = time.perf_counter()
                await session.write(f"Then Tom told Mira about {day}.", author, Silence())
                return (time.perf_counter() - began) * 1000

            async def reading() -> tuple[float, int, float]:
                await services.idle()
                gc.collect()
                return resident_mb(), stored_bytes(services.store.file), time.process_time()

            await session.start("A long story", "Once upon a time, Mira and Tom lived by the sea.", author)
            for n in range(WARM_UP):
                await write(f"the day before, {n}")
            start, stored, spent = await reading()
            if in_parts:
                rows.append({"exchanges": 0, "rss_mb": round(start, 1)} | parts())
            each = max(exchanges // 10, 1)
            for part in range(10):
                times = [await write(f"day {part}, {n}") for n in range(each)]
                before, began = stored, spent
                resident, stored, spent = await reading()
                rows.append(
                    {"exchanges": (part + 1) * each, "rss_mb": round(resident, 1),
                     "ms_per_reply": round(statistics.median(times), 1),
                     "cpu_ms_per_reply": round((spent - began) * 1000 / each, 1),
                     "bytes_per_turn": round((stored - before) / (2 * each))} | (parts() if in_parts else {})
                )  # fmt: skip
    growth = round(rows[-1]["rss_mb"] - start, 1)
    slower = round(rows[-1]["cpu_ms_per_reply"] / rows[-10]["cpu_ms_per_reply"], 2)
    return {"rss_start_mb": round(start, 1), "rss_growth_mb": growth, "last_over_first_cpu": slower, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchanges", type=int, default=1000)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--tokens", type=int, default=24, help="of a reply, at most")
    parser.add_argument("--parts", action="store_true", help="of the memory, see benchmarks/held_memory.py")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = asyncio.run(measure(args.exchanges, args.weights, args.tokens, in_parts=args.parts))
    if args.json:
        print(json.dumps(figures))
        return
    print(f"resident after {WARM_UP} exchanges {figures['rss_start_mb']} MB, growth {figures['rss_growth_mb']} MB")
    print("exchanges   resident MB   ms/reply (median)   processor ms/reply   bytes/turn")
    for row in figures["rows"][-10:]:
        print(
            f"{row['exchanges']:9}   {row['rss_mb']:11}   {row['ms_per_reply']:17}   {row['cpu_ms_per_reply']:18}"
            f"   {row['bytes_per_turn']:10}"
        )
    if args.parts:
        names = [name for name in figures["rows"][0] if name != "rss_mb"]
        print("", "   ".join(names), sep="\n")
        for row in figures["rows"]:
            print("   ".join(f"{row[name]:{len(name)}}" for name in names))


if __name__ == "__main__":
    main()
