"""What a channel's memory needs behind the replies: what stands for text that scrolled out, and lessons learnt anew.

All of it runs as background jobs of the engine, behind everybody's requests; a failure is logged and costs no reply.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from bot.budgets import Budgets
from engine.errors import AdapterError, EngineClosedError, EngineError, PromptError, QueueFullError
from engine.lesson import Lesson
from engine.summary import Summary
from engine.worker import Worker
from memory import LessonRow, Store, StoreError, Story, SummaryRow

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], None]  # starts a task and keeps it

PAUSED = "memory.paused"  # a setting of the channel
FORGOTTEN = "memory.forgotten.{}"  # of a story, by its id: how many of its first characters a reset took from memory
TEXT_SHARE = 0.5  # of the window: text behind this is certainly seen, whatever pins and summary take
CHARS_PER_TOKEN = 6  # of text that is fetched to see where the window begins
MAX_FOLD = 50_000  # characters that one summary job reads
REMEMBERED = 20_000  # characters that memory vectors stand for, as many as they have room for
REMEMBERED_AT_ONCE = 2_000  # of them, in one job: half a second, which is what a reply may have to wait


def scope(channel: int) -> str:
    """Of a channel's settings in the store."""
    return f"channel:{channel}"


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
    """Of one channel. `lock` is the channel's: what scrolled out is stored under it."""

    def __init__(
        self,
        channel: int,
        store: Store,
        worker: Worker,
        lock: asyncio.Lock,
        spawn: Spawn,
        budgets: Callable[[], Budgets],
    ) -> None:
        self._channel, self._store, self._worker, self._lock, self._spawn = channel, store, worker, lock, spawn
        self._budgets = budgets
        self._resets = 0  # a summary that was begun before a reset is dropped
        self._to_remember = self._remembering = False
        self._rebuilding = False
        self._hopeless: dict[tuple[str, int], str] = {}  # base and lesson that it could not learn, and why
        self._doubted: set[str] = set()  # bases whose units were all made anew once, as some were damaged

    @property
    def rebuilding(self) -> bool:
        return self._rebuilding

    def was_reset(self) -> None:
        self._resets += 1

    # What scrolled out

    def remember_soon(self) -> None:
        """After the story grew: folds what scrolled out of the window into the summary, and has the weights remember
        it in vectors of their own, unless that is paused."""
        self._to_remember = True
        if not self._remembering:
            self._remembering = True
            self._spawn(self._remember())

    async def scrolled_out(self) -> int:
        """How many characters from the story's start lie before what the window certainly shows."""
        turns = await self._store.recent(self._channel, self._worker.engine_info.block_size * CHARS_PER_TOKEN)
        text = "".join(turn.text for turn in turns)
        return turns[0].chars_before + self._worker.visible_from(text, TEXT_SHARE) if turns else 0

    async def _remember(self) -> None:
        try:
            while self._to_remember:
                self._to_remember = False
                while await self._fold():
                    pass
                await self._write_vectors()
        except (EngineError, StoreError) as error:
            log.info("channel %d: not all that scrolled out is remembered: %s", self._channel, error)
        finally:
            self._remembering = False

    async def _fold(self) -> bool:
        """Folds the next part of what scrolled out into the summary that holds; whether there is anything left to do.

        What changed meanwhile wins: a summary that a person wrote is never covered by one that knew nothing of it.
        """
        resets = self._resets
        story, row = await self._store.story(self._channel), await self._store.summary(self._channel)
        if story is None or story.head is None or await self._paused():
            return False
        previous, covers = summary_of(row)
        covers = max(covers, await self._forgotten(story))  # a summary that said so may have gone with a person
        left = min(await self.scrolled_out(), story.chars) - covers
        if left < self._worker.engine_info.block_size // 2:  # too little to be worth a job
            return False
        text = await self._store.passage(self._channel, covers, covers + min(left, MAX_FOLD))
        if left > MAX_FOLD:
            text = text[: max(text.rfind(" "), text.rfind("\n")) + 1] or text
        share = self._budgets().folded_share
        summary = await self._worker.summarize(text, previous, share=share, line=self._channel).result()
        async with self._lock:
            if self._resets != resets or await self._paused():
                return False
            holding = await self._store.summary(self._channel)
            if _id(holding) == _id(row) and await self._still_says(story, covers, text):
                assert story.head is not None
                await self._store.put_summary(self._channel, story.head, covers + len(text), summary.to_json())
        return True

    async def _write_vectors(self) -> None:
        """Has the present weights remember what scrolled out since they last did, or the end of it where they never
        did or that is long ago. What changed meanwhile wins, as in a fold; the next time makes up for it."""
        resets, base = self._resets, self._worker.engine_info.base_id
        story, row = await self._store.story(self._channel), await self._store.vectors(self._channel, base)
        if story is None or story.head is None or await self._paused():
            return
        end = min(await self.scrolled_out(), story.chars)
        begin, blob = (await self._forgotten(story), None) if row is None else (row.covers, row.blob)
        if end - begin < REMEMBERED_AT_ONCE:
            return
        if end - begin > REMEMBERED:
            begin, blob = end - REMEMBERED, None
        text = await self._store.passage(self._channel, begin, end)
        for at in range(0, len(text), REMEMBERED_AT_ONCE):
            part = text[at : at + REMEMBERED_AT_ONCE]
            try:
                blob = await self._worker.remember(part, blob, line=self._channel).result()
            except AdapterError:  # what was remembered cannot be read: from here on anew
                blob = await self._worker.remember(part, None, line=self._channel).result()
        async with self._lock:
            if self._resets != resets or self._worker.engine_info.base_id != base or await self._paused():
                return
            if blob is not None and await self._still_says(story, begin, text):
                await self._store.put_vectors(self._channel, story.head, base, end, blob)

    async def _forgotten(self, story: Story) -> int:
        """How many characters from the story's start a reset took from memory."""
        return int(await self._store.setting(scope(self._channel), FORGOTTEN.format(story.id)) or 0)

    async def _paused(self) -> bool:
        return await self._store.setting(scope(self._channel), PAUSED) is not None

    async def _still_says(self, before: Story, begin: int, text: str) -> bool:
        """Whether the story still leads over the head that it had, and has this text at `begin`: a turn may have been
        undone or a person deleted since it was read."""
        story = await self._store.story(self._channel)
        if story is None or story.id != before.id or story.turns < before.turns:
            return False
        path = await self._store.path(self._channel, story.turns - before.turns + 1)
        on_path = bool(path) and path[0].id == before.head
        return on_path and await self._store.passage(self._channel, begin, begin + len(text)) == text

    # Lessons

    def rebuild_soon(self, *, doubted: bool = False) -> None:
        """Learns what the present weights have not learnt of the channel's lessons, one lesson after the other.

        With `doubted` all of them, since what the weights have learnt cannot be read; only once for each weights.
        """
        base = self._worker.engine_info.base_id
        again = doubted and base not in self._doubted
        if again:
            self._doubted.add(base)
        if not self._rebuilding:
            self._rebuilding = True
            self._spawn(self._rebuild(again))

    def gave_up(self, lesson: int) -> str | None:
        """Why the present weights cannot learn this lesson; None where they have not tried, or can."""
        return self._hopeless.get((self._worker.engine_info.base_id, lesson))

    async def _rebuild(self, again: bool) -> None:
        try:
            doubted = {row.id for row in await self._store.lessons(self._channel)} if again else set()
            while (row := await self._to_learn(doubted)) is not None:
                doubted.discard(row.id)
                await self._learn(row)
        except (EngineError, StoreError) as error:
            log.warning("channel %d: the lessons were not learnt anew: %s", self._channel, error)
        finally:
            self._rebuilding = False

    async def _to_learn(self, doubted: set[int]) -> LessonRow | None:
        base = self._worker.engine_info.base_id
        learnt = (await self._store.units(self._channel, base)).keys() - doubted
        rows = await self._store.lessons(self._channel)
        return next((row for row in rows if row.id not in learnt and not self.gave_up(row.id)), None)

    async def _learn(self, row: LessonRow) -> None:
        base = self._worker.engine_info.base_id
        try:
            lesson = Lesson(row.prompt, row.answer)
            taught = await self._worker.teach(lesson, background=True, line=self._channel).result()
        except (QueueFullError, EngineClosedError):
            raise
        except EngineError as error:
            self._hopeless[base, row.id] = str(error)
            log.warning("channel %d: lesson %d was not learnt anew: %s", self._channel, row.id, error)
        else:
            await self._store.put_units(row.id, taught.base_id, taught.adapter)


def _id(row: SummaryRow | None) -> int | None:
    return None if row is None else row.id
