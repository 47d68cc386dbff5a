"""The torch path behind the calls of a decoder: the reference for the native kernel, and what runs where it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.blocks import KVCache, LayerNorm, rotate
from engine.checkpoint import read_model
from engine.errors import EngineError
from engine.folder import Stored
from engine.host import DtypeName
from engine.model import GPT
from engine.readout import ReadOut
from engine.shape import Floats, GPTConfig, UnitGroup, UnitKind


class TorchDecoder:
    """The torch model with its cache, in the dtype of its weights."""

    @classmethod
    def load(cls, stored: Stored, dtype: DtypeName, threads: int | None) -> TorchDecoder:
        """Raises WeightsError where the tensors are damaged, or not those of the shape."""
        if threads is not None:
            torch.set_num_threads(threads)
        model = read_model(replace(stored.config, n_long_term=0, n_session=0), stored.files, dtype)
        return cls(model, stored.config)

    def __init__(self, model: GPT, config: GPTConfig | None = None) -> None:
        """`config` says how much room there is for units; they are computed beside the model only while there are any,
        so that room costs nothing."""
        self.config = config or model.config
        self._groups: dict[UnitKind, list[UnitGroup | None]] = {}
        self._admitted: NDArray[np.bool_] | None = None  # (n_session,); None: all
        self._units: list[UnitGroup | None] | None = None  # of both kinds as they are computed; None: there are none
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
        idx = torch.tensor([list(ids)])  # (1, T)
        out = model(idx, cache=cache, last_only=not every, taught=self._units)  # (1, T) -> (1, T or 1, V)
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
        self._open()
        self._groups.pop(kind, None)
        if groups is not None:
            self._groups[kind] = list(groups)
        self._units = self._beside()

    def admit(self, which: Sequence[bool] | NDArray[np.bool_] | None) -> None:
        self._admitted = None if which is None else np.asarray(which, dtype=bool)
        self._units = self._beside()

    def _beside(self, *kinds: UnitKind) -> list[UnitGroup | None] | None:
        """The units of these kinds (none named: of all) that take part, one group for each block."""
        layers = [
            [
                self._taking(self._groups[kind][i], kind)
                for kind in kinds or ("long_term", "session")
                if kind in self._groups
            ]
            for i in range(self.config.n_layer)
        ]
        groups = [joined([group for group in layer if group is not None]) for layer in layers]
        return groups if any(group is not None for group in groups) else None

    def _taking(self, group: UnitGroup | None, kind: UnitKind) -> UnitGroup | None:
        if group is None or kind != "session" or self._admitted is None:
            return group
        if not self._admitted.any():
            return None
        gate, up, down = map(torch.as_tensor, group)
        which = torch.from_numpy(self._admitted)  # (r,)
        return UnitGroup(gate[which], up[which], down[:, which])

    @torch.inference_mode()
    def features(self, ids: Sequence[int]) -> tuple[Floats, Floats]:
        model, cache = self._open()
        found: dict[str, Tensor] = {}
        last = list(model.layers())[-1]
        hooks = [
            last.feed_forward_norm.register_forward_hook(lambda *call: found.update(fed=call[-1])),
            last.register_forward_hook(lambda *call: found.update(stream=call[-1])),
        ]
        cache.length = 0
        try:
            model.hidden(torch.tensor([list(ids)]), cache=cache, taught=self._beside("long_term"))  # (1, T)
        finally:
            for hook in hooks:
                hook.remove()
        fed, stream = (found[name][0].float().numpy() for name in ("fed", "stream"))  # (1, T, C) -> (T, C) each
        return fed, stream

    def read_out(self) -> ReadOut:
        model = self.model
        head, norm = model.head.weight.detach(), model.norm
        shift = norm.bias.detach().float().numpy() if isinstance(norm, LayerNorm) else None
        return ReadOut(head.float().numpy(), norm.weight.detach().float().numpy(), shift, norm.eps)

    def read_once(self) -> int:
        read = 0
        for parameter in self.model.parameters():
            words = parameter.detach().view(-1).view(torch.uint8)  # (...) -> (bytes,)
            words = words[: len(words) // 8 * 8].view(torch.int64)  # -> (bytes / 8,)
            words.sum()
            read += words.nbytes
        return read


def joined(groups: Sequence[UnitGroup]) -> UnitGroup | None:
    """Several groups of one block as one, in float32."""
    if not groups:
        return None
    parts = [[torch.as_tensor(part).float() for part in group] for group in groups]
    gate, up = (torch.cat([part[i] for part in parts]) for i in range(2))  # n x (r, C) -> (sum of r, C)
    return UnitGroup(gate, up, torch.cat([part[2] for part in parts], dim=1))  # n x (C, r) -> (C, sum of r)
