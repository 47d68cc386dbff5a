"""A server's rows moved between two files, also when the move is cut off."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from memory import (
    DatabaseInUseError,
    DatabaseUnavailableError,
    NotFoundError,
    Store,
    StoreError,
    Table,
    Turn,
)
from memory.__main__ import main
from memory.moving import move
from tests.memory.material import ANN, BEN, exchange, sql, taught, texts

MINE, OTHER = 3, 4  # servers
CHANNELS = (10, 11, 12)  # of the first: a story and a lesson, only a pin, only settings
ELSEWHERE = 20  # of the other


class Killed(Exception):
    pass


def killed_after(step: str) -> Callable[[str], None]:
    def told(said: str) -> None:
        if said == step:
            raise Killed

    return told


async def fill(file: Path, *, strangers: int = 1) -> None:
    """A server with something of every kind, and another one around it."""
    async with await Store.open(file) as store:
        for _ in range(strangers):
            await tell(store, ELSEWHERE, OTHER)
        await tell(store, CHANNELS[0], MINE)
        await tell(store, CHANNELS[0], MINE)
        await taught(store, CHANNELS[0], prompt="Who?")
        await store.add_pin(CHANNELS[1], "Only a pin.", BEN, ("pin",))
        for channel in CHANNELS:
            await store.set_setting(f"channel:{channel}", "guild", str(MINE))
        story = await store.story(CHANNELS[0])
        assert story is not None
        await store.set_setting(f"channel:{CHANNELS[0]}", f"memory.forgotten.{story.id}", "7")
        await store.set_setting(f"channel:{CHANNELS[2]}", "style", "verse")
        await store.set_setting(f"guild:{MINE}", "teaching", "on")
        await store.set_setting(f"guild:{OTHER}", "teaching", "on")


async def tell(store: Store, channel: int, guild: int) -> list[Turn]:
    story = await store.start_story(channel, guild=guild, title="Hill", premise="A hill.", author=ANN)
    turns = await store.append(channel, exchange(), after=story.head)
    await store.undo(channel)
    turns = await store.append(channel, exchange("He ran.", "They met."), after=story.head)
    await store.put_summary(channel, turns[0].id, 5, "so far", BEN)
    await store.put_vectors(channel, turns[1].id, "base", 5, b"\x00vectors")
    await store.put_note(channel, "It rains.", 2, ANN)
    await store.put_table(channel, Table((BEN, ANN), since=1.5, patience=60.0, missed=1))
    return turns


async def seen(file: Path) -> dict[str, object]:
    """All that people see of the server, whatever ids it has."""
    async with await Store.open(file) as store:
        story = await store.story(CHANNELS[0])
        units = await store.units(CHANNELS[0], "base")
        vectors, summary = await store.vectors(CHANNELS[0], "base"), await store.summary(CHANNELS[0])
        settings = [await store.settings(f"channel:{channel}") for channel in CHANNELS]
        note = await store.note(CHANNELS[0])
        forgotten = None if story is None else settings[0].pop(f"memory.forgotten.{story.id}", None)
        found: dict[str, object] = {
            "texts": await texts(store, CHANNELS[0]),
            "stories": [each.title for each in await store.stories(CHANNELS[0])],
            "lessons": [(row.prompt, row.author_name) for row in await store.lessons(CHANNELS[0])],
            "units": list(units.values()),
            "vectors": vectors and vectors.blob,
            "summary": summary and (summary.body, summary.author_name),
            "note": note and note.text,
            "seats": (await store.table(CHANNELS[0])).seats,
            "pins": [(pin.text, pin.keys) for pin in await store.pins(CHANNELS[1])],
            "forgotten": forgotten,
            "settings": settings,
            "server": await store.settings(f"guild:{MINE}"),
        }
        if story is not None:
            found["undone"] = [turn.text for turn in await store.undo(CHANNELS[0])]
            await store.redo(CHANNELS[0])
        return found


def is_empty(found: dict[str, object]) -> bool:
    return not any(value for value in found.values() if value != [{}, {}, {}])


def rows(file: Path) -> int:
    tables = ("stories", "turns", "summaries", "memory_vectors", "notes", "seats", "pins", "lessons", "lesson_units")
    return sum(int(str(sql(file, f"SELECT count(*) FROM {table}")[0][0])) for table in tables)


@pytest.fixture
async def files(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "a.sqlite3", tmp_path / "b.sqlite3"
    await fill(source, strangers=2)
    return source, target


@pytest.mark.parametrize("inhabited", [False, True], ids=["new file", "file of another server"])
async def test_all_of_a_server_moves_and_nothing_else(files: tuple[Path, Path], inhabited: bool) -> None:
    source, target = files
    if inhabited:
        async with await Store.open(target) as store:
            await tell(store, ELSEWHERE + 1, OTHER + 1)  # ids are taken
    before, all_rows = await seen(source), rows(source) + (rows(target) if inhabited else 0)
    moved = await move(source, target, MINE)
    assert moved.channels == len(CHANNELS)
    assert await seen(target) == before
    assert is_empty(await seen(source))
    assert rows(source) + rows(target) == all_rows
    async with await Store.open(source) as store:
        assert await texts(store, ELSEWHERE) == ["A hill.", "He ran.", "They met."]
        assert await store.settings(f"guild:{OTHER}") == {"teaching": "on"}
        assert (await store.audit_rows(1))[0].detail == f"guild {MINE} to b.sqlite3"
    for word in (b"Only a pin.", b"verse"):
        assert word not in source.read_bytes(), "nothing of it is left on the disk"
    assert main(["check", str(source)]) == main(["check", str(target)]) == 0
    with pytest.raises(NotFoundError):
        await move(source, target, MINE)
    await move(target, source, MINE)  # and back
    assert await seen(source) == before
    assert sql(target, "SELECT * FROM settings WHERE scope = 'process'") == []


async def test_ids_stay_where_they_are_free(files: tuple[Path, Path]) -> None:
    source, target = files
    ids = sql(source, f"SELECT id FROM stories WHERE channel = {CHANNELS[0]}")
    await move(source, target, MINE)
    assert sql(target, "SELECT id FROM stories") == ids, "buttons in the channel go on working"


@pytest.mark.parametrize("step", ["copied", "removed"])
async def test_a_move_that_was_cut_off_is_taken_up(files: tuple[Path, Path], step: str) -> None:
    source, target = files
    before = await seen(source)
    with pytest.raises(Killed):
        await move(source, target, MINE, told=killed_after(step))
    assert await seen(target) == before
    if step == "copied":
        assert await seen(source) == before
        await move(source, target, MINE)
    assert is_empty(await seen(source))
    assert await seen(target) == before


async def test_who_goes_on_meanwhile_loses_nothing(files: tuple[Path, Path]) -> None:
    source, target = files
    with pytest.raises(Killed):
        await move(source, target, MINE, told=killed_after("copied"))
    await write(source, "In the old file.")
    await move(source, target, MINE)
    assert "In the old file." in str(await seen(target))
    with pytest.raises(Killed):
        await move(target, source, MINE, told=killed_after("copied"))
    await write(source, "In the new one.")
    await move(target, source, MINE)
    assert "In the new one." in str(await seen(source))
    with pytest.raises(Killed):
        await move(source, target, MINE, told=killed_after("copied"))
    for file in files:
        await write(file, "In both.")
    found = [await seen(file) for file in files]
    with pytest.raises(StoreError, match=r"Both .* have gone on"):
        await move(source, target, MINE)
    assert [await seen(file) for file in files] == found


async def write(file: Path, text: str) -> None:
    async with await Store.open(file) as store:
        story = await store.story(CHANNELS[0])
        assert story is not None
        await store.append(CHANNELS[0], exchange(text), after=story.head)


async def test_what_cannot_be_moved_is_one_sentence(files: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = files
    before = await seen(source)
    for path in files:
        async with await Store.open(path):
            with pytest.raises(DatabaseInUseError):
                await move(source, target, MINE)
    with pytest.raises(DatabaseUnavailableError, match="no file"):
        await move(tmp_path / "none", target, MINE)
    assert not (tmp_path / "none").exists()
    with pytest.raises(StoreError, match="same"):
        await move(source, source, MINE)
    with pytest.raises(NotFoundError):
        await move(source, target, 99)
    await fill(target)
    with pytest.raises(StoreError, match="already"):
        await move(source, target, MINE)
    assert await seen(source) == before


async def test_a_full_disk_leaves_both_as_they_were(files: tuple[Path, Path]) -> None:
    source, target = files
    async with await Store.open(source) as store:
        await store.add_pin(CHANNELS[1], "x" * 3_000_000, ANN)
    before = await seen(source)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, old[1]))
        with pytest.raises(StoreError):
            await move(source, target, MINE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert await seen(source) == before
    await move(source, target, MINE)
    assert await seen(target) == before
