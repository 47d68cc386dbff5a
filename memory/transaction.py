"""One transaction on the one connection: begun, run, and committed or rolled back, whatever happens in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import aiosqlite

from memory import sealing
from memory.cipher import COUNTED, Cipher
from memory.errors import from_sqlite, refused

Value = str | bytes | int | float | None
Row = sqlite3.Row
T = TypeVar("T")


class Connection(aiosqlite.Connection):
    """A connection whose SQL seals and opens members' texts."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], cipher: Cipher) -> None:
        def connected() -> sqlite3.Connection:
            connection = connect()
            cipher.attach(connection)
            return connection

        super().__init__(connected, iter_chunk_size=64)
        self.cipher = cipher
        self.columns: Mapping[str, Sequence[str]] = {}  # of each table, once the file is ready to be used


class Transaction:
    """The open transaction, as the function that runs in it sees it; of no use after that function has returned."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self, sql: str, *values: Value) -> list[Row]:
        """Runs one statement and gives back all of its rows."""
        # Statement and fetch are one call on the connection's thread, so that no cursor stays open behind an await.
        return list(await self._connection.execute_fetchall(sql, [storable(value) for value in values]))

    async def one(self, sql: str, *values: Value) -> Row | None:
        rows = await self.all(sql, *values)
        return rows[0] if rows else None

    async def insert(self, table: str, /, **values: Value) -> Row:
        """Adds a row, its texts sealed, and gives it back as it can be read; an id is given to it if need be."""
        sql = sealing.insertion(table, values, self._connection.columns[table], replace=False)
        return (await self.all(sql, *values.values()))[0]

    async def put(self, table: str, /, **values: Value) -> Row:
        """`insert`, in place of the row that has the same key."""
        sql = sealing.insertion(table, values, self._connection.columns[table], replace=True)
        return (await self.all(sql, *values.values()))[0]


def storable(value: Value) -> Value:
    # Lone surrogates, which come from undecodable bytes in a terminal, have no UTF-8 form; each becomes one "?".
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


async def transact(
    connection: Connection, path: Path, work: Callable[[Transaction], Awaitable[T]], *, writes: bool
) -> T:
    """Runs `work` in a transaction of its own. What SQLite says of the file comes out as a `StoreError`."""
    try:
        # A writer takes its lock at once: a lock that fails in the middle could not be waited for.
        await connection.execute_fetchall("BEGIN IMMEDIATE" if writes else "BEGIN")
        result = await work(Transaction(connection))
        if writes and connection.cipher.uncounted >= COUNTED:
            await _count(connection)
        await connection.execute_fetchall("COMMIT")
    except BaseException as error:
        # A cancelled statement still runs on the connection's thread, and the rollback queues up behind it there.
        # SQLite has already rolled back after some errors, and then says that there is no transaction.
        with suppress(sqlite3.OperationalError):
            await connection.execute_fetchall("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            if (place := connection.cipher.refused) is not None:
                connection.cipher.refused = None
                raise refused(path, place) from error
            if (known := from_sqlite(error, path)) is not None:
                raise known from error
        raise
    return result


async def _count(connection: Connection) -> None:
    # What a transaction sealed that is then rolled back was sealed all the same: the number never goes down.
    cipher = connection.cipher
    cipher.counted, cipher.uncounted = cipher.counted + cipher.uncounted, 0
    await connection.execute_fetchall(
        "UPDATE data_keys SET sealed = ? WHERE number = ?", (cipher.counted, cipher.present)
    )
