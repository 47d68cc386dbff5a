"""The header of a safetensors file, checked before anything is read by it, and small files read as a whole.

The format is that of https://github.com/huggingface/safetensors: the length of a JSON object in 8 bytes, that object,
the values. Everything is refused here that could be read in two ways: names that come twice, values that overlap, leave
gaps or are of another length than their shape, and bytes that belong to nothing.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.strict_json import FIRST, parse_object

MAX_HEADER_BYTES = 1 << 20
MAX_DIMENSIONS = 8
LENGTH = struct.Struct("<Q")
METADATA = "__metadata__"
SIZES = {  # bytes of a value
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4,
    "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
ARRAYS: dict[str, np.dtype[Any]] = {  # of the small files of ours, which are read as a whole
    "U8": np.dtype("u1"), "U16": np.dtype("<u2"), "I32": np.dtype("<i4"), "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}  # fmt: skip


class Entry(NamedTuple):
    """What the header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]
    begin: int  # of its values in the file, in bytes
    end: int


class Header(NamedTuple):
    about: dict[str, str]  # what stands under __metadata__
    tensors: dict[str, Entry]


def header_length(first: bytes, size: int) -> int:
    """Bytes of the header of a file that begins with these eight and has `size`. Raises ValueError."""
    if len(first) < LENGTH.size:
        raise ValueError("there is no header")
    (length,) = LENGTH.unpack_from(first)
    if length > min(MAX_HEADER_BYTES, size - LENGTH.size):
        raise ValueError("its header is cut short or too long")
    return int(length)


def parse_header(text: bytes, size: int) -> Header:
    """The header of a file of `size` bytes.

    Raises:
        ValueError: it is none, or does not describe every byte of the file exactly once; the message is a clause.
    """
    if not text.startswith(FIRST):
        raise ValueError("its header is no JSON object")
    raw = parse_object(text)
    about = raw.pop(METADATA, {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise ValueError("what it says of itself is no text")
    start = LENGTH.size + len(text)
    tensors = {name: _entry(entry, start) for name, entry in raw.items()}
    end = start
    for entry in sorted(tensors.values(), key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != end:
            raise ValueError("its values overlap or leave gaps")
        end = entry.end
    if end != size:
        raise ValueError("its values are cut short or followed by something")
    return Header(about, tensors)


def _entry(about: Any, start: int) -> Entry:
    if not isinstance(about, dict) or about.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("its header says something else of a tensor than type, shape and place")
    dtype, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    sizes = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2 and len(shape) <= MAX_DIMENSIONS
    if not sizes or not all(type(number) is int and number >= 0 for number in (*shape, *offsets)):
        raise ValueError("its header holds no sizes")
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise ValueError("a tensor is of a type that is not known")
    begin, end = offsets
    if end - begin != math.prod(shape) * SIZES[dtype]:
        raise ValueError("a tensor is of another length than its shape")
    return Entry(dtype, tuple(shape), start + begin, start + end)


def blob_header(blob: bytes, max_bytes: int) -> Header:
    """The header of a whole file in memory, which may have so many bytes. Raises ValueError, as `parse_header`."""
    if len(blob) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    length = header_length(blob[: LENGTH.size], len(blob))
    return parse_header(blob[LENGTH.size : LENGTH.size + length], len(blob))


def blob_arrays(blob: bytes, tensors: dict[str, Entry], dtypes: Iterable[str]) -> dict[str, NDArray[Any]]:
    """The tensors of a whole file, each in memory of its own. Raises ValueError where one is of none of the types."""
    if not {entry.dtype for entry in tensors.values()} <= set(dtypes):
        raise ValueError("a tensor is of another type than it should be")
    return {
        name: np.frombuffer(blob, ARRAYS[dtype], math.prod(shape), begin).reshape(shape).copy()
        for name, (dtype, shape, begin, _) in tensors.items()
    }
