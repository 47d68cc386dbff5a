"""What a process is made of: settings, store, engine, rules, and the sessions of its channels."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from bot.backups import BackupClock
from bot.breaker import Breaker
from bot.dials import Dials
from bot.health import Health, Uptime, resident, size
from bot.logs import Troubles
from bot.meter import Tally
from bot.metrics import Metrics
from bot.past import Pasts
from bot.quotas import Quotas, limits_of, taught_today
from bot.rules import ContentRules
from bot.session import ChannelSession
from bot.shelf import WeightsShelf
from bot.styles import StyleShelf
from config.settings import Settings
from engine.errors import EngineError
from engine.folder import default_weights
from engine.generation import Engine
from engine.host import fill_small_blocks, keep_memory_together, return_freed_memory
from engine.sampling import SamplingParams
from engine.signature import check_signature
from engine.worker import Worker
from memory import GUILD, Author, Removed, Store, StoreError
from memory.backups import Backups
from memory.opening import connect

log = logging.getLogger(__name__)

KEPT_SESSIONS = 128  # idle ones; a session is small, and nothing in it is lost when it goes
TERMINAL = 0  # its channel
LAST_WORDS = 8.0  # seconds that replies under way get for their last edit and their storing when the process ends


class Services:
    """Everything that a front, Discord or the terminal, works with. `async with`, or `close`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        worker: Worker,
        rules: ContentRules,
        *,
        sampling: SamplingParams | None = None,
        notices: Iterable[str] = (),
        tally: Tally | None = None,
        quotas: Quotas | None = None,
        kept_sessions: int = KEPT_SESSIONS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self.store, self.worker, self.rules = settings, store, worker, rules
        self.notices = list(notices)  # sentences for the operator about how this start went
        self.shelf = WeightsShelf(
            store, worker, own=settings.data_dir / "weights", incoming=settings.arrivals, keys=settings.weights_keys
        )
        self.styles = StyleShelf(worker, own=settings.data_dir / "styles")
        self.dials = Dials(store, settings, sampling)
        self.breaker = Breaker()
        self.metrics: Metrics | None = None
        self.backups = BackupClock(Backups(store, kept=settings.backup_copies), every=settings.backup_hours)
        self.tally = tally or Tally()
        self.quotas = quotas or Quotas(limits_of(settings, self.dials.limit))
        self._pasts = Pasts()
        self._clock, self._awake = clock, clock()
        self.age_restricted: Callable[[int], bool] = lambda channel: False  # a channel of Discord's, as it is now
        self._uptime, self.troubles = Uptime(), Troubles(settings.secrets)
        self.troubles.attach()
        # Whoever still holds a session gets that one again, so that a channel never has two locks.
        self._sessions: WeakValueDictionary[int, ChannelSession] = WeakValueDictionary()
        self._kept: OrderedDict[int, ChannelSession] = OrderedDict()
        self._kept_sessions = kept_sessions
        # In the background, each with the session that it works for, which must not go before it.
        self._tasks: dict[asyncio.Task[None], ChannelSession | None] = {}
        self._forgetting = asyncio.Lock()

    @classmethod
    async def open(cls, settings: Settings, *, guest: bool = False) -> Self:
        """Opens the store, loads the weights and starts the engine's thread.

        Args:
            guest: in somebody else's process, whose loop keeps its own threads.

        Raises:
            StartError, StoreError, EngineError: one sentence; nothing is left open.
        """
        keep_memory_together()
        if not guest:  # its threads begin, as this one, the store's and the engine's do, with all that is kept for them
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(initializer=fill_small_blocks))
        rules = ContentRules.load(settings.rules)
        store = await Store.open(settings.database_file, key=settings.key_bytes, connect=_connect)
        try:
            engine, notices = await _load(settings, store)
        except BaseException:
            await store.close()
            raise
        tally = Tally()
        worker = Worker(
            engine, max_queue=settings.queue_size, max_line=settings.channel_queue_size, on_done=tally.count
        )  # fmt: skip
        services = cls(settings, store, worker, rules, notices=notices, tally=tally)
        try:
            await services.dials.load()
            services.quotas.restore("lessons", await taught_today(store, time.time()))
            if settings.metrics_port is not None:
                services.metrics = await Metrics.open(services.health, settings.metrics_port)
            services.worker.start()
            services.backups.start()
            await services.note_acts("begins")
        except BaseException:
            await services.close()
            raise
        return services

    async def close(self, *, drain: bool = True) -> None:
        """Ends the engine after what waits (`drain`), or at once with what was written so far; then the store."""
        await self.backups.close()
        if self.metrics is not None:
            await self.metrics.close()
        await self.worker.close(drain=drain)
        # What was being written is now at its last edit and its storing.
        last = [asyncio.ensure_future(session.settled()) for session in self._sessions.values() if session.busy]
        waiting = [*last, *self._tasks]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=LAST_WORDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        await self.note_acts("ends")
        await self.store.close()
        self.troubles.detach()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(drain=error is None)

    def session(self, channel: int, guild: int | None = None) -> ChannelSession:
        """The session of a channel: the same one for as long as anybody uses it."""
        session = self._sessions.get(channel)
        if session is None:
            session = ChannelSession(
                channel,
                guild,
                settings=self.settings,
                store=self.store,
                worker=self.worker,
                rules=self.rules,
                styles=self.styles,
                quotas=self.quotas,
                pasts=self._pasts,
                sampling=partial(self.dials.sampling, channel, guild),
                budgets=partial(self.dials.budgets, channel, guild),
                spawn=partial(self._spawn, channel),
                clock=self._clock,
                awake=self._awake,
                restricted=partial(self._restricted, channel),
            )
            self._sessions[channel] = session
            if guild is not None:
                self._spawn(channel, self._place(channel, guild))
        self._kept[channel] = session
        self._kept.move_to_end(channel)
        while len(self._kept) > self._kept_sessions:
            self._kept.popitem(last=False)
        return session

    async def forget_person(self, person: Author) -> Removed:
        """Removes all that a person has left, in every channel, and what was made of it, also what is being made now.

        Waits for the replies that are being written in their channels; the next ones there wait for it. Backups are
        cleansed too; `StoreError` where one cannot be now, which is tried again until it is done.
        """
        async with self._forgetting, AsyncExitStack() as still:  # one at a time, or two would wait for each other
            for channel in await self.store.channels_of(person.id):
                if (session := self._sessions.get(channel)) is not None:
                    await still.enter_async_context(session.still())
            gone = await self.store.delete_author(person.id)
            self._pasts.forget()
        await self.backups.cleanse()
        return gone

    async def note_acts(self, when: str) -> None:
        """Writes into the log where the audit log ends: `python -m memory audit verify --end` compares it."""
        with suppress(StoreError):
            if (end := await self.store.audit_end()) is not None:
                log.info("the audit log %s at act %d, %s", when, end.row, end.hash)

    async def idle(self) -> None:
        """Waits until no work in the background is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def health(self) -> Health:
        """How the process is."""
        worker = self.worker
        return Health(
            engine=worker.engine_info,
            tally=self.tally,
            waiting=worker.waiting,
            queue=self.settings.queue_size,
            sessions=self.sessions,
            resident=resident(),
            database=size(self.store.file),
            uptime=self._uptime.seconds,
            troubles=tuple(self.troubles.last),
        )

    @property
    def sessions(self) -> int:
        """How many sessions are in memory."""
        return len(self._sessions)

    def _restricted(self, channel: int) -> bool:
        flag = self.settings.terminal_rating == "mature" if channel == TERMINAL else self.age_restricted(channel)
        return flag and self.rules.guards_mature

    async def _place(self, channel: int, guild: int) -> None:
        """Writes down which server a channel is in, so that a server can be moved as a whole."""
        try:
            if await self.store.setting(f"channel:{channel}", GUILD) != str(guild):
                await self.store.set_setting(f"channel:{channel}", GUILD, str(guild))
        except StoreError as error:  # the next session of the channel tries again
            log.warning("the server of channel %d was not written down: %s", channel, error)

    def _spawn(self, channel: int, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks[task] = self._sessions.get(channel)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not self._tasks and not self.worker.waiting:
            return_freed_memory()  # what a reply and the work behind it left; half a millisecond
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work in the background failed", exc_info=error)


def _connect(uri: str) -> Any:  # what `connect` gives: its type is the memory's own affair
    """In the thread of the connection."""
    fill_small_blocks()
    return connect(uri)


async def _load(settings: Settings, store: Store) -> tuple[Engine, list[str]]:
    """The engine on the weights that were asked for; those remembered may have gone, and then the default serves."""
    remembered = await store.setting("process", "weights")
    if settings.weights is None and remembered is not None:
        try:
            return await asyncio.to_thread(_read, Path(remembered), settings), []
        except EngineError as error:
            log.warning("the weights activated last cannot be loaded: %s", error)
            notice = f"The weights activated last cannot be loaded, so the bundled ones serve: {error}"
            return await asyncio.to_thread(_read, default_weights(), settings), [notice]
    return await asyncio.to_thread(_read, settings.weights or default_weights(), settings), []


def _read(folder: Path, settings: Settings) -> Engine:
    """The weights of a folder, signed where the operator asks for that. Blocks; for a thread."""
    if settings.weights_keys:
        check_signature(folder, settings.weights_keys)
    return Engine.load(folder)
