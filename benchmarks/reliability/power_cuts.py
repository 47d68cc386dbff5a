"""python -m benchmarks.reliability.power_cuts [--cuts 10000] [--control 300] [--seed 1] [--json]: is a store whole
after the power failed, with all in it that was acknowledged?

A store is worked with on a file system that writes down what SQLite does (`recorder`). At moments drawn by chance the
power fails: the disk is left with what it may then hold (`disk`), and the store is opened there, by this Python's own
SQLite. Lives of a store follow each other: one begins where a cut of the one before it left the file.

cuts        how many times the power failed
lost        cuts after which an acknowledged write was missing, or half of another one there
damaged     cuts after which the file did not open or did not pass SQLite's integrity_check
control     the same with `synchronous = NORMAL`, which must lose
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.acts import CHANNELS, Scene, State, Witness, any_act, done, state_of
from benchmarks.reliability.command_line import parser, tell
from benchmarks.reliability.disk import Event, Folder, Plates
from benchmarks.reliability.recorder import Recorder
from memory import MIGRATIONS, Store, StoreError

FILE = "memory.sqlite3"
CUTS_IN_A_LIFE, ACTS_IN_A_LIFE = 60, 20
SHARED_MEMORY = Path("/dev/shm")
FIRST_VERSION = """
    INSERT INTO stories (id, channel, title, author_id, head, first, created_at) VALUES (1, 1, 'Hill', 7, 2, 1, 0);
    INSERT INTO turns (id, story, parent, step, author_id, author_name, kind, text, created_at, depth, chars,
        chars_before, preferred) VALUES
        (1, 1, NULL, 1, 7, 'Ann', 'premise', 'A hill.', 0, 0, 7, 0, 2),
        (2, 1, 1, 2, NULL, '', 'model', ' It rained.', 0, 1, 11, 7, NULL);
    INSERT INTO summaries VALUES (2, 7, 'A hill.', 0);
    INSERT INTO pins VALUES (5, 1, 'Ann has a dog.', 7, 'Ann', 0);
    INSERT INTO lessons VALUES (6, 1, 3, 'Who?', 'Ann.', 7, 'Ann', 0);
    INSERT INTO adapters VALUES (1, 'base', 'd', x'01', 0)"""


def main() -> int:
    reading = parser(__doc__, cuts=10_000, seed=1)
    reading.add_argument("--control", type=int, default=300, help="cuts with synchronous = NORMAL")
    options = reading.parse_args()
    found = power_cuts(options.cuts, options.seed, told=True)
    control = power_cuts(options.control, options.seed, synchronous="NORMAL")
    result = {**found, "control": control}
    tell(result, as_json=options.json)
    return int(found["lost"] + found["damaged"] > 0 or control["lost"] == 0)


def power_cuts(cuts: int, seed: int, *, synchronous: str | None = None, told: bool = False) -> Counter[str]:
    """How many there were, and how many after which something was lost or damaged."""
    chance, count = random.Random(seed), Counter[str](cuts=0, lost=0, damaged=0)
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="power-cuts-", dir=place) as scratch:
        folder: Folder = {}
        while count["cuts"] < cuts:
            if chance.random() < 0.2:
                folder = chance.choice([{}, asyncio.run(_of_the_first_version(Path(scratch) / "old"))])
            life = asyncio.run(_live(Path(scratch) / "life", folder, chance, synchronous))
            for left, event, acknowledged in life.cuts(min(CUTS_IN_A_LIFE, cuts - count["cuts"]), chance):
                verdict = asyncio.run(_verdict(Path(scratch) / "cut", left, life.states[acknowledged:][:2]))
                count.update(["cuts", *verdict])
                folder = left if not verdict else {}
                if verdict and told:
                    print(f"{verdict}: life of seed {seed}, cut {count['cuts']} at event {event}", file=sys.stderr)
    return count


@dataclass(frozen=True)
class _Life:
    begin: Folder
    events: list[Event]
    acknowledged: list[int]  # how many events there had been when an act was; the first is the opening
    states: list[State]  # at the beginning, and after each of them
    beside: Folder  # files that are none of SQLite's, such as a key: taken to be whole

    def cuts(self, count: int, chance: random.Random) -> Iterator[tuple[Folder, int, int]]:
        """What each leaves, after how many events, and how many acts had been acknowledged."""
        plates, at = Plates(self.begin), 0
        for moment in sorted(chance.randint(0, len(self.events)) for _ in range(count)):
            for event in self.events[at:moment]:
                plates.take(event)
            at = moment
            yield {**self.beside, **plates.after_a_cut(chance)}, moment, sum(end <= moment for end in self.acknowledged)


async def _live(place: Path, begin: Folder, chance: random.Random, synchronous: str | None) -> _Life:
    """Opens the store and works with it; half of the lives also close it, and some open it again."""
    _lay_out(place, begin)
    async with await Store.open(_copied(place) / FILE, clock=never) as before:
        states = [await state_of(before)]
    recorder = Recorder(place, synchronous)
    acknowledged: list[int] = []
    for _ in range(chance.randint(1, 2)):
        store = await Store.open(place / FILE, clock=never, connect=recorder.connect)

        async def note(store: Store = store) -> None:
            acknowledged.append(len(recorder.events))
            states.append(await state_of(store))

        await note()
        for _ in range(chance.randint(1, ACTS_IN_A_LIFE)):
            await done(Scene(Witness(store, note), chance.choice(CHANNELS), chance), any_act(chance))
        await store.close()
    recorder.unregister()
    return _Life(begin, recorder.events, acknowledged, states, _beside(place, recorder))


def _beside(place: Path, recorder: Recorder) -> Folder:
    return {path.name: path.read_bytes() for path in place.iterdir() if path.name not in recorder.seen}


async def _verdict(place: Path, left: Folder, expected: list[State]) -> list[str]:
    _lay_out(place, left)
    try:
        async with await Store.open(place / FILE, clock=never) as store:
            state = await state_of(store)
    except StoreError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return ["damaged"]
    with closing(sqlite3.connect(place / FILE)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            return ["damaged"]
    return [] if state in expected else ["lost"]


async def _of_the_first_version(place: Path) -> Folder:
    _lay_out(place, {})
    await file_of_the_first_version(place / FILE)
    return {FILE: (place / FILE).read_bytes()}


async def file_of_the_first_version(path: Path) -> None:
    """A file whose migrations are still to come, and that is in no WAL mode, as a backup."""
    await (await Store.open(path, clock=never, migrations=MIGRATIONS[:1])).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_VERSION)
        connection.execute("PRAGMA journal_mode = DELETE")


def never() -> float:
    return 0.0


def _lay_out(place: Path, folder: Folder) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, content in folder.items():
        (place / name).touch(mode=0o600)
        (place / name).write_bytes(content)


def _copied(place: Path) -> Path:
    copy = place.with_name(place.name + ".copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place, copy)
    return copy


if __name__ == "__main__":
    sys.exit(main())
