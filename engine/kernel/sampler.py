"""The sampler of `engine.sampling` in C: a distribution from logits, and a draw from it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from ctypes import Array, byref, c_float, c_uint8

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import KernelError
from engine.kernel.library import Sampling, address, check, library
from engine.shape import Floats


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
        self._room = (c_float * (2 * vocab))()
        self._sampling = Sampling()
        self._pointer = byref(self._sampling)

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
        sampling.temperature, sampling.top_p, sampling.penalty = temperature, top_p, penalty
        sampling.top_k = 0 if top_k is None or top_k >= self.vocab else top_k
        if not_now is not None and not 0 <= not_now < self.vocab:
            raise KernelError(f"{not_now} lies outside of a vocabulary of {self.vocab}.")
        sampling.not_now = -1 if not_now is None else not_now
        try:
            window = array("q", recent)
        except (OverflowError, TypeError) as error:
            raise KernelError("A recent id is no integer of 64 bits; take ids from the tokenizer.") from error
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


def flags(vocab: int, ids: Iterable[int]) -> Array[c_uint8]:
    """(V,) bytes, 1 for each of these ids."""
    marked = (c_uint8 * vocab)()
    for i in ids:
        marked[i] = 1
    return marked
