"""A story's branches: other tries of its last part, edits, ways back; and the stories that a channel has had."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bot.branch_tree import Tree, tree_of
from bot.errors import InputError
from bot.manuscript import SENTENCE_ENDS, behind, typed
from bot.modes import ONE_WORD, ROUND_ROBIN, covered_twigs, one_word
from bot.rating import Rating
from bot.sharing import SEALED, SharedChannel
from memory import Author, HeadMovedError, NewTurn, NotFoundError, Story, Turn, Twig

MEETING = 200  # characters before a text with which it could say what the rules refuse


@dataclass(frozen=True)
class Tries:
    """What stands, or has stood, in the place of the story's last turn."""

    turns: list[Turn]  # the oldest first
    index: int  # of the one that holds

    @property
    def number(self) -> int:
        """That of the one that holds, as people count."""
        return self.index + 1

    @property
    def turn(self) -> Turn:
        return self.turns[self.index]


class BranchingChannel(SharedChannel):
    """The ways through the story's tree. A turn goes by its number, which counts the story's turns as they came."""

    # Other tries

    async def tries(self) -> Tries | None:
        """Those of the story's last turn, itself among them; None where the story has no text."""
        tries = await self._tries()
        return None if tries is None else Tries(await self._seen(tries.turns), tries.index)

    async def _tries(self) -> Tries | None:
        story = await self._story()
        if story.head is None:
            return None
        turns = await self._store.siblings(self.channel, story.head)
        held = next(turn for turn in turns if turn.id == story.head)
        turns = [turn for turn in turns if turn.kind == held.kind]
        return Tries(turns, turns.index(held))

    async def pick(self, number: int, of: int | None = None, by: Author | None = None) -> Tries:
        """Has the try of this number hold.

        With `of`, only if that is the story's last turn; with `by`, only if that one has the turn. Raises `InputError`,
        `NoStoryError`, `HeadMovedError`.
        """
        async with self._lock:
            await self._seat(await self._story(), by)
            tries = await self._tries()
            if tries is None or len(tries.turns) == 1:
                raise InputError("There is one try only of the story's last part: /story retry writes another.")
            if of is not None and tries.turn.id != of:
                raise HeadMovedError("The story has moved on meanwhile: look at it and choose again.")
            if not 1 <= number <= len(tries.turns):
                raise InputError(f"There are {len(tries.turns)} tries of the story's last part: choose one of them.")
            await self._store.go_to(self.channel, tries.turns[number - 1].id)
        return Tries(await self._seen(tries.turns), number - 1)

    # Ways through the tree

    async def outline(self) -> list[Twig]:
        """Every turn of the story, the oldest first. Raises `NoStoryError`."""
        await self._story()
        twigs = await self._store.outline(self.channel)
        return covered_twigs(twigs) if await self.sealed() else twigs

    async def tree(self) -> Tree:
        """The story's tree, drawn together so that it can be taken in. Raises `NoStoryError`."""
        story = await self._story()
        return await asyncio.to_thread(tree_of, await self.outline(), story.head)

    async def branch(self, number: int, by: Author | None = None) -> Turn:
        """Goes to a turn, from which the story is then continued; what stood behind it stays in the tree.

        With `by`, only if that one has the turn. Raises `InputError`, `NoStoryError`, `NotFoundError`.
        """
        async with self._lock:
            await self._seat(await self._story(), by)
            turn = await self._store.numbered(self.channel, number)
            await self._store.go_to(self.channel, turn.id)
        self._upkeep.remember_soon()
        return (await self._seen([turn]))[0]

    async def to_edit(self, number: int | None, author: Author) -> Turn:
        """The turn of this number, or the last one, which this author may edit: their own, or the model's.

        Raises `InputError`, `NoStoryError`, `NotFoundError`.
        """
        if number is not None:
            turn = await self._store.numbered(self.channel, number)
        elif tries := await self._tries():
            turn = tries.turn
        else:
            raise InputError("The story has no text yet: write its beginning first.")
        self._require_theirs(turn, author)
        if turn.author_id != author.id and await self.sealed():
            raise InputError(SEALED)
        path = await self._store.path(self.channel, (await self._story()).turns - turn.depth)
        if path[:1] != [turn]:
            raise InputError("That turn stands on another branch of the story: /story branch goes there first.")
        return turn

    async def edit(self, turn: Turn, text: str, author: Author) -> Turn:
        """Puts a text in the place of a turn; the old one stays beside it, and what follows stays behind.

        Raises `InputError`, `RefusedError`, `NoStoryError`.
        """
        self._require_theirs(turn, author)
        text = typed(text, what="Your text")
        if (await self._story()).mode == ONE_WORD and turn.kind != "premise":
            text = one_word(text)
        old = turn.text.strip()
        if text == old:
            raise InputError("Nothing was changed: the text is the same.")
        before, _, after = turn.text.partition(old) if old else (turn.text, "", "")
        async with self._lock:
            near = await self._store.passage(self.channel, turn.chars_before - MEETING, turn.chars_before)
            rating = await self._rating.begin(await self._story())
            self._rules.require(text, before=near, mature=rating is Rating.MATURE)
            if not before and near.endswith(tuple(SENTENCE_ENDS)):
                text = behind(near, text)
            try:
                new = NewTurn(author, turn.kind, before + text + after)
                edited = await self._store.edit_turn(self.channel, turn.id, new)
            except NotFoundError as error:
                raise InputError("The story went another way meanwhile, so nothing was changed: look again.") from error
        self._upkeep.remember_soon()
        return (await self._seen([edited]))[0]

    @staticmethod
    def _require_theirs(turn: Turn, author: Author) -> None:
        # Else somebody's words would stand in another's name, and stay there when the first one is deleted.
        nobodys = turn.author_id is None and turn.kind == "model"
        if not nobodys and turn.author_id != author.id:
            raise InputError("Somebody else wrote that: you may change what you or the model wrote.")

    # The stories of the channel

    async def stories(self) -> list[Story]:
        """The newest first."""
        return await self._store.stories(self.channel)

    async def finish(self) -> Story:
        """Leaves the channel without a story. Raises `NoStoryError`."""
        async with self._lock:
            return await self._store.finish_story(self.channel)

    async def resume_story(self, story: int) -> Story:
        """Takes up an earlier story of the channel where it stood; the present one is finished.

        Raises `NotFoundError`.
        """
        async with self._lock:
            found = await self._store.resume_story(self.channel, story)
            if found.mode == ROUND_ROBIN:  # the time since it was finished is nobody's
                await self._begin_turn()
            return found
