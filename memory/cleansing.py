"""A copy of the file without the people who were deleted after it was taken."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from memory import channel_memory, people
from memory.errors import DatabaseUnavailableError
from memory.key_file import put_in_place
from memory.opening import open_connection
from memory.transaction import Connection, Transaction, transact

KNOWN = "deleted."  # settings of the process in a copy: deletions that reached it, by the hash of their row


async def cleanse(copy: Path, deletions: Mapping[str, int], *, key: bytes | None, now: float) -> int:
    """Removes from `copy` whoever of `deletions` it does not know of (`people.deletions`); how many that were.

    Done on a second copy, which then takes the place of the first, so that there is a whole one at every moment. One
    of an older format is brought to the present one by that. Raises what `open_connection` raises.
    """
    if _knows(copy, deletions):
        return 0
    unfinished = copy.with_name(copy.name + ".new")
    try:
        remove(unfinished)
        duplicate(copy, unfinished)
        connection = await open_connection(unfinished, key=key, now=now)
        try:
            gone = await transact(connection, unfinished, lambda tx: apply(tx, deletions), writes=True)
            await make_single(connection)
        finally:
            with suppress(sqlite3.Error):
                await connection.close()
        put_in_place(unfinished, copy)
    except OSError as error:
        raise DatabaseUnavailableError(
            f"{copy} cannot be cleansed ({error.strerror or error}): make it and its folder writable, or remove it."
        ) from error
    finally:
        remove(unfinished)
    return gone


def _knows(copy: Path, deletions: Mapping[str, int]) -> bool:
    """Whether the copy knows of all of them; False where that cannot be told without changing it."""
    try:
        with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as connection:
            own = connection.execute("SELECT hash FROM audit WHERE action = ?", (people.DELETION,))
            known = {row[0].hex() for row in own}
            told = connection.execute("SELECT key FROM settings WHERE scope = 'process'")
            known |= {row[0].removeprefix(KNOWN) for row in told}
    except sqlite3.Error:
        return False
    return known >= set(deletions)


async def apply(tx: Transaction, deletions: Mapping[str, int]) -> int:
    """Carries out those deletions that the file does not know of, and has it know of them."""
    known = set(await people.deletions(tx)) | {
        key.removeprefix(KNOWN) for key in await channel_memory.settings(tx, "process") if key.startswith(KNOWN)
    }
    missed = {hash_: author for hash_, author in deletions.items() if hash_ not in known}
    for hash_, author in missed.items():
        await people.delete_author(tx, author)
        await channel_memory.set_setting(tx, "process", f"{KNOWN}{hash_}", "")
    return len(missed)


def duplicate(source: Path, target: Path) -> None:
    """A copy for the owner alone, on the disk when this returns. Raises `OSError`."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as old, os.fdopen(descriptor, "wb") as new:
        shutil.copyfileobj(old, new)
        new.flush()
        os.fsync(new.fileno())


def remove(file: Path) -> None:
    """The file and the journals beside it, if they are there."""
    for ending in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + ending).unlink(missing_ok=True)


async def make_single(connection: Connection) -> None:
    """One file alone, all of it on the disk, without a journal beside it."""
    await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    await connection.execute_fetchall("PRAGMA journal_mode = DELETE")
