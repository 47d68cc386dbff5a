"""What stories may not contain: whole words of short lists, met in whatever clothes they come.

A text is compared after normalisation: compatibility forms, case, accents, invisible characters, look-alike letters of
other scripts, digits and signs that stand for letters. Words that are spelled out ("w o r d", "w-o-r-d", "wor d") are
joined. Only whole words count, so that a place's name does not trip over a syllable of it.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.errors import RefusedError, StartError

BUILT_IN = tomllib.loads(Path(__file__).with_name("rules.toml").read_text(encoding="utf-8"))
OPERATORS = "the list of this bot's operator"
LOOK_BACK = 200  # characters before a text that are checked together with it
MAX_HELD = 400  # characters that a stream holds back at most
MAX_TERM = 64  # characters; no term is longer

# Digits and signs that stand for letters. "i", "l" and "1" become one, since a reader cannot tell which was meant.
_LEET = {
    "l": "i", "0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s",
    "€": "e", "£": "i", "¢": "c",
}  # fmt: skip
_READ_AS: dict[str, str] = {sign: letter for letter, signs in BUILT_IN["look_alikes"].items() for sign in signs} | _LEET
_INNER_LEET = {"!": "i", "|": "i", "+": "t"}  # only between letters: at the end of a word they are punctuation
_WORDS_THAT_ARE_LETTERS = frozenset("aio")


class _Letters(dict[int, int | str | None]):
    """What each character counts as; filled as characters are met."""

    def __missing__(self, code: int) -> int | str | None:
        letter = self._of(chr(code), code)
        self[code] = letter
        return letter

    @staticmethod
    def _of(sign: str, code: int) -> int | str | None:
        if letter := _READ_AS.get(sign):
            return letter
        for first in (0x1F150, 0x1F170, 0x1F1E6):  # letters in black circles, in black squares, and those of flags
            if first <= code < first + 26:
                letter = chr(ord("a") + code - first)
                return _LEET.get(letter, letter)
        if sign.isspace() or sign in "\u2013\u2014\u2015\u2026":  # dashes part words, hyphens do not
            return " "
        if unicodedata.category(sign) in ("Cf", "Cc", "Cs", "Mn", "Me") or sign in "\u3164\uffa0\u115f\u1160\u2800":
            return None  # shows nothing
        return code


_LETTERS = _Letters()
_DOTS = re.compile(r"\.{2,}|-{2,}")
_INNER = re.compile(r"(?<=[^\W_])[!|+](?=[^\W_])")
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019\u02bc`](?=\w)")
_CHUNK = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]+")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # scripts without spaces


def normalize(text: str) -> str:
    """The text as it is compared; its length may differ."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    text = text.lower().translate(_LETTERS)
    text = _APOSTROPHE.sub("", _DOTS.sub(" ", text))
    return _INNER.sub(lambda found: _INNER_LEET[found.group()], text)


@dataclass(frozen=True)
class Refusal:
    """`category` is fit to be shown; the term that was met is not kept."""

    category: str


class ContentRules:
    """Lists of terms by category. A term is one word or several; `*` at its end meets every ending."""

    def __init__(self, vocabulary: Mapping[str, Iterable[str]]) -> None:
        self._words: dict[str, str] = {}  # to its category
        self._beginnings: dict[str, str] = {}
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}  # by their first word
        self._unspaced: dict[str, str] = {}
        for category, terms in vocabulary.items():
            for term in terms:
                self._add(term, category)
        self._lengths = sorted({len(beginning) for beginning in self._beginnings})
        self._in_phrases = frozenset(w for found in self._phrases.values() for words, _ in found for w in words)

    @classmethod
    def load(cls, operators: Path | None = None) -> ContentRules:
        """The built-in lists and the operator's file, one term a line, `#` for comments.

        Raises:
            StartError: the operator's file cannot be read, or holds a term that can never be met.
        """
        lists: dict[str, list[str]] = {entry["name"]: list(entry["terms"]) for entry in BUILT_IN["lists"].values()}
        if operators is not None:
            try:
                lines = operators.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise StartError(
                    f"The list of refused terms {operators} cannot be read ({error}): mend MINIATURE_RULES or the file."
                ) from error
            lists[OPERATORS] = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        try:
            return cls(lists)
        except ValueError as error:
            raise StartError(f"{operators}: {error}") from error

    def _add(self, term: str, category: str) -> None:
        plain = normalize(term.rstrip("*"))
        words = tuple(_WORD.findall(plain))
        if not words or len(term) > MAX_TERM:
            raise ValueError(f"the refused term of {len(term)} characters has no letters or more than {MAX_TERM}.")
        if _UNSPACED.search(plain):
            self._unspaced["".join(words)] = category
        elif len(words) > 1:
            self._phrases.setdefault(words[0], []).append((words, category))
            self._words.setdefault("".join(words), category)
        else:
            (self._beginnings if term.endswith("*") else self._words).setdefault(words[0], category)

    def check(self, text: str, before: str = "") -> Refusal | None:
        """What is wrong with `text` where it stands behind `before`, whose own words are not judged again."""
        tail = _tail(before)
        if tail and self._find(tail) is not None:
            tail = ""  # it was written under other rules; nobody could go on from it else
        category = self._find(tail + text)
        return None if category is None else Refusal(category)

    def require(self, text: str, where: str = "your text", before: str = "") -> None:
        """Raises `RefusedError` where `check` finds something."""
        if (refusal := self.check(text, before)) is not None:
            raise RefusedError(refusal.category, where)

    def stream(self, before: str = "", where: str = "the reply") -> StreamRules:
        """For a text that comes in pieces behind `before`."""
        return StreamRules(self, before, where)

    def ends_openly(self, chunk: str) -> bool:
        """Whether what follows a chunk of text (no blanks in it) could make a term of it."""
        words = _WORD.findall(normalize(chunk))
        return len("".join(words)) <= 1 or any(word in self._in_phrases for word in words)

    def _find(self, text: str) -> str | None:
        plain = normalize(text)
        words: list[str] = []
        for chunk in _CHUNK.findall(plain):
            parts = _WORD.findall(chunk)
            words += parts
            if len(parts) > 1 and (category := self._of_word("".join(parts))):  # w-o-r-d, wo.rd
                return category
        for i, word in enumerate(words):
            if category := self._of_word(word) or self._of_phrase(words, i):
                return category
        for run, joined in _spelled(words):
            if category := next(filter(None, map(self._of_word, joined)), None) or self._within(run):
                return category
        if self._unspaced:
            solid = "".join(words)
            return next((category for term, category in self._unspaced.items() if term in solid), None)
        return None

    def _of_word(self, word: str) -> str | None:
        if category := self._words.get(word) or (self._words.get(word[:-1]) if word.endswith("s") else None):
            return category
        for length in self._lengths:
            if category := self._beginnings.get(word[:length]):
                return category
        if len(word) > 3 and word[::2] == word[1::2] and (category := self._of_word(word[::2])):  # wwoorrdd
            return category
        if _DRAWN_OUT.search(word):  # woooord
            once, twice = _DRAWN_OUT.sub(r"\1", word), _DRAWN_OUT.sub(r"\1\1", word)
            return self._of_word(once) or self._of_word(twice)
        return None

    def _within(self, run: str) -> str | None:
        if len(run) < 3:
            return None
        lists = (self._words, self._beginnings)
        return next((lst[term] for lst in lists for term in lst if len(term) > 2 and term in run), None)

    def _of_phrase(self, words: list[str], at: int) -> str | None:
        for phrase, category in self._phrases.get(words[at], ()):
            if tuple(words[at : at + len(phrase)]) == phrase:
                return category
        return None


class StreamRules:
    """Lets through what can no longer become part of a refused term, and so lags a word or two behind."""

    def __init__(self, rules: ContentRules, before: str, where: str) -> None:
        self._rules = rules
        self._where = where
        self._before = before[-LOOK_BACK:]
        self._held = ""

    def push(self, piece: str) -> str:
        """The text that may be shown now, behind what was given out before; possibly none. Raises `RefusedError`."""
        self._held += piece
        finished = _last_blank(self._held)
        if any(sign.isspace() for sign in piece):
            self._rules.require(self._held[:finished], self._where, self._before)
        cut = self._safe(finished)
        if len(self._held) - cut > MAX_HELD:  # one endless word, or single letters without end
            cut = len(self._held) - 2 * MAX_TERM
            self._rules.require(self._held[:cut], self._where, self._before)
        return self._release(cut)

    def finish(self) -> str:
        """The rest of the text, when no more pieces come. Raises `RefusedError`."""
        self._rules.require(self._held, self._where, self._before)
        return self._release(len(self._held))

    def _safe(self, finished: int) -> int:
        cut = finished
        for chunk in reversed(list(_CHUNK.finditer(self._held, 0, finished))):
            if not self._rules.ends_openly(chunk.group()):
                break
            cut = chunk.start()
        return cut

    def _release(self, cut: int) -> str:
        given, self._held = self._held[:cut], self._held[cut:]
        self._before = (self._before + given)[-LOOK_BACK:]
        return given


def _tail(before: str) -> str:
    if len(before) < LOOK_BACK:
        return before
    # Begins behind a blank: the end of a cut word is no word.
    tail = before[-LOOK_BACK:]
    return tail[m.end() :] if (m := re.search(r"\s", tail)) else ""


def _last_blank(text: str) -> int:
    """The offset behind the last blank."""
    return next((i for i in range(len(text), 0, -1) if text[i - 1].isspace()), 0)


def _spelled(words: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Single letters in a row, each time with what they make together with the words before and behind them."""
    i = 0
    while i < len(words):
        if len(words[i]) > 1:
            i += 1
            continue
        begin = i
        while i < len(words) and len(words[i]) == 1:
            i += 1
        run = "".join(words[begin:i])
        before, behind = words[begin - 1] if begin else "", words[i] if i < len(words) else ""
        if run not in _WORDS_THAT_ARE_LETTERS and len(before + run + behind) <= MAX_TERM:
            yield run, (before + run, run + behind, before + run + behind)
        else:
            yield run, ()
