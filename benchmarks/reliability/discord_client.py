"""What Discord's client makes live in the text of a message: an oracle of its own, which shares nothing with the code
that makes text harmless. Where the client's rules are not known to the letter, it takes more to be live, not less.
"""

from __future__ import annotations

import re

LIMIT = 2000  # UTF-16 units of a message
MENTIONS = re.compile(r"<(?:@[!&]?\d|#\d|/[^<>\n]{1,80}:\d|a?:\w+:\d|t:-?\d|id:\w)|@(?:everyone|here)", re.IGNORECASE)
LINKS = re.compile(
    r"(?:https?|ftp|steam|discord|file)://[^\s<]|<(?:mailto|tel|sms|https?|discord):[^\s]"
    r"|\b(?:discord(?:app)?\.(?:gg|com|me|io|new)|(?:dsc|invite)\.gg)\s*/\s*\w|\.gg/\w",
    re.IGNORECASE,
)
MASKED = re.compile(r"(?<!\\)\](?:\(|\[|:\s*\S)")
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
MARKS = frozenset("*_~`|")
BLOCK = re.compile(r"^[ \t]*(?:>{1,3}[ \t]|#{1,3}[ \t]|-#[ \t]|[-*+][ \t]|```)", re.MULTILINE)


def live(text: str) -> list[str]:
    """The kinds of things that would be live in a message; members' quotes, which the bot makes, are not looked for."""
    found = []
    bare = ESCAPED.sub(r"\1", text)  # as the client shows it
    for name, pattern in (("mention", MENTIONS), ("link", LINKS)):
        if pattern.search(text) or pattern.search(bare):
            found.append(name)
    without = ESCAPED.sub("", text)  # what is left has its meaning
    if MASKED.search(text) or MASKED.search(bare):
        found.append("masked link")
    if any(sign in MARKS for sign in without):
        found.append("markdown")
    if BLOCK.search(ESCAPED.sub(".", text)):
        found.append("block")
    return found


def units(text: str) -> int:
    """The length as the platform counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
