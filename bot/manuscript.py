"""Story text as people type it, as it is stored, and as it leaves the bot."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from bot.errors import InputError
from memory import Story, Turn

MAX_TEXT = 4000  # characters of one turn, of a premise
MAX_TITLE = 100
CLOSING = tuple(".,;:!?)…")  # a text that begins so belongs to the sentence before it

SENTENCE_ENDS = ".!?\u2026\"'\u201d\u2019"


def visible(text: str) -> str:
    """Without control characters other than line breaks and tabs, and without broken halves of characters."""
    text = text.replace("\r\n", "\n")
    if text.isprintable():
        return text
    return "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs"))


def typed(text: str, *, what: str, limit: int = MAX_TEXT, one_line: bool = False) -> str:
    """What somebody typed, stripped and made visible.

    Raises:
        InputError: nothing is left, or more than `limit` characters are.
    """
    text = visible(text)
    text = " ".join(text.split()) if one_line else text.strip()
    if not text:
        raise InputError(f"{what} is empty: write at least one character that can be seen.")
    if len(text) > limit:
        raise InputError(f"{what} has {len(text):,} characters, and the limit is {limit:,}: send less, or in parts.")
    return text


def behind(before: str, text: str) -> str:
    """A member's text with the white space that joins it to the story before it."""
    if not before or before[-1].isspace() or text.startswith(CLOSING):
        return text
    return ("\n\n" if "\n" in text else " ") + text


def continued(before: str, reply: str) -> str:
    """The model's text so far as it goes on behind `before`: it may finish a word, but not run into a sentence."""
    if not before or before[-1].isspace():
        return reply.lstrip()
    if before[-1] in SENTENCE_ENDS and reply[:1].isalnum():
        return " " + reply
    return reply


def markdown(story: Story, turns: Sequence[Turn], model: str) -> str:
    """The whole story as a Markdown document, with those who wrote it."""
    people = list(dict.fromkeys(turn.author_name for turn in turns if turn.kind != "model" and turn.author_name))
    if any(turn.kind == "model" for turn in turns):
        people.append(f"the model {model}")
    names = " and ".join(filter(None, (", ".join(people[:-1]), *people[-1:])))
    credit = f"\n\n---\n\n*Written by {names}.*" if names else ""
    text = "".join(turn.text for turn in turns).strip()
    return f"# {story.title}\n\n{text}{credit}\n"
