"""A worker that counts what it did, for whoever looks after the process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.generation import Engine
from engine.job import Job
from engine.lesson import Lesson, TeachParams
from engine.outcome import Generated, Taught
from engine.prompt import Context
from engine.sampling import SamplingParams
from engine.worker import Worker

RECENT = 20  # replies that the present speed is taken from


@dataclass
class Tally:
    """Since the process started."""

    replies: int = 0
    tokens: int = 0
    seconds: float = 0.0  # that the engine wrote
    lessons: int = 0
    failures: int = 0  # of replies and lessons; one that was stopped is none
    recent: deque[Generated] = field(default_factory=lambda: deque(maxlen=RECENT))

    @property
    def tokens_per_second(self) -> float | None:
        """Of the last replies together; None before there are any."""
        seconds = sum(reply.seconds for reply in self.recent)
        return sum(reply.tokens for reply in self.recent) / seconds if seconds else None


class MeteredWorker(Worker):
    def __init__(self, engine: Engine, *, max_queue: int = 32) -> None:
        super().__init__(engine, max_queue=max_queue)
        self.tally = Tally()
        self._followed: set[asyncio.Task[None]] = set()

    def generate(
        self,
        context: Context,
        sampling: SamplingParams,
        *,
        adapters: Sequence[bytes] = (),
        always_on: bool = False,
        style: Path | None = None,
    ) -> Job[Generated]:
        job = super().generate(context, sampling, adapters=adapters, always_on=always_on, style=style)
        self._follow(self._reply(job))
        return job

    def teach(self, lesson: Lesson, params: TeachParams | None = None, *, background: bool = False) -> Job[Taught]:
        job = super().teach(lesson, params, background=background)
        self._follow(self._lesson(job))
        return job

    async def close(self, *, drain: bool = True) -> None:
        await super().close(drain=drain)
        await asyncio.gather(*self._followed)

    async def _reply(self, job: Job[Generated]) -> None:
        reply = await job.result()
        if reply.tokens:
            self.tally.replies += 1
            self.tally.tokens += reply.tokens
            self.tally.seconds += reply.seconds
            self.tally.recent.append(reply)

    async def _lesson(self, job: Job[Taught]) -> None:
        await job.result()
        self.tally.lessons += 1

    def _follow(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(self._counted(work))
        self._followed.add(task)
        task.add_done_callback(self._followed.discard)

    async def _counted(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except EngineError:
            self.tally.failures += 1
