"""Story text as people type it, as it is stored, and as it leaves the bot."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from bot.errors import InputError
from memory import Story, Turn

MAX_TEXT = 4000  # characters of one turn, of a premise
MAX_TITLE = 100
MAX_BROUGHT = 200_000  # characters of a text that becomes a story
PART = 1500  # of it, in one turn
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


def as_choices(texts: Sequence[str]) -> str:
    """Ways to go on, numbered."""
    return "\n\n".join(f"{number}: {text.strip()}" for number, text in enumerate(texts, start=1))


def in_turns(text: str) -> list[str]:
    """A long text as parts that are turns of a story: cut at paragraphs, else at sentences, else at words.

    The white space at a cut begins the next part, so that the parts together are the text.
    """
    parts = []
    while len(text) > PART:
        window = text[:PART]
        cuts = (window.rfind("\n\n"), _sentence_end(window), window.rfind("\n"), window.rfind(" "))
        cut = next((cut for cut in cuts if cut > PART // 3), PART)
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text] if text.strip() else parts


def _sentence_end(text: str) -> int:
    ends = [found.end() for found in re.finditer(r"[.!?\u2026][\"'\u201d\u2019]*(?=\s)", text)]
    return ends[-1] if ends else -1


def manuscript(text: str) -> tuple[str | None, str]:
    """A text that somebody brings, tidied, and the title that it names in a heading; without the credit of an export.

    Raises `InputError`.
    """
    text = re.sub(r"[ \t]+\n", "\n", visible(text.removeprefix("\ufeff").replace("\r", "\n")))
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    heading = re.match(r"# (.+)(?:\n\n|$)", text)
    text = re.sub(r"\n\n---\n\n\*Written by [^\n]*\*$", "", text[heading.end() if heading else 0 :]).strip()
    if len(text) > MAX_BROUGHT:
        raise InputError(f"The text has {len(text):,} characters, and the limit is {MAX_BROUGHT:,}: bring it in parts.")
    if not text:
        raise InputError("The file has no text in it: choose another one.")
    return heading[1].strip() if heading else None, text


def markdown(story: Story, turns: Sequence[Turn], model: str) -> str:
    """The whole story as a Markdown document, with those who wrote it."""
    people = list(dict.fromkeys(turn.author_name for turn in turns if turn.author_name))
    if any(turn.kind == "model" for turn in turns):
        people.append(f"the model {model}")
    names = " and ".join(filter(None, (", ".join(people[:-1]), *people[-1:])))
    credit = f"\n\n---\n\n*Written by {names}.*" if names else ""
    text = "".join(turn.text for turn in turns).strip()
    return f"# {story.title}\n\n{text}{credit}\n"
