"""Style packs: the long-term feed-forward units of a model, as one small file and in place.

`python -m training adapt` trains them on a corpus. The file is a safetensors file of at most `MAX_BYTES` with the
tensors `blocks.{i}.gate`, `.up` (r, C) and `.down` (C, r) of every block in FP16, and one metadata entry, a JSON object
that says what the pack is. One entry only, since the format does not keep the order of several.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from engine.errors import AdapterError
from engine.model import GPT, GPTConfig, UnitGroup

FORMAT = "miniature-memory style pack 1"
RATINGS = ("general", "mature")
MAX_BYTES = 1_000_000
MAX_UNITS = 512  # of a block: what a file asks for is made room for before its tensors are read


@dataclass(frozen=True)
class PackCard:
    """What a pack says of itself."""

    name: str
    base_id: str  # of the weights that it was trained on: it fits no others
    units: int  # r, of each block
    rating: str  # "general" or "mature"
    about: dict[str, Any]  # all of it: corpora and their licences, steps, tokens, bits per byte


def dump_pack(groups: Sequence[UnitGroup | None], about: Mapping[str, Any]) -> bytes:
    """The file of these units; the same units and the same words about them always give the same bytes.

    Args:
        groups: one of each block, in any dtype; stored in FP16.
        about: what `PackCard` wants, but for the format; any more is kept as it is.

    Raises:
        AdapterError: larger than `MAX_BYTES`.
    """
    tensors = {
        f"blocks.{i}.{part}": tensor.detach().to(torch.float16).contiguous()
        for i, group in enumerate(groups)
        if group is not None
        for part, tensor in zip(UnitGroup._fields, group, strict=True)
    }
    blob: bytes = save(tensors, {"pack": json.dumps({"format": FORMAT, **about}, sort_keys=True)})
    if len(blob) > MAX_BYTES:
        raise AdapterError(f"{len(blob):,} bytes are more than a style pack may have ({MAX_BYTES:,}); use fewer units.")
    return blob


def read_card(path: Path) -> PackCard:
    """What the pack in this file says of itself; its tensors are not looked at.

    Raises:
        AdapterError: not readable, or no style pack.
    """
    return _card(path, _read(path))


def load_pack(path: Path, config: GPTConfig, base_id: str) -> list[UnitGroup | None]:
    """The units of every block, to be given to `attach_pack`.

    Raises:
        AdapterError: not readable, damaged, holding values that are no numbers, trained for other base weights, or
            larger than the room of `config`.
    """
    blob = _read(path)
    card = _card(path, blob)
    if card.base_id != base_id:
        raise AdapterError(f"{path} was trained for other base weights; load those, or train the pack again on these.")
    C, r = config.n_embd, card.units
    if r > config.n_long_term:
        raise AdapterError(f"{path} has {r} units a block, the model room for {config.n_long_term}; make more room.")
    try:
        tensors = load(blob)
    except (SafetensorError, ValueError, KeyError) as error:
        raise AdapterError(f"{path} is damaged ({error}); fetch it again.") from error
    shapes = {"gate": (r, C), "up": (r, C), "down": (C, r)}
    expected = {f"blocks.{i}.{part}": shape for i in range(config.n_layer) for part, shape in shapes.items()}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected:
        raise AdapterError(f"{path} holds other tensors than it says; fetch it again.")
    if not all(tensor.dtype == torch.float16 and torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise AdapterError(f"{path} holds values that are no numbers in FP16; fetch it again.")
    return [UnitGroup(*(tensors[f"blocks.{i}.{part}"] for part in UnitGroup._fields)) for i in range(config.n_layer)]


@torch.no_grad()
def attach_pack(model: GPT, groups: Sequence[UnitGroup | None] | None) -> None:
    """Write the units into the model's spare rows and columns; None, or None for a block, blanks it.

    Units that the pack does not fill are blank too: all zero, they add exactly nothing.
    """
    for i, block in enumerate(model.layers()):
        room = block.feed_forward.group("long_term")
        for spare in room:
            spare.zero_()
        group = groups[i] if groups is not None else None
        if group is not None:
            r = group.gate.size(0)
            room.gate[:r], room.up[:r], room.down[:, :r] = group.gate, group.up, group.down


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AdapterError(f"{path} cannot be read ({error.strerror}); name a style pack.") from error


def _card(path: Path, blob: bytes) -> PackCard:
    """The card in a pack's header, whose length stands in its first eight bytes."""
    problem = f"{path} is no style pack; name a file that `python -m training adapt` wrote."
    if not 8 < len(blob) <= MAX_BYTES:
        raise AdapterError(problem)
    (length,) = struct.unpack("<Q", blob[:8])
    if length > len(blob) - 8:
        raise AdapterError(problem)
    try:
        about = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["pack"])
        card = PackCard(about["name"], about["base_id"], about["units"], about["rating"], about)
        told = about["format"] == FORMAT and card.rating in RATINGS
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AdapterError(problem) from error
    if not told or not isinstance(card.name, str) or not isinstance(card.base_id, str):
        raise AdapterError(problem)
    if type(card.units) is not int or not 0 < card.units <= MAX_UNITS:
        raise AdapterError(problem)
    return card
