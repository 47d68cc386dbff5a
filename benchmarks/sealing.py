"""python -m benchmarks.sealing [--turns 1000] [--rounds 200] [--json]: what sealed texts cost the store.

Writes a story of that many turns, then prints medians, by the clock and in time of all threads of the process, of what
a reply asks of the store: its context (story, the end of the text, pins, summary, note, lessons and their units), the
writing of both turns; and of what reads a whole story. Run it in two checkouts to compare them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from memory import Author, NewTurn, Store

CHANNEL, ANN = 1, Author(7, "Ann")
SEEN = 6_000  # characters of text that a reply is given
UNITS = bytes(11_000)  # what a lesson has changed, of the bundled weights
TEXT = "The fox ran down to the river, and the wind ran after her through the tall grass. " * 3


async def fill(store: Store, turns: int) -> None:
    await store.start_story(CHANNEL, guild=None, title="Fox", premise="A fox.", author=ANN)
    await store.import_story(CHANNEL, guild=None, title="Fox", texts=["A fox.", *[TEXT] * (turns - 1)], author=ANN)
    for number in range(10):
        await store.add_pin(CHANNEL, f"Fact {number} about the fox.", ANN)
        await store.teach(CHANNEL, guild=None, prompt=f"Who is {number}?", answer="Ann.", author=ANN, base_id="b",
                          blob=UNITS, per_member=99, per_channel=99)  # fmt: skip
    await store.put_note(CHANNEL, "It rains.", 3, ANN)
    head = (await store.path(CHANNEL, limit=1))[0]
    await store.put_summary(CHANNEL, head.id, 5, '{"names": ["Mira"]}' * 20)
    await store.put_vectors(CHANNEL, head.id, "b", 5, bytes(260_000))


async def context(store: Store) -> None:
    await store.story(CHANNEL)
    await store.recent(CHANNEL, SEEN)
    await store.pins(CHANNEL)
    await store.summary(CHANNEL)
    await store.note(CHANNEL)
    await store.lessons(CHANNEL)
    await store.units(CHANNEL, "b")
    await store.vectors(CHANNEL, "b")


async def write(store: Store) -> None:
    story = await store.story(CHANNEL)
    assert story is not None
    await store.append(CHANNEL, [NewTurn(ANN, "member", TEXT), NewTurn(None, "model", TEXT)], after=story.head)


async def timed(work: Callable[[], Awaitable[object]], rounds: int) -> dict[str, float]:
    wall, own = [], []
    for _ in range(rounds):
        begin, begin_own = time.perf_counter(), time.process_time()
        await work()
        wall.append((time.perf_counter() - begin) * 1000)
        own.append((time.process_time() - begin_own) * 1000)
    return {"wall_ms": round(statistics.median(wall), 3), "cpu_ms": round(statistics.median(own), 3)}


async def measure(turns: int, rounds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        async with await Store.open(Path(folder) / "m.sqlite3") as store:
            await fill(store, turns)
            found: dict[str, object] = {
                "context": await timed(lambda: context(store), rounds),
                "recent": await timed(lambda: store.recent(CHANNEL, SEEN), rounds),
                "write": await timed(lambda: write(store), rounds),
                "whole_story": await timed(lambda: store.path(CHANNEL), max(rounds // 20, 3)),
                "outline": await timed(lambda: store.outline(CHANNEL), max(rounds // 20, 3)),
                "belongings": await timed(lambda: store.belongings(ANN.id), max(rounds // 20, 3)),
            }
        found["file_mb"] = round((Path(folder) / "m.sqlite3").stat().st_size / 1e6, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = asyncio.run(measure(args.turns, args.rounds))
    print(json.dumps(figures) if args.json else "\n".join(f"{name:12} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
