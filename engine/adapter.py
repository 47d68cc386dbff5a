"""Session adapters: what a channel was taught, as bytes.

Each lesson has units of its own, in the feed-forward layer of the last block. A unit is held as two vectors: the key
that it answers to, which serves as its gate and its up, and what it adds. The file of a lesson, or of several, is
safetensors: `lessons.{i}.key` (r, C) and `.down` (C, r) in FP16, and one metadata entry with the base's id and the
words that open each lesson's gate, hashed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from engine.errors import AdapterError
from engine.gate import Key
from engine.shape import GPTConfig, UnitGroup
from engine.units import NO_ENTRY, half, read_entry, read_tensors

FORMAT = "miniature-memory lessons 2"
MAX_BYTES = 4 << 20
MAX_WORDS, MAX_PIECES, MAX_SPAN = 512, 128, 1024
PIECES = 1 << 32  # a hashed piece is below
ENTRY = "adapter"
NO_ADAPTER = "This is no adapter of lessons; give a file that `teach` wrote."


@dataclass(frozen=True)
class Learnt:
    """One lesson's units, and when they take part."""

    key: Key
    units: NDArray[np.float16]  # (r, C): the direction that each unit answers to
    down: NDArray[np.float16]  # (C, r): what it adds


def pack_adapter(lessons: Sequence[Learnt], base_id: str) -> bytes:
    """Bytes of these lessons; the same lessons always give the same bytes.

    Raises:
        AdapterError: more than `MAX_BYTES`.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for i, lesson in enumerate(lessons):
        tensors[f"lessons.{i}.key"] = np.ascontiguousarray(half(lesson.units))
        tensors[f"lessons.{i}.down"] = np.ascontiguousarray(half(lesson.down))
    gates = [
        {"words": [sorted(word) for word in lesson.key.words], "weights": lesson.key.weights, "span": lesson.key.span}
        for lesson in lessons
    ]
    about = {"format": FORMAT, "base_id": base_id, "lessons": gates}
    blob: bytes = save(tensors, {ENTRY: json.dumps(about, separators=(",", ":"))})
    if len(blob) > MAX_BYTES:
        raise AdapterError(f"An adapter of {len(blob):,} bytes is too large; teach fewer lessons, or shorter answers.")
    return blob


def unpack_adapter(blob: bytes, config: GPTConfig, base_id: str) -> list[Learnt]:
    """The lessons of an adapter, in order.

    Raises:
        AdapterError: damaged, of another shape, holding values that are no numbers, or trained for another base.
    """
    about = _about(blob)
    if about["base_id"] != base_id:
        raise AdapterError("This adapter was trained for other base weights; teach again, or activate those weights.")
    try:
        tensors, gates = read_tensors(blob, "F16"), [_key(gate) for gate in about["lessons"]]
    except NO_ENTRY as error:
        raise AdapterError(f"This adapter is damaged ({error}); teach again.") from error
    if set(tensors) != {f"lessons.{i}.{part}" for i in range(len(gates)) for part in ("key", "down")}:
        raise AdapterError("This adapter holds other tensors than its lessons have; teach again.")
    lessons = [Learnt(key, tensors[f"lessons.{i}.key"], tensors[f"lessons.{i}.down"]) for i, key in enumerate(gates)]
    for lesson in lessons:
        r = lesson.units.shape[0] if lesson.units.ndim else 0
        if not r or lesson.units.shape != (r, config.n_embd) or lesson.down.shape != (config.n_embd, r):
            raise AdapterError("This adapter has another shape than the model has room for; teach again.")
        if not all(np.isfinite(part).all() for part in (lesson.units, lesson.down)):
            raise AdapterError("This adapter holds values that are no numbers; teach again.")
    return lessons


def adapter_base(blob: bytes) -> str:
    """The id of the base weights that an adapter belongs to.

    Raises:
        AdapterError: these bytes are no adapter.
    """
    return str(_about(blob)["base_id"])


def join_adapters(blobs: Sequence[bytes], config: GPTConfig) -> bytes:
    """One adapter of the lessons of several, which belong to one base.

    Raises:
        AdapterError: one of them is damaged, or they belong to several bases.
    """
    if not blobs:
        raise AdapterError("There is nothing to join; teach a lesson first.")
    base_id = adapter_base(blobs[0])
    return pack_adapter([lesson for blob in blobs for lesson in unpack_adapter(blob, config, base_id)], base_id)


def units_of(lessons: Sequence[Learnt], room: int) -> UnitGroup:
    """The units of all lessons one after the other, as one group of `room` units; those that are left are blank.

    Raises:
        AdapterError: they are more than there is room for.
    """
    used = sum(len(lesson.units) for lesson in lessons)
    if used > room:
        raise AdapterError(f"These lessons need {used} units and there is room for {room}; forget some of them.")
    key = np.concatenate([lesson.units for lesson in lessons])  # (used, C)
    down = np.concatenate([lesson.down for lesson in lessons], axis=1)  # (C, used)
    key = np.pad(key, ((0, room - used), (0, 0)))  # (used, C) -> (room, C)
    return UnitGroup(key, key, np.pad(down, ((0, 0), (0, room - used))))  # (C, used) -> (C, room)


def _about(blob: bytes) -> dict[str, Any]:
    try:
        about = read_entry(blob, ENTRY, MAX_BYTES)
        if about["format"] != FORMAT or not isinstance(about["base_id"], str):
            raise AdapterError(NO_ADAPTER)
    except NO_ENTRY as error:
        raise AdapterError(NO_ADAPTER) from error
    entry: dict[str, Any] = about
    return entry


def _key(gate: Any) -> Key:
    """Raises ValueError, KeyError or TypeError where this is none."""
    words, weights, span = gate["words"], gate["weights"], gate["span"]
    told = gate.keys() == {"words", "weights", "span"} and isinstance(words, list) and isinstance(weights, list)
    if not told or not 0 < len(words) == len(weights) <= MAX_WORDS or type(span) is not int or not 0 < span <= MAX_SPAN:
        raise ValueError("its gate")
    if not all(isinstance(word, list) and 0 < len(word) <= MAX_PIECES for word in words):
        raise ValueError("its gate")
    if not all(type(piece) is int and 0 <= piece < PIECES for word in words for piece in word):
        raise ValueError("its gate")
    if not all(type(weight) in (int, float) and 0 < weight <= 1 for weight in weights):
        raise ValueError("its gate")
    return Key(tuple(map(frozenset, words)), tuple(map(float, weights)), span)
