"""The sampler of `engine.sampling` in C: a distribution from logits, and a draw from it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from ctypes import Array, addressof, byref, c_float, c_int64, c_uint8
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import KernelError
from engine.kernel.library import Sampling, Text, address, check, library
from engine.shape import Floats

MOST_ROWS = 32  # of one call of `follow`


class NativeSampler:
    """What `engine.sampling.Sampler` computes, in C; used by one thread at a time.

    Args:
        vocab: V.
        never: ids that are not drawn at all.
        penalized: the only ids that the repetition penalty may turn down; None: any.

    Raises:
        KernelError: no library, or an id outside of the vocabulary.
    """

    def __init__(self, vocab: int, never: Sequence[int] = (), penalized: frozenset[int] | None = None) -> None:
        self._library = library()
        if not 0 < vocab < 2**24 or not all(0 <= i < vocab for i in (*never, *(penalized or ()))):
            raise KernelError(f"An id lies outside of a vocabulary of {vocab}; take the model's own tokenizer.")
        self.vocab = vocab
        self._never = flags(vocab, never)
        self._penalized = None if penalized is None else flags(vocab, penalized)
        self._room = (c_float * (3 * vocab))()
        self._sampling = Sampling()
        self._pointer = byref(self._sampling)
        self._text: Text | None = None  # that `begin` took
        self._drawn = (c_int64 * MOST_ROWS)()

    def process(
        self,
        logits: ArrayLike,
        recent: Sequence[int],
        *,
        temperature: float,
        top_k: int | None = None,
        top_p: float = 1.0,
        penalty: float = 1.0,
        not_now: int | None = None,
    ) -> Floats:
        """The distribution (V,) of logits (V,), in proportion: its sum is at most 1. At temperature 0 all is on one id.

        Args:
            recent: the window of ids that the penalty looks back on.
            not_now: an id that may not come yet.

        Raises:
            KernelError: logits of another size, or none that is a number and may be drawn.
        """
        row = np.ascontiguousarray(logits, dtype=np.float32)  # (V,)
        if row.size != self.vocab:
            raise KernelError(f"There are {row.size} logits for a vocabulary of {self.vocab}.")
        sampling, out = self._sampling, np.empty(self.vocab, dtype=np.float32)  # (V,)
        self._set(sampling, temperature, top_k, top_p, penalty)
        sampling.not_now = self._known(not_now)
        window = self._integers(recent)
        code = self._library.sampler_process(
            address(row), self.vocab, self._pointer, self._never, self._penalized, window.buffer_info()[0],
            len(window), self._room, address(out),
        )  # fmt: skip
        if code:
            check(code, "logits of which none is a number that may be drawn")
        return out

    def draw(self, probabilities: Floats, uniform: float) -> int:
        """An id by one number that is uniform in [0, 1): the first whose running sum exceeds that share of all."""
        row = np.ascontiguousarray(probabilities, dtype=np.float32)  # (V,)
        if row.size != self.vocab:
            raise KernelError(f"There are {row.size} probabilities for a vocabulary of {self.vocab}.")
        return int(self._library.sampler_draw(address(row), self.vocab, uniform))

    def begin(
        self,
        ids: Sequence[int],
        *,
        window: int,
        end: int | None,
        temperature: float,
        top_k: int | None = None,
        top_p: float = 1.0,
        penalty: float = 1.0,
    ) -> None:
        """Take a text that `follow` will go on with, in this way.

        Args:
            window: ids that the penalty looks back on.
            end: the id that ends the text; None: there is none.

        Raises:
            KernelError: an id that cannot be one.
        """
        newest = self._integers(ids[-window:])
        self._recent = (c_int64 * window)(*newest)
        self._text = text = Text(vocab=self.vocab, end=self._known(end), window=window, filled=len(newest))
        self._set(text.params, temperature, top_k, top_p, penalty)
        text.recent, text.never, text.room = addressof(self._recent), addressof(self._never), addressof(self._room)
        text.penalized = None if self._penalized is None else addressof(self._penalized)

    def follow(self, rows: Floats, guesses: Sequence[int], uniforms: Sequence[float], early: int = 0) -> list[int]:
        """Ids drawn from logits (1 + guesses, V) one after the other, as `process` and `draw` would, as long as they
        are those guessed; the last one may be another, or the text's end. They belong to the text from then on.

        Args:
            uniforms: for each row a number that is uniform in [0, 1).
            early: a bit for each row, the lowest for the first: 1 where the end may not come yet.

        Raises:
            KernelError: rows of another size, one with no number that may be drawn, or no text.
        """
        if self._text is None:
            raise KernelError("There is no text to go on with; begin one.")
        n = len(guesses) + 1
        if rows.shape != (n, self.vocab) or rows.dtype != np.float32 or not n <= len(uniforms) <= MOST_ROWS:
            raise KernelError(f"There are logits {rows.shape} for {n - 1} guesses of {self.vocab} ids.")
        rows = np.ascontiguousarray(rows)
        expected, numbers = array("q", guesses), array("d", uniforms)
        drawn = self._library.sampler_follow(
            byref(self._text), address(rows), n, expected.buffer_info()[0], numbers.buffer_info()[0], early, self._drawn
        )
        if not drawn:
            raise KernelError("The kernel refused logits of which none is a number that may be drawn.")
        return self._drawn[:drawn]

    def _set(self, params: Any, temperature: float, top_k: int | None, top_p: float, penalty: float) -> None:
        params.temperature, params.top_p, params.penalty = temperature, top_p, penalty
        params.top_k = 0 if top_k is None or top_k >= self.vocab else top_k

    def _known(self, token: int | None) -> int:
        """An id as the library has it: -1 for none."""
        if token is not None and not 0 <= token < self.vocab:
            raise KernelError(f"{token} lies outside of a vocabulary of {self.vocab}.")
        return -1 if token is None else token

    @staticmethod
    def _integers(ids: Sequence[int]) -> array[int]:
        try:
            return array("q", ids)
        except (OverflowError, TypeError) as error:
            raise KernelError("A recent id is no integer of 64 bits; take ids from the tokenizer.") from error


def flags(vocab: int, ids: Iterable[int]) -> Array[c_uint8]:
    """(V,) bytes, 1 for each of these ids."""
    marked = (c_uint8 * vocab)()
    for i in ids:
        marked[i] = 1
    return marked
