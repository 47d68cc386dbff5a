"""The one function that turns memory and story into what the model reads, in serving and in training alike.

Layout: end-of-text, then, if there is any memory, the memory token, a line for each part and the story token, then the
story text, with a note as a line of its own near its end if there is one. Only the story text is ever cut: from its
start, at a sentence where one is near.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.errors import PromptError
from engine.gleaning import ABBREVIATION
from engine.summary import Summary
from engine.tokenizer import MEMORY, STORY, Tokenizer

NOTE_SHARE = 0.25  # a note that takes more of the window is left out
MEMORY_SHARE = 0.5  # pins and summary together never take more than this share of the window

_LINE_END = re.compile(r"[.!?\u2026][\"')\]\u201d\u2019]*\s+|\n+")


@dataclass(frozen=True)
class Context:
    """What the model sees, in this order; the end of `text` is what it continues."""

    pins: tuple[str, ...] = ()
    summary: Summary | None = None
    text: str = ""
    vectors: bytes | None = None  # what the model wrote of the text that left the window: `engine.memory_vectors`
    past: str = ""  # of the story, what stands before `text`; never read, but recalled where the text comes back to it
    note: str = ""  # a steer, which stands as a line of its own in the text
    note_depth: int = 3  # lines of the text behind it; a sentence counts as a line


class Rendered(NamedTuple):
    prefix: list[int]  # stays when the text grows out of the window
    text: list[int]
    left: int  # characters of the context's text that the window has no room for


def memory_text(pins: Sequence[str], summary: Summary | None) -> str:
    """Pins and summary as lines of text; empty if there is nothing to remember."""
    lines = [f"Facts: {' '.join(pins)}"] if pins else []
    lines += summary.lines() if summary else []
    return "\n".join(lines)


def render_memory(tokenizer: Tokenizer, pins: Sequence[str], summary: Summary | None) -> list[int]:
    """Ids of the memory prefix, control tokens included; none if there is nothing to remember."""
    text = memory_text(pins, summary)
    if not text:
        return []
    opening, closing = tokenizer.control[MEMORY], tokenizer.control[STORY]
    if opening is None or closing is None:  # foreign weights: the same lines, parted from the story by an empty one
        return tokenizer.encode(text + "\n\n")
    return [opening, *tokenizer.encode(text), closing]


def render(tokenizer: Tokenizer, context: Context, room: int) -> list[int]:
    """Ids of the whole context, at most `room` of them.

    Raises:
        PromptError: the pins alone take more than half of the window.
    """
    prefix, text = render_parts(tokenizer, context, room)
    return prefix + text


def render_parts(tokenizer: Tokenizer, context: Context, room: int) -> tuple[list[int], list[int]]:
    """The same in two: prefix and text.

    Raises:
        PromptError: see `render`.
    """
    rendered = render_window(tokenizer, context, room)
    return rendered.prefix, rendered.text


def render_window(tokenizer: Tokenizer, context: Context, room: int) -> Rendered:
    """The same, with how much of the text is left out.

    Raises:
        PromptError: see `render`.
    """
    start = [] if tokenizer.start_of_text is None else [tokenizer.start_of_text]
    summary, most = context.summary, room * MEMORY_SHARE
    while len(memory := render_memory(tokenizer, context.pins, summary)) > most and summary:
        summary = summary.shorter()  # a person may have written more than fits; pins come first, as they were asked for
    if len(memory) > most:
        raise PromptError("The pinned facts fill more than half of what the model can read; remove or shorten some.")
    prefix = [*start, *memory]
    room_for_text = room - len(prefix)
    taken = note_tokens(tokenizer, context.note)
    if not 0 < taken <= room * NOTE_SHARE:
        return Rendered(prefix, *fit(tokenizer, context.text, room_for_text))
    _, left = fit(tokenizer, context.text, room_for_text - taken)
    noted = with_note(context.text[left:], context.note, context.note_depth)
    return Rendered(prefix, tokenizer.encode(noted)[-room_for_text:], left)


def note_tokens(tokenizer: Tokenizer, note: str) -> int:
    """What a note takes of the window, with the line ends around it."""
    return len(tokenizer.encode(note)) + 2 if note else 0


def with_note(text: str, note: str, depth: int) -> str:
    """The text with the note as a line of its own, `depth` lines or sentences before its end.

    A steer close to the end holds stronger than one far from it, and where lines of the story follow it, the model
    goes on with those and not with the note.
    """
    ends = [
        found.end()
        for found in _LINE_END.finditer(text)
        if found.end() < len(text) and not ABBREVIATION.search(text[: found.start() + 1][-6:])
    ]
    cut = ends[-depth] if len(ends) >= depth > 0 else 0 if depth else len(text)
    before = text[:cut] if text[:cut].endswith("\n") or not cut else text[:cut].rstrip() + "\n"
    return f"{before}{note}\n{text[cut:]}"


def fit(tokenizer: Tokenizer, text: str, room: int) -> tuple[list[int], int]:
    """The end of the text as at most `room` ids, and the character offset where that end begins.

    Cuts behind the end of a sentence where one lies in the first fifth of what fits, else at a word.
    """
    # Bounds the work on very long stories: no tokenizer here averages more than 8 characters a token.
    base = max(0, len(text) - 8 * max(room, 0))
    ids = tokenizer.encode(text[base:])
    if len(ids) <= room and base == 0:
        return ids, 0
    kept = tokenizer.decode(ids[-room:]) if room > 0 else ""
    offset = len(text) - len(kept.lstrip("\ufffd"))
    window = text[offset : offset + max(1, len(kept) // 5)]
    cuts = [window.find(mark) + len(mark) for mark in ("\n", ". ", '." ', "! ", "? ") if mark in window]
    if not cuts and (space := window.find(" ")) >= 0:
        cuts = [space + 1]
    offset += min(cuts, default=0)
    return tokenizer.encode(text[offset:])[-room:] if room > 0 else [], offset
