"""What can go wrong in the store: each message is one sentence that says what happened and what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path


class StoreError(Exception):
    """The root of everything that the memory room raises on purpose."""


class DatabaseTooNewError(StoreError):
    """The file was written by a newer version of the program."""


class DatabaseDamagedError(StoreError):
    """The file is no database of this program, or its pages do not hold together; it was left as it is."""


class DatabaseInUseError(StoreError):
    """Another process, or another store of this one, has the file open."""


class DatabaseUnavailableError(StoreError):
    """The file cannot be opened, read or written: permissions, a read-only disk, a failing one."""


class DatabaseForbiddenError(DatabaseUnavailableError):
    """This process may not open or write the file, and so it stays until somebody gives it the right."""


class DiskFullError(StoreError):
    """Nothing of the transaction was stored, because the disk is full; what was stored before is kept."""


class KeyUnusableError(StoreError):
    """The key that opens the file is missing, is another one, or can be read by others; the file was left as it is."""


class MigrationError(StoreError):
    """A migration failed; the file stays at the version before it."""


class StoreClosedError(StoreError):
    """The store was used after `close`."""


class NoStoryError(StoreError):
    """The channel has no story that is under way."""


class HeadMovedError(StoreError):
    """The story went on, or back, since the caller looked at it."""


class NothingToUndoError(StoreError):
    """The story stands at its beginning."""


class NothingToRedoError(StoreError):
    """Nothing was undone after the story's head."""


class NotFoundError(StoreError):
    """There is no such turn, story, summary, pin or lesson in this channel."""


class QuotaError(StoreError):
    """A member or a channel has as many lessons as may be; nothing was stored."""


def no_such(what: str, number: int, where: str = "in this channel") -> NotFoundError:
    return NotFoundError(f"There is no {what} {number} {where}: look at the list and choose another.")


def from_sqlite(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The store's own error for what SQLite says about the file at `path`; None for a fault of the program itself."""
    # The extended codes keep the primary one in their lowest byte.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(
            f"The disk is full, so nothing was stored in {path} (earlier work is kept): free some space and try again."
        )
    if code == sqlite3.SQLITE_READONLY:
        return DatabaseForbiddenError(f"{path} cannot be written: make it and its folder writable and try again.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseInUseError(f"{path} is locked by another program: close that program and try again.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return DatabaseUnavailableError(f"{path} cannot be used ({error}): check its folder, permissions and disk.")
    return None


def from_system(error: OSError, sentence: str) -> DatabaseUnavailableError:
    """With this sentence, as the kind of error that it is."""
    forbidden = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return (DatabaseForbiddenError if forbidden else DatabaseUnavailableError)(sentence)


def refused(path: Path, place: str) -> DatabaseDamagedError:
    return damaged(path, f"{place} was not sealed for that place with this file's key")


def damaged(path: Path, what: str) -> DatabaseDamagedError:
    return DatabaseDamagedError(
        f"{path} is damaged or no database of this program ({what}) and was left as it is:"
        f" `python -m memory restore BACKUP {path}` puts a backup, of {path.with_name('backups')} or from elsewhere, in"
        " its place and keeps this file under another name."
    )
