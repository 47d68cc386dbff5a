"""python -m benchmarks.reliability.kills [--kills 500] [--seed 1] [--json]: what a `kill -9` of the bot costs.

The real bot works in a Discord of its own; at a named point, or at any time, it is killed. Points are known from
outside alone: by what the bot asks of Discord, by its files, or by the time since. Then its file is looked at, the bot
is started again, and the last button in the channel is pressed. A violation is each of

    text that a member added is not stored once though its reply had got its buttons, or is stored twice
    the turn of a message with buttons is not stored, or a turn has two replies where one was asked for
    a lesson or a pin that was told to be there is not stored once; weights that were told to write do not
    the file does not pass `python -m memory check`, a copy or a backup that was being made is there and not whole
    the bot does not start, or nothing follows on its buttons, or no backup behind one that was cut off

kills, violations   counts; by_point says how many of each point, half_backups in how many a backup was cut off midway
restart_s           median and maximum of the seconds from a start to the bot being ready
restart_cpu_s       the same in seconds of a processor, which other work on the machine changes little
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from benchmarks.reliability.command_line import parser, tell
from benchmarks.reliability.house import NAMES, House, a_house, turn_of
from benchmarks.reliability.power_cuts import file_of_the_first_version
from memory import Store, StoreError
from memory.backups import backups_of, folder_of
from memory.copies import check
from tests.discord_server import Interaction

ACTS_IN_A_STORY = 20  # then another story is begun, so that none becomes long
EACH_SECOND = 1 / 3600  # hours from one backup to the next
BALLAST = "ballast " * (1 << 20)  # eight megabytes


def main() -> int:
    options = parser(__doc__, kills=500, seed=1).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(kills(Path(folder), options.kills, options.seed, told=True))
    result = {
        "kills": sum(found.by_point.values()),
        "violations": len(found.violations),
        "restart_s": _spread(found.restarts),
        "restart_cpu_s": _spread(found.cpu),
        "half_backups": found.halves,
        "by_point": dict(found.by_point),
    }
    tell(result, as_json=options.json)
    return int(bool(found.violations))


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)}


@dataclass
class Found:
    by_point: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)  # seconds
    cpu: list[float] = field(default_factory=list)
    halves: int = 0


@dataclass
class _Told:
    """What people were told, or asked for."""

    lessons: dict[str, Interaction] = field(default_factory=dict)  # by a word of theirs
    pins: dict[str, Interaction] = field(default_factory=dict)
    swaps: list[tuple[str, Interaction]] = field(default_factory=list)
    halves: int = 0  # backups that were cut off in the middle


@dataclass(frozen=True)
class Scene:
    house: House
    told: _Told
    chance: random.Random

    async def soon(self, most: float) -> None:
        """Some time of up to so many seconds."""
        await asyncio.sleep(self.chance.random() * most)


Point = Callable[[Scene], Awaitable[object]]


async def kills(folder: Path, count: int, seed: int, *, told: bool = False, points: list[str] | None = None) -> Found:
    """Kills the bot so often: at each of the points in turn, in an order drawn anew each time."""
    chance, found, heard = random.Random(seed), Found(), _Told()
    async with a_house(folder) as house:
        await house.start()
        await house.allow_teaching()
        names: list[str] = []
        for number in range(count):
            if number % ACTS_IN_A_STORY == 0:
                await house.new_story()
            names = names or chance.sample(points or list(POINTS), len(points or POINTS))
            name = names.pop()
            broken: list[str] = []
            try:
                await POINTS[name](Scene(house, heard, chance))
                await house.kill()
                broken += await _broken(house, heard)
                found.restarts.append(await house.start())
                found.cpu.append(house.cpu)
                await house.go_on()
            except AssertionError as error:
                broken.append(str(error))
                await house.kill()
                await house.start()
            found.by_point[name], found.halves = found.by_point[name] + 1, heard.halves
            found.violations += [f"{name}: {what}" for what in broken]
            if told and (broken or number % 20 == 19):
                worst = f"restarts {_spread(found.restarts)}, {_spread(found.cpu)}"
                print(number + 1, f"kills, {len(found.violations)} violations, {worst}", name, *broken, file=sys.stderr)
    return found


# Where it is killed


async def _acknowledged(s: Scene) -> None:
    await s.house.add().acknowledged()


async def _begun(s: Scene) -> None:
    s.house.add()
    await s.house.streaming(text=False)


async def _growing(s: Scene) -> None:
    s.house.add()
    await s.house.streaming()
    await s.soon(0.3)


async def _shown(s: Scene) -> None:
    """Between the last edit and the storing."""
    s.house.add()
    await s.house.shown(await s.house.streaming())
    await s.soon(0.02)


async def _held(s: Scene) -> None:
    """An edit, most often the last one, never comes back."""
    s.house.add()
    await s.house.streaming()
    await s.soon(0.5)
    with suppress(AssertionError), s.house.server.hold("PATCH", r"^/channels/\d+/messages/\d+$") as held:
        await held.reached(timeout=5)
        await s.house.kill()


async def _crowned(s: Scene) -> None:
    before = s.house.crowned()[-1]
    s.house.add()
    await s.house.next_crowned(before)


async def _remembered(s: Scene) -> None:
    """In the work behind a reply: a summary, and vectors of what scrolled out."""
    await _crowned(s)
    journal = s.house.file.with_name(s.house.file.name + "-wal")
    await _changed(journal, _stamp(journal), 0.5)
    await s.soon(0.01)


async def _teaching(s: Scene) -> None:
    asked = await s.house.teach()
    s.told.lessons[f"blicket {s.house.said:05}"] = asked
    await asked.acknowledged()
    await s.soon(1.0)


async def _learnt(s: Scene) -> None:
    asked = await s.house.teach()
    s.told.lessons[f"blicket {s.house.said:05}"] = asked
    await s.house.said_in(asked, r"^Learnt")


async def _swapping(s: Scene) -> None:
    name = NAMES[len(s.told.swaps) % 2 - 1]
    asked = s.house.owner.command("weights activate", name=name)
    s.told.swaps.append((name, asked))
    await asked.acknowledged()
    await s.soon(0.4)


async def _swapped(s: Scene) -> None:
    await _swapping(s)
    await s.house.said_in(s.told.swaps[-1][1], r"^I now write|already")


async def _pinned(s: Scene) -> None:
    for old, asked in list(s.told.pins.items()):
        if number := re.search(r"\d+", asked.message.content if asked.message else ""):
            await s.house.said_in(s.house.owner.command("memory unpin", pin=int(number[0])), "pinned|no pin")
        del s.told.pins[old]
    s.house.said += 1
    word = f"dax {s.house.said:05}"
    asked = s.house.owner.command("memory pin", text=f"A {word} is a key.")
    s.told.pins[word] = asked
    await s.house.said_in(asked, word)


async def _starting(s: Scene) -> None:
    await s.house.kill()
    await s.house.start(ready=False)
    await s.soon(1.5)


async def _stopping(s: Scene) -> None:
    await _growing(s)
    assert s.house.bot is not None
    s.house.bot.signal(signal.SIGTERM)
    await s.soon(0.4)


async def _copying(s: Scene) -> None:
    """A backup by hand: it is killed as well."""
    s.house.add()
    copy = s.house.folder / "copy.sqlite3"
    arguments = ("-m", "memory", "backup", str(s.house.file), str(copy))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=Path.cwd(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    await s.soon(0.6)
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _backed_up_by_the_clock(s: Scene) -> None:
    """While it writes a backup of its own; started again, it takes the next one."""
    house, place = s.house, folder_of(s.house.file)
    await house.kill()
    async with await Store.open(house.file) as store:
        await store.set_setting("process", "ballast", BALLAST)  # so that it takes some time
    house.settings["MINIATURE_BACKUP_HOURS"] = str(EACH_SECOND)
    try:
        await house.start(ready=False)
        await _until(lambda: any(place.glob("*.new")), 30.0)
        await s.soon(0.03)
        await house.kill()
        half, whole = list(place.glob("*.new*")), set(backups_of(house.file))
        s.told.halves += bool(half)
        await house.start()
        await _until(lambda: bool(set(backups_of(house.file)) - whole), 30.0)
        assert set(backups_of(house.file)) - whole, "no backup followed on one that was cut off"
        assert not [path.name for path in half if path.exists()], "half a backup was left"
    finally:
        del house.settings["MINIATURE_BACKUP_HOURS"]


async def _migrating(s: Scene) -> None:
    """Another bot's first start on a file of the first version."""
    await s.house.kill()
    folder = s.house.folder / "old"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    await file_of_the_first_version(folder / s.house.file.name)
    before = _stamp(folder / s.house.file.name)
    await s.house.start(ready=False, folder=folder)
    await _changed(folder / s.house.file.name, before, 10.0)
    await s.soon(0.1)


async def _any_time(s: Scene) -> None:
    s.house.add()
    await s.soon(1.5)


POINTS: Mapping[str, Point] = MappingProxyType(
    {
        "acknowledged": _acknowledged,
        "first piece": _begun,
        "mid stream": _growing,
        "an edit under way": _held,
        "between show and store": _shown,
        "buttons there": _crowned,
        "summary": _remembered,
        "teaching": _teaching,
        "learnt": _learnt,
        "swapping": _swapping,
        "swapped": _swapped,
        "pinned": _pinned,
        "starting": _starting,
        "stopping": _stopping,
        "backing up": _copying,
        "backed up by the clock": _backed_up_by_the_clock,
        "migrating": _migrating,
        "any time": _any_time,
    }
)


# What must hold then


async def _broken(house: House, told: _Told) -> list[str]:
    """Looks at a copy of what was left, so that the bot itself has to get over it."""
    place = house.folder / "looked at"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for path in house.folder.glob(house.file.name + "*"):
        if not path.name.endswith(("-shm", ".lock")):
            shutil.copy(path, place)
    found: list[str] = []
    try:
        async with await Store.open(place / house.file.name) as store:
            found += await _missing(store, house, told)
        check(place / house.file.name)
        for copy in backups_of(house.file):
            check(copy)
        for copy in (house.folder / "copy.sqlite3", house.folder / "old" / house.file.name):
            if copy.exists():
                found += await _whole(copy)
    except StoreError as error:
        found.append(str(error))
    return found


async def _whole(copy: Path) -> list[str]:
    """And it goes."""
    if copy.parent.name == "old":
        async with await Store.open(copy) as store:
            texts = "".join(turn.text for turn in await store.path(1))
        shutil.rmtree(copy.parent)
        return [] if texts == "A hill. It rained." else [f"a migration lost text: {texts[:60]!r}"]
    check(copy)
    await asyncio.to_thread(copy.unlink)
    return []


async def _missing(store: Store, house: House, told: _Told) -> list[str]:
    found: list[str] = []
    own = await store.belongings(house.owner.id)
    written = Counter(word for turn in own["turns"] for word in re.findall(r"dax \d{5}", str(turn["text"])))
    found += [f"{word} is stored {times} times" for word, times in written.items() if times > 1]
    stories = await store.stories(house.channel.id)
    turns = {turn.id for story in stories for turn in await store.turns_of_story(story.id)}
    replies = Counter(twig.parent for twig in await store.outline(house.channel.id) if twig.kind == "model")
    found += [f"turn {turn} has {count} replies" for turn, count in replies.items() if count > 1]
    for message in house.crowned():
        if turn_of(message) not in turns:
            found.append(f"turn {turn_of(message)} is not stored though it got its buttons")
        found += [
            f"{w} is not stored"
            for w in re.findall(r"^> Then (dax \d{5}) came", message.content, re.MULTILINE)
            if not written[w]
        ]
    lessons, pins = str(own["lessons"]), str(own["pins"])
    for word, asked in told.lessons.items():
        learnt = asked.message is not None and asked.message.content.startswith("Learnt")
        if not learnt <= lessons.count(word) <= 1:
            found.append(f"a lesson is stored {lessons.count(word)} times")
    for word, asked in told.pins.items():
        if not (asked.message is not None and word in asked.message.content) <= pins.count(word) <= 1:
            found.append(f"a pin is stored {pins.count(word)} times")
    return found + await _weights(store, told)


async def _weights(store: Store, told: _Told) -> list[str]:
    """The last weights that were told to write, or those asked for since."""
    possible = {NAMES[0]}
    for name, asked in told.swaps:
        done = asked.message is not None and asked.message.content.startswith(("I now write", f"{name} "))
        possible = {name} if done else possible | {name}
    kept = Path(await store.setting("process", "weights") or "").name
    return [] if kept in possible else [f"the weights are {kept}, not one of {sorted(possible)}"]


async def _changed(path: Path, before: tuple[int, int], most: float) -> None:
    """Waits until the file is another than before, for so many seconds at most."""
    await _until(lambda: _stamp(path) != before, most)


async def _until(there: Callable[[], bool], most: float) -> None:
    end = time.monotonic() + most
    while not there() and time.monotonic() < end:  # noqa: ASYNC110  (another process changes it)
        await asyncio.sleep(0.001)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


if __name__ == "__main__":
    sys.exit(main())
