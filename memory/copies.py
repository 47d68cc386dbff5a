"""A file looked through and copied while a process may be using it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from memory.cipher import Cipher
from memory.errors import (
    DatabaseTooNewError,
    DatabaseUnavailableError,
    KeyUnusableError,
    StoreError,
    damaged,
    from_sqlite,
    refused,
)
from memory.migrations import APPLICATION_ID, MIGRATIONS
from memory.sealing import SEALED

PAGES = 500  # copied at once, so that whoever writes meanwhile waits for two megabytes at most


@dataclass(frozen=True)
class Contents:
    version: int  # of the format
    bytes: int
    channels: int
    stories: int
    turns: int
    lessons: int


def check(path: Path) -> Contents:
    """Reads all of the file. Raises `DatabaseDamagedError`, `DatabaseTooNewError`, `DatabaseUnavailableError`."""
    path = path.expanduser().resolve()
    with reading(path) as connection:
        return _checked(connection, path)


def wrapped_keys(path: Path) -> dict[int, bytes]:
    """The data keys of a file, wrapped; none of one that is not sealed. Raises as `check` does."""
    with reading(path) as connection:
        return _wrapped(connection)


@contextmanager
def opened(path: Path, key: bytes) -> Iterator[sqlite3.Connection]:
    """To read a file with, whose SQL has `opened`, as long as a check of it has said that it is whole.

    Raises `KeyUnusableError`, and as `check` does.
    """
    with reading(path) as connection:
        cipher = Cipher(key)
        cipher.attach(connection)
        try:
            cipher.unlock(_wrapped(connection), 0)
        except KeyUnusableError:
            raise KeyUnusableError(
                f"This key is not the one that sealed {path}, which was left as it is: give that one."
            ) from None
        try:
            yield connection
        except sqlite3.Error as error:
            if cipher.refused is not None:
                raise refused(path, cipher.refused) from error
            raise


def check_texts(path: Path, key: bytes) -> int:
    """Opens every text in the file, and gives their number. Raises as `check` does, for one that was changed or moved
    too."""
    count = 0
    with opened(path, key) as connection:
        for table, sealed in SEALED.items():
            for column in sealed.columns:
                sql = f"SELECT count(opened('{table}.{column}', {sealed.row}, {column})) FROM {table}"
                count += int(connection.execute(sql).fetchone()[0])
    return count


def backup(path: Path, to: Path, stop: Event | None = None) -> Contents:
    """A copy as of one moment, checked before it gets its name; nothing of it is left where `stop` is set meanwhile.

    Raises as `check` does, and `DiskFullError`. By https://www.sqlite.org/backup.html; others write meanwhile.
    """
    path, to = path.expanduser().resolve(), to.expanduser().resolve()
    unfinished = to.with_name(to.name + ".new")
    if to.exists():
        raise DatabaseUnavailableError(f"{to} is there already, so nothing was copied: choose another name.")
    try:
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with reading(path) as connection, _told(unfinished), closing(sqlite3.connect(unfinished)) as copy:
            # As of this moment, however much is written meanwhile: else each write would have the copy begin anew.
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            connection.backup(copy, pages=PAGES, progress=partial(_go_on, stop))
            connection.execute("COMMIT")
            copy.execute("PRAGMA journal_mode = DELETE")  # one file alone
            contents = _checked(copy, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(to)
    except OSError as error:
        raise DatabaseUnavailableError(
            f"{to} cannot be written ({error.strerror or error}): choose another place, or make it writable."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return contents


def _go_on(stop: Event | None, *progress: int) -> None:
    if stop is not None and stop.is_set():
        raise StoreError("The backup was left off, and nothing of it was kept: take another.")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, for queries whose rows have names; what SQLite says of it comes out as a `StoreError`."""
    if not path.is_file():
        raise DatabaseUnavailableError(f"There is no file {path}: name the one that holds the stories.")
    with _told(path), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite says of the file comes out as a `StoreError`."""
    try:
        yield
    except sqlite3.Error as error:
        if (known := from_sqlite(error, path)) is not None:
            raise known from error
        raise


def _wrapped(connection: sqlite3.Connection) -> dict[int, bytes]:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'data_keys'").fetchone() is None:
        return {}
    return {row["number"]: row["wrapped"] for row in connection.execute("SELECT number, wrapped FROM data_keys")}


def _checked(connection: sqlite3.Connection, path: Path) -> Contents:
    def number(sql: str) -> int:
        return int(connection.execute(sql).fetchone()[0])

    if number("PRAGMA application_id") != APPLICATION_ID:
        raise damaged(path, "it belongs to another program")
    if (version := number("PRAGMA user_version")) > len(MIGRATIONS):
        raise DatabaseTooNewError(
            f"{path} was written by a newer version of this program (its format is {version}, this one knows"
            f" {len(MIGRATIONS)}): update the program."
        )
    verdict = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(1)")]
    if verdict != ["ok"]:
        raise damaged(path, " ".join(" ".join(verdict).split()))
    if lost := connection.execute("PRAGMA foreign_key_check").fetchall():
        raise damaged(path, f"{len(lost)} rows refer to rows that are not there, the first of them in {lost[0][0]}")
    return Contents(
        version=version,
        bytes=number("PRAGMA page_count") * number("PRAGMA page_size"),
        channels=number("SELECT count(DISTINCT channel) FROM stories"),
        stories=number("SELECT count(*) FROM stories"),
        turns=number("SELECT count(*) FROM turns"),
        lessons=number("SELECT count(*) FROM lessons"),
    )
