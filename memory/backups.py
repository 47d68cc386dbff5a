"""Backups in a folder: named by their time, the oldest removed, and none of them holding anybody who was deleted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from memory.errors import DatabaseDamagedError, DatabaseUnavailableError, KeyUnusableError, StoreError
from memory.store import Store

log = logging.getLogger(__name__)

FOLDER = "backups"
_NAME = "%Y%m%dT%H%M%SZ"


def folder_of(database: Path) -> Path:
    """Where the backups of a file lie."""
    return database.with_name(FOLDER)


def backups_of(database: Path) -> list[Path]:
    """The newest first."""
    found = folder_of(database).glob(f"{database.stem}-*{database.suffix}")
    return sorted((path for path in found if _taken(database, path) is not None), reverse=True)


class Backups:
    """Takes them, one at a time, in a thread of its own.

    Args:
        kept: how many stay; the oldest go first.
        clock: Unix seconds.
    """

    def __init__(self, store: Store, *, kept: int, clock: Callable[[], float] = time.time) -> None:
        self._store, self._kept, self._now = store, kept, clock
        self._lock = asyncio.Lock()

    def due(self, every: float) -> float:
        """Seconds until the next one, where one is taken every so many seconds; 0 where there is none yet."""
        taken = [_taken(self._store.file, path) or 0.0 for path in backups_of(self._store.file)[:1]]
        return max(taken[0] + every - self._now(), 0.0) if taken else 0.0

    async def take(self) -> Path:
        """A new one, checked; then the oldest go. Raises `StoreError`."""
        async with self._lock:
            file = self._store.file
            folder = folder_of(file)
            try:
                await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
                path = _free(file, self._now())
                await asyncio.to_thread(_clear, folder)
                await self._store.back_up(path)
                for old in backups_of(file)[self._kept :]:
                    await asyncio.to_thread(old.unlink)
            except OSError as error:
                raise DatabaseUnavailableError(
                    f"The backups in {folder} cannot be written ({error.strerror or error}): make it writable."
                ) from error
            await self._cleanse([path])  # somebody may have been deleted while it was taken
            return path

    async def cleanse(self) -> None:
        """Removes from all of them whoever was deleted since. One that cannot be cleansed is removed itself, and the
        log says so; on a full disk all stay, and the next call tries again. Raises `StoreError` then."""
        async with self._lock:
            await asyncio.to_thread(_clear, folder_of(self._store.file))
            await self._cleanse(backups_of(self._store.file))

    async def _cleanse(self, backups: list[Path]) -> None:
        for path in backups:
            try:
                await self._store.cleanse(path)
            except (DatabaseDamagedError, KeyUnusableError) as error:
                log.warning("a backup could not be opened to remove a person from it, and was removed: %s", error)
                await asyncio.to_thread(path.unlink, missing_ok=True)
            except StoreError as error:
                log.warning("the backup %s may still hold somebody who was removed: %s", path, error)
                raise


def _free(database: Path, moment: float) -> Path:
    """A name of this second, or of the first one behind it that no backup has."""
    while True:
        stamp = datetime.fromtimestamp(moment, UTC)
        path = folder_of(database) / f"{database.stem}-{stamp:{_NAME}}{database.suffix}"
        if not path.exists():
            return path
        moment += 1


def _clear(folder: Path) -> None:
    """Removes what a killed process was writing."""
    for unfinished in folder.glob("*.new*"):
        unfinished.unlink(missing_ok=True)


def _taken(database: Path, backup: Path) -> float | None:
    """When it was taken, as its name says; None for a file with another name."""
    try:
        stamp = backup.name.removeprefix(f"{database.stem}-").removesuffix(database.suffix)
        return datetime.strptime(stamp, _NAME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
