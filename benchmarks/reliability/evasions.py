"""Ways in which people write a word so that a list of words does not know it: each one named, each one a function.

A form gives the text as one message, or as several that stand behind each other in a channel; `with_the_model` are
those whose last part the model writes.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

Form = Callable[[str], str | tuple[str, ...]]

_ALPHABETS = tomllib.loads(Path(__file__).with_name("alphabets.toml").read_text(encoding="utf-8"))
_LEET = {"a": "4", "b": "8", "e": "3", "g": "9", "i": "1", "o": "0", "s": "5", "t": "7", "z": "2"}
_SIGNS = {"a": "@", "s": "$", "i": "!", "o": "()", "u": "|_|", "v": "\\/", "x": "><", "k": "|<", "c": "¢", "e": "€"}


def _swapped(alphabet: str) -> Callable[[str], str]:
    table = str.maketrans(_ALPHABETS["latin"], _ALPHABETS[alphabet])
    return lambda term: term.translate(table)


def _block(first: int) -> Form:
    """Letters of a Unicode block that has them in a row."""
    return lambda term: "".join(chr(first + ord(sign) - 97) if sign.isalpha() else sign for sign in term)


def _signs(table: Mapping[str, str]) -> Form:
    return lambda term: "".join(table.get(sign, sign) for sign in term)


def _between(mark: str) -> Form:
    """A mark between the letters of each word."""
    return lambda term: " ".join(mark.join(word) for word in term.split())


def _inside(mark: str, behind: str = "") -> Form:
    """Once in the middle of each word; `behind` one letter later."""

    def form(term: str) -> str:
        words = []
        for word in term.split():
            half = len(word) // 2
            rest = word[half:]
            words.append(word[:half] + mark + (rest[:1] + behind + rest[1:] if behind else rest))
        return " ".join(words)

    return form


def _entities(shape: str) -> Form:
    return lambda term: "".join(shape.format(ord(sign)) if sign.isalpha() else sign for sign in term)


def _half(term: str) -> tuple[str, str]:
    half = len(term.split()[0]) // 2
    return term[:half], term[half:]


def _thirds(term: str) -> tuple[str, str, str]:
    return term[:2], term[2:3], term[3:]


def _alternating(term: str) -> str:
    return "".join(sign.upper() if i % 2 else sign for i, sign in enumerate(term))


def _mixed(term: str) -> str:
    other = _swapped("cyrillic")(term)
    return "".join(other[i] if i % 2 else sign for i, sign in enumerate(term))


def _masked_by(sign: str) -> Form:
    """A sign in place of each word's third letter; at the end of a word most would be punctuation."""
    third = {"*": 2}.get(sign, 3)
    return lambda term: " ".join(f"{word[:2]}{sign}{word[3:]}" if len(word) > third else word for word in term.split())


def _stacked(term: str) -> str:
    return "".join(f"{sign}\u0336\u0353\u030a\u0361" if sign.isalpha() else sign for sign in term)


def _accented(term: str) -> str:
    return unicodedata.normalize("NFC", "".join(f"{sign}\u0301" if sign in "aeiounscrzl" else sign for sign in term))


FORMS: Mapping[str, Form] = {
    "plain": lambda term: term,
    # Case and shapes of letters
    "capitals": str.upper,
    "title case": str.title,
    "alternating case": _alternating,
    "full width": _block(0xFF41),
    "bold": _block(0x1D41A),
    "script": _block(0x1D4EA),
    "fraktur": _block(0x1D586),
    "double struck": _block(0x1D552),
    "monospace": _block(0x1D68A),
    "in circles": _block(0x24D0),
    "in black circles": _block(0x1F150),
    "in squares": _block(0x1F130),
    "in black squares": _block(0x1F170),
    "flags": _block(0x1F1E6),
    "in brackets": _block(0x249C),
    "small capitals": _swapped("small_capitals"),
    # Letters of other scripts
    "cyrillic": _swapped("cyrillic"),
    "greek": _swapped("greek"),
    "cherokee": _swapped("cherokee"),
    "lisu": _swapped("lisu"),
    "every other one cyrillic": _mixed,
    "strokes": _swapped("strokes"),
    "hooks": _swapped("hooks"),
    "turned letters": _swapped("turned"),
    # Marks
    "accents": _accented,
    "combining marks": _stacked,
    "struck through": lambda term: "".join(f"{sign}\u0336" for sign in term),
    "keycaps": lambda term: "".join(f"{sign}\ufe0f\u20e3" if sign.isalpha() else sign for sign in term),
    # Digits and signs
    "leet": _signs(_LEET),
    "leet signs": _signs(_SIGNS),
    "digits behind": lambda term: " ".join(f"{word}99" for word in term.split()),
    "left out letters": _masked_by("*"),
    "question marks for letters": _masked_by("?"),
    "hyphens for letters": _masked_by("-"),
    "hearts for letters": _masked_by("\u2665"),
    "underscores for letters": _masked_by("_"),
    "inverted exclamation marks": _signs({"i": "\u00a1"}),
    "two letters for one": lambda term: term.replace("m", "rn").replace("w", "vv"),
    # What shows nothing
    "zero-width spaces": _between("\u200b"),
    "zero-width joiners": _between("\u200d"),
    "word joiners": _between("\u2060"),
    "soft hyphens": _between("\u00ad"),
    "byte order marks": _between("\ufeff"),
    "variation selectors": _between("\ufe0f"),
    "grapheme joiners": _between("\u034f"),
    "hangul fillers": _between("\u3164"),
    "braille blanks": _between("\u2800"),
    "tag letters": _between("\U000e0061"),
    "right to left marks": _between("\u200f"),
    "direction isolates": lambda term: "".join(f"\u2066{sign}\u2069" if sign.isalpha() else sign for sign in term),
    "backwards in an override": lambda term: f"\u202e{term[::-1]}\u202c",
    "backwards": lambda term: term[::-1],
    # Spelled out
    "blanks": _between(" "),
    "wide blanks": _between("\u3000"),
    "no-break spaces": _between("\u00a0"),
    "line breaks": _between("\n"),
    "dots": _between("."),
    "hyphens": _between("-"),
    "underscores": _between("_"),
    "asterisks": _between("*"),
    "slashes": _between("/"),
    "commas": _between(","),
    "middle dots": _between("·"),
    "emoji": _between("🙂"),
    "each letter in quotes": _between("'"),
    "first letter apart": lambda term: f"{term[0]} {term[1:]}",
    "last letter apart": lambda term: f"{term[:-1]} {term[-1]}",
    "in two": _inside(" "),
    "in two, each in quotes": _inside('" "'),
    "in short pieces": lambda term: " ".join(
        word[at : at + 2] for word in term.split() for at in range(0, len(word), 2)
    ),
    "hyphen at the end of a line": _inside("-\n"),
    # More letters than there are
    "drawn out": lambda term: "".join(sign * 4 if sign in "aeiou" else sign for sign in term),
    "all doubled": lambda term: "".join(sign * 2 if sign.isalpha() else sign for sign in term),
    "words run together": lambda term: term.replace(" ", ""),
    "humps": lambda term: "The" + term.title().replace(" ", "") + "Was",
    # Markup inside of the word
    "bold inside": _inside("**", "**"),
    "strike inside": _inside("~~", "~~"),
    "spoiler inside": _inside("||", "||"),
    "code inside": _inside("`", "`"),
    "tags inside": _inside("<b class='x'>", "</b>"),
    "a link inside": _inside("[", "](https://a.example/x)"),
    "a comment inside": _inside("<!-- x -->"),
    "an emoji's name inside": _inside("<:", ":12>"),
    "an address inside": lambda term: f"somebody@{term.replace(' ', '-')}.example",
    "percent signs": _entities("%{0:02x}"),
    "escapes": _entities("\\u{0:04x}"),
    "decimal entities": _entities("&#{0};"),
    "hexadecimal entities": _entities("&#x{0:x};"),
    "soft hyphen entities": _between("&shy;"),
    "no-break entities": _between("&nbsp;"),
    # Over the border of messages
    "half a word each": _half,
    "three parts": _thirds,
    "a letter each": lambda term: tuple(term.replace(" ", "")),
    "first letter before": lambda term: (term[0], term[1:]),
    "last letter behind": lambda term: (term[:-1], term[-1]),
}


def parts(form: Form, term: str) -> tuple[str, ...]:
    """The messages that a term becomes in a form."""
    made = form(term)
    return (made,) if isinstance(made, str) else made
