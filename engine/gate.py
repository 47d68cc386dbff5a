"""The gate: which lessons the text at hand has to do with, so that the others take no part in what is written.

A lesson's key is the telling words of its prompt, each as hashed pieces of three letters, so that other forms of a word
and slips of the finger still count, and no text of anybody stands in an adapter. Each word weighs the more the rarer it
is in what the base itself writes. A lesson takes part where enough of its key stands in the last words of the text.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2s

import numpy as np
from numpy.typing import NDArray

NEAR = 16  # words back from the end of the text that a key is looked for in
ENOUGH = 0.5  # of a key's weight that has to be there
# How many of two words' pieces agree (Dice's coefficient) from which on they count as one: house is not lighthouse.
ALIKE, ALIKE_FROM_THE_START = 0.75, 0.5
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
# What stands in any sentence tells nothing about what it has to do with.
PLAIN = frozenset(
    (
        "a an the and or but if so as at by for from in into of off on out over to up with is am are was were be been "
        "being do does did has have had will would can could shall should may might must not no it its this that these "
        "those there here he she his her hers him they them their we us our you your i me my mine who whom whose what "
        "which when where why how than then too very just only also all any some such own same each more most other"
    ).split()
)


@dataclass(frozen=True)
class Key:
    """What tells that a text has to do with a lesson."""

    words: tuple[frozenset[int], ...]  # the hashed pieces of each
    weights: tuple[float, ...]
    span: int  # words that the prompt may lie back: those of the answer stand between


def key_of(prompt: str, answer: str, usual: Mapping[str, int]) -> Key:
    """The key of a lesson.

    Args:
        usual: how often words stand in text that has nothing to do with it, see `count_words`.
    """
    words = list(dict.fromkeys(words_of(prompt)))
    telling = [word for word in words if word not in PLAIN] or words or ["".join(prompt.split())]
    weights = tuple(round(1 / (1 + math.log1p(_uses(word, usual))), 3) for word in telling)
    return Key(tuple(map(pieces, telling)), weights, NEAR + len(words_of(answer)))


def _uses(word: str, usual: Mapping[str, int]) -> int:
    """How often a word is used, in whatever form."""
    own = pieces(word)
    return sum(count for other, count in usual.items() if alike(own, pieces(other), word[:2] == other[:2]))


def words_of(text: str) -> list[str]:
    """Words in small letters without accents; a possessive's end is left out."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("\u2019", "'"))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return [word.removesuffix("'s") for word in WORD.findall(plain)]


def count_words(texts: Iterable[str]) -> Counter[str]:
    return Counter(word for text in texts for word in words_of(text))


def pieces(word: str) -> frozenset[int]:
    """Its runs of three letters, hashed; the ends of the word count as letters."""
    marked = f"^{word}$"
    return frozenset(_hashed(run) for run in {marked[i : i + 3] for i in range(len(marked) - 2)} or {marked})


@functools.lru_cache(maxsize=4096)
def _hashed(run: str) -> int:
    return int.from_bytes(blake2s(run.encode(), digest_size=4).digest(), "big")


def alike(one: frozenset[int], other: frozenset[int], same_start: bool) -> bool:
    """Whether two words, by their pieces, count as one."""
    agree = 2 * len(one & other) / (len(one) + len(other))
    return agree >= (ALIKE_FROM_THE_START if same_start else ALIKE)


@functools.lru_cache(maxsize=4096)
def start_of(word: str) -> int:
    """The piece that a word begins with."""
    return _hashed(f"^{word}$"[:3])


class Gate:
    """Follows a text and says at any point which keys it has to do with."""

    def __init__(self, keys: Sequence[Key]) -> None:
        words = [(i, word, weight, key.span) for i, key in enumerate(keys)
                 for word, weight in zip(key.words, key.weights, strict=True)]  # fmt: skip
        self._lessons = len(keys)
        self._of = np.array([i for i, *_ in words], dtype=np.int64)  # (W,) the key that a word belongs to
        self._weight = np.array([weight for *_, weight, _ in words])  # (W,)
        self._span = np.array([span for *_, span in words])  # (W,)
        self._whole = np.bincount(self._of, self._weight, self._lessons)  # (W,) -> (lessons,)
        self._words = [word for _, word, *_ in words]
        self._holding: dict[int, list[int]] = {}  # words of the keys by piece
        for w, (_, word, *_) in enumerate(words):
            for piece in word:
                self._holding.setdefault(piece, []).append(w)
        self._known: dict[str, tuple[int, ...]] = {}  # words of the keys that a word of the text is alike
        self.forget()

    def forget(self) -> None:
        """Begin at the start of another text."""
        self._now, self._pending = 0, ""
        self._seen = np.full(len(self._of), -(1 << 30))  # (W,) where each word of a key last stood

    def read(self, text: str) -> None:
        """Another text: only its end is looked at, as no key looks further back."""
        self.forget()
        most = int(self._span.max(initial=0))
        last = deque(WORD.finditer(text), maxlen=most + 1)
        self.follow(text[last[0].start() :] if last else "")

    def follow(self, text: str) -> None:
        """More of the same text; its last word may be cut, and goes on with what follows."""
        text = self._pending + text
        end = max((i + 1 for i in range(len(text) - 1, -1, -1) if not (text[i].isalnum() or text[i] == "'")), default=0)
        self._take(words_of(text[:end]))
        self._pending = text[end:][-64:]

    def steady(self, ahead: Sequence[str]) -> int:
        """How many of these texts, each a start of the next, could follow without any lesson coming in or going out."""
        if not ahead:
            return 0
        before, kept, steady = self.open(), (self._now, self._pending, self._seen), 0
        for text in ahead:
            self._now, self._pending, self._seen = kept[0], kept[1], kept[2].copy()
            self.follow(text)
            if (self.open() != before).any():
                break
            steady += 1
        self._now, self._pending, self._seen = kept
        return steady

    def open(self) -> NDArray[np.bool_]:
        """Whether each lesson takes part in what comes next: (lessons,)."""
        seen, now = self._seen, self._now
        if self._pending and (unfinished := words_of(self._pending)):
            seen = seen.copy()
            for i, word in enumerate(unfinished):
                seen[list(self._alike(word))] = now + i
            now += len(unfinished)
        there = now - seen <= self._span  # (W,)
        share = np.bincount(self._of, self._weight * there, self._lessons) / self._whole  # (W,) -> (lessons,)
        taking = share >= ENOUGH
        if taking.sum() > 1:
            self._prefer(taking, [frozenset(seen[there & (self._of == i)]) for i in range(self._lessons)])
        return taking

    @staticmethod
    def _prefer(taking: NDArray[np.bool_], places: list[frozenset[int]]) -> None:
        """Of two lessons that the same words speak for, the one for which more of them speak: where the name of the
        dragon is asked for, what was taught of the dragon's cave stays out."""
        some = np.flatnonzero(taking)
        for i in some:
            if any(places[i] < places[j] for j in some):
                taking[i] = False

    def _take(self, words: Iterable[str]) -> None:
        for word in words:
            for w in self._alike(word):
                self._seen[w] = self._now
            self._now += 1

    def _alike(self, word: str) -> tuple[int, ...]:
        found = self._known.get(word)
        if found is None:
            own, start = pieces(word), start_of(word)
            some = {w for piece in own for w in self._holding.get(piece, ())}
            found = tuple(sorted(w for w in some if alike(own, self._words[w], start in self._words[w])))
            if len(self._known) < 4096:
                self._known[word] = found
        return found
