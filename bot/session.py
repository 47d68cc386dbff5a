"""A channel's story: what can be done in a channel, whatever the channel is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from bot.branching import BranchingChannel, Tries
from bot.channel import Sink
from bot.errors import InputError
from bot.exports import Form, exported, file_name
from bot.manuscript import MAX_TITLE, as_choices, behind, continued, in_turns, manuscript, typed, visible
from bot.memories import CHARS_PER_TOKEN, MAX_KEY, MAX_KEYS, MAX_LESSON, MAX_PIN, Lore
from bot.sight import MemoryView
from engine.errors import AdapterError
from engine.outcome import Generated
from engine.prompt import Context, memory_text
from engine.recollection import MOST_PAST_CHARS
from engine.sampling import SamplingParams
from memory import Author, NewTurn, Story, Turn

__all__ = ["MAX_KEY", "MAX_KEYS", "MAX_LESSON", "MAX_PIN", "ChannelSession", "MemoryView", "Reply", "Sink"]

Length = Literal["short", "medium", "long"]
LENGTHS: dict[Length, float] = {"short": 0.4, "medium": 1.0, "long": 2.0}  # of the channel's own

WAYS = 3  # to go on, of which one is chosen

STALE = "Lessons being learnt anew for these weights: {missing} of {lessons}; this was written without them."
NO_STYLE = "The style pack {name} cannot be used now, so this was written without it: choose another, or none."
NOTHING = "The model had nothing to add: ask it to continue."
STOPPED = "Stopped before a word was written."


def sized(sampling: SamplingParams, length: Length, window: int) -> SamplingParams:
    """The same for a reply of this length; at least half of the window stays for what it goes on from."""
    asked = max(1, round(sampling.max_new_tokens * LENGTHS[length]))
    most = max(sampling.max_new_tokens, window // 2)
    return replace(sampling, max_new_tokens=min(asked, most), min_new_tokens=min(sampling.min_new_tokens, asked))


class _Among:
    """A sink for one of several replies, which shows it behind those there are."""

    def __init__(self, texts: Sequence[str], sink: Sink) -> None:
        self._texts, self._sink = texts, sink

    async def queued(self, position: int, expected_wait: float) -> None:
        await self._sink.queued(position, expected_wait)

    async def show(self, text: str) -> None:
        await self._sink.show(as_choices([*self._texts, text]))

    async def finish(self, text: str) -> None:
        """They are finished together."""


@dataclass(frozen=True)
class Reply:
    turns: list[Turn]  # that were stored: the member's, the model's; either may be missing
    generated: Generated | None
    notice: str | None  # a sentence or two for whoever asked


class ChannelSession(BranchingChannel):
    """One at a time may change a channel; `stop` and what only reads do not wait. Made by `Services.session`."""

    async def story(self) -> Story | None:
        return await self._store.story(self.channel)

    async def start(self, title: str, premise: str, author: Author) -> Story:
        """A new story; the old one stays in the file. The premise may be empty. Raises `InputError`, `RefusedError`."""
        title = typed(title, what="The title", limit=MAX_TITLE, one_line=True)
        premise = typed(premise, what="The premise") if visible(premise).strip() else ""
        self._rules.require(f"{title}\n{premise}")
        async with self._lock:
            return await self._store.start_story(
                self.channel, guild=self.guild, title=title, premise=premise, author=author
            )

    async def write(self, text: str | None, author: Author, sink: Sink, length: Length = "medium") -> Reply:
        """The member's text (none: continue) and the model's reply, stored together once the sink has finished.

        `length` is that of the reply, for this once. Raises `InputError`, `RefusedError`, `EngineError`, `StoreError`;
        then, and if cancelled, nothing is stored.
        """
        text = None if text is None else typed(text, what="Your text")
        async with self._turn(sink):
            story, turns = await self._recent()
            before = "".join(turn.text for turn in turns)
            new: list[NewTurn] = []
            if text is not None:
                text = behind(before, text)
                self._rules.require(text, before=before)
                new = [NewTurn(author, "member", text)]
            reply, generated, notice = await self._reply(story, turns, before + (text or ""), sink, length)
            if reply:
                new.append(NewTurn(None, "model", reply))
            await sink.finish(reply)
            stored = await self._store.append(self.channel, new, after=story.head) if new else []
        self._upkeep.remember_soon()
        return Reply(stored, generated, notice)

    async def retry(self, author: Author, sink: Sink) -> Reply:
        """Another reply in place of the last one, which stays in the tree. Raises as `write` does."""
        async with self._turn(sink):
            story, turns = await self._recent(extra=self._sampling.max_new_tokens)
            if story.head is None or turns[-1].kind != "model":
                raise InputError(
                    "The last words are not the model's, so there is no reply to try again: continue instead."
                )
            before = "".join(turn.text for turn in turns[:-1])
            reply, generated, notice = await self._reply(story, turns, before, sink)
            await sink.finish(reply)
            stored: list[Turn] = []
            if reply:
                stored = [await self._store.add_sibling(self.channel, story.head, NewTurn(None, "model", reply))]
        self._upkeep.remember_soon()
        return Reply(stored, generated, notice)

    async def propose(self, sink: Sink) -> list[Turn]:
        """Several short replies, all of them tries of what comes next; the first one holds until another is chosen.

        Raises as `write` does, and `InputError` where there are fewer than two.
        """
        async with self._turn(sink):
            story, turns = await self._recent()
            before = "".join(turn.text for turn in turns)
            texts: list[str] = []
            for _ in range(WAYS):
                reply, generated, _ = await self._reply(story, turns, before, _Among(texts, sink), "short")
                if reply and reply not in texts:
                    texts.append(reply)
                if generated.finish_reason == "cancelled":
                    break
            if len(texts) < 2:
                raise InputError("There is no choice to make, as the model has one way to go on: continue instead.")
            await sink.finish(as_choices(texts))
            stored = await self._store.append(self.channel, [NewTurn(None, "model", texts[0])], after=story.head)
            for text in texts[1:]:
                turn = NewTurn(None, "model", text)
                stored.append(await self._store.add_sibling(self.channel, stored[-1].id, turn))
            await self._store.go_to(self.channel, stored[0].id)
        self._upkeep.remember_soon()
        return stored

    async def choose(self, first: int, number: int) -> Tries:
        """Of what was proposed, has the reply of this number hold; `first` is the turn of number 1.

        Raises `InputError`, `NoStoryError`, `HeadMovedError`.
        """
        tries = await self.tries()
        before = 0 if tries is None else next((i for i, turn in enumerate(tries.turns) if turn.id == first), 0)
        return await self.pick(before + number, of=first)

    async def undo(self) -> list[Turn]:
        """Takes the last step back and gives its turns. Raises `NothingToUndoError`, `NoStoryError`."""
        async with self._lock:
            return await self._store.undo(self.channel)

    async def redo(self) -> list[Turn]:
        """Raises `NothingToRedoError`, `NoStoryError`."""
        async with self._lock:
            return await self._store.redo(self.channel)

    async def tail(self, max_chars: int) -> list[Turn]:
        """The last turns of the story, whole ones; none without a story."""
        return await self._store.recent(self.channel, max_chars)

    async def export(self, form: Form = "markdown", story: int | None = None) -> tuple[str, bytes]:
        """The whole story under way, or any of the channel's, as a file's name and content.

        Raises `NoStoryError`, `InputError`.
        """
        if story is None:
            found = await self._story()
        elif (one := next((one for one in await self.stories() if one.id == story), None)) is not None:
            found = one
        else:
            raise InputError(f"There is no story {story} in this channel: look at the list and choose another.")
        turns, model = await self._store.turns_of_story(found.id), self._worker.engine_info.name
        return file_name(found, form), await asyncio.to_thread(exported, found, turns, model, form)

    async def bring(self, text: str, author: Author, *, title: str | None = None, file: str = "") -> Story:
        """A new story of a text that somebody brings, cut into turns.

        Without a title it takes the text's own heading, else the name of the file. Raises `InputError`, `RefusedError`.
        """
        heading, text = await asyncio.to_thread(manuscript, text)
        named = title or (heading or visible(file))[:MAX_TITLE]
        title = typed(named, what="The title", limit=MAX_TITLE, one_line=True)
        await asyncio.to_thread(self._rules.require, f"{title}\n{text}", "the text")
        async with self._lock:
            story = await self._store.import_story(
                self.channel, guild=self.guild, title=title, texts=in_turns(text), author=author
            )
        self._upkeep.remember_soon()
        return story

    # How a reply comes about

    async def _recent(self, extra: int = 0) -> tuple[Story, list[Turn]]:
        """The story and its last turns: what the window holds, and before that what can be recalled."""
        chars = self._fetched + MOST_PAST_CHARS + extra * CHARS_PER_TOKEN
        return await self._story(), await self._store.recent(self.channel, chars)

    async def _reply(
        self, story: Story, turns: Sequence[Turn], text: str, sink: Sink, length: Length = "medium"
    ) -> tuple[str, Generated, str | None]:
        """What the model writes behind `text`, which begins with these turns; how, and a notice for whoever asked."""
        context = await self._context(story, turns[0].chars_before if turns else 0, text)
        seen = "\n".join((memory_text(context.pins, context.summary), context.text, context.note))
        self._rules.require(seen, "the story so far")
        lore = await self._lore()
        sampling = sized(self._sampling, length, self._worker.engine_info.block_size)
        used, reply, generated = await self._stream_what_fits(context, lore, sampling, sink)
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

    async def _stream_what_fits(
        self, context: Context, lore: Lore, sampling: SamplingParams, sink: Sink
    ) -> tuple[Lore, str, Generated]:
        """The reply, and with what of the lore: without the units or the style that the weights refuse.

        They do where they were swapped while this waited, or where a blob or a file is damaged.
        """
        styles = dict.fromkeys([lore.style_file, None])
        *attempts, bare = [replace(lore, units=units, style_file=file) for file in styles for units in (lore.units, {})]
        for fitting in attempts:
            with suppress(AdapterError):
                return fitting, *await self._stream(context, fitting, sampling, sink)
        return bare, *await self._stream(context, bare, sampling, sink)

    async def _stream(
        self, context: Context, lore: Lore, sampling: SamplingParams, sink: Sink
    ) -> tuple[str, Generated]:
        rules = self._rules.stream(context.text)
        passed = ""
        adapters = list(lore.units.values())
        job = self._worker.generate(
            context, sampling, adapters=adapters, always_on=lore.always_on, style=lore.style_file
        )
        async with self._running(job, sink):
            async for piece in job:
                if fresh := rules.push(visible(piece)):
                    passed += fresh
                    if shown := continued(context.text, passed).rstrip():
                        await sink.show(shown)
            generated = await job.result()
            passed += rules.finish()
        return continued(context.text, passed).rstrip(), generated
