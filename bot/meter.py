"""What the engine did since the process started, for whoever looks after it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from engine.job import Job
from engine.outcome import Generated, Taught

RECENT = 20  # replies that the present speed is taken from
COUNTED = ("reply", "lesson")  # kinds of jobs whose failures people notice


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

    def count(self, job: Job[Any]) -> None:
        """Takes note of a job that is done: the worker's `on_done`."""
        match job.outcome:
            case Generated(tokens=tokens, seconds=seconds) as reply if job.kind == "reply" and tokens:
                self.replies += 1
                self.tokens += tokens
                self.seconds += seconds
                self.recent.append(reply)
            case Taught():
                self.lessons += 1
            case BaseException() if job.kind in COUNTED and not job.cancelled:
                self.failures += 1
