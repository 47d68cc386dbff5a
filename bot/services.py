"""What a process is made of: settings, store, engine, rules, and the sessions of its channels."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from bot.dials import Dials
from bot.rules import ContentRules
from bot.session import ChannelSession
from bot.shelf import WeightsShelf
from bot.styles import StyleShelf
from config.settings import Settings
from engine.errors import EngineError
from engine.folder import default_weights
from engine.generation import Engine
from engine.sampling import SamplingParams
from engine.worker import Worker
from memory import Store

log = logging.getLogger(__name__)

KEPT_SESSIONS = 128  # idle ones; a session is small, and nothing in it is lost when it goes
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
        kept_sessions: int = KEPT_SESSIONS,
    ) -> None:
        self.settings, self.store, self.worker, self.rules = settings, store, worker, rules
        self.notices = list(notices)  # sentences for the operator about how this start went
        self.shelf = WeightsShelf(store, worker, own=settings.data_dir / "weights")
        self.styles = StyleShelf(worker, own=settings.data_dir / "styles")
        self.dials = Dials(store, settings, sampling)
        # Whoever still holds a session gets that one again, so that a channel never has two locks.
        self._sessions: WeakValueDictionary[int, ChannelSession] = WeakValueDictionary()
        self._kept: OrderedDict[int, ChannelSession] = OrderedDict()
        self._kept_sessions = kept_sessions
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Opens the store, loads the weights and starts the engine's thread.

        Raises:
            StartError, StoreError, EngineError: one sentence; nothing is left open.
        """
        rules = ContentRules.load(settings.rules)
        store = await Store.open(settings.database_file)
        try:
            engine, notices = await _load(settings, store)
            services = cls(settings, store, Worker(engine, max_queue=settings.queue_size), rules, notices=notices)
            await services.dials.load()
            services.worker.start()
        except BaseException:
            await store.close()
            raise
        return services

    async def close(self, *, drain: bool = True) -> None:
        """Ends the engine after what waits (`drain`), or at once with what was written so far; then the store."""
        await self.worker.close(drain=drain)
        # What was being written is now at its last edit and its storing.
        last = [asyncio.ensure_future(session.settled()) for session in self._sessions.values() if session.busy]
        waiting = [*last, *self._tasks]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=LAST_WORDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        await self.store.close()

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
                sampling=partial(self.dials.sampling, channel, guild),
                spawn=self._spawn,
            )
            self._sessions[channel] = session
        self._kept[channel] = session
        self._kept.move_to_end(channel)
        while len(self._kept) > self._kept_sessions:
            self._kept.popitem(last=False)
        return session

    async def idle(self) -> None:
        """Waits until no work in the background is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def sessions(self) -> int:
        """How many sessions are in memory."""
        return len(self._sessions)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work in the background failed", exc_info=error)


async def _load(settings: Settings, store: Store) -> tuple[Engine, list[str]]:
    """The engine on the weights that were asked for; those remembered may have gone, and then the default serves."""
    remembered = await store.setting("process", "weights")
    if settings.weights is None and remembered is not None:
        try:
            return await asyncio.to_thread(Engine.load, Path(remembered)), []
        except EngineError as error:
            log.warning("the weights activated last cannot be loaded: %s", error)
            notice = f"The weights activated last cannot be loaded, so the bundled ones serve: {error}"
            return await asyncio.to_thread(Engine.load, default_weights()), [notice]
    return await asyncio.to_thread(Engine.load, settings.weights or default_weights()), []
