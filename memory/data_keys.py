"""A file's data keys: rows that hold each of them wrapped, with the number of values that it has sealed."""

from __future__ import annotations

from pathlib import Path

from memory.sealing import SEALED, view
from memory.transaction import Connection, Transaction, transact


async def wrapped(connection: Connection) -> dict[int, bytes]:
    """By number; none of a file whose format is older than they are."""
    if not await connection.execute_fetchall("SELECT 1 FROM sqlite_master WHERE name = 'data_keys'"):
        return {}
    rows = await connection.execute_fetchall("SELECT number, wrapped FROM data_keys")
    return {row["number"]: row["wrapped"] for row in rows}


async def unlock(connection: Connection) -> None:
    """Makes the connection ready for members' texts. Raises `KeyUnusableError`."""
    if not (keys := await wrapped(connection)):
        return  # opened with fewer migrations than there are, for one to be tried
    rows = await connection.execute_fetchall("SELECT sealed FROM data_keys ORDER BY number DESC LIMIT 1")
    connection.cipher.unlock(keys, next(iter(rows))["sealed"])
    tables = await connection.execute_fetchall("SELECT name FROM main.sqlite_master WHERE type = 'table'")
    columns: dict[str, list[str]] = {}
    for name in [row["name"] for row in tables]:
        columns[name] = [row["name"] for row in await connection.execute_fetchall(f"PRAGMA main.table_info({name})")]
    connection.columns = columns
    for name in SEALED:
        await connection.execute_fetchall(view(name, columns[name]))


async def add(connection: Connection, path: Path) -> None:
    """Another data key, which seals from now on. Raises what a transaction raises; then the present one goes on."""
    number = connection.cipher.present + 1

    async def work(tx: Transaction) -> None:
        await tx.all("INSERT INTO data_keys (number, wrapped) VALUES (?1, new_data_key(?1))", number)

    try:
        await transact(connection, path, work, writes=True)
    except BaseException:
        if connection.cipher.present == number:
            connection.cipher.drop(number)
        raise
