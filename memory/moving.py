"""A server's rows, moved from one file to another: copied in one transaction, removed in one, and either can be last.

What belongs to a server is found by the tables' own columns: rows with a `channel` of it, and rows that refer to such
rows. Ids stay where they are free in the other file, else they all grow by the same number. The audit log stays.

Whoever ends this between its two transactions loses nothing and finds both copies: the other file keeps a digest of
what was copied, so that the next run sees which of the two has gone on since, and takes that one.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from memory import audit, channel_memory, sealing
from memory.errors import DatabaseUnavailableError, NotFoundError, StoreError
from memory.opening import open_connection, take
from memory.transaction import Connection, Row, Transaction, Value, transact

T = TypeVar("T")

GUILD = "guild"  # a setting of a channel: the server that it is in
OF_STORIES = "memory.forgotten."  # settings of a channel whose key ends with a story's id
GENERAL_ONES = "rating.general"  # a setting that holds ids, which change: all of such a channel then counts as mature
STAYS = ("audit", "audit_head", "data_keys", "migrations", "settings")  # tables that are not copied row by row
BATCH = 50  # rows in memory at once: some hold half a megabyte


@dataclass(frozen=True)
class Moved:
    channels: int
    rows: int


@dataclass(frozen=True)
class Table:
    name: str
    chosen: str  # the condition that picks the server's rows
    key: str | None  # the column with an id of its own
    refers: dict[str, str]  # column -> the table whose ids it holds
    columns: list[str]


@dataclass(frozen=True)
class Side:
    """One of the two files, open."""

    path: Path
    connection: Connection


async def move(
    source: Path,
    target: Path,
    guild: int,
    *,
    key: bytes | None = None,
    told: Callable[[str], object] = lambda said: None,
) -> Moved:
    """Moves all rows of a server's channels, which come under the other file's key: `key` for both, or each its own.

    Raises `DatabaseInUseError` where either file is open elsewhere, `NotFoundError`, and what opening raises. `told`
    hears after each step what is done.
    """
    source, target = (path.expanduser().resolve() for path in (source, target))
    if source == target:
        raise StoreError("Both files are the same, so there is nothing to move: name another file to move to.")
    if not source.is_file():
        raise DatabaseUnavailableError(f"There is no file {source}: name the one that holds the server.")
    async with _open(source, target, key) as (here, there):
        moved = await _read(here, lambda tx: _count(tx, guild))
        if not moved.rows:
            raise NotFoundError(f"{source} holds nothing of the server {guild}: look for its number and its file.")
        if await _is_to_be_copied(here, there, guild):
            await transact(here.connection, here.path, lambda tx: _copy(tx, there, guild), writes=False)
            told("copied")
        await _write(here, lambda tx: _remove(tx, guild, f"to {target.name}"))
        await here.connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        told("removed")
        await _write(there, lambda tx: channel_memory.set_setting(tx, "process", _mark(guild), None))
    return moved


@asynccontextmanager
async def _open(source: Path, target: Path, key: bytes | None) -> AsyncIterator[tuple[Side, Side]]:
    sides: dict[Path, Side] = {}
    locks = []
    try:
        for path in sorted((source, target)):
            locks.append(take(path))
            connection = await open_connection(path, key=key, now=time.time())
            sides[path] = Side(path, connection)
        yield sides[source], sides[target]
    finally:
        for side in sides.values():
            with suppress(sqlite3.Error):
                await side.connection.close()
        for lock in locks:
            lock.release()


async def _is_to_be_copied(here: Side, there: Side, guild: int) -> bool:
    """False where the other file has it all from a run before this one that did not come to its end."""
    if not (await _read(there, lambda tx: _count(tx, guild))).rows:
        return True
    mark = await _read(there, lambda tx: channel_memory.setting(tx, "process", _mark(guild)))
    if mark is None:
        raise StoreError(
            f"{there.path} holds rows of the server {guild} already, so nothing was moved: two histories of one server"
            " cannot be made one."
        )
    old, new = await _read(here, lambda tx: _digest(tx, guild)), await _read(there, lambda tx: _digest(tx, guild))
    if old == mark:
        return False
    if new != mark:
        raise StoreError(
            f"Both {here.path} and {there.path} have gone on with the server {guild} since a move was cut off, so"
            " nothing was moved: keep one of the two files for it."
        )
    await _write(there, lambda tx: _remove(tx, guild, "copied again"))
    return True


async def _copy(here: Transaction, there: Side, guild: int) -> None:
    digest = await _digest(here, guild)

    async def work(tx: Transaction) -> None:
        await tx.all("PRAGMA defer_foreign_keys = ON")  # stories and their turns refer to each other
        tables = await _choose(here, guild)
        shifts = {table.name: await _shift(here, tx, table) for table in tables if table.key}
        for table in tables:
            async for row in _rows(here, table):
                values = {
                    column: value + shifts[table.refers.get(column, table.name)]
                    if (column == table.key or column in table.refers) and isinstance(value, int)
                    else value
                    for column, value in row.items()
                }
                await tx.insert(table.name, **values)
        for scope, key, value in await _settings(here, guild):
            await channel_memory.set_setting(tx, scope, _shifted(key, shifts["stories"]), value)
        await channel_memory.set_setting(tx, "process", _mark(guild), digest)
        await audit.append(tx, 0, None, "guild.move", f"guild {guild} came", time.time())

    await transact(there.connection, there.path, work, writes=True)


async def _remove(tx: Transaction, guild: int, why: str) -> None:
    await tx.all("PRAGMA defer_foreign_keys = ON")
    settings = await _settings(tx, guild)
    for table in reversed(await _choose(tx, guild)):
        await tx.all(f"DELETE FROM {table.name} WHERE {table.chosen}")
    for scope, key, _ in settings:
        await channel_memory.set_setting(tx, scope, key, None)
    await audit.append(tx, 0, None, "guild.move", f"guild {guild} {why}", time.time())


# What belongs to a server


async def _choose(tx: Transaction, guild: int) -> list[Table]:
    """The tables with rows of the server's channels, each behind those that its rows belong to."""
    await tx.all("CREATE TEMP TABLE IF NOT EXISTS moving (channel INTEGER PRIMARY KEY)")
    await tx.all("DELETE FROM temp.moving")
    await tx.all(
        """INSERT OR IGNORE INTO temp.moving SELECT channel FROM stories WHERE guild = ?1
            UNION SELECT channel FROM lessons WHERE guild = ?1
            UNION SELECT CAST(substr(scope, 9) AS INTEGER) FROM settings
                WHERE scope LIKE 'channel:%' AND key = ?2 AND value = CAST(?1 AS TEXT)""",
        guild,
        GUILD,
    )
    names = [row["name"] for row in await tx.all(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )]  # fmt: skip
    waiting = [name for name in names if name not in STAYS]
    chosen: dict[str, Table] = {}
    while waiting:
        found = [table for name in waiting if (table := await _table(tx, name, chosen)) is not None]
        if not found:
            raise StoreError(
                f"The tables {', '.join(waiting)} belong to no channel, so nothing was moved: report this."
            )
        chosen |= {table.name: table for table in found}
        waiting = [name for name in waiting if name not in chosen]
    return list(chosen.values())


async def _table(tx: Transaction, name: str, chosen: dict[str, Table]) -> Table | None:
    """How its rows are chosen; None while the tables that they belong to are not."""
    columns = await tx.all(f"PRAGMA table_info({name})")
    refers = {row["from"]: row["table"] for row in await tx.all(f"PRAGMA foreign_key_list({name})")}
    keys = [row["name"] for row in columns if row["pk"]]
    own = keys[0] if len(keys) == 1 and keys[0] not in refers else None
    names = [row["name"] for row in columns]
    if "channel" in names:
        return Table(name, "channel IN (SELECT channel FROM temp.moving)", own, refers, names)
    for column, owner in refers.items():
        if owner in chosen:
            inside = f"{column} IN (SELECT {chosen[owner].key} FROM {owner} WHERE {chosen[owner].chosen})"
            return Table(name, inside, own, refers, names)
    return None


async def _rows(tx: Transaction, table: Table) -> AsyncIterator[dict[str, Value]]:
    """In the order of their ids, their texts opened: the two files have keys of their own."""
    last = 0
    sql = f"""SELECT rowid AS at, {sealing.opening(table.name, table.columns)} FROM {table.name}
        WHERE {table.chosen} AND rowid > ? ORDER BY rowid LIMIT {BATCH}"""
    while rows := await tx.all(sql, last):
        for row in rows:
            values = dict(row)
            last = values.pop("at")
            yield values


async def _settings(tx: Transaction, guild: int) -> list[tuple[str, str, str]]:
    await _choose(tx, guild)
    sql = """SELECT scope, key, value FROM settings WHERE scope = ?
        OR scope IN (SELECT 'channel:' || channel FROM temp.moving) ORDER BY scope, key"""
    found = [(row["scope"], row["key"], row["value"]) for row in await tx.all(sql, f"guild:{guild}")]
    return [(scope, key, "{}" if key == GENERAL_ONES else value) for scope, key, value in found]


async def _count(tx: Transaction, guild: int) -> Moved:
    rows = len(await _settings(tx, guild))
    for table in await _choose(tx, guild):
        rows += _first(await tx.one(f"SELECT count(*) FROM {table.name} WHERE {table.chosen}"))
    return Moved(_first(await tx.one("SELECT count(*) FROM temp.moving")), rows)


async def _digest(tx: Transaction, guild: int) -> str:
    """Of all of it, the same whatever number its ids have grown by."""
    digest = hashlib.sha256()
    tables = await _choose(tx, guild)
    lowest = {table.name: await _lowest(tx, table) for table in tables if table.key}
    for table in tables:
        async for row in _rows(tx, table):
            for column, value in row.items():
                if isinstance(value, int) and (column == table.key or column in table.refers):
                    value -= lowest[table.refers.get(column, table.name)]
                digest.update(f"{table.name}.{column} {type(value).__name__} ".encode())
                digest.update(value if isinstance(value, bytes) else repr(value).encode())
    for setting in await _settings(tx, guild):
        scope, key, value = setting
        digest.update(repr((scope, _shifted(key, -lowest["stories"]), value)).encode())
    return digest.hexdigest()


# Ids


async def _lowest(tx: Transaction, table: Table) -> int:
    return _first(await tx.one(f"SELECT coalesce(min({table.key}), 0) FROM {table.name} WHERE {table.chosen}"))


async def _shift(here: Transaction, there: Transaction, table: Table) -> int:
    """What is added to the ids, so that none of them is taken."""
    sql = f"SELECT min({table.key}) AS low, max({table.key}) AS high FROM {table.name} WHERE {table.chosen}"
    row = await here.one(sql)
    if row is None or row["low"] is None:
        return 0
    taken = f"SELECT count(*) FROM {table.name} WHERE {table.key} BETWEEN ? AND ?"
    if not _first(await there.one(taken, row["low"], row["high"])):
        return 0
    return _first(await there.one(f"SELECT max({table.key}) FROM {table.name}")) + 1 - int(row["low"])


def _shifted(key: str, shift: int) -> str:
    story = key.removeprefix(OF_STORIES)
    return f"{OF_STORIES}{int(story) + shift}" if story != key and story.isdecimal() else key


def _mark(guild: int) -> str:
    return f"moved.{guild}"


def _first(row: Row | None) -> int:
    assert row is not None
    return int(row[0])


async def _read(side: Side, work: Callable[[Transaction], Awaitable[T]]) -> T:
    return await transact(side.connection, side.path, work, writes=False)


async def _write(side: Side, work: Callable[[Transaction], Awaitable[T]]) -> T:
    return await transact(side.connection, side.path, work, writes=True)
