"""The one task that owns the connection: transactions queue up before it and run one after the other."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from memory import data_keys
from memory.errors import StoreClosedError
from memory.migrations import Migration
from memory.opening import Connect, connect, open_connection, take
from memory.transaction import Connection, Transaction, transact

log = logging.getLogger(__name__)
T = TypeVar("T")

AGAIN = 1.0  # seconds until a journal that could not be emptied is tried again
BUSY = 5000  # milliseconds that a lock is waited for


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Transaction], Awaitable[Any]]
    done: asyncio.Future[Any]
    writes: bool
    purge: bool


class Writer:
    """What is queued is run, even if the caller that waits for it is cancelled; after `close` nothing is queued.

    The connection belongs to the task alone. A loop that ends without `close` cancels the task, which rolls back
    what is open and closes the connection, so that its thread does not hold up the exit.
    """

    def __init__(self, path: Path, connect: Connect = connect) -> None:
        # Two names of one file, by a link or a relative path, must come to the same lock.
        self.path = path.expanduser().resolve()
        self._connect = connect
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._closed = False
        self._journal_holds = False  # what was deleted
        self.key = b""  # under which the file is, once it is open
        self._task: asyncio.Task[None] | None = None

    async def open(
        self, *, key: bytes | None, migrations: Sequence[Migration], max_pages: int | None, now: float
    ) -> None:
        """Raises what `opening.open_connection` and `opening.take` raise."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._serve(ready, key, migrations, max_pages, now), name="memory writer")
        try:
            await asyncio.shield(ready)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Runs what is queued, then closes the file. Any number of callers may wait for it, at any time."""
        if not self._closed:
            self._closed = True
            self._jobs.put_nowait(None)
        if self._task is not None:
            await asyncio.wait({self._task})  # unlike awaiting the task, this does not hand it our own cancellation

    async def read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._queue(work, writes=False, purge=False)

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, purge: bool = False) -> T:
        """`purge` also empties the journal after the commit, so that what was deleted is gone from the disk."""
        return await self._queue(work, writes=True, purge=purge)

    async def _queue(self, work: Callable[[Transaction], Awaitable[T]], *, writes: bool, purge: bool) -> T:
        if self._closed or self._task is None or self._task.done():
            raise closed(self.path)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_seen)
        self._jobs.put_nowait(_Job(work, done, writes, purge))
        return await asyncio.shield(done)

    async def _serve(
        self,
        ready: asyncio.Future[None],
        key: bytes | None,
        migrations: Sequence[Migration],
        max_pages: int | None,
        now: float,
    ) -> None:
        ready.add_done_callback(_seen)
        try:
            lock = take(self.path)
            try:
                connection = await open_connection(
                    self.path, key=key, migrations=migrations, max_pages=max_pages, now=now, connect=self._connect
                )
                try:
                    self.key = connection.cipher.key
                    ready.set_result(None)
                    while (job := await self._next(connection)) is not None:
                        await self._run(connection, job)
                finally:
                    with suppress(sqlite3.Error):
                        await connection.close()
            finally:
                lock.release()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(closed(self.path) if isinstance(error, asyncio.CancelledError) else error)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._closed = True
            while not self._jobs.empty():
                if (job := self._jobs.get_nowait()) is not None:
                    job.done.set_exception(closed(self.path))

    async def _run(self, connection: Connection, job: _Job) -> None:
        try:
            if job.writes and connection.cipher.worn:
                await data_keys.add(connection, self.path)
            result = await transact(connection, self.path, job.work, writes=job.writes)
        except asyncio.CancelledError:
            job.done.set_exception(closed(self.path))
            raise
        except Exception as error:
            job.done.set_exception(error)
            return
        try:
            if job.purge:
                self._journal_holds = True
                await self._empty_journal(connection)
        finally:
            job.done.set_result(result)  # it is committed, whatever became of the journal

    async def _next(self, connection: Connection) -> _Job | None:
        while self._journal_holds:
            try:
                async with asyncio.timeout(AGAIN):  # `wait_for` would swallow a cancellation that comes with a job
                    return await self._jobs.get()
            except TimeoutError:
                await self._empty_journal(connection)
        return await self._jobs.get()

    async def _empty_journal(self, connection: Connection) -> None:
        # Whoever reads the file at this moment, a backup, keeps the journal as it is: nobody waits for that here.
        try:
            await connection.execute_fetchall("PRAGMA busy_timeout = 0")
            try:
                rows = await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                await connection.execute_fetchall(f"PRAGMA busy_timeout = {BUSY:d}")
            self._journal_holds = bool(next(iter(rows))[0])
        except sqlite3.Error as error:
            # The deletion itself is committed; the next try, or closing the file, empties the journal.
            log.warning("the journal of %s could not be emptied (%s): free some disk space", self.path, error)


def closed(path: Path) -> StoreClosedError:
    return StoreClosedError(f"The store {path} is closed, so nothing was read or stored: open it again.")


def _seen(future: asyncio.Future[Any]) -> None:
    # A caller that was cancelled never asks for the result; without this the loop would complain about it.
    if not future.cancelled():
        future.exception()
