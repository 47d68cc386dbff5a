"""Members' texts on the disk: sealed in every column, opened by the right key alone, and in their own place alone."""

from __future__ import annotations

import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from memory import Author, DatabaseDamagedError, KeyUnusableError, Store
from memory.cipher import MARK, MOST_SEALED
from memory.sealing import SEALED
from tests.memory.material import ANN, content, everything, key_of, opened, overwrite, sql, step, story, texts

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
READABLE = {  # what is no member's text, and why it is not sealed
    "stories": {"id", "channel", "guild", "author_id", "head", "first", "created_at", "finished", "mode", "patience",
                "missed"},
    "turns": {"id", "story", "parent", "step", "author_id", "kind", "created_at", "depth", "chars", "chars_before",
              "preferred"},
    "summaries": {"id", "turn", "covers", "created_at", "author_id"},
    "memory_vectors": {"turn", "base_id", "covers", "created_at"},
    "notes": {"story", "depth", "author_id", "created_at"},
    "seats": {"story", "place", "author_id", "since"},
    "pins": {"id", "channel", "author_id", "created_at"},
    "lessons": {"id", "channel", "guild", "author_id", "created_at"},
    "lesson_units": {"lesson", "base_id", "created_at"},
    "settings": {"scope", "key", "value"},  # numbers and names out of lists of ours
    "audit": {"id", "at", "actor_id", "channel", "action", "detail", "hash"},  # ids, no texts
    "audit_head": {"one"},
    "data_keys": {"number", "wrapped", "sealed", "retired"},
    "migrations": {"version", "name", "applied_at"},
}  # fmt: skip


async def test_every_column_is_sealed_or_known_to_be_readable(store: Store, file: Path) -> None:
    await store.close()
    tables = {
        str(name): {str(row[1]) for row in sql(file, f"PRAGMA table_info({name})")}
        for (name,) in sql(file, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    }
    sealed = {table: set(SEALED[table].columns) if table in SEALED else set() for table in tables}
    assert {table: columns - sealed[table] for table, columns in tables.items()} == READABLE
    assert set(SEALED) <= set(tables)


async def test_no_text_can_be_read_without_the_key(store: Store, file: Path) -> None:
    word = "blicket-7f3a"
    await everything(store, Author(7, f"{word} name"), word, 1)
    await store.audit(7, 1, "memory.pin", "")
    for path in file.parent.iterdir():
        assert word.encode() not in content(path), path
    assert sum(word in value for value in opened(file, key_of(file))) > 20
    await store.close()
    for table, sealed in SEALED.items():
        for column in sealed.columns:
            found = sql(file, f"SELECT {column} FROM {table}")
            assert found, f"nothing of {table} was tried"
            assert all(isinstance(value, bytes) and value.startswith(MARK) for (value,) in found), (table, column)
            with pytest.raises(sqlite3.IntegrityError):  # nor is one stored that was not sealed
                sql(file, f"UPDATE {table} SET {column} = x'00'")


async def test_each_column_opens_in_its_own_place_alone(store: Store, file: Path) -> None:
    await everything(store, ANN, "one", 1)
    await everything(store, ANN, "two", 3, base_id="base")
    key = key_of(file)
    await store.close()
    whole = content(file)
    for table, sealed in SEALED.items():
        for column in sealed.columns:
            rows = sql(file, f"SELECT rowid, {column} FROM {table}")
            others = rows[1:] or sql(file, "SELECT id, text FROM turns")
            for (row, value), (_, other) in zip(rows, others, strict=False):
                assert isinstance(value, bytes)
                assert isinstance(other, bytes)
                for put in (other, value[:-1] + bytes([value[-1] ^ 1])):  # another row's, and one that was changed
                    sql(file, f"UPDATE {table} SET {column} = x'{put.hex()}' WHERE rowid = {row}")
                    with pytest.raises(DatabaseDamagedError, match=rf"{table}\.{column}"):
                        opened(file, key)
                    overwrite(file, whole)
    assert opened(file, key)


async def test_a_swapped_text_is_told_in_one_sentence_and_the_store_goes_on(file: Path) -> None:
    async with await Store.open(file) as store:
        await story(store)
        await step(store)
        await story(store, 2)
    sql(file, "UPDATE turns SET text = (SELECT text FROM turns WHERE id = 2) WHERE id = 3")
    async with await Store.open(file) as store:
        with pytest.raises(DatabaseDamagedError, match=r"turns\.text of the row 3 was not sealed") as caught:
            await store.path(1)
        assert "\n" not in str(caught.value)
        assert await texts(store, 2) == ["A hill."]


async def test_a_key_that_is_given_leaves_no_file_and_opens_alone(file: Path) -> None:
    async with await Store.open(file, key=KEY) as store:
        await story(store)
    assert not file.with_name(file.name + ".key").exists()
    before = content(file)
    with pytest.raises(KeyUnusableError, match=r"that was given \(MINIATURE_KEY\) is not the one") as wrong:
        await Store.open(file, key=OTHER)
    with pytest.raises(KeyUnusableError, match="its key is not here") as lost:
        await Store.open(file)
    for caught in (wrong, lost):
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)
        assert OTHER.hex() not in str(caught.value)
    assert content(file) == before
    assert not file.with_name(file.name + ".key").exists(), "no new start"
    async with await Store.open(file, key=KEY) as store:
        assert await texts(store) == ["A hill."]


async def test_a_lost_key_file_is_told_and_never_made_anew(file: Path) -> None:
    async with await Store.open(file) as store:
        await story(store)
    key = file.with_name("memory.db.key")
    away = key.rename(key.with_name("away"))
    for text in (None, "", "0" * 64, "no key"):
        if text is not None:
            key.write_text(text)
            key.chmod(0o600)
        with pytest.raises(KeyUnusableError):
            await Store.open(file)
        assert (key.read_text() if key.exists() else None) == text
    away.replace(key)
    async with await Store.open(file) as store:
        assert await texts(store) == ["A hill."]


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
async def test_a_key_file_that_others_can_read_is_refused(file: Path) -> None:
    async with await Store.open(file) as store:
        await story(store)
    key = file.with_name("memory.db.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for mode in (0o640, 0o604, 0o660):
        key.chmod(mode)
        with pytest.raises(KeyUnusableError, match="chmod 600"):
            await Store.open(file)
    key.chmod(0o400)
    async with await Store.open(file) as store:
        assert await texts(store) == ["A hill."]


async def test_a_data_key_that_has_sealed_much_gives_way_to_another(file: Path) -> None:
    async with await Store.open(file) as store:
        await story(store)
    sql(file, f"UPDATE data_keys SET sealed = {MOST_SEALED}")
    async with await Store.open(file) as store:
        await step(store)
        assert await texts(store) == ["A hill.", "She ran.", "The wind ran."]
    assert [number for (number,) in sql(file, "SELECT number FROM data_keys ORDER BY number")] == [1, 2]
    used = sql(file, "SELECT DISTINCT substr(text, 5, 4) FROM turns ORDER BY id")
    assert used == [(b"\0\0\0\1",), (b"\0\0\0\2",)]
    async with await Store.open(file) as store:
        assert await texts(store) == ["A hill.", "She ran.", "The wind ran."]


async def test_what_was_sealed_is_counted(file: Path) -> None:
    async with await Store.open(file) as store:
        await story(store)
    async with await Store.open(file) as store:  # what a killed process may not have counted is added first
        await story(store)
    [(counted,)] = sql(file, "SELECT sealed FROM data_keys")
    assert isinstance(counted, int)
    assert counted > 65_536
