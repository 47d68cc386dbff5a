"""A channel as whoever works in it finds it: its lock, the line before that, and what runs for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar, cast

from bot.budgets import Budgets
from bot.past import Pasts
from bot.quotas import Asker, Quotas, What
from bot.rated_store import RatedStore
from bot.rating import ChannelRating, Rating
from bot.rules import ContentRules
from bot.styles import StyleShelf
from bot.upkeep import Spawn, Upkeep
from config.settings import Settings
from engine.errors import QueueFullError
from engine.job import Job
from engine.sampling import SamplingParams
from engine.worker import Worker
from memory import Author, Store

T = TypeVar("T")
log = logging.getLogger(__name__)


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
        quotas: Quotas,
        pasts: Pasts,
        sampling: Callable[[], SamplingParams],
        budgets: Callable[[], Budgets],
        spawn: Spawn,
        clock: Callable[[], float] = time.time,
        awake: float = 0.0,
        restricted: Callable[[], bool] = lambda: False,
    ) -> None:
        """`clock` gives Unix seconds; `awake`: since when this process runs; `restricted`: whether the channel may be
        mature now, for all that the place itself has to say."""
        self.channel, self.guild = channel, guild
        self._clock, self._awake = clock, awake
        self._settings, self._worker, self._rules = settings, worker, rules
        self._rating = ChannelRating(channel, guild, store, worker, flag=restricted)
        self._store = cast(Store, RatedStore(store, self._rating))
        self._styles, self._quotas, self._pasts, self._drawn = styles, quotas, pasts, sampling
        self._passed: dict[tuple[int, Rating], bool] = {}  # lessons, by whether the rules let them take part
        self._line: list[Sink] = []  # of those who wait for the channel
        self._lock = asyncio.Lock()
        self._job: Job[Any] | None = None
        self._budgets = budgets
        self._upkeep = Upkeep(channel, self._store, worker, self._lock, spawn, budgets)

    @property
    def _sampling(self) -> SamplingParams:
        """How the next reply is drawn."""
        return self._drawn()

    @property
    def busy(self) -> bool:
        return self._lock.locked() or bool(self._line)

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

    def _charge(self, author: Author | None, count: int = 1, *, what: What = "requests") -> None:
        """Takes it from the shares of who asks, of the channel and of its server. Raises `QuotaSpentError`."""
        self._quotas.take(what, Asker(None if author is None else author.id, self.channel, self.guild), count)

    @asynccontextmanager
    async def _turn(self, sink: Sink) -> AsyncIterator[None]:
        """The channel's lock, for which only so many wait."""
        if len(self._line) >= self._settings.channel_queue_size:
            raise QueueFullError(*self._worker.behind(len(self._line) + 1), one_line=True)
        self._line.append(sink)
        try:
            if self._lock.locked():
                await sink.queued(*self._worker.behind(len(self._line)))
            await self._lock.acquire()
        except BaseException:
            self._line.remove(sink)
            await self._tell_line()
            raise
        self._line.remove(sink)
        try:  # from here on the channel is ours: telling the others may be cancelled as well
            await self._tell_line()
            yield
        finally:
            self._lock.release()

    async def _tell_line(self) -> None:
        """Where each stands who waits for the channel."""
        for ahead, waiting in enumerate(list(self._line), start=1):
            try:
                await waiting.queued(*self._worker.behind(ahead))
            except Exception:  # it has its own task to fail in
                log.exception("somebody in the line of channel %d was not told of it", self.channel)

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
