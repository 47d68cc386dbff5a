"""What a channel remembers beside its story, then settings, the audit log, and the deletion of a person."""

from __future__ import annotations

from collections.abc import Sequence

from memory import story_tree
from memory.errors import NotFoundError
from memory.rows import AdapterRow, AuditRow, Author, LessonRow, NewAdapter, Pin, Removed
from memory.transaction import Row, Transaction

REMOVED = "[removed]"


async def add_pin(tx: Transaction, channel: int, text: str, author: Author, now: float) -> Pin:
    sql = "INSERT INTO pins (channel, text, author_id, author_name, created_at) VALUES (?, ?, ?, ?, ?) RETURNING *"
    return _pins(await tx.all(sql, channel, text, author.id, author.name, now))[0]


async def pins(tx: Transaction, channel: int) -> list[Pin]:
    return _pins(await tx.all("SELECT * FROM pins WHERE channel = ? ORDER BY id", channel))


async def remove_pin(tx: Transaction, channel: int, pin: int) -> Pin:
    gone = _pins(await tx.all("DELETE FROM pins WHERE channel = ? AND id = ? RETURNING *", channel, pin))
    if not gone:
        raise NotFoundError(f"There is no pin {pin} in this channel: look at the list and choose another.")
    return gone[0]


async def add_lesson(
    tx: Transaction, channel: int, *, guild: int | None, prompt: str, answer: str, author: Author, now: float
) -> LessonRow:
    sql = """INSERT INTO lessons (channel, guild, prompt, answer, author_id, author_name, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING *"""
    return _lessons(await tx.all(sql, channel, guild, prompt, answer, author.id, author.name, now))[0]


async def lessons(tx: Transaction, channel: int) -> list[LessonRow]:
    return _lessons(await tx.all("SELECT * FROM lessons WHERE channel = ? ORDER BY id", channel))


async def teach(
    tx: Transaction,
    channel: int,
    *,
    guild: int | None,
    prompt: str,
    answer: str,
    author: Author,
    adapter: NewAdapter,
    now: float,
) -> LessonRow:
    lesson = await add_lesson(tx, channel, guild=guild, prompt=prompt, answer=answer, author=author, now=now)
    await _only_adapter(tx, channel, adapter, now)
    return lesson


async def forget(tx: Transaction, channel: int, lesson: int, adapter: NewAdapter | None, now: float) -> LessonRow:
    gone = _lessons(await tx.all("DELETE FROM lessons WHERE channel = ? AND id = ? RETURNING *", channel, lesson))
    if not gone:
        raise NotFoundError(f"There is no lesson {lesson} in this channel: look at the list and choose another.")
    await _only_adapter(tx, channel, adapter, now)
    return gone[0]


async def _only_adapter(tx: Transaction, channel: int, adapter: NewAdapter | None, now: float) -> None:
    # The lessons have changed, so what other base weights have learned of them is no longer true.
    await tx.all("DELETE FROM adapters WHERE channel = ?", channel)
    if adapter is not None:
        await put_adapter(tx, channel, adapter, now)


async def put_adapter(tx: Transaction, channel: int, adapter: NewAdapter, now: float) -> None:
    await tx.all(
        "INSERT OR REPLACE INTO adapters (channel, base_id, lessons_digest, blob, created_at) VALUES (?, ?, ?, ?, ?)",
        channel,
        adapter.base_id,
        adapter.lessons_digest,
        adapter.blob,
        now,
    )


async def adapter(tx: Transaction, channel: int, base_id: str) -> AdapterRow | None:
    row = await tx.one("SELECT * FROM adapters WHERE channel = ? AND base_id = ?", channel, base_id)
    if row is None:
        return None
    return AdapterRow(row["channel"], row["base_id"], row["lessons_digest"], row["blob"], row["created_at"])


async def reset(tx: Transaction, channel: int) -> None:
    for table in ("lessons", "adapters", "pins"):
        await tx.all(f"DELETE FROM {table} WHERE channel = ?", channel)
    await tx.all(
        """DELETE FROM summaries WHERE turn IN (
            SELECT t.id FROM stories s JOIN turns t ON t.story = s.id WHERE s.channel = ?)""",
        channel,
    )


async def taught_channels(tx: Transaction) -> list[int]:
    return [row["channel"] for row in await tx.all("SELECT DISTINCT channel FROM lessons ORDER BY channel")]


async def setting(tx: Transaction, scope: str, key: str) -> str | None:
    row = await tx.one("SELECT value FROM settings WHERE scope = ? AND key = ?", scope, key)
    return None if row is None else str(row["value"])


async def set_setting(tx: Transaction, scope: str, key: str, value: str | None) -> None:
    if value is None:
        await tx.all("DELETE FROM settings WHERE scope = ? AND key = ?", scope, key)
    else:
        await tx.all("INSERT OR REPLACE INTO settings (scope, key, value) VALUES (?, ?, ?)", scope, key, value)


async def settings(tx: Transaction, scope: str) -> dict[str, str]:
    rows = await tx.all("SELECT key, value FROM settings WHERE scope = ? ORDER BY key", scope)
    return {row["key"]: row["value"] for row in rows}


async def audit(tx: Transaction, actor_id: int, channel: int | None, action: str, detail: str, now: float) -> AuditRow:
    sql = "INSERT INTO audit (at, actor_id, channel, action, detail) VALUES (?, ?, ?, ?, ?) RETURNING *"
    return _audit_rows(await tx.all(sql, now, actor_id, channel, action, detail))[0]


async def audit_rows(tx: Transaction, limit: int) -> list[AuditRow]:
    return _audit_rows(await tx.all("SELECT * FROM audit ORDER BY id DESC LIMIT ?", limit))


async def delete_author(tx: Transaction, author: int) -> Removed:
    # What was made from their text goes with it: summaries of those stories, adapters of those channels.
    touched = [r["story"] for r in await tx.all("SELECT DISTINCT story FROM turns WHERE author_id = ?", author)]
    turns = await tx.all(
        """UPDATE turns SET text = ?, chars = ?, author_name = ?, author_id = NULL
            WHERE author_id = ? RETURNING id""",
        REMOVED,
        len(REMOVED),
        REMOVED,
        author,
    )
    for story in touched:
        await story_tree.count_again(tx, story)
        await tx.all("DELETE FROM summaries WHERE turn IN (SELECT id FROM turns WHERE story = ?)", story)
    await tx.all("UPDATE stories SET title = ?, author_id = NULL WHERE author_id = ?", REMOVED, author)
    gone = await tx.all("DELETE FROM lessons WHERE author_id = ? RETURNING channel", author)
    channels = sorted({row["channel"] for row in gone})
    for channel in channels:
        await tx.all("DELETE FROM adapters WHERE channel = ?", channel)
    unpinned = await tx.all("DELETE FROM pins WHERE author_id = ? RETURNING id", author)
    await tx.all("DELETE FROM settings WHERE scope = ?", f"user:{author}")
    return Removed(turns=len(turns), lessons=len(gone), pins=len(unpinned), channels=tuple(channels))


def _pins(rows: Sequence[Row]) -> list[Pin]:
    return [Pin(r["id"], r["text"], r["author_id"], r["author_name"], r["created_at"]) for r in rows]


def _lessons(rows: Sequence[Row]) -> list[LessonRow]:
    return [
        LessonRow(r["id"], r["prompt"], r["answer"], r["author_id"], r["author_name"], r["created_at"]) for r in rows
    ]


def _audit_rows(rows: Sequence[Row]) -> list[AuditRow]:
    return [AuditRow(r["id"], r["at"], r["actor_id"], r["channel"], r["action"], r["detail"]) for r in rows]
