"""What can be counted in generated text, without a model: repetition, variety, copies, and who is told of.

All are computed on words (letters and digits, case and punctuation aside), not on tokens, so that models with
different vocabularies compare; and on the people's text in the same way, since a share says little by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from engine.summary import find_names
from training.corpus import read_documents

COPIED_WORDS = 10
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def repetition(texts: Sequence[str], n: int = 4) -> float | None:
    """The share of runs of n words that stood in the same text before, over all texts together.

    seq-rep-n of Welleck et al. 2020 (https://arxiv.org/abs/1908.04319): 1 - distinct runs / runs. There it is the mean
    over texts; here long texts weigh more, so that one short text does not count like a long one.
    """
    runs = [list(word_runs(text, n)) for text in texts]
    total = sum(map(len, runs))
    return 1 - sum(len(set(own)) for own in runs) / total if total else None


def distinct(texts: Sequence[str], n: int = 3) -> float | None:
    """How many different runs of n words all texts together hold, divided by the number of their words: distinct-n of
    Li et al. 2016 (https://arxiv.org/abs/1510.03055). It falls as texts get longer or more; compare like with like."""
    total = sum(len(words(text)) for text in texts)
    return len({run for text in texts for run in word_runs(text, n)}) / total if total else None


def copied(groups: Sequence[Sequence[str]], training: Iterable[Path], n: int = COPIED_WORDS) -> list[float | None]:
    """For each group of texts the share of its runs of n words that occur in the training texts, word for word.

    A run counts as often as it was written; runs do not reach from one document into the next. What is kept in memory
    are the runs that are looked for, and one training document at a time. The n-gram novelty of McCoy et al. 2021
    (https://arxiv.org/abs/2111.09509), turned round.

    Raises:
        CorpusError: a training text is missing or not readable.
    """
    runs = [[run for text in group for run in word_runs(text, n)] for group in groups]
    wanted = {run for own in runs for run in own}
    found: set[tuple[str, ...]] = set()
    for path in training:
        for document in read_documents(path):
            found |= wanted.intersection(word_runs(document, n))
    return [sum(run in found for run in own) / len(own) if own else None for own in runs]


class Names(NamedTuple):
    """Who was introduced in openings, and who was told of behind them."""

    introduced: int  # names in the openings, each once an opening
    kept: int  # of these, how many are named again behind their opening
    mentions: int  # of names behind the openings
    known: int  # of these, mentions of names that the opening introduced

    @property
    def persistence(self) -> float | None:
        return self.kept / self.introduced if self.introduced else None

    @property
    def known_share(self) -> float | None:
        return self.known / self.mentions if self.mentions else None


def follow_names(openings: Sequence[str], continuations: Sequence[str]) -> Names:
    """Whether a story stays with its people: how many of those introduced in the opening come again, and how many of
    the later mentions are of them and not of somebody new.

    Names are what `engine.summary.find_names` finds: words with a capital inside of a sentence or in front of a deed,
    twice at least. Openings without a name count for nothing. A measure of our own; entity grids (Barzilay & Lapata
    2008) look at the same thing sentence by sentence.
    """
    introduced = kept = mentions = known = 0
    for opening, continuation in zip(openings, continuations, strict=True):
        heroes = set(find_names(opening))
        told = cased_words(continuation)
        introduced += len(heroes)
        kept += len(heroes.intersection(told))
        if heroes:
            before, people = set(cased_words(opening)), set(find_names(f"{opening}\n{continuation}"))
            mentions += sum(word in people for word in told)
            known += sum(word in people and word in before for word in told)
    return Names(introduced, kept, mentions, known)


def first_words(text: str, count: int) -> str:
    """The beginning of a text up to its word number `count`."""
    ends = [match.end() for match in islice(WORD.finditer(text), count)]
    return text[: ends[-1]] if ends else ""


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def word_runs(text: str, n: int) -> Iterator[tuple[str, ...]]:
    found = words(text)
    return zip(*(found[i:] for i in range(n)), strict=False)


def cased_words(text: str) -> list[str]:
    return [word.removesuffix("'s") for word in WORD.findall(text)]
