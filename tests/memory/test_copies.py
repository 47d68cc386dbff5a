"""A file checked and copied, also while a store has it open; and the commands for it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from memory import DatabaseDamagedError, DatabaseTooNewError, DatabaseUnavailableError, Store
from memory.__main__ import main
from memory.copies import backup, check
from tests.memory.material import content, overwrite, sql, step, story, taught, texts


async def test_a_file_in_use_is_checked_and_copied(store: Store, file: Path, tmp_path: Path) -> None:
    await story(store)
    await step(store)
    await taught(store)
    found = check(file)
    assert (found.channels, found.stories, found.turns, found.lessons) == (1, 1, 3, 1)
    copy = tmp_path / "copy.sqlite3"
    assert backup(file, copy) == found
    assert copy.stat().st_mode & 0o077 == 0
    assert sorted(os.listdir(tmp_path)) == ["channels", "copy.sqlite3"]
    await step(store)
    copy.with_name("copy.sqlite3.key").hardlink_to(file.with_name("memory.db.key"))
    async with await Store.open(copy) as other:
        assert len(await texts(other)) == 3
    assert len(await texts(store)) == 5


async def test_a_copy_takes_no_others_place(store: Store, file: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(DatabaseUnavailableError, match="already"):
        backup(file, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "precious"
    with pytest.raises(DatabaseUnavailableError, match="cannot be written"):
        backup(file, tmp_path / "none" / "copy")
    with pytest.raises(DatabaseUnavailableError, match="no file"):
        backup(tmp_path / "none", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "none").exists()


async def test_what_is_not_whole_is_told(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with await Store.open(file) as store:
        await story(store)
        for _ in range(60):
            await step(store, member="She ran on and on. " * 20)
    whole = content(file)
    assert main(["check", str(file)]) == 0
    assert "is whole: channels 1, stories 1, turns 121, lessons 0, " in capsys.readouterr().out
    overwrite(file, whole[:-4096])
    with pytest.raises(DatabaseDamagedError):
        check(file)
    with pytest.raises(DatabaseDamagedError):
        backup(file, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    overwrite(file, b"no database at all")
    assert main(["check", str(file)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("! ")
    assert said.count("\n") == 1
    overwrite(file, whole)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM turns WHERE id = 5")
    with pytest.raises(DatabaseDamagedError, match="refer to rows"):
        check(file)
    overwrite(file, whole)
    sql(file, "PRAGMA user_version = 99")
    with pytest.raises(DatabaseTooNewError):
        check(file)
    sql(file, "PRAGMA application_id = 1")
    with pytest.raises(DatabaseDamagedError, match="another program"):
        check(file)


async def test_the_commands(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with await Store.open(file) as store:
        await story(store)
    copy = str(tmp_path / "copy")
    assert main(["backup", str(file), copy]) == 0
    assert f"{copy} is a whole copy: channels 1, " in capsys.readouterr().out
    assert main(["check", copy]) == 0


def test_a_move_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def fill() -> None:
        async with await Store.open(tmp_path / "a") as store:
            await story(store)

    asyncio.run(fill())
    arguments = ["move", "--from", str(tmp_path / "a"), "--to", str(tmp_path / "b"), "--guild", "3"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.endswith(": channels 1, rows 2.\n")
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("! ")
    with pytest.raises(SystemExit):
        main(["burn"])
