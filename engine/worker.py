"""The worker: one thread owns the engine, a bounded queue feeds it, an event loop talks to it.

A cancelled caller never disturbs the thread: cancelling only raises a flag that the token loop polls. Users' jobs go
first, their lines in turn (`engine.lines`); background jobs (summaries, rebuilds of adapters) run when no user waits.
Weights are swapped as a job like any other, so that no reply ever mixes two models.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from engine.decoder import bytes_needed
from engine.errors import EngineClosedError, EngineError, QueueFullError
from engine.folder import check_values, read_config
from engine.generation import Engine
from engine.host import fill_small_blocks, free_bytes, require_room, return_freed_memory
from engine.job import Job, Kind
from engine.lesson import Lesson, TeachParams
from engine.lines import Lines
from engine.outcome import EngineInfo, Generated, Recall, Taught
from engine.pack import PackCard, load_pack, read_card
from engine.prompt import Context
from engine.sampling import SamplingParams
from engine.summary import Summary, summarize

T = TypeVar("T")
log = logging.getLogger(__name__)

FIRST_GUESS = 3.0  # seconds a job takes, before any of its kind was measured
PLACE_EVERY = 0.2  # seconds between two tellings of where each job stands: a crowd hears of every step, but not at once
BACKGROUND_SHARE = 4  # background jobs may fill the queue up to 1 / this, so that they never shut users out
SUMMARY_SHARE = 0.125  # of the context: a longer summary costs more recent text than it tells
LEAST_SUMMARY = 96  # characters: less holds no sentence
CHARS_PER_TOKEN = 3  # to turn a budget of tokens into one of characters; errs on the small side


class Worker:
    """Every method is for the thread of the event loop.

    Args:
        engine: belongs to the worker from now on.
        max_queue: users' jobs that may wait; one more raises QueueFullError.
        max_line: those of them that may stand in one line, by default as many.
        on_done: called with each job that has come to its end, in the loop's thread.

    A job's `line` says whose it is, as a channel's id: the lines are served in turn.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_queue: int = 32,
        max_line: int | None = None,
        on_done: Callable[[Job[Any]], None] | None = None,
    ) -> None:
        self._engine = engine
        self._max_queue, self._max_line = max_queue, max_line or max_queue
        self._on_done = on_done
        self._wake = threading.Condition()  # guards all below
        self._users: Lines[Job[Any]] = Lines()
        self._background: Lines[Job[Any]] = Lines()
        self._running: Job[Any] | None = None
        self._began = 0.0
        self._closing = False
        self._usual: dict[Kind, float] = {}  # seconds that a job of a kind takes
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._placing: asyncio.TimerHandle | None = None

    @property
    def engine_info(self) -> EngineInfo:
        return self._engine.info

    @property
    def waiting(self) -> int:
        """Jobs that wait, users' and background ones."""
        return len(self._users) + len(self._background)

    @property
    def progress(self) -> tuple[object, int] | None:
        """Another value with every sign of life of the job that runs; None where none runs."""
        running = self._running
        return None if running is None else (running, running.signs)

    def start(self) -> None:
        """Start the thread; called once, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="engine")
        self._thread.start()

    # ---- jobs -------------------------------------------------------------------------------------------------

    def generate(
        self,
        context: Context,
        sampling: SamplingParams,
        *,
        adapters: Sequence[bytes] = (),
        always_on: bool = False,
        style: Path | None = None,
        line: int | None = None,
    ) -> Job[Generated]:
        """Raises QueueFullError or EngineClosedError at once; all else comes from `Job.result`."""
        taught = tuple(adapters)

        def run(job: Job[Generated]) -> Generated:
            return self._engine.generate(
                context, sampling, adapters=taught, always_on=always_on, style=style,
                on_piece=job.give, cancelled=job.polled,
            )  # fmt: skip

        return self._submit(run, "reply", line, if_unstarted=lambda: Generated("", 0, 0.0, "cancelled"))

    def teach(
        self,
        lesson: Lesson,
        params: TeachParams | None = None,
        *,
        background: bool = False,
        line: int | None = None,
    ) -> Job[Taught]:
        """Train the units of a lesson; the job's pieces are sentences of progress."""

        def run(job: Job[Taught]) -> Taught:
            def progress(step: int, loss: float) -> None:
                if step % 5 == 0:
                    job.give(f"step {step}, loss {loss:.2f}")

            try:
                taught = self._engine.teach(lesson, params, on_progress=progress, cancelled=job.polled)
            finally:
                return_freed_memory()  # some 25 MB that would lie idle until the next change of weights
            if job.cancelled:
                raise EngineError("The teaching was stopped; nothing was learnt.")
            return taught

        return self._submit(run, "lesson", line, background=background)

    def recall(
        self, lesson: Lesson, adapters: Sequence[bytes], *, always_on: bool = False, line: int | None = None
    ) -> Job[Recall]:
        """Ask for a lesson by its prompt, greedily."""
        taught = tuple(adapters)
        return self._submit(lambda job: self._engine.recall(lesson, taught, always_on=always_on), "recall", line)

    def remember(self, text: str, previous: bytes | None, *, line: int | None = None) -> Job[bytes]:
        """Memory vectors of text that left the window, see `Engine.remember`; a background job."""
        return self._submit(lambda job: self._engine.remember(text, previous), "memory", line, background=True)

    def check_style(self, path: Path) -> PackCard:
        """What a style pack says of itself.

        Raises:
            AdapterError: it is damaged, or not for the present weights.
        """
        card = read_card(path)
        load_pack(path, self._engine.config, self._engine.base_id)
        return card

    def summarize(
        self, text: str, previous: Summary | None, *, share: float = SUMMARY_SHARE, line: int | None = None
    ) -> Job[Summary]:
        """Fold text that left the window into a summary of at most this share of the context; a background job."""

        def run(job: Job[Summary]) -> Summary:
            return summarize(text, previous, self._summary_chars(share))

        return self._submit(run, "summary", line, background=True)

    def swap(self, folder: Path) -> Job[EngineInfo]:
        """Load other weights, try them, and serve them from the next job on; on any failure the old ones stay."""

        def run(job: Job[EngineInfo]) -> EngineInfo:
            asked = self._engine.asked
            needed, free = bytes_needed(read_config(folder), *asked), free_bytes()
            require_room(needed, free, self._engine.bytes_held)
            told = f", and {free >> 20:,} MB are free" if free is not None else ""
            job.give(f"reading and checking the weights, which take {needed >> 20:,} MB{told}")
            check_values(folder)
            present = self._engine
            if present.stored.files.unchanged:
                present.close()  # never two models in memory; should the new one fail, the old one is read again
                return_freed_memory()
            else:  # what serves is in memory alone, and stays there until the new one is known to write
                require_room(needed, free, 0)
            fresh = Engine.load(folder, **asked._asdict())
            try:
                job.give("trying them out")
                fresh.try_out()
            except BaseException:
                fresh.close()
                raise
            self._engine = fresh
            present.close()
            return fresh.info

        return self._submit(run, "swap")

    def _summary_chars(self, share: float) -> int:
        """Budget of a summary, in characters."""
        return max(LEAST_SUMMARY, int(self._engine.info.block_size * share * CHARS_PER_TOKEN))

    def visible_from(self, text: str, budget_share: float) -> int:
        """The character offset where the part of the text begins that this share of the context can hold."""
        return self._engine.visible_from(text, int(self._engine.info.block_size * budget_share))

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self._engine.count(text)

    # ---- the queue, on the loop's side ------------------------------------------------------------------------

    def _submit(
        self,
        run: Callable[[Job[T]], T],
        kind: Kind,
        line: int | None = None,
        *,
        background: bool = False,
        if_unstarted: Callable[[], T] | None = None,
    ) -> Job[T]:
        if self._loop is None:
            raise EngineClosedError("The engine has not been started; call start() first.")
        job: Job[T] = Job(
            self._loop, run, self._withdraw, if_unstarted, kind=kind, line=line, on_done=self._on_done
        )  # fmt: skip
        with self._wake:
            if self._closing:
                raise EngineClosedError("The bot is shutting down; try again when it is back.")
            queue = self._background if background else self._users
            share = BACKGROUND_SHARE if background else 1
            queue.add(job, line)
            crowded = queue.waiting(line) > max(1, self._max_line // share)
            if crowded or len(queue) > max(1, self._max_queue // share):
                position, expected_wait = self._place_of(job)
                queue.remove(job, line)
                raise QueueFullError(position, expected_wait, one_line=crowded)
            self._wake.notify_all()
        self._place_all()
        return job

    def _withdraw(self, job: Job[Any]) -> bool:
        """Take a job out of the queue; False where it is not there any more."""
        with self._wake:
            if not (self._users.remove(job, job.line) or self._background.remove(job, job.line)):
                return False
        self._place_all()
        return True

    def _place_soon(self) -> None:
        if self._placing is None:
            assert self._loop is not None
            self._placing = self._loop.call_later(PLACE_EVERY, self._place_all)

    def _place_all(self) -> None:
        """Tell every waiting job where it stands."""
        if self._placing is not None:
            self._placing.cancel()
            self._placing = None
        with self._wake:
            waiting = [*self._users, *self._background]
            ahead, seconds = self._being_done()
            usual = [self._usual_seconds(job.kind) for job in waiting]
        for index, job in enumerate(waiting, start=ahead):
            job.place(index, seconds)
            seconds += usual[index - ahead]

    def _place_of(self, job: Job[Any]) -> tuple[int, float]:
        """The jobs before one that waits, and the seconds that they take."""
        before = list(takewhile(lambda other: other is not job, [*self._users, *self._background]))
        ahead, seconds = self._being_done()
        return ahead + len(before), seconds + sum(self._usual_seconds(other.kind) for other in before)

    def _being_done(self) -> tuple[int, float]:
        """The jobs that run, which is one at most, and the seconds that are left of it."""
        if self._running is None:
            return 0, 0.0
        return 1, max(0.0, self._usual_seconds(self._running.kind) - (time.monotonic() - self._began))

    def _usual_seconds(self, kind: Kind) -> float:
        return self._usual.get(kind, FIRST_GUESS)

    def behind(self, ahead: int) -> tuple[int, float]:
        """Place and expected wait, in seconds, of a request before which so many of its own line stand that are not
        in this queue yet: while each of them has its turn, every other line has one."""
        with self._wake:
            running = set() if self._running is None else {self._running.line}
            lines = max(1, len(self._users.names | running))
            return ahead * lines, ahead * lines * self._usual_seconds("reply")

    # ---- the engine's thread ----------------------------------------------------------------------------------

    def _work(self) -> None:
        fill_small_blocks()
        while (job := self._next()) is not None:
            try:
                value = job.run(job)
            except EngineError as error:
                self._tell(job.fail, error)
            except BaseException as error:  # the thread must outlive any job
                log.exception("a job failed")
                wrapped = EngineError("The engine failed on this request; it is in the log, and other requests go on.")
                wrapped.__cause__ = error
                self._tell(job.fail, wrapped)
            else:
                self._tell(job.finish, value)
            with self._wake:
                self._running = None
                took = time.monotonic() - self._began
                # A quarter of the newest: follows a change of weights within a few jobs, ignores one odd reply.
                usual = self._usual.get(job.kind, took)
                self._usual[job.kind] = usual + 0.25 * (took - usual)
            job = value = None  # what it was given and gave is not held until the next one comes

    def _next(self) -> Job[Any] | None:
        """The next job, users' before background ones; None when the worker is closing and all is done."""
        with self._wake:
            while not self._users and not self._background:
                if self._closing:
                    return None
                self._wake.wait()
            job = self._running = (self._users or self._background).take()
            self._began = time.monotonic()
        self._tell(job.place, 0, 0.0)
        self._tell(self._place_soon)
        return job

    def _tell(self, call: Callable[..., None], *args: object) -> None:
        """Run something in the loop's thread; a loop that is gone has nobody to tell."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args)

    # ---- the end ----------------------------------------------------------------------------------------------

    async def close(self, *, drain: bool = True) -> None:
        """Take no more jobs, finish (or with drain=False cancel) those there are, end the thread. Idempotent."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            waiting = [*self._users, *self._background]
            running = self._running
        if not drain:
            for job in [*waiting, *([running] if running else [])]:
                job.cancel()
        if self._thread is not None and self._thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        if self._placing is not None:
            self._placing.cancel()
