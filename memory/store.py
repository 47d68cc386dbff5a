"""The store: everything a process keeps, in one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from memory import channel_memory, story_tree
from memory.migrations import MIGRATIONS, Migration
from memory.rows import (
    AdapterRow,
    AuditRow,
    Author,
    LessonRow,
    NewAdapter,
    NewTurn,
    Pin,
    Removed,
    Story,
    SummaryRow,
    Turn,
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

    async def edit_turn(self, channel: int, of: int, turn: NewTurn, then: Sequence[NewTurn] = ()) -> list[Turn]:
        """Branches off beside any turn `of` of the path: `turn` in its place, `then` behind it in the same step.

        What followed `of` stays in the tree. Raises `NoStoryError`, `NotFoundError`; `ValueError` as `add_sibling`.
        """
        return await self._writer.write(lambda tx: story_tree.replace(tx, channel, of, [turn, *then], self._now()))

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

    async def turns_of_story(self, story_id: int) -> list[Turn]:
        """The path of any story, old ones too, from its root to its head. Raises `NotFoundError`."""
        return await self._writer.read(lambda tx: story_tree.of_story(tx, story_id))

    # Summaries

    async def put_summary(self, channel: int, turn: int, covers: int, body: str) -> None:
        """Binds to `turn` what stands for the first `covers` characters of its path. Raises `NotFoundError`."""
        await self._writer.write(lambda tx: story_tree.put_summary(tx, channel, turn, covers, body, self._now()))

    async def summary(self, channel: int) -> SummaryRow | None:
        """The summary bound to the head, or else to its nearest ancestor that has one."""
        return await self._writer.read(lambda tx: story_tree.summary(tx, channel))

    # Pins

    async def add_pin(self, channel: int, text: str, author: Author) -> Pin:
        return await self._writer.write(lambda tx: channel_memory.add_pin(tx, channel, text, author, self._now()))

    async def pins(self, channel: int) -> list[Pin]:
        """The channel's pins, the oldest first."""
        return await self._writer.read(lambda tx: channel_memory.pins(tx, channel))

    async def remove_pin(self, channel: int, pin: int) -> Pin:
        """Raises `NotFoundError`."""
        return await self._writer.write(lambda tx: channel_memory.remove_pin(tx, channel, pin), purge=True)

    # Lessons and adapters

    async def add_lesson(
        self, channel: int, *, guild: int | None, prompt: str, answer: str, author: Author
    ) -> LessonRow:
        """A lesson alone: the channel's adapters stay, and know the lessons before it."""
        return await self._writer.write(
            lambda tx: channel_memory.add_lesson(
                tx, channel, guild=guild, prompt=prompt, answer=answer, author=author, now=self._now()
            )
        )

    async def lessons(self, channel: int) -> list[LessonRow]:
        """The channel's lessons, the oldest first."""
        return await self._writer.read(lambda tx: channel_memory.lessons(tx, channel))

    async def remove_lesson(self, channel: int, lesson_id: int) -> LessonRow:
        """`forget` without a new adapter. Raises `NotFoundError`."""
        return await self.forget(channel, lesson_id)

    async def teach(
        self,
        channel: int,
        *,
        guild: int | None,
        prompt: str,
        answer: str,
        author: Author,
        base_id: str,
        lessons_digest: str,
        blob: bytes,
    ) -> LessonRow:
        """A lesson together with the adapter that was trained on all lessons and this one; older adapters go."""
        new = NewAdapter(base_id, lessons_digest, blob)
        return await self._writer.write(
            lambda tx: channel_memory.teach(
                tx, channel, guild=guild, prompt=prompt, answer=answer, author=author, adapter=new, now=self._now()
            )
        )

    async def forget(self, channel: int, lesson_id: int, adapter: NewAdapter | None = None) -> LessonRow:
        """Removes a lesson and every adapter that knows it; `adapter` was trained on those that are left.

        Raises `NotFoundError`.
        """
        return await self._writer.write(
            lambda tx: channel_memory.forget(tx, channel, lesson_id, adapter, self._now()), purge=True
        )

    async def put_adapter(self, channel: int, *, base_id: str, lessons_digest: str, blob: bytes) -> None:
        """Replaces the channel's adapter for these base weights; adapters for others stay."""
        new = NewAdapter(base_id, lessons_digest, blob)
        await self._writer.write(lambda tx: channel_memory.put_adapter(tx, channel, new, self._now()))

    async def adapter(self, channel: int, base_id: str) -> AdapterRow | None:
        return await self._writer.read(lambda tx: channel_memory.adapter(tx, channel, base_id))

    async def taught_channels(self) -> list[int]:
        """The channels that have lessons, and so need an adapter when the base weights change."""
        return await self._writer.read(channel_memory.taught_channels)

    async def reset(self, channel: int) -> None:
        """Removes the channel's lessons, adapters, pins and summaries; the turns of its stories stay."""
        await self._writer.write(lambda tx: channel_memory.reset(tx, channel), purge=True)

    # Settings, audit, deletion

    async def setting(self, scope: str, key: str) -> str | None:
        """`scope` is "process", "guild:1", "channel:5", "user:7" and the like."""
        return await self._writer.read(lambda tx: channel_memory.setting(tx, scope, key))

    async def set_setting(self, scope: str, key: str, value: str | None) -> None:
        """None removes it."""
        await self._writer.write(lambda tx: channel_memory.set_setting(tx, scope, key, value))

    async def settings(self, scope: str) -> dict[str, str]:
        return await self._writer.read(lambda tx: channel_memory.settings(tx, scope))

    async def audit(self, actor_id: int, channel: int | None, action: str, detail: str) -> AuditRow:
        """Adds a row to the log, which nothing changes or removes: no text of members belongs into `detail`."""
        return await self._writer.write(
            lambda tx: channel_memory.audit(tx, actor_id, channel, action, detail, self._now())
        )

    async def audit_rows(self, limit: int) -> list[AuditRow]:
        """The last `limit` rows, the newest first."""
        return await self._writer.read(lambda tx: channel_memory.audit_rows(tx, limit))

    async def delete_author(self, author_id: int) -> Removed:
        """Removes what a person wrote, in every channel: their turns read "[removed]", their titles too; their lessons
        and pins go, with every summary of those stories and every adapter of the channels they taught."""
        return await self._writer.write(lambda tx: channel_memory.delete_author(tx, author_id), purge=True)
