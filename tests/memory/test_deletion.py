"""A person's deletion: nothing of theirs is left, in the file, its journal, its backups, sealed or not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from memory import Author, Store
from memory.backups import Backups, backups_of, folder_of
from memory.cipher import MARK
from memory.sealing import SEALED
from tests.memory.material import content, everything, key_of, opened, sql, texts

PEOPLE = {word: Author(id_, f"{word} name") for id_, word in enumerate(("blicket", "wug", "dax"), start=71)}


def sealed_values(file: Path) -> set[bytes]:
    """As they lie in the file, which may be open elsewhere."""
    found: set[bytes] = set()
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        for table, sealed in SEALED.items():
            for column in sealed.columns:
                found |= {row[0] for row in connection.execute(f"SELECT {column} FROM {table}")}
    return found


def files(file: Path) -> list[Path]:
    return [path for path in file.parent.rglob("*") if path.is_file()]


async def test_each_of_three_goes_alone(store: Store, file: Path) -> None:
    for place, (word, author) in enumerate(PEOPLE.items()):
        await everything(store, author, word, 10 * place)
    before, key = sealed_values(file), key_of(file)
    removed = await store.delete_author(PEOPLE["wug"].id)
    assert (removed.lessons, removed.pins, removed.notes, removed.titles) == (1, 1, 1, 2)
    values = opened(file, key)
    assert not [value for value in values if "wug" in value]
    assert await store.setting(f"user:{PEOPLE['wug'].id}", "colour") is None
    for word in ("blicket", "dax"):
        assert sum(word in value for value in values) == sum(word in value for value in opened(file, key)) > 20
    gone = before - sealed_values(file)
    assert len(gone) > 20
    raw = b"".join(content(path) for path in files(file))
    assert not [value for value in gone if value[-16:] in raw], "their sealed texts are gone from the disk too"
    kept = [value for value in before & sealed_values(file) if len(value) < 500]  # longer ones go over several pages
    assert all(value[-16:] in content(file) for value in kept if value.startswith(MARK))
    assert await texts(store, 0) == ["blicket premise", "blicket edit", "blicket try"]


async def test_a_deletion_in_the_midst_of_a_reader_empties_the_journal_when_it_can(store: Store, file: Path) -> None:
    await everything(store, PEOPLE["dax"], "dax", 0)
    before = sealed_values(file)
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM turns").fetchone()
        await store.delete_author(PEOPLE["dax"].id)
    await store.set_setting("process", "a", "b")
    await store.delete_author(1)
    gone = before - sealed_values(file)
    raw = b"".join(content(path) for path in files(file))
    assert gone
    assert not [value for value in gone if value[-16:] in raw]


async def test_it_reaches_the_backups(store: Store, file: Path) -> None:
    now = 1_800_000_000.0
    backups = Backups(store, kept=3, clock=lambda: now)
    for place, (word, author) in enumerate(PEOPLE.items()):
        await everything(store, author, word, 10 * place)
        now += 60
        await backups.take()
    key = key_of(file)
    await store.delete_author(PEOPLE["wug"].id)
    assert any("wug" in value for value in opened(backups_of(file)[0], key))
    await backups.cleanse()
    assert len(backups_of(file)) == 3
    for path, words in zip(backups_of(file), ({"blicket", "dax"}, {"blicket"}, {"blicket"}), strict=True):
        values = opened(path, key)
        assert {word for word in PEOPLE if any(word in value for value in values)} == words
    assert [path.name for path in files(file)].count("memory.db") == 1
    assert sorted(path.name for path in folder_of(file).iterdir()) == sorted(path.name for path in backups_of(file))
    async with await Store.open(backups_of(file)[0], key=key) as copy:
        assert await texts(copy, 0) == ["blicket premise", "blicket edit", "blicket try"]
        assert await texts(copy, 10) == ["[removed]", "[removed]", "[removed]"]


async def test_a_backup_without_them_is_left_as_it_is(store: Store, file: Path) -> None:
    backups = Backups(store, kept=3)
    await everything(store, PEOPLE["dax"], "dax", 0)
    await store.delete_author(PEOPLE["dax"].id)
    path = await backups.take()
    before, at = content(path), path.stat().st_mtime_ns
    await backups.cleanse()
    await backups.cleanse()
    assert (content(path), path.stat().st_mtime_ns) == (before, at)


async def test_a_backup_that_cannot_be_cleansed_goes(store: Store, file: Path) -> None:
    backups = Backups(store, kept=3)
    await everything(store, PEOPLE["dax"], "dax", 0)
    path = await backups.take()
    sql(path, "UPDATE data_keys SET wrapped = x'00'")
    await store.delete_author(PEOPLE["dax"].id)
    await backups.cleanse()
    assert backups_of(file) == []
