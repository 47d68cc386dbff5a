"""What stands for text that scrolled out of a model's window: summaries in versions, and vectors of one base's own.

Both are bound to a turn and say how many characters of its path they stand for. What holds is what is bound to the
nearest ancestor of the head, so that undo brings the older ones back by moving the head.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory.errors import no_such
from memory.rows import Author, SummaryRow, VectorsRow
from memory.transaction import Row, Transaction

KEPT_VECTORS = 4  # the newest of a channel and of base weights

# From the head of the story under way towards its root, as far as to the first turn for which `found` is true.
_UP = """WITH RECURSIVE up(id, parent, depth, found) AS (
    SELECT t.id, t.parent, t.depth, {found}
        FROM stories s JOIN turns t ON t.id = s.head WHERE s.channel = ?1 AND s.finished = 0
    UNION ALL SELECT t.id, t.parent, t.depth, {found} FROM up JOIN turns t ON t.id = up.parent WHERE NOT up.found) """
_TO_A_SUMMARY = _UP.format(found="EXISTS (SELECT 1 FROM summaries WHERE turn = t.id)")
_TO_VECTORS = _UP.format(found="EXISTS (SELECT 1 FROM memory_vectors WHERE turn = t.id AND base_id = ?2)")
_TO_THE_ROOT = _UP.format(found="0")


async def put_summary(
    tx: Transaction, channel: int, turn: int, covers: int, body: str, author: Author | None, now: float
) -> SummaryRow:
    await _require(tx, channel, turn)
    if author is None:
        await tx.all("DELETE FROM summaries WHERE turn = ? AND author_id IS NULL", turn)
    id_, name = (None, "") if author is None else (author.id, author.name)
    row = await tx.insert(
        "summaries", turn=turn, covers=covers, body=body, created_at=now, author_id=id_, author_name=name
    )
    return _summaries([row])[0]


async def summary(tx: Transaction, channel: int) -> SummaryRow | None:
    sql = "SELECT s.* FROM up JOIN open_summaries s ON s.turn = up.id WHERE up.found ORDER BY s.id DESC LIMIT 1"
    rows = _summaries(await tx.all(_TO_A_SUMMARY + sql, channel))
    return rows[0] if rows else None


async def versions(tx: Transaction, channel: int, limit: int) -> list[SummaryRow]:
    sql = "SELECT s.* FROM up JOIN open_summaries s ON s.turn = up.id ORDER BY up.depth DESC, s.id DESC LIMIT ?2"
    return _summaries(await tx.all(_TO_THE_ROOT + sql, channel, limit))


async def restore(tx: Transaction, channel: int, version: int, author: Author, now: float) -> SummaryRow:
    sql = """SELECT s.*, (SELECT id FROM up ORDER BY depth DESC LIMIT 1) AS head
        FROM up JOIN open_summaries s ON s.turn = up.id WHERE s.id = ?2"""
    row = await tx.one(_TO_THE_ROOT + sql, channel, version)
    if row is None:
        raise no_such("summary", version, "on the story's present path")
    return await put_summary(tx, channel, row["head"], row["covers"], row["body"], author, now)


async def put_vectors(
    tx: Transaction, channel: int, turn: int, base_id: str, covers: int, blob: bytes, now: float
) -> None:
    await _require(tx, channel, turn)
    await tx.put("memory_vectors", turn=turn, base_id=base_id, covers=covers, blob=blob, created_at=now)
    # Half a megabyte each, and always to be had again from the text: only those that an undo may need soon are kept.
    await tx.all(
        """DELETE FROM memory_vectors WHERE rowid IN (
            SELECT v.rowid FROM memory_vectors v CROSS JOIN turns t ON t.id = v.turn
                CROSS JOIN stories s ON s.id = t.story
            WHERE s.channel = ? AND v.base_id = ? ORDER BY v.rowid DESC LIMIT -1 OFFSET ?)""",
        channel,
        base_id,
        KEPT_VECTORS,
    )


async def vectors(tx: Transaction, channel: int, base_id: str) -> VectorsRow | None:
    sql = "SELECT v.* FROM up JOIN open_memory_vectors v ON v.turn = up.id AND v.base_id = ?2 WHERE up.found"
    row = await tx.one(_TO_VECTORS + sql, channel, base_id)
    if row is None:
        return None
    return VectorsRow(row["turn"], row["base_id"], row["covers"], row["blob"], row["created_at"])


async def forget_channel(tx: Transaction, channel: int) -> None:
    for table in ("summaries", "memory_vectors"):
        await tx.all(
            f"""DELETE FROM {table} WHERE turn IN (
                SELECT t.id FROM stories s JOIN turns t ON t.story = s.id WHERE s.channel = ?)""",
            channel,
        )


async def forget_stories(tx: Transaction, stories: Sequence[int]) -> int:
    """Gives the number of summaries that went."""
    gone = 0
    for story in stories:
        of_story = "WHERE turn IN (SELECT id FROM turns WHERE story = ?)"
        gone += len(await tx.all(f"DELETE FROM summaries {of_story} RETURNING id", story))
        await tx.all(f"DELETE FROM memory_vectors {of_story}", story)
    return gone


async def _require(tx: Transaction, channel: int, turn: int) -> None:
    sql = "SELECT t.id FROM turns t JOIN stories s ON s.id = t.story WHERE t.id = ? AND s.channel = ?"
    if await tx.one(sql, turn, channel) is None:
        raise no_such("turn", turn)


def _summaries(rows: Sequence[Row]) -> list[SummaryRow]:
    return [
        SummaryRow(r["id"], r["turn"], r["covers"], r["body"], r["created_at"], r["author_id"], r["author_name"])
        for r in rows
    ]
