"""The line under a story's end in Discord that says who is next."""

from __future__ import annotations

import re

from bot.modes import LAST_LINE, ONE_WORD, ROUND_ROBIN
from bot.output import LIMIT, line, units
from bot.sharing import Standing
from bot.turns import rests

NAMED = 4  # of those who come behind who is at turn
_FOOT = re.compile(r"(?:\A|\n)(-# Next: [^\n]*)\Z")  # no text of a story has a line that begins so


def says_next(standing: Standing | None, now: float) -> str:
    """Pings nobody; "" where there is nothing to say. `now`: Unix seconds."""
    if standing is None:
        return ""
    if standing.mode == ONE_WORD:
        return "-# Next: one word, by anybody who did not write the last one."
    if standing.mode == LAST_LINE:
        return "-# Next: anybody; only this last line is seen until /story finish."
    if standing.mode != ROUND_ROBIN:
        return ""
    first, *others = standing.table.seats or (None,)
    if first is None:
        return "-# Next: anybody, as nobody sits at the table yet; /story join takes a seat."
    said = f"-# Next: {line(first.name, 60)}"
    if rests(standing.table):
        said += ", or whoever of the table comes first, as all have let a turn go by"
    elif standing.wait is not None:
        said += f", until <t:{round(now + standing.wait)}:t>"
    names = [line(other.name, 60) for other in others[:NAMED]]
    more = [f"{len(others) - NAMED} more"] if len(others) > NAMED else []
    return f"{said}; then {', '.join([*names, *more])}." if names else f"{said}."


def parted(shown: str) -> tuple[str, str]:
    """A message without that line, and the line, which may be missing."""
    found = _FOOT.search(shown)
    return (shown, "") if found is None else (shown[: found.start()], found[1])


def with_foot(shown: str, foot: str) -> str | None:
    """The message with this line in place of the one that it has; None where it has no room."""
    text, _ = parted(shown)
    content = f"{text}\n{foot}".strip("\n") if foot else text
    return content if units(content) <= LIMIT else None
