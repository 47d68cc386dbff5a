"""The store: everything a process keeps, in one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from memory import channel_memory, lessons, notes, people, story_tree, summaries
from memory.migrations import MIGRATIONS, Migration
from memory.people import Belongings
from memory.rows import (
    AuditRow,
    Author,
    LessonRow,
    NewTurn,
    Note,
    Pin,
    Removed,
    Story,
    SummaryRow,
    Turn,
    Twig,
    VectorsRow,
)
from memory.transaction import Transaction
from memory.writer import Writer


class Store:
    """One open file. Every method is one transaction: when it returns, what it wrote is on the disk.

    A method whose caller is cancelled is still carried out. Every method may raise `StoreClosedError`, and
    `DatabaseDamagedError` or `DatabaseUnavailableError` where the disk fails; every one that writes `DiskFullError`,
    after which nothing of it is stored and the store goes on. A channel is any integer; 0 is the terminal.
    """

    def __init__(self, writer: Writer, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._now = clock

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        migrations: Sequence[Migration] = MIGRATIONS,
        max_pages: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Opens the file at `path`, building it and its folder if there is none, and migrates it.

        `max_pages` bounds the file's size, in pages of 4,096 bytes; `clock` gives Unix seconds. Raises
        `DatabaseInUseError`, `DatabaseTooNewError`, `DatabaseDamagedError`, `DatabaseUnavailableError`,
        `DiskFullError`, `MigrationError`; the file is then as it was.
        """
        writer = Writer(path)
        await writer.open(migrations=migrations, max_pages=max_pages, now=clock())
        return cls(writer, clock)

    @property
    def file(self) -> Path:
        """The open file, as an absolute path."""
        return self._writer.path

    async def close(self) -> None:
        """Carries out what is waiting and closes the file. Idempotent."""
        await self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Stories

    async def start_story(self, channel: int, *, guild: int | None, title: str, premise: str, author: Author) -> Story:
        """A new story, whose first turn is the premise unless that is empty. The old one is finished and stays."""
        return await self._writer.write(
            lambda tx: story_tree.start(
                tx, channel, guild=guild, title=title, premise=premise, author=author, now=self._now()
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

        return await self._writer.write(work)

    async def story(self, channel: int) -> Story | None:
        """The story under way."""
        return await self._writer.read(lambda tx: story_tree.active(tx, channel))

    async def stories(self, channel: int) -> list[Story]:
        """All stories of the channel, the newest first."""
        return await self._writer.read(lambda tx: story_tree.stories(tx, channel))

    async def finish_story(self, channel: int) -> Story:
        """Leaves the channel without a story under way. Raises `NoStoryError`."""
        return await self._writer.write(lambda tx: story_tree.finish(tx, channel))

    async def resume_story(self, channel: int, story_id: int) -> Story:
        """Takes up an old story where its head stands; the present one is finished. Raises `NotFoundError`."""
        return await self._writer.write(lambda tx: story_tree.resume(tx, channel, story_id))

    # Its turns

    async def append(self, channel: int, turns: Sequence[NewTurn], *, after: int | None) -> list[Turn]:
        """Adds one step of one turn or more behind `after`, the head that the writer saw.

        Raises `NoStoryError`, `HeadMovedError`; `ValueError` for no turns and for a premise.
        """
        return await self._writer.write(lambda tx: story_tree.append(tx, channel, turns, after, self._now()))

    async def add_sibling(self, channel: int, of: int, turn: NewTurn) -> Turn:
        """Another try at the head `of`: same parent, same step; the head moves to it.

        Raises `NoStoryError`, `HeadMovedError`; `ValueError` where one of the two alone is a premise.
        """
        return await self._writer.write(lambda tx: story_tree.add_sibling(tx, channel, of, turn, self._now()))

    async def edit_turn(self, channel: int, of: int, turn: NewTurn) -> Turn:
        """Branches off beside any turn `of` of the path: `turn` in its place, and behind it what followed `of`.

        Those are copies, and `of` stays in the tree with what followed it. Raises `NoStoryError`, `NotFoundError`;
        `ValueError` as `add_sibling`.
        """
        return await self._writer.write(lambda tx: story_tree.edit(tx, channel, of, turn, self._now()))

    async def undo(self, channel: int) -> list[Turn]:
        """Moves the head before the last step and gives back the turns that went, in the order of the text.

        The premise stays. Raises `NoStoryError`, `NothingToUndoError`.
        """
        return await self._writer.write(lambda tx: story_tree.undo(tx, channel))

    async def redo(self, channel: int) -> list[Turn]:
        """Moves the head along the branch that was visited last, to the end of that step; gives back its turns.

        Raises `NoStoryError`, `NothingToRedoError`.
        """
        return await self._writer.write(lambda tx: story_tree.redo(tx, channel))

    async def go_to(self, channel: int, turn: int) -> Story:
        """Moves the head to any turn of the story's tree. Raises `NoStoryError`, `NotFoundError`."""
        return await self._writer.write(lambda tx: story_tree.go_to(tx, channel, turn))

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

    # What stands for text that scrolled out

    async def put_summary(
        self, channel: int, turn: int, covers: int, body: str, author: Author | None = None
    ) -> SummaryRow:
        """Binds to `turn` a version of what stands for the first `covers` characters of its path.

        Versions that people wrote stay; one without an author takes the place of such a one at the same turn.
        Raises `NotFoundError`.
        """
        return await self._writer.write(
            lambda tx: summaries.put_summary(tx, channel, turn, covers, body, author, self._now())
        )

    async def summary(self, channel: int) -> SummaryRow | None:
        """The newest version that is bound to the head, or else to its nearest ancestor that has one."""
        return await self._writer.read(lambda tx: summaries.summary(tx, channel))

    async def summary_versions(self, channel: int, limit: int) -> list[SummaryRow]:
        """The versions on the path to the head, the one that holds first, then back along the path."""
        return await self._writer.read(lambda tx: summaries.versions(tx, channel, limit))

    async def restore_summary(self, channel: int, version: int, author: Author) -> SummaryRow:
        """Binds a copy of one of these versions to the head. Raises `NotFoundError`."""
        return await self._writer.write(lambda tx: summaries.restore(tx, channel, version, author, self._now()))

    async def put_vectors(self, channel: int, turn: int, base_id: str, covers: int, blob: bytes) -> None:
        """Binds to `turn` the vectors that these base weights made of what it covers. Of a channel and base weights
        only the newest few are kept. Raises `NotFoundError`."""
        await self._writer.write(
            lambda tx: summaries.put_vectors(tx, channel, turn, base_id, covers, blob, self._now())
        )

    async def vectors(self, channel: int, base_id: str) -> VectorsRow | None:
        """Those of these base weights, bound to the head or else to its nearest ancestor that has some."""
        return await self._writer.read(lambda tx: summaries.vectors(tx, channel, base_id))

    # The note

    async def put_note(self, channel: int, text: str, depth: int, author: Author) -> Note:
        """The note of the story under way, in place of the one it had. Raises `NoStoryError`."""
        return await self._writer.write(lambda tx: notes.put(tx, channel, text, depth, author, self._now()), purge=True)

    async def note(self, channel: int) -> Note | None:
        """That of the story under way."""
        return await self._writer.read(lambda tx: notes.of(tx, channel))

    async def remove_note(self, channel: int) -> Note:
        """Raises `NotFoundError`."""
        return await self._writer.write(lambda tx: notes.remove(tx, channel), purge=True)

    # Pins

    async def add_pin(self, channel: int, text: str, author: Author, keys: Sequence[str] = ()) -> Pin:
        return await self._writer.write(lambda tx: channel_memory.add_pin(tx, channel, text, author, keys, self._now()))

    async def pins(self, channel: int) -> list[Pin]:
        """The channel's pins, the oldest first."""
        return await self._writer.read(lambda tx: channel_memory.pins(tx, channel))

    async def remove_pin(self, channel: int, pin: int) -> Pin:
        """Raises `NotFoundError`."""
        return await self._writer.write(lambda tx: channel_memory.remove_pin(tx, channel, pin), purge=True)

    # Lessons and their units

    async def teach(
        self,
        channel: int,
        *,
        guild: int | None,
        prompt: str,
        answer: str,
        author: Author,
        base_id: str,
        blob: bytes,
        per_member: int,
        per_channel: int,
    ) -> LessonRow:
        """A lesson together with the units in which the weights `base_id` have learnt it.

        Raises `QuotaError` where the author has `per_member` lessons in this channel, or all have `per_channel`.
        """
        return await self._writer.write(
            lambda tx: lessons.teach(
                tx,
                channel,
                guild=guild,
                prompt=prompt,
                answer=answer,
                author=author,
                base_id=base_id,
                blob=blob,
                per_member=per_member,
                per_channel=per_channel,
                now=self._now(),
            )
        )

    async def require_room(self, channel: int, author: Author, *, per_member: int, per_channel: int) -> None:
        """Raises the `QuotaError` that `teach` would raise now."""
        await self._writer.read(lambda tx: lessons.require_room(tx, channel, author, per_member, per_channel))

    async def lessons(self, channel: int) -> list[LessonRow]:
        """The channel's lessons, the oldest first."""
        return await self._writer.read(lambda tx: lessons.lessons(tx, channel))

    async def put_units(self, lesson_id: int, base_id: str, blob: bytes) -> bool:
        """What the weights `base_id` have learnt of a lesson, in place of what they had; False where it has gone."""
        return await self._writer.write(lambda tx: lessons.put_units(tx, lesson_id, base_id, blob, self._now()))

    async def units(self, channel: int, base_id: str) -> dict[int, bytes]:
        """By the lesson's id, in the order of the lessons; those that these weights have not learnt are missing."""
        return await self._writer.read(lambda tx: lessons.units(tx, channel, base_id))

    async def forget(self, channel: int, lesson_id: int) -> LessonRow:
        """Removes a lesson and its units for all weights; nothing else changes. Raises `NotFoundError`."""
        return await self._writer.write(lambda tx: lessons.forget(tx, channel, lesson_id), purge=True)

    async def forget_author(self, channel: int, author_id: int) -> list[LessonRow]:
        """`forget` for all that somebody taught the channel."""
        return await self._writer.write(lambda tx: lessons.forget_author(tx, channel, author_id), purge=True)

    async def reset(self, channel: int) -> None:
        """Removes the channel's lessons, pins, and what stands for text in its stories, whose turns stay."""
        await self._writer.write(lambda tx: channel_memory.reset(tx, channel), purge=True)

    # Settings, audit

    async def setting(self, scope: str, key: str) -> str | None:
        """`scope` is "process", "guild:1", "channel:5", "user:7" and the like."""
        return await self._writer.read(lambda tx: channel_memory.setting(tx, scope, key))

    async def set_setting(self, scope: str, key: str, value: str | None) -> None:
        """None removes it."""
        await self._writer.write(lambda tx: channel_memory.set_setting(tx, scope, key, value))

    async def settings(self, scope: str) -> dict[str, str]:
        return await self._writer.read(lambda tx: channel_memory.settings(tx, scope))

    async def settings_beginning(self, prefix: str) -> dict[str, dict[str, str]]:
        """By scope: all settings whose key begins so."""
        return await self._writer.read(lambda tx: channel_memory.settings_beginning(tx, prefix))

    async def audit(self, actor_id: int, channel: int | None, action: str, detail: str) -> AuditRow:
        """Adds a row to the log, which nothing changes or removes: no text of members belongs into `detail`."""
        return await self._writer.write(
            lambda tx: channel_memory.audit(tx, actor_id, channel, action, detail, self._now())
        )

    async def audit_rows(self, limit: int) -> list[AuditRow]:
        """The last `limit` rows, the newest first."""
        return await self._writer.read(lambda tx: channel_memory.audit_rows(tx, limit))

    # People

    async def belongings(self, author_id: int) -> Belongings:
        """All that a person has left, in every channel, by its kind: texts, and what they did."""
        return await self._writer.read(lambda tx: people.belongings(tx, author_id))

    async def channels_of(self, author_id: int) -> list[int]:
        """The channels in which a person has left something."""
        return await self._writer.read(lambda tx: people.channels(tx, author_id))

    async def delete_author(self, author_id: int) -> Removed:
        """Removes what a person wrote, in every channel: their turns read "[removed]", their titles too; their lessons
        and pins go, and every summary, with its vectors, of the stories in which they wrote."""
        return await self._writer.write(lambda tx: people.delete_author(tx, author_id), purge=True)
