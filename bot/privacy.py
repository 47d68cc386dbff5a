"""What is kept of a person: told in plain words, given as a file, removed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from bot.errors import InputError
from memory import Belongings, Removed

NOTICE = """\
**What I keep**, in one file on the machine of whoever runs me and in its backups, every text sealed with their key:
- what you add to stories, with your name, your id, the time and the channel, and what I wrote in answer;
- what you type into my commands and forms: titles, notes, pins, lessons, changes of a summary; your seat at a \
story's table;
- what was made of that: summaries of stories, the units that learnt a lesson, numbers that help me remember;
- the settings of channels and servers, and a log of who changed what, with ids and without texts.
**What I do not do**: keep anything that was not given to me by a command, a form, a button or a reply to me; send any \
of it to anybody else; learn from what is said in a channel. I learn only what somebody typed into /teach add, in that \
channel alone.
**How long**: until somebody removes it. /privacy delete removes what is yours, in all servers and backups; /teach \
forget, /memory unpin and /memory reset remove parts of it. The log of who changed what stays. Messages in the \
channels, mine too, are Discord's: delete them there.
**How you see it**: /privacy export gives you all of it as a file. /report tells whoever runs me of a bad message."""

ASK = (
    "This removes what you wrote, taught, pinned and edited, in every channel and server, together with the summaries"
    " made from it, and cannot be undone. Your turns in stories will read “[removed]”."
)
FOREVER = "You may want a /privacy export first."
NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(  # of one and of several
    {
        "turns": ("turn", "turns"),
        "stories": ("title of a story", "titles of stories"),
        "lessons": ("lesson", "lessons"),
        "pins": ("pin", "pins"),
        "notes": ("note", "notes"),
        "seats": ("seat at a table", "seats at tables"),
        "summaries": ("summary", "summaries"),
        "settings": ("setting", "settings"),
        "acts": ("line in the log", "lines in the log"),
    }
)


def kept(found: Belongings) -> str:
    """How much there is of each kind, as one sentence."""
    counts = {kind: len(found[kind]) for kind in NAMES}
    return f"Of you I keep {_counted(counts)}." if any(counts.values()) else "Of you I keep nothing."


def removed(gone: Removed) -> str:
    """What a deletion took, as one sentence."""
    counts = {
        "turns": gone.turns,
        "stories": gone.titles,
        "lessons": gone.lessons,
        "pins": gone.pins,
        "notes": gone.notes,
        "summaries": gone.summaries,
    }
    if not any(counts.values()):
        return "There was nothing of yours to remove."
    return f"Removed: {_counted(counts)}. Nothing of it is left in my file or its backups."


def export(found: Belongings, *, person: int, name: str, now: float) -> bytes:
    """All of it as JSON, with times as people read them."""
    whole = {"person": str(person), "name": name, "exported_at": _time(now)}
    kinds = {kind: [{key: _readable(key, value) for key, value in row.items()} for row in rows]
             for kind, rows in found.items()}  # fmt: skip
    return json.dumps(whole | kinds, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def attached(data: bytes, limit: int) -> tuple[bytes, str]:
    """The export as a file of at most `limit` bytes, and the file's name. Raises `InputError`."""
    if len(data) <= limit:
        return data, "my-data.json"
    packed = gzip.compress(data)
    if len(packed) > limit:
        raise InputError(
            f"Your data take {len(packed) >> 20:,} MB, and a file here may have {limit >> 20:,} MB: ask whoever runs me"
            " for them."
        )
    return packed, "my-data.json.gz"


def _readable(key: str, value: Any) -> Any:
    if key.endswith("_at"):
        return _time(value)
    if key in ("channel", "id"):
        return None if value is None else str(value)  # a JSON reader rounds numbers of this length
    if key in ("body", "keys"):  # of a summary, of a pin
        return json.loads(value)
    return value


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _counted(counts: Mapping[str, int]) -> str:
    parts = [f"{count:,} {NAMES[kind][count != 1]}" for kind, count in counts.items() if count]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
