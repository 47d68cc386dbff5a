"""Session adapters: a few feed-forward units a channel was taught, as bytes and in place in the model.

The bytes are a safetensors file with the tensors `blocks.{i}.gate`, `.up` (r, C) and `.down` (C, r) in FP16, and one
metadata entry that holds the base's id. One entry only, since the format does not keep the order of several.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from engine.errors import AdapterError
from engine.model import GPT, GPTConfig, UnitGroup

FORMAT = "miniature-memory session adapter 1"
MAX_BYTES = 4 << 20
MAX_HEADER_BYTES = 1 << 20


def taught_blocks(config: GPTConfig) -> range:
    """The blocks that hold session units: the last half, where facts are cheaper to train and as well recalled."""
    return range(config.n_layer // 2, config.n_layer)


def pack_adapter(groups: Sequence[UnitGroup | None], base_id: str) -> bytes:
    """Bytes of the units of every taught block; the same units always give the same bytes.

    Raises:
        AdapterError: more than `MAX_BYTES`.
    """
    tensors: dict[str, Tensor] = {}
    for i, group in enumerate(groups):
        if group is not None:
            parts = zip(UnitGroup._fields, group, strict=True)
            tensors |= {f"blocks.{i}.{name}": tensor.detach().to(torch.float16).contiguous() for name, tensor in parts}
    blob: bytes = save(tensors, {"adapter": json.dumps({"format": FORMAT, "base_id": base_id})})
    if len(blob) > MAX_BYTES:
        raise AdapterError(f"An adapter of {len(blob):,} bytes is too large; set fewer n_session units in config.json.")
    return blob


def unpack_adapter(blob: bytes, config: GPTConfig, base_id: str) -> list[UnitGroup | None]:
    """The units of every block, None where a block has none.

    Raises:
        AdapterError: damaged, of another shape, holding values that are no numbers, or trained for another base.
    """
    if adapter_base(blob) != base_id:
        raise AdapterError("This adapter was trained for other base weights; teach again, or activate those weights.")
    try:
        tensors = load(blob)
    except (SafetensorError, ValueError, KeyError) as error:
        raise AdapterError(f"This adapter is damaged ({error}); teach again.") from error
    C, r = config.n_embd, config.n_session
    shapes = {"gate": (r, C), "up": (r, C), "down": (C, r)}
    expected = {f"blocks.{i}.{part}": shape for i in taught_blocks(config) for part, shape in shapes.items()}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected:
        raise AdapterError("This adapter has another shape than the model has room for; teach again.")
    if not all(tensor.dtype == torch.float16 and torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise AdapterError("This adapter holds values that are no numbers; teach again.")
    groups: list[UnitGroup | None] = [None] * config.n_layer
    for i in taught_blocks(config):
        groups[i] = UnitGroup(*(tensors[f"blocks.{i}.{part}"] for part in UnitGroup._fields))
    return groups


def adapter_base(blob: bytes) -> str:
    """The id of the base weights that an adapter belongs to.

    Raises:
        AdapterError: these bytes are no adapter.
    """
    problem = "This is no adapter of a channel; give a file that `teach` wrote."
    if not 8 < len(blob) <= MAX_BYTES:
        raise AdapterError(problem)
    (length,) = struct.unpack("<Q", blob[:8])
    if length > min(MAX_HEADER_BYTES, len(blob) - 8):
        raise AdapterError(problem)
    try:
        about = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["adapter"])
        if about["format"] != FORMAT:
            raise AdapterError(problem)
        return str(about["base_id"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AdapterError(problem) from error


@torch.no_grad()
def attach(model: GPT, groups: Sequence[UnitGroup | None] | None) -> None:
    """Write the units into the model's spare rows and columns; None, or None for a block, blanks it.

    A blank group is all zero: it adds exactly nothing, so the model's output is the base's bit for bit.
    """
    for i, block in enumerate(model.layers()):
        group = groups[i] if groups is not None else None
        for n, spare in enumerate(block.feed_forward.group("session")):  # gate, up, down
            if group is None:
                spare.zero_()
            else:
                spare.copy_(group[n])
