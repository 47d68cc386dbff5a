"""Keeps twins out of the training text, and out of it everything that validation will ask.

Two texts overlap where they share a run of `N` words, case and punctuation aside: the check of Brown et al. 2020
(GPT-3, appendix C, https://arxiv.org/abs/2005.14165), with its 13 words.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

N = 13
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
WHOLE_PARAGRAPHS = 20  # a document with more of them loses those that overlap, a shorter one goes altogether


class OverlapFilter:
    """Passes on documents that are new and share nothing with the validation texts; counts the others."""

    def __init__(self, validation: Iterable[str]) -> None:
        self._asked: set[int] = set()
        for document in validation:
            self._asked.update(word_runs(document))
        self._seen: set[bytes] = set()
        self.duplicates = 0  # documents
        self.overlapping = 0  # documents
        self.paragraphs = 0  # taken out of long documents

    def __call__(self, documents: Iterable[str]) -> Iterator[str]:
        for document in documents:
            digest = hashlib.sha256(" ".join(words(document)).encode()).digest()
            if digest in self._seen:
                self.duplicates += 1
                continue
            self._seen.add(digest)
            if self._asked.isdisjoint(word_runs(document)):
                yield document
            elif rest := self._without_overlap(document):
                yield rest
            else:
                self.overlapping += 1

    def removed(self) -> dict[str, int]:
        """What was taken out so far."""
        return {"duplicates": self.duplicates, "overlapping": self.overlapping, "overlapping paragraphs": self.paragraphs}

    def _without_overlap(self, document: str) -> str | None:
        """A long document without the paragraphs that overlap and those beside them, into which a run may reach."""
        paragraphs = document.splitlines(keepends=True)
        told = [i for i, paragraph in enumerate(paragraphs) if paragraph.strip()]
        if len(told) < WHOLE_PARAGRAPHS:
            return None
        asked: set[int] = set()
        for before, here, after in zip([told[0], *told], told, [*told[1:], told[-1]], strict=False):
            if not self._asked.isdisjoint(word_runs("".join(paragraphs[before : after + 1]))):
                asked.update((before, here, after))
        self.paragraphs += len(asked)
        return "".join(paragraph for i, paragraph in enumerate(paragraphs) if i not in asked)


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def word_runs(text: str) -> Iterator[int]:
    """A hash of every run of `N` words; of all words where there are fewer."""
    found = words(text)
    for start in range(max(1, len(found) - N + 1)):
        yield hash(tuple(found[start : start + N]))
