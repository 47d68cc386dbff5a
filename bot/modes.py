"""How those who write a story may share it: what each mode asks of a text, and what of the story it lets them see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import get_args

from bot.errors import InputError
from engine.gleaning import split_sentences
from engine.sampling import SamplingParams
from memory import Author, Mode, Turn, Twig

FREE: Mode = "free"
ROUND_ROBIN: Mode = "round robin"
ONE_WORD: Mode = "one word each"
LAST_LINE: Mode = "last line only"
MODES: tuple[Mode, ...] = get_args(Mode)
ABOUT: Mapping[Mode, str] = MappingProxyType(
    {
        FREE: "anybody writes, whenever they like",
        ROUND_ROBIN: "those at the table write one after the other; /story join gives a seat there",
        ONE_WORD: "each adds one word, and nobody two in a row; the model plays along",
        LAST_LINE: "only the last line of the story is seen until /story finish shows all of it",
    }
)

MAX_WORD = 50  # characters, with its punctuation
WORD_TOKENS = 12  # that the model may take for one
MAX_LINE = 300  # characters of a line that are seen
COVERED = "covered until the story is finished"

_WORD = re.compile(r"\s*[^\w\s]*(?:\s+[^\w\s]*)?\w\S*")


def mode_of(text: str) -> Mode:
    """What people type for a mode. Raises `InputError`."""
    found = [mode for mode in MODES if mode.startswith(" ".join(text.casefold().split()))]
    if not text.strip() or len(found) != 1:
        raise InputError(f"There is no such mode: choose one of {', '.join(MODES)}.")
    return found[0]


# One word each


def one_word(text: str) -> str:
    """The one word that a text is, with its punctuation. Raises `InputError`."""
    if len(text.split()) != 1 or not any(sign.isalnum() for sign in text):
        raise InputError("Here each adds one word: send one, with its punctuation if you like.")
    if len(text) > MAX_WORD:
        raise InputError(f"The word has {len(text)} characters, and the limit is {MAX_WORD}: send a shorter one.")
    return text


def word_behind(before: str, word: str) -> str:
    """The word with the blank that keeps it from the one before."""
    return word if not before or before[-1].isspace() else f" {word}"


def require_another(turns: Sequence[Turn], author: Author | None) -> None:
    """Raises `InputError` where the last word is this one's; None: the model's."""
    if not turns or turns[-1].kind == "premise":
        return
    last = turns[-1]
    if author is None and last.kind == "model":
        raise InputError("The last word is the model's, and nobody adds two in a row: add one yourself.")
    if author is not None and last.kind == "member" and last.author_id == author.id:
        raise InputError(
            "The last word is yours, and nobody adds two in a row: wait for somebody else, or let the model go on."
        )


def plays_alone(turns: Sequence[Turn], author: Author) -> bool:
    """Whether no other member has added a word to these turns."""
    return all(turn.author_id == author.id for turn in turns if turn.kind == "member")


def first_word(reply: str) -> str:
    """The first word of what the model wrote, with the punctuation around it, as a word of its own; "" for none."""
    found = _WORD.match(reply)
    word = found[0][: 2 * MAX_WORD] if found else ""
    return " " + word if word and not any(sign.isspace() for sign in word) else word


def has_word(reply: str) -> bool:
    """Whether its first word has come to its end."""
    found = _WORD.match(reply)
    return found is not None and found.end() < len(reply)


def for_one_word(sampling: SamplingParams) -> SamplingParams:
    most = min(WORD_TOKENS, sampling.max_new_tokens)
    return replace(sampling, max_new_tokens=most, min_new_tokens=min(2, most), stop_at_sentence=False)


# The last line only


def last_line(text: str) -> str:
    """The last sentence of a text, or the end of a longer one."""
    lines = [line for line in text.splitlines() if line.strip()]
    sentences = split_sentences(lines[-1]) if lines else []
    line = (sentences[-1] if sentences else "".join(lines[-1:])).strip()
    return line if len(line) <= MAX_LINE else f"\u2026{line[1 - MAX_LINE :]}"


def covered(turns: Sequence[Turn]) -> list[Turn]:
    """These turns as they may be seen: the last line of each."""
    return [replace(turn, text=last_line(turn.text)) for turn in turns]


def covered_twigs(twigs: Sequence[Twig]) -> list[Twig]:
    return [replace(twig, words=COVERED) for twig in twigs]
