"""A file, and its backups, brought from one key to another, as often as it is cut off.

First, in one transaction, the new key wraps all data keys and one more, which seals from then on: from here only the
new key opens the file. Then, some rows at a time, what lies under the old data keys is sealed anew, and at last those
go. A new key that is drawn here lies beside the old one until all files are under it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from memory import cleansing, key_file
from memory.backups import backups_of
from memory.cipher import unwrap, wrap
from memory.copies import check, wrapped_keys
from memory.errors import DatabaseUnavailableError, KeyUnusableError, StoreError
from memory.opening import Connect, connect, open_connection, take
from memory.sealing import SEALED
from memory.transaction import Connection, Transaction, transact

ROWS = 500  # sealed anew in one transaction


@dataclass(frozen=True)
class Rekeyed:
    texts: int  # sealed anew by this run
    files: int  # the file and its backups
    left: tuple[Path, ...]  # backups that neither key opens
    key_file: Path | None  # where the new key lies now; None: with whoever gave it


async def rekey(
    file: Path,
    *,
    old: bytes | None,
    new: bytes | None = None,
    told: Callable[[str], object] = lambda said: None,
    connect: Connect = connect,
) -> Rekeyed:
    """Seals all of the file, which no process may have open, and of its backups under another key.

    Args:
        old: None for the key beside the file.
        new: None for one that is drawn and takes the place of the key beside the file.
        told: hears after each step what is done.

    Raises `DatabaseInUseError`, `KeyUnusableError`, and what opening a file raises; run again, it goes on.
    """
    (file,) = (path.expanduser().resolve() for path in (file,))
    check(file)
    lock = take(file)
    own = key_file.beside(file)
    try:
        old = old or key_file.read(own)
        drawn = new is None
        if new is None:
            new = key_file.read(key_file.next_to(own)) or key_file.make(key_file.next_to(own))
            told("drawn")
        texts, left = 0, []
        backups = backups_of(file)
        for path in [*backups, file]:
            try:
                texts += await _rekey(path, old, new, told, connect)
            except StoreError:
                if path == file:
                    raise
                left.append(path)
        if drawn:
            key_file.put_in_place(key_file.next_to(own), own)
            told("in place")
    except OSError as error:
        raise DatabaseUnavailableError(
            f"{file} cannot be brought under another key ({error.strerror or error}): make its folder writable."
        ) from error
    finally:
        lock.release()
    return Rekeyed(texts, len(backups) + 1 - len(left), tuple(left), own if drawn else None)


async def _rekey(path: Path, old: bytes | None, new: bytes, told: Callable[[str], object], connect: Connect) -> int:
    wrapped = wrapped_keys(path)
    under_new = _opens(new, wrapped)
    if not under_new and (old is None or not _opens(old, wrapped)):
        raise KeyUnusableError(f"Neither the old key nor the new one opens {path}, so it was left as it is.")
    # A file that is not sealed yet comes under the new key by being opened with it.
    key = new if under_new or not wrapped else old
    connection = await open_connection(path, key=key, now=time.time(), connect=connect)
    try:
        if wrapped and not under_new:
            await transact(connection, path, lambda tx: _take_over(tx, connection, new), writes=True)
            told("wrapped")
        texts = await _seal_anew(connection, path, told)
        await connection.execute_fetchall("VACUUM")
        await cleansing.make_single(connection)
    finally:
        with suppress(sqlite3.Error):
            await connection.close()
    return texts


def _opens(key: bytes, wrapped: Mapping[int, bytes]) -> bool:
    try:
        return all(unwrap(key, number, data) for number, data in wrapped.items())
    except KeyUnusableError:
        return False


async def _take_over(tx: Transaction, connection: Connection, new: bytes) -> None:
    cipher = connection.cipher
    for row in await tx.all("SELECT number, wrapped FROM data_keys"):
        again = wrap(new, row["number"], unwrap(cipher.key, row["number"], row["wrapped"]))
        await tx.all("UPDATE data_keys SET wrapped = ?, retired = 1 WHERE number = ?", again, row["number"])
    cipher.key = new
    await tx.all("INSERT INTO data_keys (number, wrapped) VALUES (?1, new_data_key(?1))", cipher.present + 1)


async def _seal_anew(connection: Connection, path: Path, told: Callable[[str], object]) -> int:
    present, texts = connection.cipher.present, 0
    for table in SEALED:
        last = 0
        while True:
            rows = await connection.execute_fetchall(
                f"SELECT max(rowid), count(*) FROM (SELECT rowid FROM {table} WHERE rowid > ? LIMIT {ROWS})", (last,)
            )
            upto, found = next(iter(rows))
            if not found:
                break
            work = partial(_rows_anew, table=table, after=last, upto=upto, present=present)
            texts += await transact(connection, path, work, writes=True)
            told(table)
            last = upto
    await transact(connection, path, lambda tx: tx.all("DELETE FROM data_keys WHERE retired = 1"), writes=True)
    told("dropped")
    return texts


async def _rows_anew(tx: Transaction, table: str, after: int, upto: int, present: int) -> int:
    count = 0
    for column in SEALED[table].columns:
        place = f"'{table}.{column}', {SEALED[table].row}"
        done = await tx.all(
            f"""UPDATE {table} SET {column} = sealed({place}, opened({place}, {column}))
                WHERE rowid > ? AND rowid <= ? AND substr({column}, 5, 4) <> ? RETURNING 1""",
            after,
            upto,
            present.to_bytes(4, "big"),
        )
        count += len(done)
    return count
