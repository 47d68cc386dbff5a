"""A job of the worker as its caller sees it: a place in the queue, pieces as they come, a result, and a way to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, Literal, TypeVar

from engine.errors import EngineError

T = TypeVar("T")

Kind = Literal["reply", "lesson", "recall", "memory", "summary", "swap"]


class Job(Generic[T]):
    """Made by `Worker`; every public method is for the thread of the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run: Callable[[Job[T]], T],
        withdraw: Callable[[Job[T]], bool],
        if_unstarted: Callable[[], T] | None,
        *,
        kind: Kind,
        line: int | None = None,
        on_done: Callable[[Job[Any]], None] | None = None,
    ) -> None:
        """`on_done` is called once, in the loop's thread, when there is an outcome."""
        self.kind, self.line = kind, line
        self._loop, self._on_done = loop, on_done
        self.run = run  # called by the engine's thread
        self._withdraw = withdraw
        self._if_unstarted = if_unstarted
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()  # None: no more
        self._result: asyncio.Future[T] = loop.create_future()
        # A result that nobody asks for is no fault of the loop's.
        self._result.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._place_changed = asyncio.Event()
        self.position = 0  # jobs before this one; 0 while it runs and when it is done
        self.expected_wait = 0.0  # seconds until it starts
        self.cancelled = False  # read by the engine's thread for every token
        self.signs = 0  # of life that the engine's thread has given while it works on this

    @property
    def done(self) -> bool:
        return self._result.done()

    @property
    def outcome(self) -> T | BaseException:
        """Of a job that is done: its result, or what went wrong."""
        return self._result.exception() or self._result.result()

    async def moved(self, seen: int | None = None) -> int:
        """Wait until the position is another than `seen` (left out: than now), or the job is done; gives it."""
        seen = self.position if seen is None else seen
        while self.position == seen and not self.done:
            await self._place_changed.wait()
        return self.position

    async def __aiter__(self) -> AsyncIterator[str]:
        """Pieces in order, each once; ends when the job has ended, well or not."""
        while (piece := await self._pieces.get()) is not None:
            yield piece
        self._pieces.put_nowait(None)  # whoever iterates again sees the end too

    async def result(self) -> T:
        """Wait for the end.

        Raises:
            EngineError: what went wrong.
        """
        return await asyncio.shield(self._result)

    def cancel(self) -> None:
        """Stop within one token; a job that has not begun leaves the queue at once. Harmless when it is done."""
        self.cancelled = True
        if self._withdraw(self):
            if self._if_unstarted is not None:
                self.finish(self._if_unstarted())
            else:
                self.fail(EngineError("The request was withdrawn before its turn came; nothing was changed."))

    # ---- the worker's side, in the loop's thread but for `give` and `polled` ------------------------------------

    def polled(self) -> bool:
        """Whether to stop; called by the engine's thread for every token and every step of a training."""
        self.signs += 1
        return self.cancelled

    def give(self, piece: str) -> None:
        """Hand a piece over; called by the engine's thread."""
        self.signs += 1
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody reads
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    def place(self, position: int, expected_wait: float) -> None:
        """Tell the job where it stands."""
        self.expected_wait = expected_wait
        if position != self.position:
            self.position = position
            self._announce()

    def finish(self, value: T) -> None:
        if not self.done:
            self._result.set_result(value)
            self._end()

    def fail(self, error: BaseException) -> None:
        if not self.done:
            self._result.set_exception(error)
            self._end()

    def _end(self) -> None:
        self.position, self.expected_wait = 0, 0.0
        self._pieces.put_nowait(None)
        self._announce()
        if self._on_done is not None:
            self._on_done(self)

    def _announce(self) -> None:
        changed, self._place_changed = self._place_changed, asyncio.Event()
        changed.set()
