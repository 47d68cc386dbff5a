"""What may not stand in a log: secrets, and whatever could pass for a line that the log has not written."""

from __future__ import annotations

import re
from collections.abc import Iterable

GONE = "\N{HORIZONTAL ELLIPSIS}"
SHORTEST = 8  # characters of a secret: a shorter one would take words out of every line
_PLACES = (
    # The token of an interaction lets whoever reads it answer in our name for a quarter of an hour.
    (re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s?\"']+"), rf"\1{GONE}"),
    (re.compile(r"(?i)(authorization\W{1,6}(?:(?:bot|bearer|basic)\s+)?)[^\s\"',}]+"), rf"\1{GONE}"),
    (re.compile(r"""(?i)(["'](?:[a-z_]*token|secret|password|api_?key)["']\s*:\s*["'])[^"']*"""), rf"\1{GONE}"),
    # The three parts of a bot's token, whoever it belongs to: the id in base64, a time, a code.
    (re.compile(r"\b[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{27,45}"), GONE),
)
# All that moves the cursor, ends a line, turns the direction of writing, or is half of a character.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_USUAL = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


class Redactor:
    """Takes secrets out of text: those that it was given, in large and small letters, and what looks like one of
    Discord's."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({each for each in secrets if len(each) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known)), re.IGNORECASE) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(GONE, text)
        for place, instead in _PLACES:
            text = place.sub(instead, text)
        return text


def one_line(text: str) -> str:
    """The text on one line: what would break it, or show it otherwise than it stands there, becomes its number."""
    return _UNSHOWN.sub(lambda found: _USUAL.get(found[0]) or f"\\u{ord(found[0]):04x}", text)
