"""Which pins the model sees: plain ones always, those with keys where a key stands in the text that is seen."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from bot.errors import InputError
from bot.manuscript import typed
from memory import Pin

_TOKEN = re.compile(r"\w+|[^\w\s]")
_SHOWS_NOTHING = ("Mn", "Me", "Cf")  # accents, and what is invisible
_TYPED_OTHERWISE = {"\u2019": "'", "\u02bc": "'", "\u2010": "-", "\u2011": "-"}


@lru_cache(maxsize=512)
def _folded(sign: str) -> str:
    """A character without its case and accents: none, one or several."""
    sign = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", sign).casefold())
    return "".join(
        _TYPED_OTHERWISE.get(part, part) for part in sign if unicodedata.category(part) not in _SHOWS_NOTHING
    )


class Words:
    """A text as its words and signs, folded, for finding phrases in it."""

    def __init__(self, text: str) -> None:
        folded = [_folded(sign) for sign in text]
        origin = [index for index, part in enumerate(folded) for _ in part]  # of each folded character
        tokens = list(_TOKEN.finditer("".join(folded)))
        self._line = " ".join(["", *(token.group() for token in tokens), ""])  # one blank between and around
        self._begins: list[int] = []  # of each in the line
        self._offsets = [origin[token.start()] for token in tokens]  # of each in the text
        begin = 1
        for token in tokens:
            self._begins.append(begin)
            begin += len(token.group()) + 1

    def __bool__(self) -> bool:
        """Whether there is anything that could be found."""
        return bool(self._begins)

    def __eq__(self, other: object) -> bool:
        """Whether both are found in the same places."""
        return isinstance(other, Words) and self._line == other._line

    def __hash__(self) -> int:
        return hash(self._line)

    def last(self, phrase: Words) -> int | None:
        """The offset in the text where `phrase` begins for the last time, as whole words; None where it never does."""
        at = self._line.rfind(phrase._line) if phrase else -1
        return None if at < 0 else self._offsets[bisect_left(self._begins, at + 1)]


def last_mention(keys: Iterable[str], words: Words) -> int | None:
    """The offset where one of the keys is mentioned for the last time; None where none is."""
    found = (words.last(Words(key)) for key in keys)
    return max((offset for offset in found if offset is not None), default=None)


def entering(pins: Sequence[Pin], text: str, seen_from: Callable[[Sequence[Pin]], int | None]) -> list[Pin]:
    """The pins that the model sees with this text: the plain ones, and behind them those whose keys it sees.

    What takes room from pins takes it from the text, and with it perhaps the very words that called for a pin. So
    they come in by their last mention, the newest first, each only if that mention is then still seen.

    Args:
        pins: all of them; the order among the plain ones, and among the others, is kept.
        seen_from: the offset in the text from which on it is seen beside these pins, None where they do not fit.
    """
    plain = [pin for pin in pins if not pin.keys]
    keyed = [pin for pin in pins if pin.keys]
    if not keyed:
        return plain
    words = Words(text)
    mentions = [(offset, pin) for pin in keyed if (offset := last_mention(pin.keys, words)) is not None]
    entered: list[Pin] = []
    for offset, pin in sorted(mentions, key=lambda mention: -mention[0]):
        candidates = [other for other in keyed if other in entered or other is pin]
        begin = seen_from([*plain, *candidates])
        if begin is not None and begin <= offset:
            entered = candidates
    return [*plain, *entered]


def typed_keys(keys: Sequence[str], most: int, longest: int) -> tuple[str, ...]:
    """Keys as people type them, each once: at most so many, of so many characters. Raises `InputError`."""
    kept: dict[Words, str] = {}
    for key in keys:
        key = typed(key, what="A key of the pin", limit=longest, one_line=True)
        if not (words := Words(key)):
            raise InputError("A key of the pin shows nothing that could be found in a text: write another.")
        kept.setdefault(words, key)
    if len(kept) > most:
        raise InputError(f"The pin has {len(kept)} keys, and the limit is {most}: leave some out.")
    return tuple(kept.values())
