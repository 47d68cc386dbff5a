"""A channel's story: what can be done in a channel, whatever the channel is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.branching import Tries
from bot.channel import Sink
from bot.errors import InputError
from bot.exports import Form, exported, file_name
from bot.manuscript import MAX_TITLE, as_choices, behind, in_turns, manuscript, typed, visible
from bot.memories import MAX_KEY, MAX_KEYS, MAX_LESSON, MAX_PIN
from bot.modes import (
    FREE,
    LAST_LINE,
    MAX_LINE,
    ONE_WORD,
    last_line,
    one_word,
    plays_alone,
    require_another,
    word_behind,
)
from bot.rating import Rating
from bot.replying import Length, ReplyingChannel, shown, watched
from bot.sharing import SEALED
from bot.sight import MemoryView
from bot.turns import handed_on, patience_of
from engine.outcome import Generated
from memory import Author, Mode, NewTurn, Story, Turn

__all__ = ["MAX_KEY", "MAX_KEYS", "MAX_LESSON", "MAX_PIN", "ChannelSession", "Length", "MemoryView", "Reply", "Sink"]

WAYS = 3  # to go on, of which one is chosen


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


class ChannelSession(ReplyingChannel):
    """One at a time may change a channel; `stop` and what only reads do not wait. Made by `Services.session`."""

    async def story(self) -> Story | None:
        return await self._store.story(self.channel)

    def checked(self, title: str, premise: str, rating: Rating = Rating.MATURE) -> tuple[str, str]:
        """Title and premise as a story of this rating can have them; the premise may be empty.

        Raises `InputError`, `RefusedError`.
        """
        title = typed(title, what="The title", limit=MAX_TITLE, one_line=True)
        premise = typed(premise, what="The premise") if visible(premise).strip() else ""
        self._rules.require(f"{title}\n{premise}", mature=rating is Rating.MATURE)
        return title, premise

    async def require_startable(self, title: str, premise: str, minutes: float | None) -> None:
        """Raises what `start` would raise now."""
        patience_of(minutes)
        self.checked(title, premise, await self._rating.begin())

    async def start(
        self, title: str, premise: str, author: Author, mode: Mode = FREE, minutes: float | None = None
    ) -> Story:
        """A new story; the old one stays in the file. `minutes` is the time of a turn, where there are turns.

        Raises `InputError`, `RefusedError`.
        """
        patience = patience_of(minutes)
        async with self._lock:
            rating = await self._rating.begin()
            title, premise = self.checked(title, premise, rating)
            story = await self._store.start_story(
                self.channel,
                guild=self.guild,
                title=title,
                premise=premise,
                author=author,
                mode=mode,
                patience=patience,
            )
            await self._rating.made("stories", story.id, rating)
        return story

    async def write(
        self, text: str | None, author: Author, sink: Sink, length: Length = "medium", style: str | None = None
    ) -> Reply:
        """The member's text (none: continue) and the model's reply, stored together once the sink has finished.

        `length` and `style`, the name of a pack, are those of the reply, for this once. Raises `InputError`,
        `RefusedError`, `EngineError`, `StoreError`; then, and if cancelled, nothing is stored.
        """
        text = None if text is None else typed(text, what="Your text")
        self._check_style(style)
        self._charge(author)
        async with self._turn(sink):
            story, turns = await self._recent()
            table = await self._seat(story, author)
            rating = await self._rating.begin(story)
            answers = text is None or story.mode != ONE_WORD or plays_alone(turns, author)
            before = "".join(turn.text for turn in turns)
            new: list[NewTurn] = []
            if story.mode == ONE_WORD:
                require_another(turns, None if text is None else author)
            if text is not None:
                text = word_behind(before, one_word(text)) if story.mode == ONE_WORD else behind(before, text)
                self._rules.require(text, before=before, mature=rating is Rating.MATURE)
                new = [NewTurn(author, "member", text)]
            reply, generated, notice = "", None, None
            if answers:
                reply, generated, notice = await self._reply(
                    story, turns, before + (text or ""), watched(story, sink), length, style
                )
            if reply:
                new.append(NewTurn(None, "model", reply))
            await sink.finish(shown(story, before, text or "", reply))
            stored: list[Turn] = []
            if new:
                after = None if table is None else handed_on(table, self._clock())
                stored = await self._store.append(self.channel, new, after=story.head, table=after)
        self._upkeep.remember_soon()
        return Reply(stored, generated, notice)

    async def retry(self, author: Author, sink: Sink, length: Length = "medium", style: str | None = None) -> Reply:
        """Another reply in place of the last one, which stays in the tree. Raises as `write` does."""
        self._check_style(style)
        self._charge(author)
        async with self._turn(sink):
            story, turns = await self._recent(extra=self._sampling.max_new_tokens)
            await self._seat(story, author)
            if story.head is None or turns[-1].kind != "model":
                raise InputError(
                    "The last words are not the model's, so there is no reply to try again: continue instead."
                )
            before = "".join(turn.text for turn in turns[:-1])
            reply, generated, notice = await self._reply(story, turns, before, watched(story, sink), length, style)
            await sink.finish(shown(story, before, "", reply))
            stored: list[Turn] = []
            if reply:
                stored = [await self._store.add_sibling(self.channel, story.head, NewTurn(None, "model", reply))]
        self._upkeep.remember_soon()
        return Reply(stored, generated, notice)

    async def propose(self, sink: Sink, author: Author | None = None) -> list[Turn]:
        """Several short replies, all of them tries of what comes next; the first one holds until another is chosen.

        Raises as `write` does, and `InputError` where there are fewer than two.
        """
        self._charge(author, WAYS)
        async with self._turn(sink):
            story, turns = await self._recent()
            table = await self._seat(story, author)
            if story.mode == ONE_WORD:
                require_another(turns, None)
            before = "".join(turn.text for turn in turns)
            texts: list[str] = []
            for _ in range(WAYS):
                among = watched(story, _Among(texts, sink))
                reply, generated, _ = await self._reply(story, turns, before, among, "short")
                if reply and reply not in texts:
                    texts.append(reply)
                if generated.finish_reason == "cancelled" and story.mode != ONE_WORD:
                    break
            if len(texts) < 2:
                raise InputError("There is no choice to make, as the model has one way to go on: continue instead.")
            await sink.finish(as_choices([shown(story, before, "", text) for text in texts]))
            after = None if table is None else handed_on(table, self._clock())
            first = NewTurn(None, "model", texts[0])
            stored = await self._store.append(self.channel, [first], after=story.head, table=after)
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

    async def undo(self, by: Author | None = None) -> list[Turn]:
        """Takes the last step back and gives its turns; with `by`, only if that one has the turn.

        Raises `InputError`, `NothingToUndoError`, `NoStoryError`.
        """
        async with self._lock:
            await self._seat(await self._story(), by)
            return await self._seen_step(await self._store.undo(self.channel))

    async def redo(self, by: Author | None = None) -> list[Turn]:
        """With `by`, only if that one has the turn. Raises `InputError`, `NothingToRedoError`, `NoStoryError`."""
        async with self._lock:
            await self._seat(await self._story(), by)
            return await self._seen_step(await self._store.redo(self.channel))

    async def tail(self, max_chars: int) -> list[Turn]:
        """The last turns of the story as members may see them, whole ones; none without a story."""
        if not await self.sealed():
            return await self._store.recent(self.channel, max_chars)
        turns = await self._store.recent(self.channel, MAX_LINE)
        return [replace(turn, text=last_line("".join(one.text for one in turns))) for turn in turns[-1:]]

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
        if found.mode == LAST_LINE and not found.finished:
            raise InputError(SEALED)
        turns, model = await self._store.turns_of_story(found.id), self._worker.engine_info.name
        return file_name(found, form), await asyncio.to_thread(exported, found, turns, model, form)

    async def bring(self, text: str, author: Author, *, title: str | None = None, file: str = "") -> Story:
        """A new story of a text that somebody brings, cut into turns.

        Without a title it takes the text's own heading, else the name of the file. Raises `InputError`, `RefusedError`.
        """
        heading, text = await asyncio.to_thread(manuscript, text)
        named = title or (heading or visible(file))[:MAX_TITLE]
        title = typed(named, what="The title", limit=MAX_TITLE, one_line=True)
        async with self._lock:
            rating = await self._rating.begin()
            mature = rating is Rating.MATURE
            await asyncio.to_thread(self._rules.require, f"{title}\n{text}", "the text", mature=mature)
            story = await self._store.import_story(
                self.channel, guild=self.guild, title=title, texts=in_turns(text), author=author
            )
            await self._rating.made("stories", story.id, rating)
        self._upkeep.remember_soon()
        return story
