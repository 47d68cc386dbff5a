"""The one function that turns memory and story into what the model reads, in serving and in training alike.

Layout: end-of-text, then, if there is any memory, the memory token, a line for each part and the story token, then the
story text. Only the story text is ever cut: from its start, at a sentence where one is near.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.errors import PromptError
from engine.summary import Summary
from engine.tokenizer import MEMORY, STORY, Tokenizer

MEMORY_SHARE = 0.5  # pins and summary together never take more than this share of the window


@dataclass(frozen=True)
class Context:
    """What the model sees, in this order; the end of `text` is what it continues."""

    pins: tuple[str, ...] = ()
    summary: Summary | None = None
    text: str = ""
    vectors: bytes | None = None  # what the model wrote of the text that left the window: `engine.memory_vectors`
    past: str = ""  # of the story, what stands before `text`; never read, but recalled where the text comes back to it


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
    return Rendered(prefix, *fit(tokenizer, context.text, room - len(prefix)))


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
