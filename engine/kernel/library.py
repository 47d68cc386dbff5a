"""The C library: where it lies, what it can do here, and how its calls look to ctypes.

It is built when the package is installed, where there is a compiler, and knows nothing of torch, which hands it
addresses of tensors. `docs/kernel.md` says how it works inside.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import KernelError
from engine.shape import GPTConfig

VERSION = 5  # of the interface in kernel.h
ACTIVATIONS = {"silu": 0, "relu2": 1}
PARTS = (
    "embedding head final_norm attention_norm qkv out q_norm k_norm qkv_bias out_bias"
    " ffn_norm gate up down gate_bias up_bias down_bias"
).split()  # in the order of kernel.h
FAILURES = {
    1: "an argument is out of its range",
    2: "there is not enough memory",
    3: "a number is none that FP16 can hold",
    4: "not all weights were put",
    5: "such a shape is not known",
}


class Shape(Structure):
    """`struct kernel_shape`."""

    _fields_ = [
        *((name, c_int32) for name in (
            "vocab positions layers heads kv_heads width head_dim units spare activation qk_norm tied attention_bias"
            " ffn_bias bits group threads"
        ).split()),
        ("eps", c_float),
    ]  # fmt: skip


class Sampling(Structure):
    """`struct sampling`."""

    _fields_ = [
        ("temperature", c_float), ("top_p", c_float), ("penalty", c_float), ("top_k", c_int32), ("not_now", c_int32),
    ]  # fmt: skip


class Text(Structure):
    """`struct text`."""

    _fields_ = [
        ("params", Sampling), ("vocab", c_int32), ("end", c_int32), ("window", c_int32), ("filled", c_int32),
        ("recent", c_void_p), ("never", c_void_p), ("penalized", c_void_p), ("room", c_void_p),
    ]  # fmt: skip


class Drafts(Structure):
    """`struct draft_table`."""

    _fields_ = [
        ("tags", c_void_p), ("sure", c_void_p), ("ids", c_void_p), ("slots", c_int64), ("id_bytes", c_int32),
        ("n_orders", c_int32), ("orders", c_int32 * 8),
    ]  # fmt: skip


@cache
def library() -> ctypes.CDLL:
    """The library beside this file, or the one that MINIATURE_KERNEL_LIBRARY names.

    Raises:
        KernelError: there is none, or one of another version.
    """
    named = os.environ.get("MINIATURE_KERNEL_LIBRARY")
    found = [Path(named)] if named else sorted(Path(__file__).parent.glob("native*.so"))
    if not found:
        raise KernelError("The kernel was not built: install the package where there is a C compiler.")
    try:
        loaded = ctypes.CDLL(str(found[0]))
        version = loaded.kernel_version()
    except (OSError, AttributeError) as error:
        raise KernelError(f"The built kernel cannot be loaded ({error}); install the package again.") from error
    if version != VERSION:
        raise KernelError(f"The built kernel is of version {version}, not {VERSION}; install the package again.")
    pointer, i32, i64 = c_void_p, c_int, c_int64
    calls: dict[str, tuple[Any, list[Any]]] = {
        "kernel_isas": (c_char_p, []),
        "kernel_needs": (i64, [POINTER(Shape)]),
        "kernel_new": (i32, [POINTER(Shape), pointer, pointer, c_char_p, POINTER(c_void_p)]),
        "kernel_free": (None, [pointer]),
        "kernel_isa": (c_char_p, [pointer]),
        "kernel_threads": (i32, [pointer]),
        "kernel_put": (i32, [pointer, i32, i32, pointer, i32, i32, i32, i32, i64]),
        "kernel_missing": (i64, [pointer, POINTER(i32), POINTER(i32)]),
        "kernel_attach": (i32, [pointer, i32, i32, i32, pointer, pointer, pointer, i32, i64]),
        "kernel_take": (i32, [pointer, i32, i32, i32, i32, pointer]),
        "kernel_admit": (i32, [pointer, i32, i32, pointer]),
        "kernel_features": (i32, [pointer, pointer, i32, pointer, pointer]),
        "kernel_step": (i32, [pointer, pointer, i32, i32, pointer, i32]),
        "kernel_drop": (i32, [pointer, i32, i32, i32]),
        "kernel_read": (c_uint32, [pointer, POINTER(i64)]),
        "sampler_process": (i32, [pointer, i32, POINTER(Sampling), pointer, pointer, pointer, i32, pointer, pointer]),
        "sampler_draw": (i32, [pointer, i32, c_double]),
        "sampler_follow": (i32, [POINTER(Text), pointer, i32, pointer, pointer, c_uint32, pointer]),
        "drafter_new": (i32, [POINTER(Drafts), pointer, pointer, i32, POINTER(c_void_p)]),
        "drafter_free": (None, [pointer]),
        "drafter_begin": (None, [pointer, pointer, i64]),
        "drafter_wrote": (None, [pointer, pointer, i32]),
        "drafter_guess": (i32, [pointer, i32, pointer]),
    }
    for name, (result, arguments) in calls.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def isas() -> list[str]:
    """The instruction sets that this CPU has and the library knows, best first.

    Raises:
        KernelError: there is no library.
    """
    names: bytes = library().kernel_isas()
    return names.decode().split()


def usual_isa() -> str:
    """The one that a kernel takes where none is named: what MINIATURE_KERNEL_ISA says, else the best.

    Raises:
        KernelError: there is no library.
    """
    return os.environ.get("MINIATURE_KERNEL_ISA") or isas()[0]


def available() -> tuple[bool, str]:
    """Whether the kernel can run here, and which instructions it would use, or why it cannot."""
    try:
        return True, f"native kernel, {isas()[0]}"
    except KernelError as error:
        return False, str(error)


def unknown(config: GPTConfig) -> str | None:
    """Why the kernel does not know a model of this shape; None where it does."""
    if config.model_type not in ("llama", "qwen3"):
        return f"Blocks of type {config.model_type} run on torch."
    if config.activation not in ACTIVATIONS:
        return f"The activation {config.activation} runs on torch."
    if config.n_head < 1 or config.kv_heads < 1:
        return "A model without heads runs nowhere."
    if config.head_dim % 2 or config.n_head % config.kv_heads:
        return "Heads of this shape run on torch."
    return None


def check(code: int, what: str) -> None:
    """Raises:
    KernelError: the call did not do what it was asked.
    """
    if code:
        raise KernelError(f"The kernel refused {what}: {FAILURES.get(code, f'failure {code}')}.")


# Kept for its names. Where nobody has them, each call makes them anew, and Python's table of such names, which fills up
# with those that are gone, grows by a megabyte.
_INTERFACE = np.empty(0).__array_interface__


def address(values: NDArray[Any]) -> int:
    """Where an array's values lie; the caller keeps it alive."""
    place: int = values.__array_interface__["data"][0]
    return place
