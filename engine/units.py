"""What session adapters and style packs share: groups of feed-forward units as a safetensors file and in place.

The file holds `blocks.{i}.gate`, `.up` (r, C) and `.down` (C, r) in FP16, and one metadata entry, a JSON object that
says whose units they are. One entry only, since the format does not keep the order of several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from engine.errors import AdapterError
from engine.shape import GPTConfig, UnitGroup, as_array
from engine.strict_json import parse_object
from engine.tensor_header import blob_arrays, blob_header

NO_ENTRY = (ValueError, KeyError, TypeError)  # what `read_entry` raises, and an entry of other contents


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


def read_entry(blob: bytes, key: str, max_bytes: int) -> dict[str, Any]:
    """The one entry that a file of ours has beside its tensors, once its header is checked; the values are not.

    Raises one of `NO_ENTRY` where these bytes are no such file.
    """
    about = blob_header(blob, max_bytes).about
    if about.keys() != {key}:
        raise KeyError(key)
    return parse_object(about[key].encode())


def read_tensors(blob: bytes, *dtypes: str) -> dict[str, NDArray[Any]]:
    """All tensors of a file, each in memory of its own. Raises ValueError where it is damaged or holds other types."""
    return blob_arrays(blob, blob_header(blob, len(blob)).tensors, dtypes)


def read_units(
    blob: bytes, config: GPTConfig, blocks: Iterable[int], r: int, refusals: Refusals
) -> list[UnitGroup | None]:
    """The units of every block, None where a block is not among `blocks`, which hold r units each.

    Raises:
        AdapterError: damaged, of another shape, or holding values that are no numbers.
    """
    try:
        header = blob_header(blob, len(blob))
    except ValueError as error:
        raise refusals.say(f"is damaged ({error})") from error
    C = config.n_embd
    shapes, blocks = {"gate": (r, C), "up": (r, C), "down": (C, r)}, set(blocks)
    expected = {f"blocks.{i}.{part}": shape for i in blocks for part, shape in shapes.items()}
    if {name: entry.shape for name, entry in header.tensors.items()} != expected:
        raise refusals.say(refusals.misfit)
    if any(entry.dtype != "F16" for entry in header.tensors.values()):
        raise refusals.say(refusals.no_numbers)
    tensors = blob_arrays(blob, header.tensors, ["F16"])
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
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
