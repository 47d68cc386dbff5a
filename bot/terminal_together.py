"""The terminal's commands for writing a story together: several people at one keyboard, each under their name."""

from __future__ import annotations

import zlib

from bot.desk import Command, Desk
from bot.errors import InputError
from bot.manuscript import typed
from bot.modes import ABOUT, FREE, ROUND_ROBIN, mode_of
from bot.turns import at_turn, rests
from memory import Author

MAX_NAME = 40  # characters


def player(name: str) -> Author:
    """Who sits at the table by this name: the same number for the same name. Raises `InputError`."""
    name = typed(name, what="The name", limit=MAX_NAME, one_line=True)
    return Author(-1 - zlib.crc32(name.casefold().encode("utf-8", "replace")), name)


async def writer(desk: Desk) -> Author:
    """In whose name a line is written: that of who is at turn, where there is a table."""
    standing = await desk.session.standing()
    first = None if standing is None else at_turn(standing.table)
    return first or desk.author


async def tell_next(desk: Desk) -> None:
    """Who is next, where that is said of somebody."""
    standing = await desk.session.standing()
    if standing is None or standing.mode != ROUND_ROBIN:
        return
    first = at_turn(standing.table)
    if first is None:
        desk.screen.hint("Nobody sits at the table, so that anybody may write: /join NAME takes a seat.")
    elif rests(standing.table):
        desk.screen.hint(f"Next: {first.name}; as nobody wrote for a round, their time does not run out.")
    else:
        desk.screen.hint(f"Next: {first.name}")


async def _mode(desk: Desk, rest: str) -> None:
    """With nothing behind it, it says which one holds."""
    name, bar, minutes = rest.partition("|")
    if rest:
        await desk.session.set_mode(mode_of(name), _minutes(minutes) if bar else None, desk.author, keeps=True)
    standing = await desk.session.standing()
    mode = FREE if standing is None else standing.mode
    desk.screen.say(f"{mode}: {ABOUT[mode]}.")
    await tell_next(desk)


def _minutes(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError("A number of minutes is missing: /mode round robin | MINUTES.") from error


async def _join(desk: Desk, rest: str) -> None:
    await desk.session.join(player(rest))
    await tell_next(desk)


async def _leave(desk: Desk, rest: str) -> None:
    await desk.session.leave(player(rest).id)
    await tell_next(desk)


async def _skip(desk: Desk, rest: str) -> None:
    await desk.session.skip(desk.author, keeps=True)
    await tell_next(desk)


TOGETHER = (
    Command("mode", "[MODE [| MINUTES]]", "how you write it together: free, round robin, one word each, last line only",
            _mode),
    Command("join", "NAME", "gives somebody a seat at the table; what is typed is theirs when it is their turn", _join),
    Command("leave", "NAME", "gives the seat up", _leave),
    Command("skip", "", "hands the turn on", _skip),
)  # fmt: skip
