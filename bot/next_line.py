"""The line under a story's end in Discord that says who is next."""

from __future__ import annotations

import re

from bot.modes import LAST_LINE, ONE_WORD, ROUND_ROBIN
from bot.output import LIMIT, line, units
from bot.phrases import ENGLISH, Phrases, load_phrases
from bot.sharing import Standing
from bot.turns import rests

NAMED = 4  # of those who come behind who is at turn
# In any language, as it may have changed since the line was written. No text of a story has a line that begins so.
_BEGINNINGS = "|".join(
    re.escape(Phrases.of(language).texts["next"].partition("{who}")[0]) for language in load_phrases()
)
_FOOT = re.compile(rf"(?:\A|\n)(-# (?:{_BEGINNINGS})[^\n]*)\Z")


def says_next(standing: Standing | None, now: float, say: Phrases = ENGLISH) -> str:
    """Pings nobody; "" where there is nothing to say. `now`: Unix seconds."""
    who = "" if standing is None else _who(standing, now, say)
    return f"-# {say('next', who=who)}" if who else ""


def _who(standing: Standing, now: float, say: Phrases) -> str:
    if standing.mode == ONE_WORD:
        return say("next_word")
    if standing.mode == LAST_LINE:
        return say("next_line")
    if standing.mode != ROUND_ROBIN:
        return ""
    first, *others = standing.table.seats or (None,)
    if first is None:
        return say("next_nobody")
    said = line(first.name, 60)
    if rests(standing.table):
        said = say("next_rests", name=said)
    elif standing.wait is not None:
        said = say("next_until", name=said, time=f"<t:{round(now + standing.wait)}:t>")
    names = [line(other.name, 60) for other in others[:NAMED]]
    more = [say("next_more", count=len(others) - NAMED)] if len(others) > NAMED else []
    return say("next_then", first=said, others=", ".join([*names, *more])) if names else said


def parted(shown: str) -> tuple[str, str]:
    """A message without that line, and the line, which may be missing."""
    found = _FOOT.search(shown)
    return (shown, "") if found is None else (shown[: found.start()], found[1])


def with_foot(shown: str, foot: str) -> str | None:
    """The message with this line in place of the one that it has; None where it has no room."""
    text, _ = parted(shown)
    content = f"{text}\n{foot}".strip("\n") if foot else text
    return content if units(content) <= LIMIT else None
