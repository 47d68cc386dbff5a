"""Text as the content rules compare it: what a reader takes for a letter is that letter, whatever it was typed with."""

from __future__ import annotations

import html
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

BUILT_IN = tomllib.loads(Path(__file__).with_name("rules.toml").read_text(encoding="utf-8"))

# Digits and signs that stand for letters. "i", "l" and "1" become one, since a reader cannot tell which was meant.
_LEET = {
    "l": "i", "0": "o", "1": "i", "2": "z", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a",
    "$": "s", "€": "e", "£": "i", "¢": "c",
}  # fmt: skip
_READ_AS: dict[str, str] = {
    case: letter
    for letter, signs in BUILT_IN["look_alikes"].items()
    for sign in signs
    for case in (sign, sign.lower(), sign.upper())
} | _LEET
_BEFORE_FOLDING = str.maketrans("\u03f2\u03f9\u017f", "ccs")  # folding would make another letter of them
_INNER_LEET = {
    "!": "i",
    "\u00a1": "i",
    "|": "i",
    "+": "t",
}  # only between letters: at the end of a word they are punctuation
_DRAWN = {"()": "o", "[]": "o", "|_|": "u", "|<": "k", "/\\": "a", "\\/": "v", "><": "x"}  # letters made of signs
MASK = "*"  # a letter that was left out
KNOWN_LETTERS = 1024
_MASKS = "*#\u2022\u25cf\u2217"  # signs that are hardly put to another use inside a word

# "LATIN SMALL LETTER O WITH STROKE", "LATIN LETTER SMALL CAPITAL R", "NEGATIVE SQUARED LATIN CAPITAL LETTER A"
_NAME_OF_LETTER = re.compile(r"(?:LATIN\b.*|REGIONAL INDICATOR SYMBOL )LETTER (?:[A-Z]+ )*?([A-Z])(?: WITH .*| BAR)?$")


class _Letters(dict[int, int | str | None]):
    """What each character counts as; filled as characters are met, of which Unicode has a million."""

    def __missing__(self, code: int) -> int | str | None:
        letter = self._of(chr(code), code)
        if len(self) < KNOWN_LETTERS:
            self[code] = letter
        return letter

    @staticmethod
    def _of(sign: str, code: int) -> int | str | None:
        if letter := _READ_AS.get(sign):
            return letter
        if sign.isspace() or sign in "\u2013\u2014\u2015\u2026":  # dashes part words, hyphens do not
            return " "
        if unicodedata.category(sign) in ("Cf", "Cc", "Cs", "Mn", "Me") or sign in "\u3164\uffa0\u115f\u1160\u2800":
            return None  # shows nothing
        if not sign.isascii() and (named := _NAME_OF_LETTER.search(unicodedata.name(sign, ""))):
            letter = named[1].lower()
            return _LEET.get(letter, letter)
        return code


_LETTERS = _Letters()
_HYPHENATED = re.compile(r"(?<=[^\W_])[-\u2010\u00ad][^\S\n]*\n\s*(?=[^\W_])")  # at the end of a line
_DRAWN_LETTER = re.compile("|".join(f"(?<=[^\\W_]){re.escape(s)}|{re.escape(s)}(?=[^\\W_])" for s in _DRAWN))
_DOTS = re.compile(r"\.{2,}|-{2,}")
_INNER = re.compile(r"[!\u00a1|+](?<=[^\W_].)(?=[^\W_])")
_APOSTROPHE = re.compile(r"['\u2019\u02bc`](?<=\w.)(?=\w)")
_MARKS = re.compile(r"<[^<>]{1,80}>|!?\[(?=[^\[\]]{1,80}\]\()|\]\([^()]{0,200}\)")  # of HTML, of links in Markdown
_EMOJI = re.compile(r"<a?:(\w+):\d+>")  # of a server of Discord
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))|%([0-9a-fA-F]{2})")
_ODD = re.compile(
    r"[A-Z\d](?:(?<=[a-z][A-Z])|(?<=[^\W\d_]\d)|(?<=\d)(?=[^\W\d_]))"
)  # quick: begins with what it stands at
_COVERED = re.compile(r"[\W_](?<=[^\W_][^\s'\u2019])[\ufe0e\ufe0f]?(?=[^\W_])")  # one sign between two letters
_AROUND = 48  # characters before and behind an odd word that are read with it, for terms of several words
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_EDGE_DIGITS = re.compile(r"(?<![^\W_])\d+(?=[^\W\d_])|(?<=[^\W\d_])\d+(?![^\W_])")
_TOKEN = re.compile(rf"[^\W_](?:[^\W_]|[{re.escape(MASK)}])*")


def normalize(text: str) -> str:
    """The text as it is compared; its length may differ."""
    if "&" in text:
        text = html.unescape(text)
    if "%" in text or "\\" in text:
        text = _ESCAPED.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)
    if "\n" in text:
        text = _HYPHENATED.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_BEFORE_FOLDING))
        text = unicodedata.normalize("NFKD", text.casefold())
    text = text.lower().translate(_LETTERS)
    if any(drawn in text for drawn in _DRAWN):
        text = _DRAWN_LETTER.sub(lambda found: _DRAWN[found.group()], text)
    text = _APOSTROPHE.sub("", _DOTS.sub(" ", text))
    return _INNER.sub(lambda found: _INNER_LEET[found.group()], text)


def unmarked(text: str) -> str | None:
    """The text without tags, the targets of links and "@", an emoji as its name, normalised; None where it has none."""
    if not any(mark in text for mark in ("<", "](", "&", "@")):
        return None
    bare = _MARKS.sub("", _EMOJI.sub(r"\1", html.unescape(text))).replace("@", " ")
    return None if bare == text else normalize(bare)


def other_readings(text: str) -> Iterator[tuple[int, str]]:
    """What stands around a word that can be read in another way too, with its offset: the text normalised, with the
    word in parts where capitals stand inside (`oneTwo`), and without digits at its ends (`one99`)."""
    for begin, stretch in _stretches(text, _ODD):
        yield begin, normalize(_HUMPS.sub(" ", stretch))
        yield begin, normalize(_EDGE_DIGITS.sub("", stretch))


def masked(text: str, may_be: Callable[[str], bool]) -> Iterator[tuple[int, list[str]]]:
    """The words around one in which letters are left out (`w*rd`, `w-rd`), normalised but for these, with their offset,
    which is about right. Of each word at least half of the letters can be seen; `may_be` tells whether one is worth it.
    """
    covered, past = text, 0
    for sign in _MASKS:
        covered = covered.replace(sign, MASK)
    covered = _COVERED.sub(MASK, covered)
    for chunk in covered.split():
        if MASK not in chunk or (at := covered.find(chunk, past)) < 0:
            continue  # most words; or read already, with one before it
        past = at + len(chunk)
        if any(may_be(_with_masks(found.group())) for found in _TOKEN.finditer(chunk)):
            begin, past = _around(covered, at, past)
            yield begin, [_with_masks(each.group()) for each in _TOKEN.finditer(covered[begin:past])]


def _with_masks(token: str) -> str:
    hidden = token.count(MASK)
    if hidden * 2 > len(token):
        return ""
    return "".join(sign if sign == MASK else normalize(sign) for sign in token) if hidden else normalize(token)


def _stretches(text: str, odd: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """What stands around each place that is odd, whole words, with its offset; near ones together."""
    at = 0
    while found := odd.search(text, at):
        first = last = found
        while (more := odd.search(text, at := last.end(), last.end() + _AROUND)) is not None:
            last = more
        begin, end = _around(text, first.start(), last.end())
        yield begin, text[begin:end]


def _around(text: str, first: int, last: int) -> tuple[int, int]:
    """From and to where whole words stand around these places."""
    begin, end = text.rfind(" ", 0, max(first - _AROUND, 0)) + 1, text.find(" ", last + _AROUND)
    return begin, end if end >= 0 else len(text)
