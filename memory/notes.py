"""A story's note: a steer that one of its writers set, and that stays with the story."""

from __future__ import annotations

from memory import story_tree
from memory.errors import NoStoryError, NotFoundError
from memory.rows import Author, Note
from memory.transaction import Row, Transaction


async def put(tx: Transaction, channel: int, text: str, depth: int, author: Author, now: float) -> Note:
    story = await story_tree.active(tx, channel)
    if story is None:
        raise NoStoryError("There is no story in this channel yet: start one first.")
    row = await tx.put(
        "notes",
        story=story.id,
        text=text,
        depth=depth,
        author_id=author.id,
        author_name=author.name,
        created_at=now,
    )
    return _note(row)


async def of(tx: Transaction, channel: int) -> Note | None:
    story = await story_tree.active(tx, channel)
    row = None if story is None else await tx.one("SELECT * FROM open_notes WHERE story = ?", story.id)
    return None if row is None else _note(row)


async def remove(tx: Transaction, channel: int) -> Note:
    gone = await of(tx, channel)
    if gone is None:
        raise NotFoundError("The story has no note: there is nothing to take away.")
    await tx.all("DELETE FROM notes WHERE story = (SELECT id FROM stories WHERE channel = ? AND finished = 0)", channel)
    return gone


def _note(row: Row) -> Note:
    return Note(row["text"], row["depth"], row["author_id"], row["author_name"], row["created_at"])
