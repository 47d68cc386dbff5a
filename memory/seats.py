"""Who sits at a story's table, and how those who write it share it."""

from __future__ import annotations

from memory import story_tree
from memory.rows import Author, Mode, Story, Table
from memory.transaction import Transaction


async def of(tx: Transaction, channel: int) -> Table:
    story = await story_tree.active(tx, channel)
    row = None if story is None else await tx.one("SELECT patience, missed FROM stories WHERE id = ?", story.id)
    if story is None or row is None:
        return Table()
    seats = await tx.all("SELECT * FROM open_seats WHERE story = ? ORDER BY place", story.id)
    return Table(
        seats=tuple(Author(seat["author_id"], seat["author_name"]) for seat in seats),
        since=seats[0]["since"] if seats else None,
        patience=row["patience"],
        missed=row["missed"],
    )


async def put(tx: Transaction, channel: int, table: Table) -> None:
    story = await story_tree.under_way(tx, channel)
    await tx.all("UPDATE stories SET patience = ?, missed = ? WHERE id = ?", table.patience, table.missed, story.id)
    await tx.all("DELETE FROM seats WHERE story = ?", story.id)
    for place, seat in enumerate(table.seats):
        since = table.since if place == 0 else None
        await tx.insert("seats", story=story.id, place=place, author_id=seat.id, author_name=seat.name, since=since)


async def set_mode(tx: Transaction, channel: int, mode: Mode) -> Story:
    story = await story_tree.under_way(tx, channel)
    await tx.all("UPDATE stories SET mode = ? WHERE id = ?", mode, story.id)
    return await story_tree.under_way(tx, channel)


async def taken(tx: Transaction) -> list[tuple[int, int | None]]:
    """The channels whose story is written in turns now, each with its server."""
    rows = await tx.all(
        """SELECT DISTINCT s.channel, s.guild FROM stories s JOIN seats ON seats.story = s.id
            WHERE s.finished = 0 AND s.mode = 'round robin' ORDER BY s.channel"""
    )
    return [(row["channel"], row["guild"]) for row in rows]
