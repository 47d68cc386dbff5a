"""One model in the kernel: its weights packed, the cache of one sequence, and a step.

Sizes are named as in `engine.blocks`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from ctypes import byref, c_int, c_int64, c_void_p
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from engine.errors import KernelError
from engine.kernel.library import ACTIVATIONS, PARTS, Shape, address, check, isas, library, unknown, usual_isa
from engine.shape import Floats, GPTConfig, UnitGroup, UnitKind, as_array, rotary_angles

if TYPE_CHECKING:  # torch is 200 MB that a process with the kernel does without
    from torch import Tensor

    from engine.model import GPT

MOST_HALF = 65504.0
MAX_THREADS = 64
NUMBERS = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}  # in the order of kernel.h


class Kernel:
    """One model and one sequence, used by one thread at a time. The cache's first `length` positions are filled.

    Attributes:
        config: the model's shape.
        length: positions that the cache holds.
        nbytes: of weights, cache and work space.
    """

    def __init__(
        self, config: GPTConfig, *, bits: int = 16, group: int = 64, threads: int = 1, isa: str | None = None
    ) -> None:
        """Room for a model of this shape, with weights still to be put.

        Args:
            bits: of a weight, 16 or 8; with 8, `group` columns of a row share a scale (0: the whole row).
            isa: an instruction set of `isas`; None: what MINIATURE_KERNEL_ISA names, else the best.

        Raises:
            KernelError: no library, a shape or an instruction set that it does not know, or not enough memory.
        """
        self._handle: int | None = None
        self._library = library()
        self.config = config
        self.length = 0
        self.nbytes = self.bytes_needed(config, bits=bits, group=group, threads=threads)
        isa = isa or usual_isa()
        if isa not in isas():
            raise KernelError(f"This CPU has no {isa}; choose one of {', '.join(isas())}.")
        try:
            cos, sin = rotary_angles(config)  # (block_size, D)
        except (RuntimeError, MemoryError, ArithmeticError, ValueError) as error:
            raise KernelError(f"There are no angles for {config.block_size:,} positions ({error}).") from error
        handle = c_void_p()
        code = self._library.kernel_new(
            byref(_shape(config, bits, group, threads)), address(cos), address(sin),
            isa.encode(), byref(handle),
        )  # fmt: skip
        check(code, f"room for a model of {self.nbytes:,} bytes")
        self._handle = handle.value
        self._attached: set[tuple[int, UnitKind]] = set()  # blocks with units of that kind
        self._admitted: NDArray[np.bool_] | None = None  # (n_session,); None: all session units

    @staticmethod
    def bytes_needed(config: GPTConfig, *, bits: int = 16, group: int = 64, threads: int = 1) -> int:
        """Bytes of weights, cache and work space of a model of this shape; nothing is allocated.

        Raises:
            KernelError: no library, or a shape that it does not know.
        """
        if reason := unknown(config):
            raise KernelError(reason)
        needed = int(library().kernel_needs(byref(_shape(config, bits, group, threads))))
        if not needed:
            raise KernelError("The kernel does not know a model of this shape.")
        return needed

    @classmethod
    def from_model(
        cls, model: GPT, *, bits: int = 16, group: int = 64, threads: int = 1, isa: str | None = None
    ) -> Self:
        """Pack a model's weights, its spare units included; later changes of the model do not reach the kernel.

        Raises:
            KernelError: as of the constructor, or a weight is no number that FP16 holds.
        """
        from engine.native import place_of
        from engine.tensor_views import tensor_views

        kernel = cls(model.config, bits=bits, group=group, threads=threads, isa=isa)
        F, U = model.config.n_ffn, model.config.n_units
        biases = [block.feed_forward.gate_up.bias for block in model.layers()]
        if any(bias is not None and (bias[F:U].any() or bias[U + F :].any()) for bias in biases):
            raise KernelError("Biases of spare units run on torch.")
        for name, tensor in tensor_views(model).items():
            place = place_of(name, model.config)
            kernel.put(place.part, place.layer, tensor, place.first_row)
        for kind in ("long_term", "session"):
            kernel.attach([block.feed_forward.group(kind) for block in model.layers()], kind)
        return kernel

    def put(self, part: str, layer: int, tensor: Any, first_row: int = 0) -> None:
        """Pack rows of one matrix (rows, columns), or a stretch of one vector (n,), from FP32, FP16 or BF16.

        The rows may come in any order, so that a file's separate tensors for queries, keys and values become one
        matrix: `put("qkv", i, q)`, `put("qkv", i, k, H * D)`, `put("qkv", i, v, (H + K) * D)`. Gates and ups are
        matrices of their own, and hold the core's units alone.

        Args:
            part: embedding, head, final_norm (all of layer 0), attention_norm, qkv, out, q_norm, k_norm, ffn_norm,
                gate, up, down, or qkv_bias, out_bias, gate_bias, up_bias, down_bias, as far as the model has them.
            first_row: where the tensor's first row, or a vector's first number, belongs.

        Raises:
            KernelError: the model has no such part, rows or columns do not fit, or a number is none that FP16 holds.
        """
        handle, values = self._open(), readable(tensor)
        what = f"{part} of layer {layer}, a tensor {tuple(values.shape)} at row {first_row}"
        vector = values.ndim == 1
        if part not in PARTS or values.ndim not in (1, 2) or not values.size or values.dtype.kind != "f":
            raise KernelError(f"The kernel has no place for {what}.")
        width = values.itemsize
        lines = vector or (values.strides[1] == width and values.strides[0] % width == 0)
        if values.dtype not in NUMBERS or not lines or values.strides[0] < width:
            with np.errstate(over="ignore"):  # what became infinite is refused below
                values = np.ascontiguousarray(values, dtype=np.float32)
        rows, columns = values.shape[0], 1 if vector else values.shape[1]
        if not 0 <= layer < self.config.n_layer or not 0 <= first_row < 2**31 or rows >= 2**31 or columns >= 2**31:
            raise KernelError(f"The kernel has no place for {what}.")
        code = self._library.kernel_put(
            handle, layer, PARTS.index(part), address(values), NUMBERS[values.dtype], first_row, rows, columns,
            values.strides[0] // values.itemsize,
        )  # fmt: skip
        check(code, what)

    def attach(self, groups: Sequence[UnitGroup | None] | None, kind: UnitKind = "session") -> None:
        """Write a group of spare units, one for each block; None, or None for a block, takes it away. Blocks that
        have none and get none cost nothing.

        What is in the cache was read without them: read it again where that matters.

        Raises:
            KernelError: the units have another shape than there is room for, or hold a number that FP16 does not.
        """
        handle, C = self._open(), self.config.n_embd
        first, count = 0, self.config.n_long_term
        if kind == "session":
            first, count = self.config.n_long_term, self.config.n_session
        if groups is not None and len(groups) != self.config.n_layer:
            raise KernelError(f"There are units for {len(groups)} blocks; the model has {self.config.n_layer}.")
        ready: dict[int, tuple[Any, ...] | None] = {}  # of the blocks that change
        for i, group in enumerate(groups if groups is not None else [None] * self.config.n_layer):
            if group is None:
                if (i, kind) in self._attached:
                    ready[i] = None
                continue
            if [tuple(part.shape) for part in group] != [(count, C), (count, C), (C, count)]:
                raise KernelError(f"These units have another shape; the model has room for {count} of width {C}.")
            given = [readable(part) for part in group]
            dtype = (
                np.float16 if all(part.dtype == np.float16 for part in given) else np.float32
            )  # FP16 needs no packing
            ready[i] = tuple(np.ascontiguousarray(part, dtype=dtype) for part in given)
        if not count:
            return
        found = [part for parts in ready.values() if parts is not None for part in parts]
        if len(ready) > 1 and not all(np.abs(part).max() <= MOST_HALF for part in found):  # nor is a NaN
            raise KernelError("These units hold numbers that FP16 cannot; train them again.")
        for i, parts in ready.items():  # several were found sound before any is written; one alone is all or nothing
            places = [None] * 3 if parts is None else [address(part) for part in parts]
            number = 0 if parts is None else NUMBERS[parts[0].dtype]
            code = self._library.kernel_attach(handle, i, first, count, *places, number, count)
            check(code, f"units of block {i}")
            (self._attached.discard if parts is None else self._attached.add)((i, kind))

    def admit(self, which: Sequence[bool] | NDArray[np.bool_] | None) -> None:
        """Let some of the session units that are attached take part from the next step on, and pass over the others as
        if they were blank, bit for bit. It costs some microseconds, whatever is attached.

        Args:
            which: (n_session,) of all blocks' session units; None: all of them, as it is at first.

        Raises:
            KernelError: there is another number of session units.
        """
        handle, first, count = self._open(), self.config.n_long_term, self.config.n_session
        admitted = None if which is None else np.ascontiguousarray(which, dtype=np.bool_)  # (n_session,)
        if admitted is not None and admitted.shape != (count,):
            raise KernelError(f"The model has {count} session units; say of each whether it takes part.")
        self._library.kernel_admit(handle, first, count, None if admitted is None else address(admitted))
        self._admitted = admitted

    def logits(self, ids: Sequence[int], position: int | None = None, *, every: bool = False) -> Tensor:
        """The same as `rows` for who computes with torch: logits (V,), or (len(ids), V) with `every`."""
        import torch

        rows = torch.from_numpy(self.rows(ids, position, every=every))  # (T or 1, V)
        return rows if every else rows[0]

    def rows(self, ids: Sequence[int], position: int | None = None, *, every: bool = False) -> Floats:
        """Read ids at `position` and on (None: behind the cache's last); what the cache held from there is forgotten.
        Logits (1, V) behind the last id, or (len(ids), V) behind each with `every`.

        Raises:
            KernelError: no ids, an id outside of the vocabulary, no room, a gap in front of `position`, or weights that
                were not put. The cache is as it was.
        """
        handle, n = self._open(), len(ids)
        start = self.length if position is None else position
        tokens = self._tokens(ids, start)
        out = np.empty((n if every else 1, self.config.vocab_size), dtype=np.float32)  # (T or 1, V)
        code = self._library.kernel_step(handle, tokens.buffer_info()[0], n, start, address(out), every)
        if code:
            self._refuse(code)
        self.length = start + n
        return out

    def features(self, ids: Sequence[int]) -> tuple[Floats, Floats]:
        """Read ids from position 0 on, without session units, which stay attached, and without computing logits; the
        cache then holds these ids and nothing else.

        Returns:
            For each of T ids what the last block's feed-forward reads, normed, and the residual stream behind that
            block, before the final norm; both (T, C).

        Raises:
            KernelError: as of `rows`.
        """
        handle, n = self._open(), len(ids)
        tokens, admitted = self._tokens(ids, 0), self._admitted
        fed, residual = (np.empty((n, self.config.n_embd), dtype=np.float32) for _ in range(2))  # (T, C)
        self.admit(np.zeros(self.config.n_session, dtype=np.bool_))
        try:
            code = self._library.kernel_features(handle, tokens.buffer_info()[0], n, address(fed), address(residual))
        finally:
            self.admit(admitted)
        if code:
            self._refuse(code)
        self.length = n
        return fed, residual

    def matrix(self, part: Literal["embedding", "head", "final_norm"]) -> Floats:
        """What lies before and behind the blocks as it is computed with, in FP32: the embedding or the head (V, C),
        which are one where they are tied, or the final norm's weight (C,). Unpacked anew at each call.

        Raises:
            KernelError: there is no such part, or not all weights were put.
        """
        if part not in PARTS[:3]:
            raise KernelError(f"{part} is not unpacked; ask for one of {', '.join(PARTS[:3])}.")
        handle, V, C = self._open(), self.config.vocab_size, self.config.n_embd
        values = np.empty((C, 1) if part == "final_norm" else (V, C), dtype=np.float32)
        rows, columns = values.shape
        if code := self._library.kernel_take(handle, PARTS.index(part), 0, rows, columns, address(values)):
            self._refuse(code)
        return values[:, 0] if part == "final_norm" else values

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on.

        Raises:
            KernelError: fewer are filled.
        """
        self._open()
        if not 0 <= length <= self.length:
            raise KernelError(f"There are {self.length} positions; {length} cannot be kept.")
        self.length = length

    def drop(self, start: int, end: int) -> None:
        """Forget positions start..end; those behind move forward, and their keys are turned to their new places.

        Turning is exact but for rounding to FP16, once each time a key is moved.

        Raises:
            KernelError: not all of them are filled.
        """
        handle = self._open()
        if not 0 <= start <= end <= self.length:
            raise KernelError(f"There are {self.length} positions; {start} to {end} cannot be dropped.")
        check(self._library.kernel_drop(handle, start, end, self.length), f"dropping {start} to {end}")
        self.length -= end - start

    def read_once(self) -> int:
        """Read all weights that a step of one token reads, on the same threads, and compute nothing: the read floor.

        Returns:
            How many bytes those are.
        """
        read = c_int64()
        self._library.kernel_read(self._open(), byref(read))
        return read.value

    @property
    def isa(self) -> str:
        name: bytes = self._library.kernel_isa(self._open())
        return name.decode()

    @property
    def threads(self) -> int:
        """As many as were asked for, or as the system gave."""
        return int(self._library.kernel_threads(self._open()))

    @property
    def closed(self) -> bool:
        return self._handle is None

    def close(self) -> None:
        """Give the memory back; calls raise KernelError afterwards, but for this one."""
        if self._handle:
            self._library.kernel_free(self._handle)
        self._handle = None

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()

    def _open(self) -> int:
        if self._handle is None:
            raise KernelError("The kernel was closed; make another one.")
        return self._handle

    def _tokens(self, ids: Sequence[int], start: int) -> array[int]:
        """Ids that can stand at `start`, as the library reads them."""
        if not 0 <= start <= self.length:
            raise KernelError(f"Position {start} lies behind the {self.length} that were read; read those first.")
        if not 0 < len(ids) <= self.config.block_size - start:
            room = self.config.block_size
            raise KernelError(f"{len(ids)} tokens at position {start} do not fit into {room}; read fewer.")
        try:
            return array("q", ids)
        except (OverflowError, TypeError) as error:
            raise KernelError("A token's id is no integer of 64 bits; take ids from the tokenizer.") from error

    def _refuse(self, code: int) -> None:
        """Raise what a refused step means."""
        layer, part = c_int(), c_int()
        if missing := self._library.kernel_missing(self._open(), byref(layer), byref(part)):
            raise KernelError(
                f"{missing:,} rows of weights were not put, the first in {PARTS[part.value]} of layer {layer.value};"
                " put all of them before the first step."
            )
        check(code, f"these tokens (ids lie between 0 and {self.config.vocab_size - 1})")


def readable(values: Any) -> Any:
    """Values of torch or numpy as an array of numpy."""
    if hasattr(values, "detach") and (values.device.type != "cpu" or str(values.layout) != "torch.strided"):
        raise KernelError(f"These values are {values.layout} on {values.device}; bring them to the CPU, and whole.")
    return as_array(values)


def _shape(config: GPTConfig, bits: int, group: int, threads: int) -> Shape:
    sizes = {
        "vocab": config.vocab_size, "positions": config.block_size, "layers": config.n_layer, "heads": config.n_head,
        "kv_heads": config.kv_heads, "width": config.n_embd, "head_dim": config.head_dim, "units": config.n_ffn,
        "spare": config.n_spare, "bits": bits, "group": group,
    }  # fmt: skip
    for name, size in sizes.items():
        if not 0 <= size < 2**31:
            raise KernelError(f"The kernel does not know a model whose {name} is {size}.")
    return Shape(
        **sizes, activation=ACTIVATIONS[config.activation], qk_norm=config.model_type == "qwen3",
        tied=config.tie_embeddings, attention_bias=config.attention_bias, ffn_bias=config.ffn_bias,
        threads=max(1, min(threads, MAX_THREADS)), eps=config.norm_eps,
    )  # fmt: skip
