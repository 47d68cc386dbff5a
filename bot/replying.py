"""How a reply comes about: what the model sees, what of lessons and style fits it, and what of the reply is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from bot.branching import BranchingChannel
from bot.channel import Sink
from bot.manuscript import continued, visible
from bot.memories import CHARS_PER_TOKEN, Lore
from bot.modes import LAST_LINE, ONE_WORD, first_word, for_one_word, has_word, last_line
from bot.rating import Rating
from bot.rules import Checkpoint
from engine.errors import AdapterError
from engine.outcome import Generated
from engine.prompt import Context, memory_text
from engine.recollection import MOST_PAST_CHARS
from engine.sampling import SamplingParams
from memory import Story, Turn

Length = Literal["short", "medium", "long"]
LENGTHS: dict[Length, float] = {"short": 0.4, "medium": 1.0, "long": 2.0}  # of the channel's own

STALE = "Lessons being learnt anew for these weights: {missing} of {lessons}; this was written without them."
NO_STYLE = "The style pack {name} cannot be used now, so this was written without it: choose another, or none."
NOTHING = "The model had nothing to add: ask it to continue."
STOPPED = "Stopped before a word was written."


def sized(sampling: SamplingParams, length: Length, window: int) -> SamplingParams:
    """The same for a reply of this length; at least half of the window stays for what it goes on from."""
    asked = max(1, round(sampling.max_new_tokens * LENGTHS[length]))
    most = max(sampling.max_new_tokens, window // 2)
    return replace(sampling, max_new_tokens=min(asked, most), min_new_tokens=min(sampling.min_new_tokens, asked))


class ReplyingChannel(BranchingChannel):
    async def _recent(self, extra: int = 0) -> tuple[Story, list[Turn]]:
        """The story and its last turns: those that the window holds, and in the first of them also what stands before
        it and can be recalled."""
        chars = self._fetched + extra * CHARS_PER_TOKEN
        story, turns = await self._story(), await self._store.recent(self.channel, chars)
        return story, await self._pasts.before(self._store, self.channel, turns, chars + MOST_PAST_CHARS)

    def _check_style(self, name: str | None) -> None:
        """Raises `InputError` or `AdapterError` where a style pack is asked for that cannot be used."""
        if name is not None:
            self._styles.check(name)

    async def _reply(
        self,
        story: Story,
        turns: Sequence[Turn],
        text: str,
        sink: Sink,
        length: Length = "medium",
        style: str | None = None,
    ) -> tuple[str, Generated, str | None]:
        """What the model writes behind `text`, which begins with these turns; how, and a notice for whoever asked."""
        place = await self._rating.begin(story)
        context = await self._context(story, turns[0].chars_before if turns else 0, text)
        lore = await self._lore(style)
        rating = await self._lowest(story, context, lore)
        begin, mature = turns[0].chars_before if turns else 0, rating is Rating.MATURE
        said = [turn.text for turn in turns]
        # In a thread: a long text takes as long as many other requests of the loop.
        await asyncio.to_thread(self._require_context, context, begin, text, said, mature=mature)
        sampling = sized(self._sampling, length, self._worker.engine_info.block_size)
        if word := story.mode == ONE_WORD:
            sampling = for_one_word(sampling)
        used, reply, generated = await self._stream_what_fits(context, lore, sampling, sink, rating, word=word)
        await self._rating.still(place)
        notices = []
        waiting = [row for row in lore.lessons if row.id not in used.units and not self._upkeep.gave_up(row.id)]
        if waiting:
            notices.append(STALE.format(missing=len(waiting), lessons=len(lore.lessons)))
            damaged = len(used.units) < len(lore.units) and lore.base_id == self._worker.engine_info.base_id
            self._upkeep.rebuild_soon(doubted=damaged)
        if lore.style is not None and used.style_file is None:
            notices.append(NO_STYLE.format(name=lore.style))
        if not reply:
            notices = [STOPPED if generated.finish_reason == "cancelled" else NOTHING]
        return reply, generated, " ".join(notices) or None

    def _require_context(self, context: Context, begin: int, text: str, turns: Sequence[str], *, mature: bool) -> None:
        """What the model is about to see passes the rules of today. Raises `RefusedError`."""
        where, at = "the story so far", Checkpoint.CONTEXT
        for seen in (memory_text(context.pins, context.summary), context.note):
            self._rules.require(seen, where, at=at, mature=mature)
        self._rules.require(
            context.text, where, context.past[-self._rules.looks_back :], at=at, mature=mature, seam=False
        )
        self._rules.require_seams(turns, where, at=at, mature=mature)
        if context.past:
            begin += text.rfind(context.past, 0, len(text) - len(context.text))
            self._rules.require_long(context.past, where, begin, at=at, mature=mature)

    async def _stream_what_fits(
        self, context: Context, lore: Lore, sampling: SamplingParams, sink: Sink, rating: Rating, *, word: bool
    ) -> tuple[Lore, str, Generated]:
        """The reply, and with what of the lore: without the units or the style that the weights refuse.

        They do where they were swapped while this waited, or where a blob or a file is damaged.
        """
        styles = dict.fromkeys([lore.style_file, None])
        *attempts, bare = [replace(lore, units=units, style_file=file) for file in styles for units in (lore.units, {})]
        for fitting in attempts:
            with suppress(AdapterError):
                return fitting, *await self._stream(context, fitting, sampling, sink, rating, word=word)
        return bare, *await self._stream(context, bare, sampling, sink, rating, word=word)

    async def _stream(
        self, context: Context, lore: Lore, sampling: SamplingParams, sink: Sink, rating: Rating, *, word: bool
    ) -> tuple[str, Generated]:
        """With `word`, the reply is the first word that is written."""
        rules = self._rules.stream(context.text, mature=rating is Rating.MATURE)
        passed = ""
        adapters = list(lore.units.values())
        job = self._worker.generate(
            context,
            sampling,
            adapters=adapters,
            always_on=lore.always_on,
            style=lore.style_file,
            line=self.channel,
        )
        async with self._running(job, sink):
            async for piece in job:
                if fresh := rules.push(visible(piece)):
                    passed += fresh
                    if word and has_word(passed):
                        job.cancel()
                    elif shown := continued(context.text, passed).rstrip():
                        await sink.show(shown)
            generated = await job.result()
            passed += rules.finish()
        reply = continued(context.text, passed).rstrip()
        return (first_word(reply) if word else reply), generated


class _Unseen:
    """A sink for a reply that is not to be watched while it is written."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def queued(self, position: int, expected_wait: float) -> None:
        await self._sink.queued(position, expected_wait)

    async def show(self, text: str) -> None:
        """Nobody sees it."""

    async def finish(self, text: str) -> None:
        """It is finished by who knows what of it may be seen."""


def watched(story: Story, sink: Sink) -> Sink:
    """The sink, as far as the reply may be seen while it is written."""
    return _Unseen(sink) if story.mode in (ONE_WORD, LAST_LINE) else sink


def shown(story: Story, before: str, text: str, reply: str) -> str:
    """What is shown of a member's text and the model's reply to it."""
    return last_line(before + text + reply) if story.mode in (ONE_WORD, LAST_LINE) else reply
