"""A channel as whoever works in it finds it: its lock, the line before that, and what runs for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from bot.rules import ContentRules
from bot.styles import StyleShelf
from bot.upkeep import Spawn, Upkeep
from config.settings import Settings
from engine.errors import QueueFullError
from engine.job import Job
from engine.sampling import SamplingParams
from engine.worker import Worker
from memory import Store

T = TypeVar("T")

USUAL_REPLY = 5.0  # seconds, to tell those who wait for the channel


class Sink(Protocol):
    """Where a session writes to."""

    async def queued(self, position: int, expected_wait: float) -> None:
        """So many requests are before this one; again whenever that changes."""

    async def show(self, text: str) -> None:
        """All of the reply so far, already passed by the rules. May skip texts, must not take long."""

    async def finish(self, text: str) -> None:
        """The whole reply, which may be empty. Only when this returned are turns stored."""


class Channel:
    """One at a time may change a channel; `stop` and what only reads do not wait."""

    def __init__(
        self,
        channel: int,
        guild: int | None,
        *,
        settings: Settings,
        store: Store,
        worker: Worker,
        rules: ContentRules,
        styles: StyleShelf,
        sampling: Callable[[], SamplingParams],
        spawn: Spawn,
    ) -> None:
        self.channel, self.guild = channel, guild
        self._settings, self._store, self._worker, self._rules = settings, store, worker, rules
        self._styles, self._drawn = styles, sampling
        self._waiting = 0
        self._lock = asyncio.Lock()
        self._job: Job[Any] | None = None
        self._upkeep = Upkeep(channel, store, worker, self._lock, spawn)

    @property
    def _sampling(self) -> SamplingParams:
        """How the next reply is drawn."""
        return self._drawn()

    @property
    def busy(self) -> bool:
        return self._lock.locked() or self._waiting > 0

    async def settled(self) -> None:
        """Waits until whoever holds the channel has let go of it."""
        async with self._lock:
            pass

    def stop(self) -> bool:
        """Ends what is being written or taught now; written text stays. False where nothing is."""
        if self._job is None:
            return False
        self._job.cancel()
        return True

    @asynccontextmanager
    async def _turn(self, sink: Sink) -> AsyncIterator[None]:
        """The channel's lock, for which only so many wait."""
        if self._waiting >= self._settings.queue_size:
            raise QueueFullError(self._waiting, self._waiting * USUAL_REPLY)
        self._waiting += 1
        try:
            if self._lock.locked():
                await sink.queued(self._waiting, self._waiting * USUAL_REPLY)
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()

    @asynccontextmanager
    async def _running(self, job: Job[T], sink: Sink) -> AsyncIterator[Job[T]]:
        """The job that `stop` stops, once its turn has come; whatever goes wrong stops it too."""
        self._job = job
        try:
            while position := job.position:
                await sink.queued(position, job.expected_wait)
                if job.position == position:
                    await job.moved()
            yield job
        except BaseException:
            job.cancel()
            raise
        finally:
            self._job = None
