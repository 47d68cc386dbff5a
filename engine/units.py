"""What session adapters and style packs share: groups of feed-forward units as a safetensors file and in place.

The file holds `blocks.{i}.gate`, `.up` (r, C) and `.down` (C, r) in FP16, and one metadata entry, a JSON object that
says whose units they are. One entry only, since the format does not keep the order of several.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.errors import AdapterError
from engine.shape import GPTConfig, UnitGroup, as_array

MAX_HEADER_BYTES = 1 << 20
NO_ENTRY = (ValueError, KeyError, TypeError, RecursionError)  # what `read_entry` raises, and an entry of other contents


class Refusals(NamedTuple):
    """The words of the sentences that refuse a file: `subject` is damaged ...; `remedy`."""

    subject: str
    remedy: str
    misfit: str  # where its tensors are others than expected
    no_numbers: str  # where a value is none, or not in FP16

    def say(self, problem: str) -> AdapterError:
        return AdapterError(f"{self.subject} {problem}; {self.remedy}.")


def dump_units(groups: Sequence[UnitGroup | None], key: str, about: str) -> bytes:
    """The bytes of the units of all blocks that have any, in any dtype, with `about` as the entry `key`; the same
    units and words always give the same bytes."""
    tensors = {
        f"blocks.{i}.{part}": np.ascontiguousarray(half(tensor))
        for i, group in enumerate(groups)
        if group is not None
        for part, tensor in zip(UnitGroup._fields, group, strict=True)
    }
    blob: bytes = save(tensors, {key: about})
    return blob


def half(values: Any) -> Any:
    """Values of torch or numpy as float16 of numpy."""
    with np.errstate(over="ignore"):  # what becomes infinite is refused where it is read
        return as_array(values).astype(np.float16)


def read_entry(blob: bytes, key: str, max_bytes: int) -> Any:
    """The metadata entry in the header, whose length stands in the first eight bytes; tensors are not looked at.

    Raises one of `NO_ENTRY` where these bytes are no such file.
    """
    if not 8 < len(blob) <= max_bytes:
        raise ValueError("length")
    (length,) = struct.unpack("<Q", blob[:8])
    if length > min(MAX_HEADER_BYTES, len(blob) - 8):
        raise ValueError("header")
    return json.loads(json.loads(blob[8 : 8 + length])["__metadata__"][key])


def read_units(
    blob: bytes, config: GPTConfig, blocks: Iterable[int], r: int, refusals: Refusals
) -> list[UnitGroup | None]:
    """The units of every block, None where a block is not among `blocks`, which hold r units each.

    Raises:
        AdapterError: damaged, of another shape, or holding values that are no numbers.
    """
    try:
        tensors = load(blob)
    except (SafetensorError, ValueError, KeyError) as error:
        raise refusals.say(f"is damaged ({error})") from error
    C = config.n_embd
    shapes, blocks = {"gate": (r, C), "up": (r, C), "down": (C, r)}, set(blocks)
    expected = {f"blocks.{i}.{part}": shape for i in blocks for part, shape in shapes.items()}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected:
        raise refusals.say(refusals.misfit)
    if not all(tensor.dtype == np.float16 and np.isfinite(tensor).all() for tensor in tensors.values()):
        raise refusals.say(refusals.no_numbers)
    return [
        UnitGroup(*(tensors[f"blocks.{i}.{part}"] for part in UnitGroup._fields)) if i in blocks else None
        for i in range(config.n_layer)
    ]


def widened(groups: Sequence[UnitGroup | None], r: int) -> list[UnitGroup | None]:
    """The same with r units in each group: those that are added are blank."""
    wider: list[UnitGroup | None] = []
    for group in groups:
        if group is not None:
            more = r - len(group.gate)
            gate, up = (np.pad(part, ((0, more), (0, 0))) for part in (group.gate, group.up))  # (r', C) -> (r, C)
            group = UnitGroup(gate, up, np.pad(group.down, ((0, 0), (0, more))))  # (C, r') -> (C, r)
        wider.append(group)
    return wider
