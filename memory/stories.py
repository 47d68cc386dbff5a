"""The half of the store that holds stories: what they are, who shares them, and their turns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from memory import seats, story_tree
from memory.rows import Author, Mode, NewTurn, Story, Table, Turn, Twig
from memory.transaction import Transaction
from memory.writer import Writer

T = TypeVar("T")


class Stories:
    """The methods of `memory.store.Store` that are about stories."""

    def __init__(self, writer: Writer, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._now = clock
        self._acts: Callable[[Transaction, Any], Awaitable[None]] | None = None

    async def _write(self, work: Callable[[Transaction], Awaitable[T]], *, purge: bool = False) -> T:
        """One transaction, with the act that it is, where somebody said so (`Store.noting`)."""
        if (acts := self._acts) is None:
            return await self._writer.write(work, purge=purge)

        async def noted(tx: Transaction) -> T:
            result = await work(tx)
            await acts(tx, result)
            return result

        return await self._writer.write(noted, purge=purge)

    async def start_story(
        self,
        channel: int,
        *,
        guild: int | None,
        title: str,
        premise: str,
        author: Author,
        mode: Mode = "free",
        patience: float | None = None,
    ) -> Story:
        """A new story, whose first turn is the premise unless that is empty. The old one is finished and stays.

        `patience`: seconds that a turn may take where it is written in turns.
        """
        return await self._write(
            lambda tx: story_tree.start(
                tx,
                channel,
                guild=guild,
                title=title,
                premise=premise,
                author=author,
                now=self._now(),
                mode=mode,
                patience=patience,
            )
        )

    async def import_story(
        self, channel: int, *, guild: int | None, title: str, texts: Sequence[str], author: Author
    ) -> Story:
        """A new story of what somebody brings: the first text is its premise, each other one a step of its own."""

        async def work(tx: Transaction) -> Story:
            premise, now = texts[0], self._now()
            await story_tree.start(tx, channel, guild=guild, title=title, premise=premise, author=author, now=now)
            await story_tree.bring(tx, channel, texts[1:], author, now)
            return await story_tree.under_way(tx, channel)

        return await self._write(work)

    async def story(self, channel: int) -> Story | None:
        """The story under way."""
        return await self._writer.read(lambda tx: story_tree.active(tx, channel))

    async def stories(self, channel: int) -> list[Story]:
        """All stories of the channel, the newest first."""
        return await self._writer.read(lambda tx: story_tree.stories(tx, channel))

    async def finish_story(self, channel: int) -> Story:
        """Leaves the channel without a story under way. Raises `NoStoryError`."""
        return await self._write(lambda tx: story_tree.finish(tx, channel))

    async def resume_story(self, channel: int, story_id: int) -> Story:
        """Takes up an old story where its head stands; the present one is finished. Raises `NotFoundError`."""
        return await self._write(lambda tx: story_tree.resume(tx, channel, story_id))

    # How it is shared

    async def set_mode(self, channel: int, mode: Mode) -> Story:
        """Raises `NoStoryError`. Those at the table stay there, whatever the mode."""
        return await self._write(lambda tx: seats.set_mode(tx, channel, mode))

    async def table(self, channel: int) -> Table:
        """That of the story under way; an empty one without a story."""
        return await self._writer.read(lambda tx: seats.of(tx, channel))

    async def put_table(self, channel: int, table: Table) -> None:
        """Raises `NoStoryError`."""
        await self._write(lambda tx: seats.put(tx, channel, table))

    async def tables_taken(self) -> list[tuple[int, int | None]]:
        """The channels where somebody is at turn, each with its server."""
        return await self._writer.read(seats.taken)

    # Its turns

    async def append(
        self, channel: int, turns: Sequence[NewTurn], *, after: int | None, table: Table | None = None
    ) -> list[Turn]:
        """Adds one step of one turn or more behind `after`, the head that the writer saw; `table` then takes the place
        of the one there was.

        Raises `NoStoryError`, `HeadMovedError`; `ValueError` for no turns and for a premise.
        """

        async def work(tx: Transaction) -> list[Turn]:
            added = await story_tree.append(tx, channel, turns, after, self._now())
            if table is not None:
                await seats.put(tx, channel, table)
            return added

        return await self._write(work)

    async def add_sibling(self, channel: int, of: int, turn: NewTurn) -> Turn:
        """Another try at the head `of`: same parent, same step; the head moves to it.

        Raises `NoStoryError`, `HeadMovedError`; `ValueError` where one of the two alone is a premise.
        """
        return await self._write(lambda tx: story_tree.add_sibling(tx, channel, of, turn, self._now()))

    async def edit_turn(self, channel: int, of: int, turn: NewTurn) -> Turn:
        """Branches off beside any turn `of` of the path: `turn` in its place, and behind it what followed `of`.

        Those are copies, and `of` stays in the tree with what followed it. Raises `NoStoryError`, `NotFoundError`;
        `ValueError` as `add_sibling`.
        """
        return await self._write(lambda tx: story_tree.edit(tx, channel, of, turn, self._now()))

    async def undo(self, channel: int) -> list[Turn]:
        """Moves the head before the last step and gives back the turns that went, in the order of the text.

        The premise stays. Raises `NoStoryError`, `NothingToUndoError`.
        """
        return await self._write(lambda tx: story_tree.undo(tx, channel))

    async def redo(self, channel: int) -> list[Turn]:
        """Moves the head along the branch that was visited last, to the end of that step; gives back its turns.

        Raises `NoStoryError`, `NothingToRedoError`.
        """
        return await self._write(lambda tx: story_tree.redo(tx, channel))

    async def go_to(self, channel: int, turn: int) -> Story:
        """Moves the head to any turn of the story's tree. Raises `NoStoryError`, `NotFoundError`."""
        return await self._write(lambda tx: story_tree.go_to(tx, channel, turn))

    async def siblings(self, channel: int, of: int) -> list[Turn]:
        """The turn `of` and all that stand in its place, the oldest first. Raises `NoStoryError`, `NotFoundError`."""
        return await self._writer.read(lambda tx: story_tree.siblings(tx, channel, of))

    async def outline(self, channel: int, words: int = 100) -> list[Twig]:
        """Every turn of the story's tree, the oldest first, with its first `words` characters; none without a story."""
        return await self._writer.read(lambda tx: story_tree.outline(tx, channel, words))

    async def numbered(self, channel: int, number: int) -> Turn:
        """The turn of the story's tree that bears this number in `outline`. Raises `NoStoryError`, `NotFoundError`."""
        return await self._writer.read(lambda tx: story_tree.numbered(tx, channel, number))

    async def path(self, channel: int, limit: int | None = None) -> list[Turn]:
        """The turns from the root to the head, or the last `limit` of them; none without a story."""

        async def work(tx: Transaction) -> list[Turn]:
            story = await story_tree.active(tx, channel)
            if story is None or limit == 0:
                return []
            return await story_tree.path(tx, story.head, floor=0 if limit is None else max(story.turns - limit, 0))

        return await self._writer.read(work)

    async def path_length(self, channel: int) -> int:
        """The number of turns from the root to the head; 0 without a story."""
        story = await self.story(channel)
        return 0 if story is None else story.turns

    async def recent(self, channel: int, max_chars: int) -> list[Turn]:
        """The last turns of the path, as few as hold `max_chars` characters of text, or all; its cost knows no length.

        `turns[0].chars_before` says where in the path's text they begin.
        """

        async def work(tx: Transaction) -> list[Turn]:
            story = await story_tree.active(tx, channel)
            return [] if story is None else await story_tree.recent(tx, story, max_chars)

        return await self._writer.read(work)

    async def passage(self, channel: int, begin: int, end: int) -> str:
        """The characters from `begin` to before `end` of the path's text, as far as there are any."""

        async def work(tx: Transaction) -> str:
            story = await story_tree.active(tx, channel)
            return "" if story is None else await story_tree.passage(tx, story, begin, end)

        return await self._writer.read(work)

    async def turns_of_story(self, story_id: int) -> list[Turn]:
        """The path of any story, old ones too, from its root to its head. Raises `NotFoundError`."""
        return await self._writer.read(lambda tx: story_tree.of_story(tx, story_id))
