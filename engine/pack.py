"""Style packs: the long-term feed-forward units of a model, as one small file and in place.

`python -m training adapt` trains them on a corpus. The file has at most `MAX_BYTES` and units of every
block, see `engine.units`; its entry is a JSON object that says what the pack is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import AdapterError
from engine.plain_files import read_plain
from engine.shape import GPTConfig, UnitGroup
from engine.units import NO_ENTRY, Refusals, dump_units, read_entry, read_units

FORMAT = "miniature-memory style pack 1"
RATINGS = ("general", "mature")
MAX_BYTES = 1_000_000
MAX_NAME = 100  # characters
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
    blob = dump_units(groups, "pack", json.dumps({"format": FORMAT, **about}, sort_keys=True))
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
    """The units of every block, to be attached as long-term units.

    Raises:
        AdapterError: not readable, damaged, holding values that are no numbers, trained for other base weights, or
            larger than the room of `config`.
    """
    blob = _read(path)
    card = _card(path, blob)
    if card.base_id != base_id:
        raise AdapterError(f"{path} was trained for other base weights; load those, or train the pack again on these.")
    if card.units > config.n_long_term:
        raise AdapterError(
            f"{path} has {card.units} units a block, the model room for {config.n_long_term}; make more room."
        )
    refusals = Refusals(
        str(path), "fetch it again", "holds other tensors than it says", "holds values that are no numbers in FP16"
    )
    return read_units(blob, config, range(config.n_layer), card.units, refusals)


def pack_key(path: Path) -> tuple[object, ...]:
    """Tells a pack's file from what it was before.

    Raises:
        AdapterError: not readable.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise AdapterError(f"{path} cannot be read ({error.strerror}); name a style pack.") from error
    return path, about.st_mtime_ns, about.st_size


def _read(path: Path) -> bytes:
    try:
        return read_plain(path, MAX_BYTES)
    except OSError as error:
        raise AdapterError(f"{path} cannot be read ({error.strerror}); name a style pack.") from error


def _card(path: Path, blob: bytes) -> PackCard:
    """The card in a pack's header."""
    problem = f"{path} is no style pack; name a file that `python -m training adapt` wrote."
    try:
        about = read_entry(blob, "pack", MAX_BYTES)
        card = PackCard(about["name"], about["base_id"], about["units"], about["rating"], about)
        told = about["format"] == FORMAT and card.rating in RATINGS
    except NO_ENTRY as error:
        raise AdapterError(problem) from error
    if not told or not isinstance(card.name, str) or not isinstance(card.base_id, str):
        raise AdapterError(problem)
    if not 0 < len(card.name) <= MAX_NAME or not card.name.isprintable():  # it is shown to people
        raise AdapterError(problem)
    if type(card.units) is not int or not 0 < card.units <= MAX_UNITS:
        raise AdapterError(problem)
    return card
