"""What reads ids and gives logits: the native kernel where it runs, the torch model elsewhere; both with one cache.

The two compute the same. The torch model is the reference: the kernel rounds weights and cache to FP16, as the weights
are stored, and computes in FP32.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from engine.blocks import GPTConfig, UnitGroup, UnitKind, rotate
from engine.checkpoint import Stored, read_model
from engine.errors import EngineError, KernelError
from engine.host import WORKSPACE, fitting_dtype, require_memory
from engine.kernel import Kernel, available, unknown
from engine.model import GPT, KVCache
from engine.native import load_kernel
from engine.units import attach_units

Backend = Literal["auto", "native", "int8", "torch"]
log = logging.getLogger(__name__)


class Decoder(Protocol):
    """One model and one sequence. `config` is the model's shape."""

    config: GPTConfig

    def logits(self, ids: Sequence[int], *, every: bool = False) -> Tensor:
        """Read ids behind the cache's last: logits (V,) behind the last of them, or (len(ids), V) with `every`."""

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on."""

    def drop(self, start: int, end: int) -> None:
        """Forget positions start..end; those behind move forward, their keys turned to the new places."""

    def attach(self, groups: Sequence[UnitGroup | None] | None, kind: UnitKind = "session") -> None:
        """Write units into the room for that kind; None, or None for a block, takes them away."""

    def read_once(self) -> int:
        """Read all weights that a token needs, and compute nothing; gives how many bytes they are."""

    def close(self) -> None:
        """Give the memory back."""


class TorchDecoder:
    """The torch model with its cache, in the dtype of its weights."""

    def __init__(self, model: GPT) -> None:
        self.model, self.config = model, model.config
        self._cache = KVCache(model.config, model.embedding.weight.dtype)

    @property
    def length(self) -> int:
        return self._cache.length

    @torch.inference_mode()
    def logits(self, ids: Sequence[int], *, every: bool = False) -> Tensor:
        out: Tensor = self.model(torch.tensor([list(ids)]), cache=self._cache, last_only=not every)[
            0
        ]  # (1, T) -> (T, V)
        return out.float() if every else out[-1].float()

    def truncate(self, length: int) -> None:
        self._cache.length = length

    @torch.inference_mode()
    def drop(self, start: int, end: int) -> None:
        """Positions are angles: a key that moves forward is turned back by as much (Su et al. 2021)."""
        cos, sin = self.model.cos, self.model.sin
        if cos is None or sin is None:
            raise EngineError("Learned positions cannot move; read the text again.")
        cache, by, last = self._cache, end - start, self._cache.length
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

    def close(self) -> None:
        pass  # freed with the object


class Chosen(NamedTuple):
    """A decoder, what it is, and why this one: for `engine info` and the log."""

    decoder: Decoder
    backend: str
    reason: str


def choose(stored: Stored, backend: Backend = "auto", dtype: torch.dtype | None = None) -> Chosen:
    """Read a folder's tensors into the decoder that was asked for, or with "auto" into the fastest that runs here.

    Args:
        dtype: of the torch path; naming one asks for that path. None takes float32 where the host has memory for it
            and as much again, else float16.

    Raises:
        WeightsError: the files do not fit the shape, are damaged, or there is not enough memory.
        EngineError: the kernel was asked for by name, and cannot serve these weights here.
    """
    if backend == "torch" or dtype is not None:
        return torch_decoder(stored, dtype, "it was asked for")
    there, reason = available()
    known = unknown(stored.config) if there else reason
    if known is None:
        try:
            return native_decoder(stored, 8 if backend == "int8" else 16)
        except KernelError as error:
            known = str(error)
    if backend != "auto":
        raise EngineError(f"The native kernel cannot serve these weights here ({known}); ask for torch instead.")
    log.warning("torch decodes, as the native kernel cannot: %s", known)
    return torch_decoder(stored, None, known)


def native_decoder(stored: Stored, bits: Literal[8, 16]) -> Chosen:
    """Raises KernelError where these weights do not fit it, and WeightsError where they fit nowhere."""
    config, threads = stored.config, torch.get_num_threads()
    needed = Kernel.bytes_needed(config, bits=bits, threads=threads) + 4 * config.vocab_size * config.n_embd + WORKSPACE
    require_memory(config, needed, torch.int8 if bits == 8 else torch.float16)
    kernel = load_kernel(config, stored.files, bits=bits, threads=threads)
    return Chosen(
        kernel, f"native kernel, {kernel.isa}, {'int8' if bits == 8 else 'float16'}", "it is the fastest here"
    )


def torch_decoder(stored: Stored, dtype: torch.dtype | None, reason: str) -> Chosen:
    dtype = fitting_dtype(stored.config, dtype)
    decoder = TorchDecoder(read_model(stored.config, stored.files, dtype))
    return Chosen(decoder, f"torch, {str(dtype).removeprefix('torch.')}", reason)
