"""Keeps twins out of the training text, and out of it everything that validation will ask.

Two texts overlap where they share a run of `N` words, case and punctuation aside: the check of Brown et al. 2020
(GPT-3, appendix C, https://arxiv.org/abs/2005.14165), with its 13 words. There a match is cut out with 200 characters
on both sides; here whole lines go, or the whole of a short document, so that no sentence begins in its middle.

A word is a number of 64 bits and a run the value of a polynomial over its words (Karp & Rabin 1987, "Efficient
randomized pattern-matching algorithms"), so that a book is looked up in a few operations on tensors.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

N = 13
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
WHOLE_LINES = 20  # a document with at least as many loses the lines that overlap, a shorter one goes altogether
LONG_LINE = 2000  # characters: a longer line is taken sentence by sentence
SENTENCE_END = re.compile(r"(?<=[.!?]\s)")
BASE = 0x5851F42D4C957F2D  # odd, so that multiplying by it loses nothing
POWERS = torch.tensor([1] + [BASE] * (N - 1)).cumprod(0)  # (N,): 1, b, b^2, ... modulo 2^64


class OverlapFilter:
    """Passes on documents that are new and share nothing with the validation texts; counts the others."""

    def __init__(self, validation: Iterable[str]) -> None:
        self._numbers = WordNumbers()
        runs = [run_values(self._numbers.of(document)) for document in validation]
        self._asked = torch.unique(torch.cat([torch.empty(0, dtype=torch.int64), *runs]))  # (n,), sorted
        self._seen: set[bytes] = set()
        self.duplicates = 0  # documents
        self.overlapping = 0  # documents
        self.lines = 0  # taken out of long documents

    def __call__(self, documents: Iterable[str]) -> Iterator[str]:
        for document in documents:
            numbers = self._numbers.of(document)
            digest = hashlib.sha256(numbers or document.encode()).digest()  # one without a word is told by its signs
            if digest in self._seen:
                self.duplicates += 1
                continue
            self._seen.add(digest)
            if not self._hits(numbers).numel():
                yield document
            elif rest := self._without_overlap(document):
                yield rest
            else:
                self.overlapping += 1

    def removed(self) -> dict[str, int]:
        """What was taken out so far."""
        return {"duplicates": self.duplicates, "overlapping": self.overlapping, "overlapping lines": self.lines}

    def _hits(self, numbers: array[int]) -> Tensor:
        """Where runs begin that validation holds, (k,): numbers of words."""
        runs = run_values(numbers)  # (m,)
        if not runs.numel() or not self._asked.numel():
            return torch.empty(0, dtype=torch.int64)
        places = torch.searchsorted(self._asked, runs).clamp_(max=self._asked.numel() - 1)  # (m,)
        hits: Tensor = (self._asked[places] == runs).nonzero().flatten()  # (m,) -> (k, 1) -> (k,)
        return hits

    def _without_overlap(self, document: str) -> str | None:
        """A long document without the lines that a shared run touches; None where little or nothing would be left."""
        lines = list(split_lines(document))
        if sum(not line.isspace() for line in lines) < WHOLE_LINES:
            return None
        while True:  # what was apart now stands together, and may make a run that was not there before
            numbers, line_of = array("q"), array("q")
            for i, line in enumerate(lines):
                words = self._numbers.of(line)
                numbers.extend(words)
                line_of.extend([i] * len(words))
            hits = self._hits(numbers).tolist()
            if not hits:
                return "".join(lines) if numbers else None
            asked = {i for at in hits for i in line_of[at : at + N]}
            self.lines += len(asked)
            asked |= {i + 1 for i in asked if lines[i + 1 : i + 2] and lines[i + 1].isspace()}  # the gap behind it
            lines = [line for i, line in enumerate(lines) if i not in asked]


class WordNumbers(dict[str, int]):
    """The number of each word: the same in every process, unlike Python's own hash."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        self[word] = number = int.from_bytes(digest, "big", signed=True)
        return number

    def of(self, text: str) -> array[int]:
        return array("q", map(self.__getitem__, WORD.findall(text.lower())))


def run_values(numbers: array[int]) -> Tensor:
    """A value for every run of `N` words, (m,); fewer words are one run, and no word is none."""
    if not numbers:
        return torch.empty(0, dtype=torch.int64)
    words = torch.frombuffer(numbers, dtype=torch.int64)  # (n,), shares the array's memory
    width = min(N, words.numel())
    values: Tensor = (words.unfold(0, width, 1) * POWERS[:width]).sum(1)  # (n,) -> (m, width) -> (m,)
    return values


def split_lines(text: str) -> Iterator[str]:
    """The lines of a text, the long ones in sentences; joined they are the text again."""
    for line in text.splitlines(keepends=True):
        yield from SENTENCE_END.split(line) if len(line) > LONG_LINE else (line,)
