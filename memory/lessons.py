"""What a channel was taught: its lessons, and the units that each base's weights have learnt of each of them.

The lessons are the truth and their units a cache: a base that has none for a lesson learns it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory.errors import QuotaError, no_such
from memory.rows import Author, LessonRow
from memory.transaction import Row, Transaction


async def teach(
    tx: Transaction,
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
    now: float,
) -> LessonRow:
    await require_room(tx, channel, author, per_member, per_channel)
    row = await tx.insert(
        "lessons",
        channel=channel,
        guild=guild,
        prompt=prompt,
        answer=answer,
        author_id=author.id,
        author_name=author.name,
        created_at=now,
    )
    lesson = _lessons([row])[0]
    await put_units(tx, lesson.id, base_id, blob, now)
    return lesson


async def require_room(tx: Transaction, channel: int, author: Author, per_member: int, per_channel: int) -> None:
    sql = "SELECT count(*) AS everyones, count(*) FILTER (WHERE author_id = ?) AS own FROM lessons WHERE channel = ?"
    row = await tx.one(sql, author.id, channel)
    assert row is not None
    if row["everyones"] >= per_channel:
        raise QuotaError(f"This channel has reached its limit of lessons ({per_channel}): forget one first.")
    if row["own"] >= per_member:
        raise QuotaError(
            f"You have reached the limit of lessons for one member of a channel ({per_member}): forget one first."
        )


async def lessons(tx: Transaction, channel: int) -> list[LessonRow]:
    return _lessons(await tx.all("SELECT * FROM open_lessons WHERE channel = ? ORDER BY id", channel))


async def put_units(tx: Transaction, lesson: int, base_id: str, blob: bytes, now: float) -> bool:
    # The lesson may have been forgotten while its units were trained: then they have nothing to belong to.
    if await tx.one("SELECT id FROM lessons WHERE id = ?", lesson) is None:
        return False
    await tx.put("lesson_units", lesson=lesson, base_id=base_id, blob=blob, created_at=now)
    return True


async def units(tx: Transaction, channel: int, base_id: str) -> dict[int, bytes]:
    sql = """SELECT u.lesson, u.blob FROM lessons l JOIN open_lesson_units u ON u.lesson = l.id
        WHERE l.channel = ? AND u.base_id = ? ORDER BY l.id"""
    return {row["lesson"]: row["blob"] for row in await tx.all(sql, channel, base_id)}


async def forget(tx: Transaction, channel: int, lesson: int) -> LessonRow:
    gone = _lessons(await tx.all("SELECT * FROM open_lessons WHERE channel = ? AND id = ?", channel, lesson))
    if not gone:
        raise no_such("lesson", lesson)
    await tx.all("DELETE FROM lessons WHERE id = ?", lesson)
    return gone[0]


async def forget_author(tx: Transaction, channel: int, author: int) -> list[LessonRow]:
    of_author = "WHERE channel = ? AND author_id = ?"
    gone = _lessons(await tx.all(f"SELECT * FROM open_lessons {of_author} ORDER BY id", channel, author))
    await tx.all(f"DELETE FROM lessons {of_author}", channel, author)
    return gone


def _lessons(rows: Sequence[Row]) -> list[LessonRow]:
    return [
        LessonRow(r["id"], r["prompt"], r["answer"], r["author_id"], r["author_name"], r["created_at"]) for r in rows
    ]
