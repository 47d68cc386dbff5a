"""How those who write a channel's story share it: its mode, its table, and what of it may be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot import turns
from bot.errors import InputError
from bot.memories import RememberingChannel
from bot.modes import LAST_LINE, ROUND_ROBIN, covered, last_line
from bot.sight import MemoryView
from engine.summary import Summary
from memory import Author, Mode, Story, SummaryRow, Table, Turn

NOT_HOST = "Only who started this story, or a keeper, can do that: ask one of them."
NO_TABLE = "This story has no table, as its mode is {mode}: /story mode changes that."
SEALED = "Only the last line of this story is seen until /story finish, so this can be had only then."


@dataclass(frozen=True)
class Standing:
    """How a story is shared at present."""

    mode: Mode
    table: Table  # as it is now; empty in other modes than round robin
    wait: float | None  # seconds until the turn is handed on by itself


class SharedChannel(RememberingChannel):
    """`keeps` says that whoever asks is a keeper; the host is who started the story."""

    async def standing(self) -> Standing | None:
        """None without a story."""
        story = await self._store.story(self.channel)
        if story is None:
            return None
        table = await self._table(story)
        end = turns.due(table)
        return Standing(story.mode, table, None if end is None else max(0.0, end - self._clock()))

    async def settle(self) -> None:
        """Stores what has become of the table by time, so that the next process finds it so."""
        async with self._lock:
            story = await self._store.story(self.channel)
            if story is not None and story.mode == ROUND_ROBIN:
                await self._store.put_table(self.channel, await self._table(story))

    async def set_mode(self, mode: Mode, minutes: float | None, who: Author, *, keeps: bool) -> Story:
        """Has the story be shared otherwise from now on; `minutes` is the time of a turn, None the one it was.

        Those at the table stay there, and a turn begins anew. Raises `InputError`, `NoStoryError`.
        """
        patience = turns.patience_of(minutes)
        async with self._lock:
            _require_host(await self._story(), who, keeps=keeps)
            story = await self._noting(who, "story.mode", mode).set_mode(self.channel, mode)
            await self._begin_turn(patience)
        return story

    # The table

    async def join(self, who: Author) -> None:
        """Raises `InputError`, `NoStoryError`."""
        await self._change(lambda table: turns.joined(table, who, self._clock()))

    async def leave(self, member: int) -> None:
        """Raises `InputError`, `NoStoryError`."""
        await self._change(lambda table: turns.left(table, member, self._clock()))

    async def skip(self, who: Author, *, keeps: bool) -> Author:
        """Hands the turn on: one's own, and the host or a keeper anybody's; gives whose it was.

        Raises `InputError`, `NoStoryError`.
        """
        async with self._lock:
            story = await self._story_with_table()
            table = await self._table(story)
            first = turns.at_turn(table)
            if first is None:
                raise InputError("Nobody sits at the table, so there is no turn to hand on: /story join takes a seat.")
            if first.id != who.id:
                _require_host(story, who, keeps=keeps)
            await self._store.put_table(self.channel, turns.handed_on(table, self._clock()))
        return first

    async def _begin_turn(self, patience: float | None = None) -> None:
        """Whoever is at turn has all of their time from now on; with `patience`, that one."""
        table = await self._store.table(self.channel)
        patience = table.patience if patience is None else patience
        since = self._clock() if table.seats else None
        await self._store.put_table(self.channel, replace(table, patience=patience, since=since, missed=0))

    async def _change(self, change: turns.Change) -> None:
        async with self._lock:
            table = await self._table(await self._story_with_table())
            await self._store.put_table(self.channel, change(table))

    async def _story_with_table(self) -> Story:
        story = await self._story()
        if story.mode != ROUND_ROBIN:
            raise InputError(NO_TABLE.format(mode=story.mode))
        return story

    async def _table(self, story: Story) -> Table:
        """As it is now; an empty one where the story has none."""
        if story.mode != ROUND_ROBIN:
            return Table()
        return turns.settled(await self._store.table(self.channel), self._clock(), self._awake)

    async def _seat(self, story: Story, who: Author | None) -> Table | None:
        """The table at which this one has the turn; None where there are no turns. Raises `InputError`."""
        if story.mode != ROUND_ROBIN or who is None:
            return None
        return turns.taken_by(await self._table(story), who, self._clock())

    # What may be seen

    async def sealed(self) -> bool:
        """Whether only the last line of the story is seen for now."""
        story = await self._store.story(self.channel)
        return story is not None and story.mode == LAST_LINE

    async def _seen(self, found: Sequence[Turn]) -> list[Turn]:
        """Turns as members may see them."""
        return covered(found) if await self.sealed() else list(found)

    async def _seen_step(self, found: Sequence[Turn]) -> list[Turn]:
        """The turns of a step as members may see them: of a whole step the last line is one line."""
        return covered(found[-1:]) if await self.sealed() else list(found)

    async def _require_unsealed(self) -> None:
        if await self.sealed():
            raise InputError(SEALED)

    async def memory(self) -> MemoryView:
        """What the model sees when it next continues the story, as far as members may see it too."""
        view = await super().memory()
        if not await self.sealed():
            return view
        summary = None if view.summary is None else Summary(sentences=(SEALED,))
        return replace(view, text=last_line(view.text), summary=summary)

    async def edit_summary(self, text: str, author: Author) -> SummaryRow:
        await self._require_unsealed()
        return await super().edit_summary(text, author)

    async def summary_versions(self, limit: int) -> list[SummaryRow]:
        await self._require_unsealed()
        return await super().summary_versions(limit)

    async def restore_summary(self, version: int, actor: Author) -> SummaryRow:
        await self._require_unsealed()
        return await super().restore_summary(version, actor)


def _require_host(story: Story, who: Author, *, keeps: bool) -> None:
    if not keeps and story.host != who.id:
        raise InputError(NOT_HOST)
