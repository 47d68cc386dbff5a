"""What reads ids and gives logits: the native kernel where it runs, the torch model elsewhere; both with one cache.

The two compute the same. The torch model is the reference: the kernel rounds weights and cache to FP16, as the weights
are stored, and computes in FP32.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, KernelError
from engine.folder import Stored
from engine.host import DtypeName, fitting_dtype, memory_needed, require_memory
from engine.kernel import Kernel, available, isas, unknown
from engine.native import load_kernel
from engine.readout import ReadOut
from engine.shape import Floats, GPTConfig, UnitGroup, UnitKind
from engine.tensor_files import SLICE_BYTES

Backend = Literal["auto", "native", "int8", "torch"]
PLAIN = "plain"  # the kernel in plain C
log = logging.getLogger(__name__)


class Decoder(Protocol):
    """One model and one sequence. `config` is the model's shape."""

    config: GPTConfig

    @property
    def closed(self) -> bool: ...

    def rows(self, ids: Sequence[int], *, every: bool = False) -> Floats:
        """Read ids behind the cache's last: logits (1, V) behind the last of them, or (len(ids), V) with `every`."""

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on."""

    def drop(self, start: int, end: int) -> None:
        """Forget positions start..end; those behind move forward, their keys turned to the new places."""

    def attach(self, groups: Sequence[UnitGroup | None] | None, kind: UnitKind = "session") -> None:
        """Write units into the room for that kind; None, or None for a block, takes them away."""

    def admit(self, which: Sequence[bool] | NDArray[np.bool_] | None) -> None:
        """Which of the session's units (n_session,) take part from the next ids on; None: all that are attached."""

    def features(self, ids: Sequence[int]) -> tuple[Floats, Floats]:
        """What comes into the last feed-forward, normed, and the stream behind the last block, each (T, C), at every
        position of a text read from the start; no session units take part. The cache holds those ids then."""

    def read_once(self) -> int:
        """Read all weights that a token needs, and compute nothing; gives how many bytes they are."""

    def close(self) -> None:
        """Give the memory back."""


class Chosen(NamedTuple):
    """A decoder, what it is, and why this one: for `engine info` and the log."""

    decoder: Decoder
    native: bool
    backend: str
    reason: str


def choose(
    stored: Stored, backend: Backend = "auto", dtype: DtypeName | None = None, threads: int | None = None
) -> Chosen:
    """Read a folder's tensors into the decoder that was asked for, or with "auto" into the fastest that runs here.

    Args:
        dtype: of the torch path; naming one asks for that path. None takes float32 where the host has memory for it
            and as much again, else float16.
        threads: None: one for each core.

    Raises:
        WeightsError: the files do not fit the shape, are damaged, or there is not enough memory.
        EngineError: the kernel was asked for by name, and cannot serve these weights here.
    """
    if backend == "torch" or dtype is not None:
        return torch_decoder(stored, dtype, threads, "it was asked for")
    problem = against_kernel(stored.config, backend)
    if problem is None:
        try:
            return native_decoder(stored, 8 if backend == "int8" else 16, threads)
        except KernelError as error:
            problem = str(error)
    if backend != "auto":
        raise EngineError(f"The native kernel cannot serve these weights here ({problem}); ask for torch instead.")
    log.warning("torch decodes, as the native kernel cannot: %s", problem)
    return torch_decoder(stored, None, threads, problem)


def against_kernel(config: GPTConfig, backend: Backend) -> str | None:
    """Why the kernel does not serve a model of this shape here; None where it does."""
    there, reason = available()
    if not there:
        return reason
    if backend == "auto" and isas()[0] == PLAIN:
        return "this CPU has none of the instructions that make the kernel faster than torch"
    return unknown(config)


def native_decoder(stored: Stored, bits: Literal[8, 16], threads: int | None = None) -> Chosen:
    """Raises KernelError where these weights do not fit it, and WeightsError where they fit nowhere."""
    config, threads = stored.config, threads or cores()
    require_memory(config, native_bytes(config, bits, threads), "int8" if bits == 8 else "float16")
    kernel = load_kernel(config, stored.files, bits=bits, threads=threads)
    backend = f"native kernel, {kernel.isa}, {'int8' if bits == 8 else 'float16'}"
    return Chosen(kernel, True, backend, "it is the fastest here")


def native_bytes(config: GPTConfig, bits: Literal[8, 16], threads: int) -> int:
    """What loading these weights into the kernel takes."""
    return Kernel.bytes_needed(config, bits=bits, threads=threads) + 2 * SLICE_BYTES


def bytes_needed(
    config: GPTConfig, backend: Backend = "auto", dtype: DtypeName | None = None, threads: int | None = None
) -> int:
    """What `choose` will take for weights of this shape, before any of it is taken.

    Raises:
        WeightsError: torch would decode, and it is more than there is.
    """
    if backend != "torch" and dtype is None and against_kernel(config, backend) is None:
        return native_bytes(config, 8 if backend == "int8" else 16, threads or cores())
    return memory_needed(config, fitting_dtype(config, dtype))


def torch_decoder(stored: Stored, dtype: DtypeName | None, threads: int | None, reason: str) -> Chosen:
    from engine.torch_decoder import TorchDecoder  # torch is 200 MB that a process with the kernel does without

    name = fitting_dtype(stored.config, dtype)
    return Chosen(TorchDecoder.load(stored, name, threads), False, f"torch, {name}", reason)


def read_out(decoder: Decoder) -> ReadOut:
    """What leads from the stream behind the last block to the next token."""
    if isinstance(decoder, Kernel):
        return ReadOut(decoder.matrix("head"), decoder.matrix("final_norm"), None, decoder.config.norm_eps)
    from engine.torch_decoder import TorchDecoder

    assert isinstance(decoder, TorchDecoder)
    return decoder.read_out()


def cores() -> int:
    """That this process may run on, or as many as OMP_NUM_THREADS leaves to it, as torch has it."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit):
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
