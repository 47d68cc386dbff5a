"""From a path to a connection that may be written to: lock, look, build if there is nothing, migrate, configure."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from memory import data_keys
from memory.cipher import Cipher
from memory.errors import DatabaseInUseError, DatabaseTooNewError, damaged, from_sqlite, from_system
from memory.key_file import key_for, put_in_place
from memory.migrations import APPLICATION_ID, MIGRATIONS, Migration, migrate, user_version
from memory.transaction import Connection

if sys.platform != "win32":
    import fcntl

Connect = Callable[[str], sqlite3.Connection]  # from a "file:" URI; called on the connection's own thread

T = TypeVar("T")

_MAGIC = b"SQLite format 3\x00"


class FileLock:
    """Keeps every second store off the file, in this process and in others, for as long as it is held.

    The lock goes with the open descriptor, so that a killed process leaves none. The `.lock` file itself stays:
    removing it would let two processes hold two files of that name.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        if sys.platform != "win32":
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self.release()
                if not isinstance(error, BlockingIOError):
                    raise
                raise DatabaseInUseError(
                    f"{path} is in use by another process of this program: stop that one, or choose another file."
                ) from error

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def take(path: Path) -> FileLock:
    """Makes the folder and takes the lock. Raises `DatabaseInUseError`, `DatabaseUnavailableError`."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(path)
    except OSError as error:
        raise from_system(
            error,
            f"{path} cannot be opened ({error.strerror or error}): choose another path, or make its folder writable.",
        ) from error


def connect(uri: str) -> sqlite3.Connection:
    """By this Python's SQLite. A transaction begins where one is asked for, and a lock is waited for some seconds."""
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)


async def open_connection(
    path: Path,
    *,
    key: bytes | None,
    migrations: Sequence[Migration] = MIGRATIONS,
    max_pages: int | None = None,
    now: float,
    connect: Connect = connect,
) -> Connection:
    """The configured connection to the migrated file at `path`, whose lock the caller holds.

    The texts are under `key`, or else under the key beside the file, which is made with it. Raises
    `DatabaseDamagedError`, `DatabaseTooNewError`, `DatabaseUnavailableError`, `DiskFullError`, `KeyUnusableError`,
    `MigrationError`; then nothing is left open, and a file that was there is as it was.
    """
    try:
        if _is_new(path):
            await _build(path, key_for(path, key, {}), migrations, now, connect)
        cipher = Cipher(await _look(path, key, len(migrations), connect))
        connection = await _connected(f"{path.as_uri()}?mode=rw", connect, cipher)

        async def configure() -> None:
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",  # with NORMAL a power cut takes acknowledged turns with it
                "secure_delete = ON",  # without it deleted texts can be read from the file's free pages
                "cache_size = -512",  # kB: what a reply reads, memory vectors included, and few pages written
                "temp_store = MEMORY",  # members' texts do not belong into temporary files
                "trusted_schema = OFF",
            ):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            if max_pages is not None:
                await connection.execute_fetchall(f"PRAGMA max_page_count = {max_pages:d}")
            if await migrate(connection, path, migrations, now):
                # What a migration has sealed or removed is not to be read in the journal.
                await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            await data_keys.unlock(connection)

        await _or_close(connection, configure)
    except sqlite3.Error as error:
        if (known := from_sqlite(error, path)) is not None:
            raise known from error
        raise
    except OSError as error:
        raise from_system(
            error, f"{path} cannot be opened ({error.strerror or error}): make it and its folder readable and writable."
        ) from error
    return connection


def _is_new(path: Path) -> bool:
    journal = path.with_name(path.name + "-wal")
    if not path.exists() and journal.exists() and journal.stat().st_size:
        raise damaged(path, f"its journal {journal.name} is there without it")
    return not path.exists()


async def _build(path: Path, key: bytes, migrations: Sequence[Migration], now: float, connect: Connect) -> None:
    # A database that appears under its name only when it is whole: so a file that is empty, or a journal without its
    # file, is a loss to be told of and never the trace of a first start that was cut off.
    unfinished = path.with_name(path.name + ".new")
    _create(unfinished)
    connection = await _connected(f"{unfinished.as_uri()}?mode=rw", connect, Cipher(key))

    async def fill() -> None:
        await connection.execute_fetchall("PRAGMA synchronous = FULL")
        await migrate(connection, path, migrations, now)
        # Not left to the first `open_connection`, since a cut in between would leave a journal of that change; and not
        # before the rest, which would then stand in a journal that a full disk may keep from being written back.
        await connection.execute_fetchall("PRAGMA journal_mode = WAL")

    await _or_close(connection, fill)
    await connection.close()
    put_in_place(unfinished, path)


def _create(unfinished: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if start != _MAGIC:
        raise damaged(path, "it does not begin as an SQLite file does" if start else "it is empty")


async def _look(path: Path, key: bytes | None, newest: int, connect: Connect) -> bytes:
    # Read-only, so that nothing of a damaged or a newer file is changed: not even a journal is written back.
    _check_header(path)
    # But for the journal of a change that a power cut broke off, without which nothing can be read: only a file that is
    # not in WAL mode has one, such as a backup that was brought back and opened for the first time.
    mode = "rw" if path.with_name(path.name + "-journal").exists() else "ro"
    connection = await _connected(f"{path.as_uri()}?mode={mode}", connect, Cipher(b""))

    async def check() -> bytes:
        version = await user_version(connection)
        if version > newest:
            raise DatabaseTooNewError(
                f"{path} was written by a newer version of this program (its format is {version}, this one knows"
                f" {newest}): update the program, the file was not touched."
            )
        if next(iter(await connection.execute_fetchall("PRAGMA application_id")))[0] != APPLICATION_ID:
            raise damaged(path, "it belongs to another program")
        verdict = [str(row[0]) for row in await connection.execute_fetchall("PRAGMA quick_check(1)")]
        if verdict != ["ok"]:
            raise damaged(path, " ".join(" ".join(verdict).split()))
        return key_for(path, key, await data_keys.wrapped(connection))

    found = await _or_close(connection, check)
    await connection.close()
    return found


async def _connected(uri: str, connect: Connect, cipher: Cipher) -> Connection:
    connection = Connection(lambda: connect(uri), cipher)
    try:
        await connection
    except asyncio.CancelledError:
        # The thread may open the file after this task is gone; aiosqlite then stops the thread by itself.
        connection.stop()
        raise
    connection.row_factory = sqlite3.Row
    return connection


async def _or_close(connection: Connection, work: Callable[[], Awaitable[T]]) -> T:
    try:
        return await work()
    except BaseException:
        with suppress(sqlite3.Error):
            await connection.close()
        raise
