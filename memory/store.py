"""The store: everything a process keeps, in one SQLite file."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from memory import audit, channel_memory, cleansing, copies, lessons, notes, people, summaries
from memory.audit import End
from memory.copies import Contents
from memory.migrations import MIGRATIONS, Migration
from memory.opening import Connect, connect
from memory.people import Belongings
from memory.rows import (
    AuditRow,
    Author,
    LessonRow,
    Note,
    Pin,
    Removed,
    SummaryRow,
    VectorsRow,
)
from memory.stories import Stories
from memory.transaction import Transaction
from memory.writer import Writer


class Store(Stories):
    """One open file. Every method is one transaction: when it returns, what it wrote is on the disk.

    A method whose caller is cancelled is still carried out. Every method may raise `StoreClosedError`, and
    `DatabaseDamagedError` or `DatabaseUnavailableError` where the disk fails; every one that writes `DiskFullError`,
    after which nothing of it is stored and the store goes on. A channel is any integer; 0 is the terminal.
    """

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        key: bytes | None = None,
        migrations: Sequence[Migration] = MIGRATIONS,
        max_pages: int | None = None,
        clock: Callable[[], float] = time.time,
        connect: Connect = connect,
    ) -> Self:
        """Opens the file at `path`, building it and its folder if there is none, and migrates it.

        Members' texts are sealed with `key`, 32 bytes; None: with the key in the file `NAME.key` beside it, which is
        made with it.
        `max_pages` bounds the file's size, in pages of 4,096 bytes; `clock` gives Unix seconds; `connect` another
        SQLite than this Python's. Raises `DatabaseInUseError`, `DatabaseTooNewError`, `DatabaseDamagedError`,
        `DatabaseUnavailableError`, `DiskFullError`, `KeyUnusableError`, `MigrationError`; the file is then as it was.
        """
        writer = Writer(path, connect)
        await writer.open(key=key, migrations=migrations, max_pages=max_pages, now=clock())
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

    # What stands for text that scrolled out

    async def put_summary(
        self, channel: int, turn: int, covers: int, body: str, author: Author | None = None
    ) -> SummaryRow:
        """Binds to `turn` a version of what stands for the first `covers` characters of its path.

        Versions that people wrote stay; one without an author takes the place of such a one at the same turn.
        Raises `NotFoundError`.
        """
        return await self._write(lambda tx: summaries.put_summary(tx, channel, turn, covers, body, author, self._now()))

    async def summary(self, channel: int) -> SummaryRow | None:
        """The newest version that is bound to the head, or else to its nearest ancestor that has one."""
        return await self._writer.read(lambda tx: summaries.summary(tx, channel))

    async def summary_versions(self, channel: int, limit: int) -> list[SummaryRow]:
        """The versions on the path to the head, the one that holds first, then back along the path."""
        return await self._writer.read(lambda tx: summaries.versions(tx, channel, limit))

    async def restore_summary(self, channel: int, version: int, author: Author) -> SummaryRow:
        """Binds a copy of one of these versions to the head. Raises `NotFoundError`."""
        return await self._write(lambda tx: summaries.restore(tx, channel, version, author, self._now()))

    async def put_vectors(self, channel: int, turn: int, base_id: str, covers: int, blob: bytes) -> None:
        """Binds to `turn` the vectors that these base weights made of what it covers. Of a channel and base weights
        only the newest few are kept. Raises `NotFoundError`."""
        await self._write(lambda tx: summaries.put_vectors(tx, channel, turn, base_id, covers, blob, self._now()))

    async def vectors(self, channel: int, base_id: str) -> VectorsRow | None:
        """Those of these base weights, bound to the head or else to its nearest ancestor that has some."""
        return await self._writer.read(lambda tx: summaries.vectors(tx, channel, base_id))

    # The note

    async def put_note(self, channel: int, text: str, depth: int, author: Author) -> Note:
        """The note of the story under way, in place of the one it had. Raises `NoStoryError`."""
        return await self._write(lambda tx: notes.put(tx, channel, text, depth, author, self._now()), purge=True)

    async def note(self, channel: int) -> Note | None:
        """That of the story under way."""
        return await self._writer.read(lambda tx: notes.of(tx, channel))

    async def remove_note(self, channel: int) -> Note:
        """Raises `NotFoundError`."""
        return await self._write(lambda tx: notes.remove(tx, channel), purge=True)

    # Pins

    async def add_pin(self, channel: int, text: str, author: Author, keys: Sequence[str] = ()) -> Pin:
        return await self._write(lambda tx: channel_memory.add_pin(tx, channel, text, author, keys, self._now()))

    async def pins(self, channel: int) -> list[Pin]:
        """The channel's pins, the oldest first."""
        return await self._writer.read(lambda tx: channel_memory.pins(tx, channel))

    async def remove_pin(self, channel: int, pin: int) -> Pin:
        """Raises `NotFoundError`."""
        return await self._write(lambda tx: channel_memory.remove_pin(tx, channel, pin), purge=True)

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
        return await self._write(
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
        return await self._write(lambda tx: lessons.put_units(tx, lesson_id, base_id, blob, self._now()))

    async def units(self, channel: int, base_id: str) -> dict[int, bytes]:
        """By the lesson's id, in the order of the lessons; those that these weights have not learnt are missing."""
        return await self._writer.read(lambda tx: lessons.units(tx, channel, base_id))

    async def forget(self, channel: int, lesson_id: int) -> LessonRow:
        """Removes a lesson and its units for all weights; nothing else changes. Raises `NotFoundError`."""
        return await self._write(lambda tx: lessons.forget(tx, channel, lesson_id), purge=True)

    async def forget_author(self, channel: int, author_id: int) -> list[LessonRow]:
        """`forget` for all that somebody taught the channel."""
        return await self._write(lambda tx: lessons.forget_author(tx, channel, author_id), purge=True)

    async def reset(self, channel: int) -> None:
        """Removes the channel's lessons, pins, and what stands for text in its stories, whose turns stay."""
        await self._write(lambda tx: channel_memory.reset(tx, channel), purge=True)

    # Settings, audit

    async def setting(self, scope: str, key: str) -> str | None:
        """`scope` is "process", "guild:1", "channel:5", "user:7" and the like."""
        return await self._writer.read(lambda tx: channel_memory.setting(tx, scope, key))

    async def set_setting(self, scope: str, key: str, value: str | None) -> None:
        """None removes it."""
        await self.set_settings(scope, {key: value})

    async def set_settings(self, scope: str, values: Mapping[str, str | None]) -> None:
        """`set_setting` for several keys, all of them or none."""

        async def work(tx: Transaction) -> None:
            for key, value in values.items():
                await channel_memory.set_setting(tx, scope, key, value)

        await self._write(work)

    async def settings(self, scope: str) -> dict[str, str]:
        return await self._writer.read(lambda tx: channel_memory.settings(tx, scope))

    async def settings_beginning(self, prefix: str) -> dict[str, dict[str, str]]:
        """By scope: all settings whose key begins so."""
        return await self._writer.read(lambda tx: channel_memory.settings_beginning(tx, prefix))

    def noting(
        self, actor_id: int, channel: int | None, action: str, detail: Callable[[Any], str | None] | str = ""
    ) -> Self:
        """This store, whose next change is written into the audit log too, as one transaction with it.

        `detail` may be made of what the change gives back; None where there is nothing to note.
        """

        async def note(tx: Transaction, result: object) -> None:
            text = detail if isinstance(detail, str) else detail(result)
            if text is not None:
                await audit.append(tx, actor_id, channel, action, text, self._now())

        noted = copy(self)
        noted._acts = note
        return noted

    async def audit(self, actor_id: int, channel: int | None, action: str, detail: str) -> AuditRow:
        """Adds a row to the log, which nothing changes or removes: no text of members belongs into `detail`."""
        return await self._write(lambda tx: audit.append(tx, actor_id, channel, action, detail, self._now()))

    async def audit_rows(self, limit: int) -> list[AuditRow]:
        """The last `limit` rows, the newest first."""
        return await self._writer.read(lambda tx: audit.rows(tx, limit))

    async def audit_end(self) -> End | None:
        """Where the log ends: noted elsewhere, it tells later whether rows are gone, or the whole file is older."""
        return await self._writer.read(audit.end)

    # People

    async def belongings(self, author_id: int) -> Belongings:
        """All that a person has left, in every channel, by its kind: texts, and what they did."""
        return await self._writer.read(lambda tx: people.belongings(tx, author_id))

    async def channels_of(self, author_id: int) -> list[int]:
        """The channels in which a person has left something."""
        return await self._writer.read(lambda tx: people.channels(tx, author_id))

    async def delete_author(self, author_id: int) -> Removed:
        """Removes what a person wrote, in every channel: their turns read "[removed]", their titles too; their lessons
        and pins go, and every summary, with its vectors, of the stories in which they wrote.

        That they were removed is written into the audit log, from which backups learn it: see `cleanse`.
        """

        async def work(tx: Transaction) -> Removed:
            gone = await people.delete_author(tx, author_id)
            detail = f"{gone.turns} turns, {gone.lessons} lessons"
            await audit.append(tx, author_id, None, people.DELETION, detail, self._now())
            return gone

        return await self._write(work, purge=True)

    # Copies

    async def back_up(self, to: Path) -> Contents:
        """A copy of the file as it is now, checked, while others go on. Raises what `copies.backup` raises."""
        stop = threading.Event()
        try:
            return await asyncio.to_thread(copies.backup, self.file, to, stop)
        finally:
            stop.set()

    async def cleanse(self, copy: Path) -> int:
        """Removes from a copy of this file those who were deleted here since it was taken; how many that were.

        The copy changes as a whole or not at all. Raises what opening a file raises.
        """
        deletions = await self._writer.read(people.deletions)
        return await cleansing.cleanse(copy, deletions, key=self._writer.key, now=self._now())
