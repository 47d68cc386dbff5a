"""The torch path behind the calls of a decoder: the reference for the native kernel, and what runs where it cannot."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.blocks import KVCache, rotate
from engine.checkpoint import read_model
from engine.errors import EngineError
from engine.folder import Stored
from engine.host import DtypeName
from engine.model import GPT, attach_units
from engine.shape import Floats, UnitGroup, UnitKind


class TorchDecoder:
    """The torch model with its cache, in the dtype of its weights."""

    @classmethod
    def load(cls, stored: Stored, dtype: DtypeName, threads: int | None) -> TorchDecoder:
        """Raises WeightsError where the tensors are damaged, or not those of the shape."""
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(read_model(stored.config, stored.files, dtype))

    def __init__(self, model: GPT) -> None:
        self.config = model.config
        self._held: tuple[GPT, KVCache] | None = model, KVCache(model.config, model.embedding.weight.dtype)

    @property
    def model(self) -> GPT:
        return self._open()[0]

    @property
    def length(self) -> int:
        return self._open()[1].length

    @property
    def closed(self) -> bool:
        return self._held is None

    def close(self) -> None:
        self._held = None

    def _open(self) -> tuple[GPT, KVCache]:
        if self._held is None:
            raise EngineError("The model was closed; load the weights again.")
        return self._held

    @torch.inference_mode()
    def rows(self, ids: Sequence[int], *, every: bool = False) -> Floats:
        model, cache = self._open()
        out = model(torch.tensor([list(ids)]), cache=cache, last_only=not every)  # (1, T) -> (1, T or 1, V)
        rows: Floats = out[0].float().numpy()
        return rows

    def truncate(self, length: int) -> None:
        self._open()[1].length = length

    @torch.inference_mode()
    def drop(self, start: int, end: int) -> None:
        """Positions are angles: a key that moves forward is turned back by as much (Su et al. 2021)."""
        model, cache = self._open()
        cos, sin = model.cos, model.sin
        if cos is None or sin is None:
            raise EngineError("Learned positions cannot move; read the text again.")
        by, last = end - start, cache.length
        k = cache.k[:, :, end:last].float()  # (n_layer, K, n, D)
        cache.k[:, :, start : last - by] = rotate(k, cos[by], -sin[by]).to(cache.k.dtype)
        cache.v[:, :, start : last - by] = cache.v[:, :, end:last].clone()
        cache.length -= by

    def attach(self, groups: Sequence[UnitGroup | None] | None, kind: UnitKind = "session") -> None:
        attach_units(self.model, kind, groups)

    def read_once(self) -> int:
        read = 0
        for parameter in self.model.parameters():
            words = parameter.detach().view(-1).view(torch.uint8)  # (...) -> (bytes,)
            words = words[: len(words) // 8 * 8].view(torch.int64)  # -> (bytes / 8,)
            words.sum()
            read += words.nbytes
        return read
