"""A story as pages read it: paragraphs of pieces, each with who wrote it, and a colour for everybody."""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from memory import Turn

LIGHT, DARK = (1.0, 1.0, 1.0), (0.08, 0.09, 0.1)  # what pages are printed on: red, green, blue from 0 to 1
CONTRAST = 6.0  # of a colour against the page; WCAG 2.2 asks for 4.5
_GOLDEN = 0.618034  # of the circle of hues: neighbours in the list are never alike

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Piece:
    writer: int  # as an index of the story's writers
    text: str  # without the end of a paragraph; a line's end is in it as it is


@dataclass(frozen=True)
class Page:
    writers: list[str]  # in the order in which they come in
    paragraphs: list[list[Piece]]


def page_of(turns: Sequence[Turn], model: str) -> Page:
    """The story's paragraphs. What the model wrote and somebody changed is theirs and the model's together."""
    writers: dict[tuple[bool, int | None], int] = {}
    names: list[str] = []
    paragraphs: list[list[Piece]] = [[]]
    for turn in turns:
        who = (turn.kind == "model", turn.author_id)
        if who not in writers:
            writers[who] = len(names)
            names.append(printable(writer_of(turn, model)))
        for index, text in enumerate(printable(turn.text).split("\n\n")):
            if index:
                paragraphs.append([])
            if text:
                paragraphs[-1].append(Piece(writers[who], text))
    return Page(names, [pieces for pieces in map(_trimmed, paragraphs) if pieces])


def writer_of(turn: Turn, model: str) -> str:
    if turn.kind != "model":
        return turn.author_name or "nobody"
    return f"the model {model}, changed by {turn.author_name}" if turn.author_name else f"the model {model}"


def printable(text: str) -> str:
    """Without characters that XML does not take."""
    return "".join(
        sign for sign in text if sign in "\n\t" or (unicodedata.category(sign) not in ("Cc", "Cs") and sign < "\ufffe")
        or sign > "\uffff"
    )  # fmt: skip


def _trimmed(pieces: list[Piece]) -> list[Piece]:
    """A paragraph without white space at its ends."""
    while pieces and not pieces[0].text.strip():
        pieces = pieces[1:]
    while pieces and not pieces[-1].text.strip():
        pieces = pieces[:-1]
    if pieces:
        pieces = [Piece(pieces[0].writer, pieces[0].text.lstrip()), *pieces[1:]]
        pieces[-1] = Piece(pieces[-1].writer, pieces[-1].text.rstrip())
    return pieces


def marked_up(paragraph: Sequence[Piece], writers: Sequence[str]) -> str:
    """A paragraph as XHTML, each piece in its writer's class; everything of members is escaped."""
    pieces = [
        f'<span class="w{piece.writer}" title="{escape(writers[piece.writer])}">'
        f"{escape(piece.text).replace(chr(10), '<br/>')}</span>"
        for piece in paragraph
    ]
    return f"<p>{''.join(pieces)}</p>"


# Colours


def colours(count: int, paper: Colour) -> list[str]:
    """As many colours as there are writers, in CSS, each readable on this paper."""
    return [_css(_readable((0.58 + index * _GOLDEN) % 1.0, paper)) for index in range(count)]


def _readable(hue: float, paper: Colour) -> Colour:
    """The colour of a hue that has the contrast and hardly more, so that none shouts."""
    steps = range(25, 101) if luminance(paper) < 0.5 else range(50, -1, -1)
    candidates = (colorsys.hls_to_rgb(hue, step / 100, 0.7) for step in steps)
    return next(colour for colour in candidates if contrast(colour, paper) >= CONTRAST)


def contrast(one: Colour, other: Colour) -> float:
    """By WCAG 2.2 (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio), from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Colour) -> float:
    """Relative luminance by WCAG 2.2, from 0 to 1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _css(colour: Colour) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)
