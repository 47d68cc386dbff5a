from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from memory import (
    MIGRATIONS,
    DatabaseDamagedError,
    DatabaseInUseError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    LessonRow,
    MigrationError,
    Pin,
    Store,
    StoreError,
    Transaction,
)
from tests.memory.material import content, overwrite, sql, step, story, texts, threads_end

ROOT = Path(__file__).parents[2]


async def written(file: Path) -> None:
    async with await Store.open(file) as store:
        await story(store)
        for _ in range(40):
            await step(store, model="The wind ran after her. " * 8)


def folder_of(file: Path) -> list[Path]:
    return sorted(file.parent.iterdir())


def one_sentence(error: StoreError) -> bool:
    return str(error).endswith(".") and "\n" not in str(error)


async def test_a_story_is_kept_across_restarts(file: Path) -> None:
    async with await Store.open(file) as store:
        await story(store)
        await step(store)
    assert [path.name for path in folder_of(file)] == ["memory.db", "memory.db.key", "memory.db.lock"]
    async with await Store.open(file) as store:
        assert await texts(store) == ["A hill.", "She ran.", "The wind ran."]


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
async def test_only_the_owner_can_read_the_files(store: Store, file: Path) -> None:
    await story(store)
    for path in file.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("junk", [b"", b"\x00" * 4096, b"not a database", b"SQLite format 3\x00" + b"\x7f" * 9000])
async def test_a_file_that_is_no_database_is_refused_and_left(tmp_path: Path, junk: bytes) -> None:
    file = tmp_path / "m.db"
    file.write_bytes(junk)
    for _ in range(2):
        with pytest.raises(DatabaseDamagedError) as caught:
            await Store.open(file)
        assert one_sentence(caught.value)
        assert str(file) in str(caught.value)
        assert file.read_bytes() == junk


async def test_pages_that_do_not_hold_together_are_refused_and_left(file: Path) -> None:
    await written(file)
    whole = content(file)
    for begin in range(4096, len(whole), 4096):
        overwrite(file, whole[:begin] + b"\xa5" * 4096 + whole[begin + 4096 :])
        damaged = content(file)
        with pytest.raises(DatabaseDamagedError) as caught:
            await Store.open(file)
        assert one_sentence(caught.value)
        assert content(file) == damaged
    overwrite(file, whole[: len(whole) // 2])
    with pytest.raises(DatabaseDamagedError):
        await Store.open(file)
    overwrite(file, whole)
    async with await Store.open(file) as store:
        assert await store.path_length(1) == 81


async def test_another_programs_database_and_a_journal_alone_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    sql(other, "CREATE TABLE notes (text)")
    lost = tmp_path / "lost.db"
    (tmp_path / "lost.db-wal").write_bytes(b"x")
    for file in (other, lost):
        with pytest.raises(DatabaseDamagedError):
            await Store.open(file)
    assert not lost.exists()


async def test_a_newer_file_is_refused_and_left(file: Path) -> None:
    await written(file)
    sql(file, "PRAGMA user_version = 999")
    before = content(file)
    with pytest.raises(DatabaseTooNewError, match="newer version") as caught:
        await Store.open(file)
    assert one_sentence(caught.value)
    assert content(file) == before


async def test_migrations_run_once_and_leave_their_record(file: Path) -> None:
    async def colours(tx: Transaction) -> None:
        await tx.all("CREATE TABLE colours (name TEXT)")

    await written(file)
    for _ in range(2):
        async with await Store.open(file, migrations=[*MIGRATIONS, colours]) as store:
            assert await store.path_length(1) == 81
    assert sql(file, "SELECT version, name FROM migrations ORDER BY version")[-1] == (len(MIGRATIONS) + 1, "colours")
    with pytest.raises(DatabaseTooNewError):
        await Store.open(file)


async def test_a_file_of_the_first_version_keeps_what_people_wrote(file: Path) -> None:
    async with await Store.open(file, migrations=MIGRATIONS[:1]):
        pass
    sql(file, "INSERT INTO stories VALUES (1, 1, 3, 'Hill', 7, 5, 1, 0.5, 0)")
    ann, nobody = "7, 'Ann'", "NULL, ''"
    for turn, parent, at_step, who, kind, preferred in (
        (1, "NULL", 1, ann, "premise", "2"),
        (2, "1", 2, ann, "member", "3"),
        (3, "2", 2, nobody, "model", "4"),
        (4, "3", 3, ann, "member", "5"),
        (5, "4", 3, nobody, "model", "NULL"),
    ):
        place = f"{turn - 1}, 7, {7 * turn - 7}, {preferred}"
        values = f"{turn}, 1, {parent}, {at_step}, {who}, '{kind}', 'Words. ', 0.5, {place}"
        sql(file, f"INSERT INTO turns VALUES ({values})")
    for turn, body, at in ((3, "early", 1.5), (5, "late", 2.5)):
        sql(file, f"INSERT INTO summaries VALUES ({turn}, {10 * (turn - 1)}, '{body}', {at})")
    sql(file, "INSERT INTO pins VALUES (5, 1, 'Ann has a dog.', 7, 'Ann', 3.5)")
    sql(file, "INSERT INTO lessons VALUES (6, 1, 3, 'Who?', 'Ann.', 7, 'Ann', 4.5)")
    sql(file, "INSERT INTO adapters VALUES (1, 'base', 'd', x'01', 5.5)")
    async with await Store.open(file) as store:
        assert await store.path_length(1) == 5
        late, early = await store.summary_versions(1, 9)
        assert (late.turn, late.covers, late.body, late.created_at) == (5, 40, "late", 2.5)
        assert (early.turn, early.covers, early.body, early.author_id) == (3, 20, "early", None)
        assert await store.pins(1) == [Pin(5, "Ann has a dog.", 7, "Ann", 3.5, ())]
        assert await store.lessons(1) == [LessonRow(6, "Who?", "Ann.", 7, "Ann", 4.5)]
        assert await store.units(1, "base") == {}
        assert await store.put_units(6, "base", b"learnt again")
        await store.undo(1)
        assert await store.summary(1) == early
    assert sql(file, "SELECT name FROM sqlite_master WHERE name LIKE '%adapters%' OR name LIKE 'only%'") == []


async def test_a_failing_migration_leaves_the_version_before_it(file: Path) -> None:
    async def good(tx: Transaction) -> None:
        await tx.all("CREATE TABLE good (name TEXT)")

    async def bad(tx: Transaction) -> None:
        await tx.all("CREATE TABLE bad (name TEXT)")
        await tx.all("UPDATE turns SET text = 'lost'")
        await tx.all("no statement")

    async def dangling(tx: Transaction) -> None:
        await tx.all("DELETE FROM stories")

    await written(file)
    for failing in (bad, dangling):
        with pytest.raises(MigrationError, match=failing.__name__) as caught:
            await Store.open(file, migrations=[*MIGRATIONS, good, failing])
        assert one_sentence(caught.value)
    async with await Store.open(file, migrations=[*MIGRATIONS, good]) as store:
        assert (await texts(store))[:2] == ["A hill.", "She ran."]
    tables = {name for (name,) in sql(file, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "good" in tables
    assert "bad" not in tables


async def test_a_migration_that_fails_at_the_first_start_leaves_no_database(file: Path) -> None:
    async def bad(tx: Transaction) -> None:
        raise ValueError("no")

    with pytest.raises(MigrationError):
        await Store.open(file, migrations=[bad])
    assert [path.name for path in folder_of(file)] == ["memory.db.key", "memory.db.lock", "memory.db.new"]
    async with await Store.open(file) as store:  # what the failed start left behind does not stand in the way
        await story(store)


async def test_a_second_store_is_refused_while_the_first_is_open(store: Store, file: Path) -> None:
    with pytest.raises(DatabaseInUseError) as caught:
        await Store.open(file)
    assert one_sentence(caught.value)
    link = file.parent / "link.db"
    link.symlink_to(file)
    with pytest.raises(DatabaseInUseError):
        await Store.open(link)
    await store.close()
    async with await Store.open(link) as again:
        await story(again)


async def test_a_second_process_is_refused(store: Store, file: Path) -> None:
    program = (
        "import asyncio, pathlib, sys; from memory import Store; asyncio.run(Store.open(pathlib.Path(sys.argv[1])))"
    )
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert child.returncode != 0
    assert "DatabaseInUseError" in child.stderr


async def test_a_place_that_cannot_hold_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "m.db", tmp_path / "folder"):
        with pytest.raises(DatabaseUnavailableError) as caught:
            await Store.open(path)
        assert one_sentence(caught.value)


async def test_a_failed_open_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.enumerate()
    (tmp_path / "m.db").write_bytes(b"SQLite format 3\x00" + b"\x7f" * 9000)
    for _ in range(5):
        with pytest.raises(DatabaseDamagedError):
            await Store.open(tmp_path / "m.db")
    threads_end(before)


def test_a_process_that_forgets_to_close_still_ends(file: Path) -> None:
    program = """
import asyncio, pathlib, sys
from memory import Author, Store
async def main():
    store = await Store.open(pathlib.Path(sys.argv[1]))
    await store.start_story(1, guild=None, title="", premise="Once.", author=Author(1, "Ann"))
    asyncio.get_running_loop().create_task(store.undo(1))
asyncio.run(main())
"""
    child = subprocess.run(
        [sys.executable, "-c", program, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 0, child.stderr


async def test_what_a_killed_process_was_told_is_stored_is_there(file: Path) -> None:
    program = """
import asyncio, os, pathlib, sys
from memory import Store
async def main():
    store = await Store.open(pathlib.Path(sys.argv[1]))
    await asyncio.gather(*(store.set_setting("process", str(n), "on") for n in range(20)))
    for n in range(20, 50):
        asyncio.ensure_future(store.set_setting("process", str(n), "on"))
    await asyncio.sleep(0)
    os._exit(9)
asyncio.run(main())
"""
    child = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program, str(file)], cwd=ROOT, timeout=60)
    assert child.returncode == 9
    async with await Store.open(file) as store:
        assert len(await store.settings("process")) >= 20
