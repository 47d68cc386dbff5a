"""Memory vectors: what the model itself held in mind at each place of the story that has left the window.

For each of the last tokens that left it, the state from which the model predicted what came next is kept as a short
vector, with the token that did come. While the story goes on, those places come back at which the model was in a like
state, and what followed there is mixed into what it predicts: the continuous cache of Grave et al. 2017
(https://arxiv.org/abs/1612.04426), which finds again what was said in other words, where `engine.recollection` needs
the same words. Nothing is trained. The vectors belong to the weights that wrote them, as an adapter does.

The state is read off the logits, which are a linear map of it: no decoder has to hand it out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from engine.decoder import Decoder
from engine.errors import AdapterError
from engine.shape import Floats
from engine.units import NO_ENTRY, read_entry, read_tensors

WIDTH = 64  # numbers of a vector
MOST = 2_048  # vectors: a quarter of a MB
MAX_BYTES = 1 << 20
SHARPNESS = 30.0  # of the weights that places get by their likeness, a cosine
LEAST = 0.01  # of the likest place's weight: what has less is left out
SHARE = 0.1  # of the probability, where there are many vectors
FEW = 500  # of so many vectors the share is half of that
AT_ONCE = 32  # positions whose logits are held while vectors are written: a quarter of a MB, not three
FORMAT, ENTRY = "miniature-memory vectors 1", "memory_vectors"


class States:
    """Reads states off logits, in the directions of the state that the logits tell most of.

    Args:
        head: (V, C), the matrix that the logits are made with.
    """

    def __init__(self, head: Floats) -> None:
        values, directions = np.linalg.eigh(head.T @ head)  # (C,), (C, C), the smallest first
        usable = values > values[-1] * 1e-6  # a vocabulary smaller than C leaves some directions out
        chosen = np.flatnonzero(usable)[::-1][:WIDTH]
        self._map: Floats = head @ (directions[:, chosen] / values[chosen])  # (V, d): head @ map is the identity there

    def __call__(self, logits: Floats) -> Floats:
        """Unit vectors (n, d), padded to WIDTH with zeros, of logits (n, V)."""
        states = logits @ self._map  # (n, V) -> (n, d)
        states /= np.linalg.norm(states, axis=1, keepdims=True) + 1e-9
        unit: Floats = np.pad(states, ((0, 0), (0, WIDTH - states.shape[1]))).astype(np.float32)  # -> (n, WIDTH)
        return unit


@dataclass(frozen=True)
class MemoryVectors:
    """`keys` (n, WIDTH), the states in story order, and `followed` (n,), the token that came behind each."""

    keys: Floats
    followed: NDArray[np.int32]

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros((0, WIDTH), np.float32), np.zeros(0, np.int32))

    def dump(self, base_id: str) -> bytes:
        """Bytes of the last MOST of them; the same vectors always give the same bytes."""
        about = json.dumps({"format": FORMAT, "base_id": base_id}, separators=(",", ":"))
        tensors: dict[str, NDArray[Any]] = {
            "keys": np.ascontiguousarray(self.keys[-MOST:], np.float16),
            "followed": self.followed[-MOST:].copy(),
        }
        blob: bytes = save(tensors, {ENTRY: about})
        return blob

    @classmethod
    def load(cls, blob: bytes, base_id: str, vocab_size: int) -> Self:
        """Raises AdapterError where these are no vectors, or those of other weights."""
        try:
            about = read_entry(blob, ENTRY, MAX_BYTES)
            tensors = read_tensors(blob, "F16", "I32")
            format_, owner, keys, followed = about["format"], about["base_id"], tensors["keys"], tensors["followed"]
        except NO_ENTRY as error:
            raise AdapterError(
                "These memory vectors are damaged; they are written anew as the story goes on."
            ) from error
        if format_ != FORMAT or owner != base_id:
            raise AdapterError("These memory vectors belong to other weights; they are written anew.")
        n = len(followed) if followed.ndim == 1 else -1
        sound = (
            len(tensors) == 2 and keys.shape == (n, WIDTH) and n <= MOST
            and keys.dtype == np.float16 and followed.dtype == np.int32 and bool(np.isfinite(keys).all())
            and bool((followed >= 0).all() and (followed < vocab_size).all())
        )  # fmt: skip
        if not sound:
            raise AdapterError("These memory vectors are damaged; they are written anew as the story goes on.")
        return cls(keys.astype(np.float32), followed)

    def with_text(
        self, decoder: Decoder, states: States, ids: Sequence[int], start: Sequence[int], window: int | None = None
    ) -> Self:
        """These and those of text that follows theirs, read in steps with the decoder. What it held is forgotten.

        Args:
            start: ids that stand before a text.
            window: positions to read in; None: as many as the model has. A quarter of them looks back.
        """
        room = (window or decoder.config.block_size) - len(start)
        step = room * 3 // 4
        ids = ids[-MOST - 1 :]
        keys = [self.keys]
        for begin in range(0, len(ids) - 1, step):
            before = max(0, begin - (room - step))
            decoder.truncate(0)
            if looked_back := [*start, *ids[before:begin]]:
                decoder.rows(looked_back)
            fresh = ids[begin : begin + step]
            for first in range(0, len(fresh), AT_ONCE):
                keys.append(states(decoder.rows(fresh[first : first + AT_ONCE], every=True)))  # (<= AT_ONCE, WIDTH)
        followed = np.concatenate((self.followed, np.array(ids[1:], np.int32)))
        grown = np.concatenate(keys)[: len(followed)]  # nothing has come behind the last yet
        return type(self)(grown[-MOST:], followed[-MOST:])

    @property
    def share(self) -> float:
        """What they get of the probability of the next token."""
        return SHARE * len(self.keys) / (len(self.keys) + FEW)

    def like(self, state: Floats) -> tuple[NDArray[np.int32], Floats]:
        """What came behind the places whose state was most like this one (WIDTH,), and their weights, in all 1; two
        arrays (n,), n > 0 where there are vectors."""
        weights: Floats = np.exp(SHARPNESS * (self.keys @ state - 1))  # (len(self.keys),)
        places = np.flatnonzero(weights >= weights.max(initial=0) * LEAST)
        weights = weights[places]  # -> (n,)
        return self.followed[places], weights / weights.sum()
