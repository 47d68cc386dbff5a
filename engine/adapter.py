"""Session adapters: a few feed-forward units a channel was taught, as bytes and in place in the model.

The bytes are a file of units, see `engine.units`, whose entry holds the base's id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.errors import AdapterError
from engine.shape import GPTConfig, UnitGroup
from engine.units import NO_ENTRY, Refusals, dump_units, read_entry, read_units

FORMAT = "miniature-memory session adapter 1"
MAX_BYTES = 4 << 20
REFUSALS = Refusals(
    "This adapter", "teach again", "has another shape than the model has room for", "holds values that are no numbers"
)


def taught_blocks(config: GPTConfig) -> range:
    """The blocks that hold session units: the last half, where facts are cheaper to train and as well recalled."""
    return range(config.n_layer // 2, config.n_layer)


def pack_adapter(groups: Sequence[UnitGroup | None], base_id: str) -> bytes:
    """Bytes of the units of every taught block; the same units always give the same bytes.

    Raises:
        AdapterError: more than `MAX_BYTES`.
    """
    blob = dump_units(groups, "adapter", json.dumps({"format": FORMAT, "base_id": base_id}))
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
    return read_units(blob, config, taught_blocks(config), config.n_session, REFUSALS)


def adapter_base(blob: bytes) -> str:
    """The id of the base weights that an adapter belongs to.

    Raises:
        AdapterError: these bytes are no adapter.
    """
    problem = "This is no adapter of a channel; give a file that `teach` wrote."
    try:
        about = read_entry(blob, "adapter", MAX_BYTES)
        if about["format"] != FORMAT:
            raise AdapterError(problem)
        return str(about["base_id"])
    except NO_ENTRY as error:
        raise AdapterError(problem) from error
