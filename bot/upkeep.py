"""What a channel's memory needs behind the replies: summaries of what scrolled out, adapters for new base weights.

Both run as background jobs of the engine, behind everybody's requests; a failure is logged and costs no reply.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from engine.errors import EngineClosedError, EngineError, PromptError, QueueFullError
from engine.lesson import Lesson
from engine.summary import Summary
from engine.worker import Worker
from memory import LessonRow, Store, StoreError, SummaryRow

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], None]  # starts a task and keeps it

TEXT_SHARE = 0.5  # of the window: text behind this is certainly seen, whatever pins and summary take
MAX_FOLD = 50_000  # characters that one summary job reads


def lessons_of(rows: Sequence[LessonRow]) -> list[Lesson]:
    return [Lesson(row.prompt, row.answer) for row in rows]


def digest(lessons: Sequence[Lesson]) -> str:
    """Names a list of lessons: an adapter is current while its digest is that of the channel's lessons."""
    pairs = [[lesson.prompt, lesson.answer] for lesson in lessons]
    return hashlib.sha256(json.dumps(pairs, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def summary_of(row: SummaryRow | None) -> tuple[Summary | None, int]:
    """The stored summary and the characters it stands for; nothing where it cannot be read, so that it is rebuilt."""
    if row is None:
        return None, 0
    try:
        return Summary.from_json(row.body), row.covers
    except PromptError:
        log.warning("the summary at turn %d cannot be read", row.turn)
        return None, 0


class Upkeep:
    """Of one channel. `lock` is the channel's: what is stored here is stored under it."""

    def __init__(self, channel: int, store: Store, worker: Worker, lock: asyncio.Lock, spawn: Spawn) -> None:
        self._channel, self._store, self._worker, self._lock, self._spawn = channel, store, worker, lock, spawn
        self._resets = 0  # what was begun before a reset is dropped
        self._summarizing = False
        self._rebuilding = False
        self._hopeless: tuple[str, str] | None = None  # base and lessons that could not be learnt together

    @property
    def rebuilding(self) -> bool:
        return self._rebuilding

    def was_reset(self) -> None:
        self._resets += 1

    def summarize_soon(self) -> None:
        """After the story grew: folds what scrolled out of the window into the summary."""
        if not self._summarizing:
            self._summarizing = True
            self._spawn(self._summarize(self._resets))

    def rebuild_soon(self) -> None:
        """The channel's lessons have no adapter for the present weights: trains one."""
        if not self._rebuilding:
            self._rebuilding = True
            self._spawn(self._rebuild(self._resets))

    async def scrolled_out(self) -> int:
        """How many characters from the story's start lie before what the window certainly shows."""
        turns = await self._store.recent(self._channel, MAX_FOLD)
        text = "".join(turn.text for turn in turns)
        return turns[0].chars_before + self._worker.visible_from(text, TEXT_SHARE) if turns else 0

    async def _summarize(self, resets: int) -> None:
        try:
            await self._fold(resets)
        except (EngineError, StoreError) as error:
            log.info("channel %d: no summary this time: %s", self._channel, error)
        finally:
            self._summarizing = False

    async def _fold(self, resets: int) -> None:
        story = await self._store.story(self._channel)
        if story is None or story.head is None:
            return
        previous, covers = summary_of(await self._store.summary(self._channel))
        turns = await self._store.recent(self._channel, MAX_FOLD)
        text, begin = "".join(turn.text for turn in turns), turns[0].chars_before
        cut = begin + self._worker.visible_from(text, TEXT_SHARE)
        if cut - covers < self._worker.engine_info.block_size // 2:  # too little to be worth a job
            return
        summary = await self._worker.summarize(text[max(covers - begin, 0) : cut - begin], previous).result()
        async with self._lock:
            if self._resets == resets and await self._is_on_path(story.id, story.head, story.turns):
                await self._store.put_summary(self._channel, story.head, cut, summary.to_json())

    async def _is_on_path(self, story_id: int, turn: int, depth: int) -> bool:
        """Whether `turn`, the `depth`-th of its path, still leads to the head."""
        story = await self._store.story(self._channel)
        if story is None or story.id != story_id or story.turns < depth:
            return False
        path = await self._store.path(self._channel, story.turns - depth + 1)
        return bool(path) and path[0].id == turn

    async def _rebuild(self, resets: int) -> None:
        try:
            await self._learn_anew(resets)
        except (EngineError, StoreError) as error:
            log.warning("channel %d: the lessons were not learnt anew: %s", self._channel, error)
        finally:
            self._rebuilding = False

    async def _learn_anew(self, resets: int) -> None:
        lessons = lessons_of(await self._store.lessons(self._channel))
        attempt = (self._worker.engine_info.base_id, digest(lessons))
        if not lessons or attempt == self._hopeless:
            return
        try:
            taught = await self._worker.teach(lessons, background=True).result()
        except (QueueFullError, EngineClosedError):
            raise
        except EngineError:
            self._hopeless = attempt
            raise
        async with self._lock:
            current = digest(lessons_of(await self._store.lessons(self._channel)))
            if self._resets == resets and current == attempt[1]:
                await self._store.put_adapter(
                    self._channel, base_id=taught.base_id, lessons_digest=current, blob=taught.adapter
                )
