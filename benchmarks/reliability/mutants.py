"""Files that are nearly right: a seeded mutator that knows what a safetensors file and a JSON object are made of.

Every mutant is told by its seed alone, so that one which gets through can be looked at again.
"""

from __future__ import annotations

import contextlib
import json
import random
import struct
from collections.abc import Callable
from typing import Any

Rng = random.Random

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 255, 2**24, 2**31, 2**53, 2**62, 2**63, 2**64, 10**30, 0.0, -0.0, 0.5, 1e-300,
    1e300, "", "0", "1", "F16", "F32", "I8", "BF16", "general", "mature", "..", "../x", "/etc/hosts", "a\u0000b",
    "a\nb", "\u001b[31mred",
    "\u202eback", "\ud800", "x" * 5000, [], {}, [[]], [1], [2**62, 4], {"a": 1}, [0, 0], ["a", "b"],
    {"type": "Sequence"}, {"Regex": "(a+)+$"}, {"String": ""},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "b" * 90},
]  # fmt: skip
TOKENS = [  # put into the text itself, where a value stands
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400, "0x10", "01", "+1", "1.", ".5", "'a'", "nul",
    '"\\ud800"', '"\\u0000"', "[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60, "1 2", "//", "\ufeff1", "--1", "{,}",
]  # fmt: skip
UNKNOWN_KEYS = [
    "extra", "", "__proto__", "sliding_window", "use_sliding_window", "add_cross_attention", "layer_types", "dropout",
    "rope_scaling", "rope_parameters", "head_dim", "n_session", "truncation", "data_offsets", "a\nb", "__metadata__",
    "partial_rotary_factor", "scale_attn_weights", "attention_bias", "quantization_config", "auto_map",
]  # fmt: skip
EMPTY = {"dtype": "F16", "shape": [0]}
DTYPES: list[Any] = ["F16", "BF16", "F32", "I16", "U16", "I32", "F8_E4M3", "X", 1]
LENGTHS = [0, 1, 2, 7, 8, 2**20, 2**20 + 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1]


def mutate(blob: bytes, rng: Rng) -> bytes:
    """A file that differs from this one, of either kind, in one to three ways."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        blob = _mutate_json(blob, rng) if blob[:1] == b"{" else _mutate_tensors(blob, rng)
    return blob


# JSON


def _mutate_json(text: bytes, rng: Rng) -> bytes:
    way = rng.random()
    if way < 0.25:
        return _mutate_bytes(text, rng)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _mutate_bytes(text, rng)
    if way < 0.4:
        return _mutate_text(json.dumps(value, ensure_ascii=rng.random() < 0.5), rng)
    change_value(value, rng)
    return json.dumps(value, ensure_ascii=True).encode()


def change_value(value: Any, rng: Rng) -> None:
    """Something inside of a list or an object becomes something else; in place."""
    parent, key = value, None
    for _ in range(rng.randint(1, 6)):
        if not isinstance(parent, (dict, list)) or not parent:
            break
        inner = parent[key] if key is not None else parent
        if not isinstance(inner, (dict, list)) or not inner:
            break
        parent, key = inner, rng.choice(list(inner)) if isinstance(inner, dict) else rng.randrange(len(inner))
    if key is None:
        return
    way = rng.randrange(9)
    if way <= 2:
        parent[key] = rng.choice(ODD)
    elif way == 3:
        del parent[key]
    elif way == 4 and isinstance(parent, dict):
        parent[rng.choice(UNKNOWN_KEYS)] = rng.choice(ODD)
    elif way == 5 and isinstance(parent, dict):
        parent[rng.choice(UNKNOWN_KEYS)] = parent.pop(key)
    elif way == 6:
        other = rng.choice(list(parent)) if isinstance(parent, dict) else rng.randrange(len(parent))
        parent[key], parent[other] = parent[other], parent[key]
    elif way == 7:
        parent[key] = rng.choice((lambda v: [v], lambda v: {"a": v}, str, lambda v: [v, v]))(parent[key])
    elif isinstance(parent[key], int | float):
        with contextlib.suppress(OverflowError):  # a whole number that no float can be
            parent[key] += rng.choice((-1, 1, 0.5, 2**20, -(2**20), 0.0))


def _mutate_text(text: str, rng: Rng) -> bytes:
    """What a parser has to see to: names that come twice, numbers that are none, nesting, blanks."""
    way = rng.randrange(5)
    colons = [i for i, c in enumerate(text) if c == ":"]
    if way <= 1 and colons:  # another value
        at = rng.choice(colons) + 1
        end = min((i for i in (text.find(c, at) for c in ",}]") if i >= 0), default=len(text))
        text = text[:at] + rng.choice(TOKENS) + text[end:]
    elif way == 2:  # a name twice
        at = text.find('"', rng.randrange(len(text)))
        end = min((i for i in (text.find(c, at + 1) for c in ",}]") if i >= 0), default=-1)
        if at >= 0 and end > at:
            text = f"{text[:end]},{text[at:end]}{text[end:]}"
    elif way == 3:
        text = rng.choice((" ", "\ufeff", "[", "\n", "")) + text + rng.choice((" ", "}", "]", "x", "\x00", text))
    else:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice((*TOKENS, " ", "\t", ",", '"', "{", "}", "[", "]", ":")) + text[at:]
    return text.encode("utf-8", "surrogatepass")


# safetensors


def _mutate_tensors(blob: bytes, rng: Rng) -> bytes:
    if len(blob) < 10:
        return _mutate_bytes(blob, rng)
    (length,) = struct.unpack_from("<Q", blob)
    text, values = blob[8 : 8 + length], blob[8 + length :]
    way = rng.random()
    if way < 0.15:
        return _mutate_bytes(blob, rng)
    if way < 0.3:
        return blob[:8] + text + _mutate_values(values, rng)
    if way < 0.4:
        told = rng.choice((*LENGTHS, length - 1, length + 1, length + 8, len(blob) - 8, len(blob)))
        return struct.pack("<Q", min(max(0, told), 2**64 - 1)) + text + values
    if way < 0.6:
        text = _mutate_json(text, rng) if text[:1] == b"{" else _mutate_bytes(text, rng)
    else:
        text = _mutate_header(text, rng)
    return struct.pack("<Q", len(text)) + text + values


def _mutate_header(text: bytes, rng: Rng) -> bytes:
    try:
        header = json.loads(text)
        names = [name for name in header if name != "__metadata__"]
        name, other = rng.choice(names), rng.choice(names)
        ways: list[Callable[[], Any]] = [
            lambda: header[name].update(data_offsets=header[other]["data_offsets"]),
            lambda: header[name].update(shape=header[other]["shape"]),
            lambda: header[name]["data_offsets"].reverse(),
            lambda: header[name]["shape"].reverse(),
            lambda: header[name]["shape"].append(1),
            lambda: _shift(header[name]["data_offsets"], rng),
            lambda: header.update({f"{name}x": header.pop(name)}),
            lambda: header.update({f"{name}x": header[name]}),
            lambda: header.update(extra=EMPTY | {"data_offsets": header[name]["data_offsets"][1:] * 2}),
            lambda: header.pop(name),
            lambda: header[name].update(dtype=rng.choice(DTYPES)),
            lambda: header.update(__metadata__=rng.choice(ODD)),
            lambda: header.setdefault("__metadata__", {}).update(more="x"),
            lambda: header[name].update(more=1),
            lambda: header.update({name: header[other], other: header[name]}),
            lambda: change_value(header, rng),
        ]  # fmt: skip
        rng.choice(ways)()
        return json.dumps(header).encode() + b" " * rng.choice((0, 0, 3, 8))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return _mutate_bytes(text, rng)


def _shift(offsets: list[int], rng: Rng) -> None:
    offsets[rng.randrange(2)] += rng.choice((-2, -1, 1, 2, 4, 2**32, 2**63))


def _mutate_values(values: bytes, rng: Rng) -> bytes:
    way, at = rng.randrange(6), 2 * rng.randrange(max(1, len(values) // 2))
    if way <= 1:
        return (
            values[:at]
            + rng.choice((b"\x00\x7c", b"\x00\xfc", b"\x01\x7e", b"\xff\xff", b"\x80\x7f"))
            + values[at + 2 :]
        )
    if way == 2:
        return values[:at]
    if way == 3:
        return values + bytes(rng.randint(1, 9))
    return _mutate_bytes(values, rng)


def _mutate_bytes(blob: bytes, rng: Rng) -> bytes:
    way, at = rng.randrange(6), rng.randrange(len(blob) + 1)
    if way <= 2 and blob:
        changed, at = bytearray(blob), min(at, len(blob) - 1)
        changed[at] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if way == 3:
        return blob[:at]
    if way == 4:
        return blob[:at] + rng.randbytes(rng.randint(1, 8)) + blob[at:]
    return blob[:at] + blob[at + rng.randint(1, 8) :]
