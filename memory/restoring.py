"""A backup put in the place of a file: looked through, brought up to what has happened since, and swapped in whole."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from memory import audit, cleansing, people
from memory.copies import Contents, check, opened, wrapped_keys
from memory.errors import DatabaseUnavailableError, KeyUnusableError, StoreError
from memory.key_file import key_for, put_in_place
from memory.opening import open_connection, take
from memory.transaction import Transaction, transact


@dataclass(frozen=True)
class Restored:
    contents: Contents
    kept: Path | None  # where the file lies that was there before
    forgotten: int  # people who were deleted since the backup was taken, and are not back


async def restore(
    backup: Path, file: Path, *, key: bytes | None = None, told: Callable[[str], object] = lambda said: None
) -> Restored:
    """Puts `backup` in the place of `file`, which no process may have open, and keeps that under another name.

    Acts that the file has noted since the backup was taken stay in the audit log, and whoever was deleted since stays
    deleted, as far as the file can still be read. At every moment there is a whole file under the name, the old one or
    the new one; `told` hears after each step what is done. Raises `DatabaseInUseError`, and what `copies.check` and
    opening a file raise; then nothing changed.
    """
    backup, file = (path.expanduser().resolve() for path in (backup, file))
    if backup == file:
        raise StoreError("Both files are the same, so there is nothing to restore: name a backup and another file.")
    check(backup)
    lock = take(file)
    unfinished = file.with_name(file.name + ".restored")
    try:
        _settle(file)
        cleansing.remove(unfinished)
        cleansing.duplicate(backup, unfinished)
        told("copied")
        key = _key(backup, file, key)
        connection = await open_connection(unfinished, key=key, now=time.time())
        try:
            forgotten = await transact(
                connection, unfinished, lambda tx: _bring_up(tx, file, key, backup.name), writes=True
            )
            await cleansing.make_single(connection)
        finally:
            with suppress(sqlite3.Error):
                await connection.close()
        contents = check(unfinished)
        told("made")
        kept = _set_aside(file)
        told("set aside")
        put_in_place(unfinished, file)
        told("in place")
    except OSError as error:
        raise DatabaseUnavailableError(
            f"{file} cannot be restored ({error.strerror or error}): make its folder writable, with room for it twice."
        ) from error
    finally:
        cleansing.remove(unfinished)
        lock.release()
    return Restored(contents, kept, forgotten)


def _key(backup: Path, file: Path, given: bytes | None) -> bytes:
    try:
        return key_for(file, given, wrapped_keys(backup))
    except KeyUnusableError as error:
        raise KeyUnusableError(
            f"The backup {backup} is not under the key of {file}, so nothing was changed: name a backup taken since its"
            " key was changed, or bring this one under that key with `python -m memory rekey` and `--new-key-file`."
        ) from error


async def _bring_up(tx: Transaction, file: Path, key: bytes, name: str) -> int:
    """What `file` knows and the backup does not: who was deleted, and the acts since; how many people that were."""
    acts = _acts(file, key)
    deletions = {row["hash"].hex(): row["actor_id"] for row in acts if row["action"] == people.DELETION}
    forgotten = await cleansing.apply(tx, deletions)
    last = await audit.end(tx)
    if last is None or any((row["id"], row["hash"].hex()) == (last.row, last.hash) for row in acts):
        await audit.carry_on(tx, [dict(row) for row in acts if last is None or row["id"] > last.row])
    await audit.append(tx, 0, None, "file.restore", f"from {name}", time.time())
    return forgotten


def _acts(file: Path, key: bytes) -> Sequence[sqlite3.Row]:
    """All of the audit log of the file that was there, if it can be read and holds together."""
    try:
        with opened(file, key) as connection:
            if audit.verify(connection, sealed_end=audit.sealed_end(connection)):
                return []
            return connection.execute("SELECT * FROM audit ORDER BY id").fetchall()
    except (StoreError, sqlite3.Error):
        return []


def _settle(file: Path) -> None:
    """Writes the journal of a whole file back into it; a damaged one stays as it is."""
    if not file.exists():
        return
    try:
        check(file)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (StoreError, sqlite3.Error):
        return


def _set_aside(file: Path) -> Path | None:
    if not file.exists():
        return None
    kept = file.with_name(f"{file.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    os.link(file, kept)  # until the new one takes its name, it has both
    journal = file.with_name(file.name + "-wal")
    if journal.exists() and journal.stat().st_size:  # beside another file it would be taken for that one's
        journal.rename(kept.with_name(kept.name + "-wal"))
    journal.unlink(missing_ok=True)
    file.with_name(file.name + "-shm").unlink(missing_ok=True)
    return kept
