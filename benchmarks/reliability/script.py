"""A worker that writes what a script says, in the place of an engine: what the bot does around the model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from engine.lesson import Lesson
from engine.outcome import EngineInfo, Generated, Recall, Taught
from engine.prompt import Context
from engine.summary import Summary

T = TypeVar("T")
PIECE = 5  # characters
WINDOW = 64  # tokens, of four characters each


class Done(Generic[T]):
    """A job that has run."""

    position, expected_wait = 0, 0.0

    def __init__(self, result: T, pieces: Sequence[str] = ()) -> None:
        self._result, self._pieces = result, pieces

    async def __aiter__(self) -> AsyncIterator[str]:
        for piece in self._pieces:
            yield piece

    async def result(self) -> T:
        return self._result

    async def moved(self, seen: int | None = None) -> int:
        return 0

    def cancel(self) -> None:
        """It is over."""


@dataclass
class Script:
    """`replies` are written in turn, and over again; what the model was shown is in `contexts`, newest last."""

    rating: str = "general"
    replies: list[str] = field(default_factory=lambda: [" And then it was evening."])
    contexts: list[tuple[Context, int, Path | None]] = field(default_factory=list)  # with lessons and style
    taught: list[Lesson] = field(default_factory=list)
    waiting: int = 0
    _next: int = 0

    @property
    def engine_info(self) -> EngineInfo:
        base = f"script-{self.rating}"
        return EngineInfo("script", base, "llama", 1, WINDOW, 256, self.rating, Path("/script"), {}, "script", "")

    def generate(self, context: Context, sampling: Any, *, adapters: Any = (), style: Any = None, **_: Any) -> Any:
        self.contexts.append((context, len(adapters), style))
        del self.contexts[:-4]
        reply = self.replies[self._next % len(self.replies)]
        self._next += 1
        pieces = [reply[at : at + PIECE] for at in range(0, len(reply), PIECE)]
        return Done(Generated(reply, len(pieces), 0.001, "stop"), pieces)

    def teach(self, lesson: Lesson, params: Any = None, **_: Any) -> Any:
        self.taught.append(lesson)
        del self.taught[:-4]
        return Done(Taught(b"units", self.engine_info.base_id, 1, 0.001, 0.0, True))

    def recall(self, lesson: Lesson, adapters: Any, **_: Any) -> Any:
        reply = self.replies[self._next % len(self.replies)]
        return Done(Recall(reply, reply == lesson.answer))

    def summarize(self, text: str, previous: Summary | None, **_: Any) -> Any:
        held = previous or Summary()
        return Done(replace(held, sentences=(*held.sentences, text[:60])[-4:]))

    def remember(self, text: str, previous: bytes | None, **_: Any) -> Any:
        return Done(b"vectors")

    def swap(self, folder: Path, **_: Any) -> Any:
        """To the weights of the other rating."""
        self.rating = folder.name
        return Done(self.engine_info)

    def check_style(self, path: Path) -> None:
        """It fits."""

    def count(self, text: str) -> int:
        return len(text) // 4

    def visible_from(self, text: str, budget_share: float) -> int:
        return max(len(text) - round(WINDOW * budget_share) * 4, 0)

    def behind(self, ahead: int) -> tuple[int, float]:
        return ahead, 0.0

    def start(self) -> None:
        """There is nothing to start."""

    async def close(self, *, drain: bool = True) -> None:
        """There is nothing to close."""
