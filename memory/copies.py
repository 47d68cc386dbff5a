"""A file looked through and copied while a process may be using it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from memory.errors import DatabaseTooNewError, DatabaseUnavailableError, damaged, from_sqlite
from memory.migrations import APPLICATION_ID, MIGRATIONS

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
    with _reading(path) as connection:
        return _checked(connection, path)


def backup(path: Path, to: Path) -> Contents:
    """A copy as of one moment, checked before it gets its name. Raises as `check` does, and `DiskFullError`.

    By https://www.sqlite.org/backup.html, which lets others write meanwhile.
    """
    path, to = path.expanduser().resolve(), to.expanduser().resolve()
    unfinished = to.with_name(to.name + ".new")
    if to.exists():
        raise DatabaseUnavailableError(f"{to} is there already, so nothing was copied: choose another name.")
    try:
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with _reading(path) as connection, _told(unfinished), closing(sqlite3.connect(unfinished)) as copy:
            connection.backup(copy, pages=PAGES)
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


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise DatabaseUnavailableError(f"There is no file {path}: name the one that holds the stories.")
    with _told(path), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)) as connection:
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
