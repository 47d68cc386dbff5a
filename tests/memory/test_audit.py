"""The log of acts: it only grows, and whoever changes it is found out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from memory import Store, audit
from memory.__main__ import main
from tests.memory.material import ANN, content, key_of, overwrite, sql, story

FREE = ("DROP TRIGGER audit_rows_stay", "DROP TRIGGER audit_rows_keep_their_text", "DROP TRIGGER audit_rows_come_last")


async def fill(store: Store) -> list[bytes]:
    """Five acts, and the file as it was after each; the store is closed then."""
    for number in range(5):
        await store.audit(7, 1, "teach.add", f"lesson {number} \ud800")
    await store.close()
    return []


def verdict(capsys: pytest.CaptureFixture[str], file: Path, *more: str) -> str:
    code = main(["audit", "verify", str(file), *more])
    told = capsys.readouterr()
    assert code == (0 if told.err == "" else 1)
    assert (told.out + told.err).count("\n") == 1
    return told.out + told.err


async def test_rows_come_last_and_stay(store: Store, file: Path) -> None:
    await fill(store)
    hash_ = "x'" + "00" * 32 + "'"
    for statement in (
        "UPDATE audit SET detail = ''",
        "DELETE FROM audit",
        f"INSERT OR REPLACE INTO audit VALUES (5, 0, 7, 1, 'a', 'b', {hash_})",
        f"INSERT INTO audit VALUES (0, 0, 7, 1, 'a', 'b', {hash_})",
        "INSERT INTO audit VALUES (9, 0, 7, 1, 'a', 'b', x'00')",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            sql(file, statement)


@pytest.mark.parametrize(
    ("deed", "found"),
    [
        ("UPDATE audit SET detail = 'lesson 9' WHERE id = 3", "Row 3 is not what was written"),
        ("UPDATE audit SET actor_id = 8 WHERE id = 1", "Row 1 is not what was written"),
        ("UPDATE audit SET at = at + 1 WHERE id = 5", "Row 5 is not what was written"),
        ("UPDATE audit SET channel = NULL WHERE id = 2", "Row 2 is not what was written"),
        ("DELETE FROM audit WHERE id = 3", "Between the rows 2 and 4"),
        ("DELETE FROM audit WHERE id = 1", "Between the rows 0 and 2"),
        ("DELETE FROM audit WHERE id = 5", "ends at row 4, and once had 5"),
        ("DELETE FROM audit", "ends at row 0, and once had 5"),
        ("UPDATE audit SET id = 6 WHERE id = 5", "Between the rows 4 and 6"),
        ("INSERT INTO audit SELECT 6, at, actor_id, channel, action, detail, hash FROM audit WHERE id = 5", "Row 6"),
    ],
)
async def test_each_change_is_found(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str], deed: str, found: str
) -> None:
    await fill(store)
    assert verdict(capsys, file) == "The log holds together: 5 acts.\n"
    for statement in (*FREE, deed):
        sql(file, statement)
    assert found in verdict(capsys, file)
    async with await Store.open(file) as again:  # what comes behind it does not cover it up
        await again.audit(7, 1, "memory.reset", "")
        await again.audit(7, 1, "memory.reset", "")
    assert verdict(capsys, file).startswith("! ")


async def test_whoever_counts_anew_needs_the_key(store: Store, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(store)
    cut = ("DELETE FROM audit WHERE id > 3", "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'")
    for statement in (*FREE, *cut):
        sql(file, statement)
    assert "not where this program ended it, at 5" in verdict(capsys, file)
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        last = connection.execute("SELECT * FROM audit WHERE id = 3").fetchone()
        forged = {"id": 4, "at": 1.0, "actor_id": 8, "channel": None, "action": "a", "detail": ""}
        forged["hash"] = audit.chained(last["hash"], forged)
        connection.execute("INSERT INTO audit VALUES (:id, :at, :actor_id, :channel, :action, :detail, :hash)", forged)
    assert "not where this program ended it" in verdict(capsys, file)
    key = file.with_name("memory.db.key")
    key.rename(key.with_name("away"))
    assert "4 acts. Without the key, rows that somebody has put" in verdict(capsys, file)


async def test_an_older_state_of_the_file_is_found_by_the_end_that_was_told(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with await Store.open(file) as store:
        await store.audit(7, 1, "a", "")
    old = content(file)
    async with await Store.open(file) as store:
        await store.audit(7, 1, "b", "")
        end = await store.audit_end()
    assert end is not None
    assert verdict(capsys, file, "--end", end.hash) == "The log holds together: 2 acts.\n"
    overwrite(file, old)
    assert verdict(capsys, file) == "The log holds together: 1 acts.\n", "which nothing in the file can tell"
    assert "the whole file is older" in verdict(capsys, file, "--end", end.hash)


async def test_it_is_shown(store: Store, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(store)
    assert main(["audit", "show", str(file), "--last", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["4", "5"]
    assert lines[1].endswith("teach.add            by 7 in 1 lesson 4 ?")


async def test_a_deletion_is_an_act(store: Store, file: Path) -> None:
    await story(store)
    await store.delete_author(ANN.id)
    [act] = await store.audit_rows(9)
    assert (act.actor_id, act.action, act.detail) == (ANN.id, "privacy.delete", "1 turns, 0 lessons")
    assert key_of(file)
