"""python -m benchmarks.reliability.disk_full [--means ...] [--acts NAME ...] [--json]: what a full disk costs.

Each write of the store, its opening and its migrations are tried with no room at all, with room for one more page of
4,096 bytes, for two, and so on until there is room enough, so that each statement that takes room fails once:

pages    by `max_page_count`: the file may not grow
tmpfs    on a disk in memory that another file fills (needs the right to mount; else it is left out, and said)
fsize    by `RLIMIT_FSIZE`: no file may grow over so many bytes

tries       how often something was tried, and `full` how often there was no room for it
violations  a failure that was not told in one sentence by a StoreError, a store that then was not as it was before,
            that could not be read, or that did not do the same at once when there was room again
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.reliability.acts import PEOPLE, WRITES, Scene, State, Witness, done, state_of
from benchmarks.reliability.command_line import parser
from benchmarks.reliability.power_cuts import file_of_the_first_version
from memory import Store, StoreError

PAGE, FILE, CHANNEL = 4096, "memory.sqlite3", 1
TMPFS_BYTES = 8 << 20
SIZE = 40  # times as much as people write, so that one page of room is not enough
FAR = (*range(40), *range(40, 400, 12))  # pages of room that are tried, until there is enough
MEANS = ("pages", "tmpfs", "fsize")


def main() -> int:
    reading = parser(__doc__)
    reading.add_argument("--means", nargs="+", choices=MEANS, default=MEANS)
    every = [*WRITES, *OPENINGS]
    reading.add_argument("--acts", nargs="+", choices=every, default=every, metavar="NAME")
    options = reading.parse_args()
    found = {means: full_disks(means, options.acts) for means in options.means}
    if options.json:
        print(json.dumps({means: asdict(one) for means, one in found.items()}))
    else:
        for means, one in found.items():
            print(f"{means:6} {one.left_out or f'{one.tries:,} tries, {one.full:,} of them without room'}")
            for what in one.violations:
                print(f"       {what}")
    return int(any(one.violations for one in found.values()))


@dataclass
class Found:
    tries: int = 0
    full: int = 0
    violations: list[str] = field(default_factory=list)
    left_out: str = ""


def full_disks(means: str, acts: Iterable[str], far: Sequence[int] = FAR) -> Found:
    """`far`: the pages of room that are tried, one after the other, until there is enough."""
    found = Found()
    with tempfile.TemporaryDirectory(prefix="full-disk-") as folder, ExitStack() as until_then:
        place = Path(folder) / "place"
        place.mkdir()
        if means == "tmpfs" and (reason := until_then.enter_context(_tmpfs(place))):
            found.left_out = f"left out, as nothing can be mounted here: {reason}"
            return found
        asyncio.run(_prepare(Path(folder)))
        for act in acts:
            for pages in far:
                found.tries += 1
                try:
                    full = asyncio.run(_one(Path(folder), place, means, act, pages))
                except AssertionError as error:
                    found.violations.append(f"{act} with {pages} pages: {error}")
                    full = True
                found.full += full
                if not full:
                    break
            else:
                found.violations.append(f"{act} had no room in {far[-1]} pages")
    return found


async def _prepare(folder: Path) -> None:
    """What each try starts with: a file with something of everything, and one of the first version."""
    for name in ("begun", "old"):
        (folder / name).mkdir()
    await file_of_the_first_version(folder / "old" / FILE)
    chance = random.Random(1)
    async with await Store.open(folder / "begun" / FILE, clock=float) as store:
        for _ in range(3):
            for name in ("start_story", "append", "append", "put_summary", "put_vectors", "add_pin", "teach"):
                await done(Scene(store, CHANNEL, chance), WRITES[name])
        for name in ("put_note", "set_setting", "undo", "append"):
            await done(Scene(store, CHANNEL, chance), WRITES[name])
    with closing(sqlite3.connect(folder / "begun" / FILE)) as connection:
        connection.execute("VACUUM")  # no page is left free


async def _one(folder: Path, place: Path, means: str, act: str, pages: int) -> bool:
    """Whether there was no room for it. Raises `AssertionError` with what was wrong then."""
    _lay_out(folder, place, act)
    if act in OPENINGS:
        return await _opening(place, means, pages)
    size = (place / FILE).stat().st_size // PAGE
    store = await Store.open(place / FILE, clock=float, max_pages=size + pages if means == "pages" else None)
    try:
        return await _writing(store, place, means, act, pages)
    finally:
        await store.close()


def _lay_out(folder: Path, place: Path, act: str) -> None:
    for path in place.iterdir():
        path.unlink()
    for path in (folder / {"open a new file": "nothing", "migrate": "old"}.get(act, "begun")).glob(FILE + "*"):
        shutil.copy(path, place)


async def _writing(store: Store, place: Path, means: str, act: str, pages: int) -> bool:
    kept: list[State] = [await state_of(store)]

    async def note() -> None:
        kept.append(await state_of(store))

    async def attempt(seed: int) -> StoreError | None:
        return await _told(done(Scene(Witness(store, note), CHANNEL, random.Random(seed), SIZE), WRITES[act]))

    with _full(place, means, pages):
        error = await attempt(2)
        # What is not acknowledged is not there, and the store can be read, on the full disk too.
        assert await state_of(store) == kept[-1], "it was not as before"
        if error is None:
            return False
        if means == "pages":
            await store.delete_author(PEOPLE[0].id)  # frees pages, and needs none
            small = await _told(done(Scene(store, CHANNEL, random.Random(3)), WRITES["append"]))
            assert small is None, f"nothing could be written in the room that was freed: {small}"
    if means != "pages":
        before = len(kept)
        again = await attempt(2)
        assert again is None, f"nor was it done when there was room: {again}"
        assert len(kept) > before or act in {"undo", "redo"}, "nothing was done when there was room"
    last = await state_of(store)
    await store.close()
    async with await Store.open(place / FILE, clock=float) as reopened:
        assert await state_of(reopened) == last, "another process found something else"
    return True


async def _opening(place: Path, means: str, pages: int) -> bool:
    """The store is as it was where it could not be opened: nothing, or a file of the first version."""
    most = (place / FILE).stat().st_size // PAGE + pages if (place / FILE).exists() else 1 + pages

    async def attempt(max_pages: int | None) -> None:
        await (await Store.open(place / FILE, clock=float, max_pages=max_pages)).close()

    with _full(place, means, pages):
        error = await _told(attempt(most if means == "pages" else None))
    if error is None:
        return False
    assert (again := await _told(attempt(None))) is None, f"nor did it open when there was room: {again}"
    return True


async def _told(work: Awaitable[object]) -> StoreError | None:
    """What the user would read."""
    try:
        await work
    except StoreError as error:
        words = str(error)
        assert words.endswith("."), f"no sentence: {words}"
        assert "\n" not in words, f"more than a sentence: {words}"
        return error
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    return None


# How a disk is full


@contextmanager
def _full(place: Path, means: str, pages: int) -> Iterator[None]:
    """Within it there is room for so many pages."""
    if means == "fsize":
        sizes = [path.stat().st_size for path in place.iterdir()]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max([0, *sizes]) + pages * PAGE, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    elif means == "tmpfs":
        ballast = place / "ballast"
        with ballast.open("wb") as file:
            file.write(bytes(max(shutil.disk_usage(place).free - pages * PAGE, 0)))
        try:
            yield
        finally:
            ballast.unlink()
    else:
        yield


@contextmanager
def _tmpfs(place: Path) -> Iterator[str]:
    """Mounts it there; gives the reason where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "none", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        yield str(error)
        return
    if done.returncode:
        yield done.stderr.strip()
        return
    try:
        yield ""
    finally:
        subprocess.run(["umount", str(place)], check=True)


OPENINGS = ("open a new file", "migrate")

if __name__ == "__main__":
    sys.exit(main())
