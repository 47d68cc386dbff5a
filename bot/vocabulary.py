"""Where terms of the content rules stand in a text. Only whole words count, so that a place's name does not trip over
a syllable of it; words that are spelled out ("w o r d", "w-o-r-d", "wor d") are joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from bot.folding import MASK, masked, normalize, other_readings, unmarked

MAX_TERM = 64  # characters; no term is longer
LONG = 6  # letters of the shortest term that is met where a word of one letter ("a", "i") would be a part of it
BACKWARDS = 5  # letters of the shortest term that is met backwards too, or in pieces: of a shorter one those are words

_WORDS_THAT_ARE_LETTERS = frozenset("aio")
CACHED = 512  # words; 8,192 take 1 % less time, and a megabyte and a half that comes little by little

_PARTS = 2  # words beside a border, or beside single letters, that may be parts of a term
_PIECE = 3  # letters of a piece at most, of which three or more stand in a row
_CHUNK = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]+")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_TWICE = re.compile(r"(.)\1+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # scripts without spaces

Lists = tuple[str, ...]  # of one term: the keys of the lists that it is on


class Met(NamedTuple):
    """A term that stands in a text."""

    list: str  # its key
    at: int  # counted in words


class Vocabulary:
    """Terms by the lists that they are on. A term is one word or several; `*` at its end meets every ending."""

    def __init__(self, terms: Mapping[str, Iterable[str]]) -> None:
        """Raises `ValueError` for a term that can never be met."""
        self._words: dict[str, Lists] = {}
        self._beginnings: dict[str, Lists] = {}
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}  # by their first word
        self._unspaced: dict[str, str] = {}
        self._squeezed: dict[str, Lists] = {}  # without letters that stand twice, for words that are drawn out
        self._squeezed_phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for key, listed in terms.items():
            for term in listed:
                self._add(term, key)
        self._lengths = sorted({len(beginning) for beginning in self._beginnings})
        self._longest = max(map(len, (*self._words, *self._beginnings)), default=0)
        # Most words of a text are among the few hundred that everybody uses.
        self._of_word = lru_cache(maxsize=CACHED)(self._of_new_word)
        self._in_phrases = frozenset(w for found in self._phrases.values() for words, _ in found for w in words)
        self._by_length: dict[int, list[str]] = {}
        for word in {*self._words, *self._beginnings, *self._in_phrases}:
            self._by_length.setdefault(len(word), []).append(word)

    def _add(self, term: str, key: str) -> None:
        plain = normalize(term.rstrip("*"))
        words = tuple(_WORD.findall(plain))
        if not words or len(term) > MAX_TERM:
            raise ValueError(f"the refused term of {len(term)} characters has no letters or more than {MAX_TERM}.")
        if _UNSPACED.search(plain):
            self._unspaced["".join(words)] = key
            return
        _put(self._beginnings if term.endswith("*") and len(words) == 1 else self._words, "".join(words), key)
        if len(words) > 1:
            self._phrases.setdefault(words[0], []).append((words, key))
            thin = tuple(map(_squeeze, words))
            self._squeezed_phrases.setdefault(thin[0], []).append((thin, key))
        _put(self._squeezed, _squeeze("".join(words)), key)
        if sum(map(len, words)) >= BACKWARDS:
            backwards = tuple(word[::-1] for word in reversed(words))
            _put(self._words, "".join(backwards), key)
            if len(words) > 1:
                self._phrases.setdefault(backwards[0], []).append((backwards, key))

    def ends_openly(self, chunk: str) -> bool:
        """Whether what follows a chunk of text (no blanks in it) could make a term of it."""
        words = _WORD.findall(normalize(chunk))
        return len("".join(words)) <= 1 or any(word in self._in_phrases for word in words)

    def find(self, text: str) -> list[Met]:
        """Every list that a term of the text is on."""
        plain = normalize(text)
        found = list(self._in(plain))
        if (bare := unmarked(text)) is not None:
            found += self._in(bare)
        words = len(plain) / 6
        for offset, reading in other_readings(text):
            at = round(words * offset / len(text))
            found += (Met(met.list, at) for met in self._in(reading))
        for offset, tokens in masked(text, self._may_hide):
            at = round(words * offset / len(text))
            found += (Met(key, at) for key in self._behind_masks(tokens))
        return found

    def joined(self, first: str, second: str) -> list[Met]:
        """What the last words of a text and the first ones of the next make when nothing stands between them."""
        before = _WORD.findall(normalize(first[-MAX_TERM:]))
        behind = _WORD.findall(normalize(second[:MAX_TERM]))
        if not before or not behind or not first[-1:].strip("._-*~|`"):
            return []
        keys = [*self._of_word(before[-1] + behind[0])]
        for i in range(1, _PARTS + 1):
            for j in range(1, _PARTS + 1):
                keys += self._words.get("".join((*before[-i:], *behind[:j])), ())
        return [Met(key, 0) for key in keys]

    def _in(self, plain: str) -> Iterator[Met]:
        words: list[str] = []
        for chunk in _CHUNK.findall(plain):
            parts = _WORD.findall(chunk)
            if len(parts) > 1:
                for key in self._of_word("".join(parts)):  # w-o-r-d, wo.rd
                    yield Met(key, len(words))
            words += parts
        before = ""
        for at, word in enumerate(words):
            for key in self._of_word(word):
                yield Met(key, at)
            if LONG <= len(before) + len(word) <= self._longest:  # "wor drd"
                both = before + word
                yield from (Met(key, at) for key in self._words.get(both) or self._beginnings.get(both) or ())
            before = word
            yield from _phrases_at(self._phrases, words, at)
            if _is_drawn_out(word):
                first = max(at - _PARTS, 0)
                thin = [_squeeze(each) for each in words[first : at + _PARTS + 1]]
                for start in range(at - first + 1):
                    yield from (Met(met.list, at) for met in _phrases_at(self._squeezed_phrases, thin, start))
        if (others := [self._other_phrase_word(word) for word in words]) != words:
            for at in range(len(others)):
                yield from _phrases_at(self._phrases, others, at)
        yield from self._spelled(words)
        yield from self._pieced(words)
        if self._unspaced:
            solid = "".join(words)
            yield from (Met(key, 0) for term, key in self._unspaced.items() if term in solid)

    def _of_new_word(self, word: str) -> Lists:
        if found := self._words.get(word) or (self._words.get(word[:-1]) if word.endswith("s") else None):
            return found
        for length in self._lengths:
            if found := self._beginnings.get(word[:length]):
                return found
        if _is_drawn_out(word):
            thin = _squeeze(word)
            return self._squeezed.get(thin) or self._squeezed.get(thin.removesuffix("s")) or ()
        return self._words.get(_other_letters(word), ())

    def _other_phrase_word(self, word: str) -> str:
        other = _other_letters(word)
        return other if other in self._in_phrases else word

    def _may_hide(self, token: str) -> bool:
        """Whether a word with letters left out may be a term, or a word of one."""
        return any(_may_be(token, word) for word in self._by_length.get(len(token), ()))

    def _behind_masks(self, tokens: list[str]) -> Iterator[str]:
        """The lists of what these words may be, of which some have letters left out."""
        hidden = [MASK in token for token in tokens]
        longest = max((len(words) for phrases in self._phrases.values() for words, _ in phrases), default=1)
        for at, token in enumerate(tokens):
            if not any(hidden[at : at + longest]):
                continue  # what is written out is found as it is
            if hidden[at]:
                for terms in (self._words, self._beginnings):
                    yield from (key for term, keys in terms.items() if _may_be(token, term) for key in keys)
            for phrases in self._phrases.values():
                for words, key in phrases:
                    window = tokens[at : at + len(words)]
                    if len(window) == len(words) and all(map(_may_be, window, words)):
                        yield key

    def _spelled(self, words: list[str]) -> Iterator[Met]:
        """Single letters in a row, alone and with the words before and behind them."""
        for begin, end in _runs(words, 1):
            run = "".join(words[begin:end])
            least = LONG if run in _WORDS_THAT_ARE_LETTERS else 0
            if len(run) <= self._longest:
                for first in range(max(begin - _PARTS, 0), begin + 1):
                    for last in range(end, min(end + _PARTS, len(words)) + 1):
                        joined = "".join(words[first:last])
                        if least <= len(joined) <= self._longest and last - first > 1:
                            found = self._words.get(joined, ()) if least else self._of_new_word(joined)
                            yield from (Met(key, begin) for key in found)
            if len(run) > 2:
                lists = (self._words, self._beginnings)
                inside = (lst[term] for lst in lists for term in lst if len(term) > 2 and term in run)
                yield from (Met(key, begin) for keys in inside for key in keys)

    def _pieced(self, words: list[str]) -> Iterator[Met]:
        """Short pieces in a row that make a term together: "wo rd wo rd"."""
        for begin, end in _runs(words, _PIECE):
            for first in range(begin, end - 2):
                joined = words[first] + words[first + 1]
                for last in range(first + 2, end):
                    joined += words[last]
                    if len(joined) > self._longest:
                        break
                    if len(joined) >= BACKWARDS:
                        found = self._words.get(joined) or self._beginnings.get(joined) or ()
                        yield from (Met(key, first) for key in found)


@lru_cache(maxsize=CACHED)
def _is_drawn_out(word: str) -> bool:
    """woooord, wwoorrdd"""
    return _DRAWN_OUT.search(word) is not None or (len(word) > 3 and word[::2] == word[1::2])


@lru_cache(maxsize=CACHED)
def _squeeze(word: str) -> str:
    return _TWICE.sub(r"\1", word)


def _other_letters(word: str) -> str:
    """With the letters that two others look like."""
    return word.replace("rn", "m").replace("vv", "w")


def _may_be(token: str, term: str) -> bool:
    return len(token) == len(term) and all(a in (b, MASK) for a, b in zip(token, term, strict=True))


def _phrases_at(phrases: Mapping[str, list[tuple[tuple[str, ...], str]]], words: list[str], at: int) -> Iterator[Met]:
    for phrase, key in phrases.get(words[at], ()):
        if tuple(words[at : at + len(phrase)]) == phrase:
            yield Met(key, at)


def _put(terms: dict[str, Lists], term: str, key: str) -> None:
    held = terms.get(term, ())
    if key not in held:
        terms[term] = (*held, key)


def _runs(words: list[str], longest: int) -> Iterator[tuple[int, int]]:
    """Where words of at most so many letters stand in a row, from and to."""
    at = 0
    while at < len(words):
        if len(words[at]) > longest:
            at += 1
            continue
        begin = at
        while at < len(words) and len(words[at]) <= longest:
            at += 1
        yield begin, at
