"""Questions of `benchmarks.memory`: who, where or what is told of again, long after it was told of last.

A question is a place in a document where a name, a place or an object stands that was last told of at least so many
windows before. The right word stands against words of the same kind from the other documents, which this one never
uses. Names and places are known by their capital in mid-sentence, objects by their article and by being rare.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}(?![\w'-])")
BEFORE_PLACE = re.compile(r"\b(?:in|at|to|from|near|towards?|into|through) $")
OBJECT = re.compile(r"(?<=\b(?:the|her|his) )[a-z]{4,}(?= ?[.,;!?]| (?:of|in|on|at|to|from|was|is|and|that|with)\b)")
WORD = re.compile(r"[A-Za-z]+")
OTHERS = 19  # words that the right one is set against
COMMON_SHARE = 0.2  # of the other documents: a word that stands in more of them is no object to be remembered
NO_NAMES = frozenset(
    (
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August"
        " September October November December Christmas God Lord Lady Sir Mrs Miss Mister Madam English French German"
        " American Chapter Book The And But Heaven Yes What How Why"
    ).split()
)


@dataclass(frozen=True)
class Question:
    document: int
    at: int  # character where the word begins; a space stands before it
    word: str
    kind: str  # "name", "place" or "object"
    pool: tuple[str, ...]  # words that it may be set against


def told_of(text: str) -> dict[str, str]:
    """The names, places and objects of a text, each with its kind; what stands there once counts too."""
    kinds: dict[str, Counter[str]] = {}
    for match in NAME.finditer(text):
        if match[0] not in NO_NAMES:
            kind = "place" if BEFORE_PLACE.search(text, max(0, match.start() - 10), match.start()) else "name"
            kinds.setdefault(match[0], Counter())[kind] += 1
    for match in OBJECT.finditer(text):
        kinds.setdefault(match[0], Counter())["object"] += 1
    return {word: counts.most_common(1)[0][0] for word, counts in kinds.items()}


def find_questions(
    documents: Sequence[str], distances: Sequence[int], window_chars: Sequence[float], count: int, pool: int = 100
) -> dict[int, list[Question]]:
    """For each distance in windows up to `count` questions, spread over documents and kinds, the same every time.

    Args:
        window_chars: of each document, how many characters fill a window.
    """
    rng = random.Random(0)
    places = [places_of_words(text) for text in documents]
    spread = Counter(word for words in places for word in words)
    most = max(2.0, COMMON_SHARE * len(documents))
    known = [
        {word: kind for word, kind in told_of(text).items() if kind != "object" or spread[word] <= most}
        for text in documents
    ]
    others = {
        (d, kind): sorted({w for own in known for w, its in own.items() if its == kind and w not in places[d]})
        for d in range(len(documents)) for kind in ("name", "place", "object")
    }  # fmt: skip
    found: dict[int, list[Question]] = {}
    for distance in distances:
        groups: list[list[tuple[int, int, str, str]]] = []
        for (d, kind), pool_of_kind in others.items():
            told = [
                (d, again, word, kind)
                for word, its in known[d].items() if its == kind
                for before, again in pairwise(places[d].get(word, ()))
                if again - before >= distance * window_chars[d] and documents[d][again - 1] == " "
            ]  # fmt: skip
            groups += [rng.sample(told, len(told))] if len(pool_of_kind) >= OTHERS else []
        rng.shuffle(groups)
        by_turns = [item for turn in zip_longest(*groups) for item in turn if item is not None]
        found[distance] = [
            Question(d, at, word, kind, tuple(rng.sample(others[d, kind], min(pool, len(others[d, kind])))))
            for d, at, word, kind in by_turns[:count]
        ]
    return found


def places_of_words(text: str) -> dict[str, list[int]]:
    """Where each word of a text begins."""
    places: dict[str, list[int]] = {}
    for match in WORD.finditer(text):
        places.setdefault(match[0], []).append(match.start())
    return places
