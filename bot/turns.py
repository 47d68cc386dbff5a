"""Whose turn it is at a story's table, and what becomes of it when somebody joins, leaves, writes, or takes too long.

The first seat is at turn. Whoever has had a turn goes behind all others, as does whoever joins, so that everybody at
the table has theirs before anybody has a second one. Nobody is at two places, and nobody is left out.

A turn that takes longer than the table's patience is handed on, so often that it has been once round. Then nobody
seems to be there, and it rests where it is until somebody does something: whoever of the table writes then has the
turn, as all others have let theirs go by.

Times are Unix seconds, given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bot.errors import InputError
from memory import Author, Table

Change = Callable[[Table], Table]

MAX_SEATS = 25
PATIENCE = 15 * 60.0  # seconds, where nobody chose another
SHORTEST, LONGEST = 5.0, 7 * 24 * 3600.0  # seconds of patience


def patience_of(minutes: float | None) -> float | None:
    """What people choose, in seconds: None is nothing in particular, and 0 any time. Raises `InputError`."""
    if minutes is None or minutes == 0:
        return minutes
    if not SHORTEST <= minutes * 60 <= LONGEST:
        raise InputError(
            "A turn may take 0.1 minutes to 10,080, which is a week, or 0 for any time: choose one of those."
        )
    return minutes * 60.0


def at_turn(table: Table) -> Author | None:
    """None where the table is empty: then anybody may write."""
    return table.seats[0] if table.seats else None


def rests(table: Table) -> bool:
    """Whether everybody has let a turn go by: then it waits for whoever comes."""
    return 0 < len(table.seats) <= table.missed


def due(table: Table) -> float | None:
    """When the turn is handed on by itself; None where that does not happen."""
    patience = PATIENCE if table.patience is None else table.patience
    if not table.seats or not patience or table.since is None or rests(table):
        return None
    return table.since + patience


def settled(table: Table, now: float, awake: float) -> Table:
    """The table as it is now, after the turns that ended by time.

    `awake`: since when this process runs. While none ran nobody could write, so that this time counts for nobody.
    """
    if not table.seats:
        return replace(table, since=None, missed=0)
    # A clock that was set back must not make a turn longer than it is.
    since = now if table.since is None else min(max(table.since, awake), now)
    table = replace(table, since=since)
    while (end := due(table)) is not None and end <= now:
        table = _rotated(table, since=end, missed=table.missed + 1)
    return table


def joined(table: Table, who: Author, now: float) -> Table:
    """With a seat behind all others. Raises `InputError`."""
    if who.id in _ids(table):
        raise InputError("You sit at the table already: wait for your turn.")
    if len(table.seats) >= MAX_SEATS:
        raise InputError(f"All {MAX_SEATS} seats of the table are taken: wait until somebody leaves.")
    return replace(table, seats=(*table.seats, who), since=_begins(table, now), missed=0)


def left(table: Table, member: int, now: float) -> Table:
    """Without that seat; in their turn it is handed on. Raises `InputError`."""
    if member not in _ids(table):
        raise InputError("You do not sit at the table, so there is no seat to leave.")
    seats = tuple(seat for seat in table.seats if seat.id != member)
    since = _begins(table, now) if seats[:1] == table.seats[:1] else now
    return replace(table, seats=seats, since=since, missed=0)


def handed_on(table: Table, now: float) -> Table:
    """The turn goes to the next one, as it was had or given up."""
    return _rotated(table, since=now, missed=0) if table.seats else table


def taken_by(table: Table, who: Author, now: float) -> Table:
    """The table at which this one may write now.

    Raises:
        InputError: it is the turn of somebody else, whom the message names.
    """
    first = at_turn(table)
    if first is None or first.id == who.id:
        return table
    if who.id not in _ids(table):
        raise InputError(f"It is {first.name}'s turn: /story join gives you a seat at the table.")
    if not rests(table):
        raise InputError(f"It is {first.name}'s turn: yours comes, or they hand it on with /story skip.")
    place = _ids(table).index(who.id)
    return replace(table, seats=table.seats[place:] + table.seats[:place], since=now, missed=0)


def _begins(table: Table, now: float) -> float | None:
    """When the present turn begins for those who count from now on; that of a table which rested begins anew."""
    return now if rests(table) or not table.seats else table.since


def _rotated(table: Table, *, since: float, missed: int) -> Table:
    return replace(table, seats=(*table.seats[1:], table.seats[0]), since=since, missed=missed)


def _ids(table: Table) -> list[int]:
    return [seat.id for seat in table.seats]
