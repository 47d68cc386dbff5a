"""Text made harmless for Discord, and split into messages.

Everything that a member or the model wrote goes through `harmless` before it is sent: no mention, link, invite or
markdown in it is live. `split` cuts at 2,000 characters, counted as the platform's clients count: UTF-16 units.
"""

from __future__ import annotations

import re
import unicodedata

LIMIT = 2000
_BREAK = "\u200b"  # zero-width space: nobody sees it, and no client reads across it
_KEPT = {"\n", "\u200c", "\u200d"}  # joiners belong to scripts and to emoji
_TAGS = range(0xE0020, 0xE0080)  # the letters of flags such as Wales

_LIVE = re.compile(
    r"<(?=\S)"  # <@1>, <#1>, </story:1>, <:emoji:1>, <t:1>, <mailto:…>
    r"|@(?=\S)"  # @everyone, @here
    r"|:(?=/)"  # https://
    r"|\](?=\s*[(\[:])"  # [text](link)
    r"|(?<=discord)(?:app)?\.(?=\w)"  # discord.gg/…, discord.com/invite/…
    r"|\.(?=gg\b)",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(r"[\\*_~`|]")
_BLOCK = re.compile(r"(?<!\S)(?:>|#{1,3}(?=\s)|-(?=[\s#])|\+(?=\s))")  # wherever a cut may make it the line's start


def harmless(text: str) -> str:
    """The same text to the eye, with nothing live in it: no mention, link, invite, markdown or control character."""
    lines = text.replace("\r\n", "\n").split("\n")
    text = "\n".join(line if line.isprintable() else "".join(map(_plain, line)) for line in lines)
    text = _LIVE.sub(lambda found: found[0] + _BREAK, text)
    text = _MARKDOWN.sub(r"\\\g<0>", text)
    text = _BLOCK.sub(r"\\\g<0>", text)
    return text if _seen(text) else ""


def _seen(text: str) -> bool:
    return any(char.isprintable() and not char.isspace() for char in text)


def _plain(char: str) -> str:
    if char < "\x7f":
        return char if char >= " " or char == "\n" else " " if char in "\t\r\v\f" else ""
    if char in _KEPT or ord(char) in _TAGS:
        return char
    kind = unicodedata.category(char)
    if kind in ("Zl", "Zp"):
        return "\n"
    return "" if kind in ("Cc", "Cf", "Cs") else char


def line(text: str, limit: int = 100) -> str:
    """Harmless, on one line, and cut with "…" where it is longer than `limit`."""
    flat = harmless(" ".join(text.split()))
    if units(flat) <= limit:
        return flat
    return flat[: _longest(flat, limit - 1)].rstrip() + "…"


def label(text: str, limit: int = 100) -> str:
    """On one line and cut, for the choices of an option: there the platform shows every character as it is."""
    flat = " ".join("".join(map(_plain, text)).split())
    return flat if units(flat) <= limit else flat[: _longest(flat, limit - 1)].rstrip() + "…"


def units(text: str) -> int:
    """The length as Discord's clients count it."""
    return len(text) + sum(char > "\uffff" for char in text)


def split(text: str, limit: int = LIMIT, *, first: int | None = None, newline: int = 1) -> list[str]:
    """Cuts a text into parts of at most `limit` characters, the first of at most `first`; white space at a cut goes.

    It cuts between paragraphs where that does not leave a part half empty, else between lines, sentences, words, and
    in the worst case between characters as they are seen. `newline` is what a line's end counts.
    """
    parts: list[str] = []
    room = limit if first is None else first
    rest = text.strip()
    while rest:
        end = _longest(rest, room, newline)
        if end < len(rest):
            end = _cut(rest, end)
        parts.append(rest[:end].rstrip())
        rest = rest[end:].strip()
        room = limit
    return [part for part in parts if part]


def quote(name: str, text: str) -> list[str]:
    """A member's text as block quotes under the name, each a message or the beginning of one."""
    head = f"> **{line(name, 60)}**\n"
    parts = split(harmless(text), LIMIT - units(head) - 8, newline=3)
    return [head + "\n".join("> " + each for each in part.split("\n")) for part in parts]


def story_messages(lead: list[str], text: str) -> list[str]:
    """A reply as messages: what leads to it, then the text, in the last message of the lead where there is room."""
    text = harmless(text)
    if not lead:
        return split(text)
    lead = _packed(lead)
    room = LIMIT - units(lead[-1]) - 1
    if room < LIMIT // 4:
        return [*lead, *split(text)]
    parts = split(text, first=room)
    return [*lead[:-1], "\n".join([lead[-1], *parts[:1]]), *parts[1:]]


def _packed(parts: list[str]) -> list[str]:
    packed = parts[:1]
    for part in parts[1:]:
        if units(packed[-1]) + 1 + units(part) <= LIMIT:
            packed[-1] += "\n" + part
        else:
            packed.append(part)
    return packed


def _longest(text: str, room: int, newline: int = 1) -> int:
    """How many characters of the text fit into `room`, at least one."""
    if len(text) * max(newline, 2) <= room:
        return len(text)
    used = 0
    for index, char in enumerate(text):
        used += newline if char == "\n" else 2 if char > "\uffff" else 1
        if used > room and index:
            return index
    return len(text)


def _cut(text: str, end: int) -> int:
    """The best place to cut at or before `end`."""
    window = text[:end]
    for mark in ("\n\n", "\n"):
        at = window.rfind(mark)
        if at >= end // 2:
            return at + len(mark)
    ends = [found.end() for found in re.finditer(r"[.!?…][\"'”\u2019»)\]*]*\s+", window)]
    if ends and ends[-1] >= end // 2:
        return ends[-1]
    spaces = [found.end() for found in re.finditer(r"\s+", window)]
    if spaces and spaces[-1] >= end // 2:
        return spaces[-1]
    at = end
    while at > end // 2 and _joined(text, at):
        at -= 1
    return at if at > end // 2 else max(1, end - _escaped(text, end))


def _joined(text: str, at: int) -> bool:
    """Whether the characters before and behind `at` are seen as one, or are an escape."""
    before, after = text[at - 1], text[at]
    if _escaped(text, at) or before == "\u200d" or after in f"\u200c\u200d{_BREAK}":
        return True
    if unicodedata.category(after) in ("Mn", "Mc", "Me") or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if ord(after) in _TAGS or ord(after) == 0xE007F:
        return True
    if not (_regional(before) and _regional(after)):
        return False
    run = at
    while run and _regional(text[run - 1]):
        run -= 1
    return (at - run) % 2 == 1


def _regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _escaped(text: str, at: int) -> bool:
    """Whether `at` lies between a backslash and what it escapes."""
    return (at - len(text[:at].rstrip("\\"))) % 2 == 1
