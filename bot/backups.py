"""Backups taken by the clock while the process runs, off the way of everybody who writes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from memory import StoreError
from memory.backups import Backups

log = logging.getLogger(__name__)

HOUR = 3600.0
AGAIN = 600.0  # seconds until what failed is tried again


class BackupClock:
    """Has a backup taken every so many hours, by the time of the newest there is, and people removed from all of them.

    `every` is in hours; 0 takes none.
    """

    def __init__(self, backups: Backups, *, every: float) -> None:
        self.backups = backups
        self._every = every * HOUR
        self._task: asyncio.Task[None] | None = None

    async def cleanse(self) -> None:
        """Removes from all backups whoever was deleted. Raises `StoreError` where that has to be tried again."""
        try:
            await self.backups.cleanse()
        except StoreError as error:
            self.start()  # at once anew, then every few minutes
            raise StoreError(
                "What you wrote is removed from my file, but not from every copy of it yet: that is tried again until"
                " it is done, and whoever runs me has been told."
            ) from error

    def start(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._run(), name="backups")

    async def close(self) -> None:
        """Leaves off, also in the middle of one. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self.backups.cleanse()  # where the last process ended before it was through
                if not self._every:
                    return
                await asyncio.sleep(self.backups.due(self._every))
                path = await self.backups.take()
                log.info("backup %s", path)
            except StoreError as error:
                log.warning("no backup was taken, the next try is in %.0f minutes: %s", AGAIN / 60, error)
                await asyncio.sleep(AGAIN)
