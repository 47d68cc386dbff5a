"""Whether a file that the engine let in is sound, told by other means than the engine's.

safetensors' own reader, `tokenizers` itself and types of pydantic take the place of our checks: a mutant that passed
both is a file as good as the one it was made of (another weight, another name), one that only we let in is a hole.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import safetensors
import tokenizers
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Oracle = Callable[[bytes], bool]
WIDTHS = {"F16": "<u2", "BF16": "<u2", "F32": "<u4"}
EXPONENT = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000}
PROBES = (
    "Once upon a time, there was a fox.",
    " " * 300 + "\n\n" * 50,
    "aaaaaaaa" * 200,
    "\u017d\u00e9\u4e2d\U0001f98a" * 30,
)
REGEX = re.compile(r'"Regex"\s*:\s*("(?:[^"\\]|\\.)*")')
KNOWN_REGEX = ("'s|'t", "(?i:'s|'t", r"[\s\S]")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


Fraction = Annotated[float, Field(ge=1e-12, le=0.1)]
Size = Annotated[int, Field(ge=1, lt=2**24)]
Spare = Annotated[int, Field(ge=0, le=1024)] | None
Flag = bool | None
Printable = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


class Config(Strict):
    """A llama of the tiny weights' shape: what is not fixed may be chosen freely."""

    model_type: Literal["llama"]
    vocab_size: Literal[300]
    max_position_embeddings: Annotated[int, Field(ge=1, le=1 << 18)]
    num_hidden_layers: Literal[1]
    num_attention_heads: Size
    num_key_value_heads: Size | None = None
    hidden_size: Literal[8]
    intermediate_size: Literal[16]
    rope_theta: Annotated[float, Field(ge=1, le=1e12)] | None = None
    rms_norm_eps: Fraction | None = None
    tie_word_embeddings: Literal[True]
    hidden_act: Literal["silu", "swish", "relu2", "gelu_new", "gelu", "relu", "gelu_pytorch_tanh"] | None = None
    attention_bias: Literal[False, None] = None
    mlp_bias: Literal[False, None] = None
    n_long_term: Spare = None
    n_session: Spare = None
    head_dim: Size | None = None
    add_cross_attention: Any = None


class Corpus(Strict):
    file: str = ""
    licence: str = ""
    rating: Literal["general", "mature", "unknown"] = "general"


class Card(Strict):
    name: Printable = "x"
    rating: Literal["general", "mature", "unknown"] = "general"
    about: Annotated[str, Field(max_length=4000)] = ""
    licence: Annotated[str, Field(max_length=4000)] = ""
    parameters: Annotated[int, Field(ge=0)] = 0
    bits_per_byte: Annotated[float, Field(ge=0)] = 0
    corpora: list[Corpus] = []
    evaluation: dict[str, Any] = {}
    sha256: Printable = "x"


class Gate(Strict):
    words: Annotated[list[Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1, max_length=128)]],
                     Field(min_length=1, max_length=512)]  # fmt: skip
    weights: list[Annotated[float, Field(gt=0, le=1)]]
    span: Annotated[int, Field(gt=0, le=1024)]


class Entry(Strict):
    format: str
    base_id: str


class Adapter(Entry):
    lessons: list[Gate]


class Pack(Entry):
    name: Printable
    units: Literal[4]
    rating: Literal["general", "mature"]


class Drafts(Strict):
    format: str
    vocab_size: Literal[300]
    tokenizer: str
    orders: Annotated[list[Annotated[int, Field(ge=1, le=32)]], Field(min_length=1, max_length=8)]


class Twice(ValueError):
    """A name comes twice."""


def strict_json(text: bytes) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in found}) != len(found):
            raise Twice
        return dict(found)

    def no_number(name: str) -> Any:
        raise ValueError(name)

    value = json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_constant=no_number)
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    return value


def fits(kind: type[BaseModel], value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def json_of(kind: type[BaseModel]) -> Oracle:
    def sound(text: bytes) -> bool:
        try:
            return fits(kind, strict_json(text))
        except (ValueError, RecursionError):
            return False

    return sound


def tensors_of(original: bytes, *, floats: bool = False, key: str = "", kind: type[BaseModel] | None = None,
               ids: dict[str, int] | None = None, free: bool = False) -> Oracle:  # fmt: skip
    """Whether a file has the names and shapes of another.

    Args:
        floats: any dtype of weights will do, else those of the original.
        key, kind: the one entry of metadata, and what it is.
        ids: tensors of ids, and what they must lie below.
        free: how many rows a tensor has is its own affair.
    """
    expected = {name: (about["dtype"], about["shape"]) for name, about in safetensors.deserialize(original)}
    told = _metadata(original)

    def sound(blob: bytes) -> bool:
        try:
            found = safetensors.deserialize(blob)
            header = strict_json(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
            about = header.get("__metadata__", {})
        except (safetensors.SafetensorError, ValueError, RecursionError):
            return False
        if {name for name, _ in found} != expected.keys() or len(found) != len(expected):
            return False
        for name, tensor in found:
            dtype, shape = expected[name]
            same = tensor["dtype"] == dtype or (floats and tensor["dtype"] in WIDTHS)
            if not same or (tensor["shape"] != shape and not free) or len(tensor["shape"]) != len(shape):
                return False
            if tensor["dtype"] in WIDTHS:
                bits = np.frombuffer(bytes(tensor["data"]), WIDTHS[tensor["dtype"]])
                if ((bits & EXPONENT[tensor["dtype"]]) == EXPONENT[tensor["dtype"]]).any():
                    return False
            if ids and name in ids:
                values = np.frombuffer(bytes(tensor["data"]), "<u2" if tensor["dtype"] == "U16" else "<i4")
                if len(values) and not 0 <= values.min() <= values.max() < ids[name]:
                    return False
        if kind is None:
            return all(isinstance(value, str) for value in about.values())
        if about.keys() != {key}:
            return False
        entry = strict_json(about[key].encode())
        same_owner = all(entry.get(name) == told[key].get(name) for name in ("format", "base_id", "tokenizer"))
        return same_owner and fits(kind, entry)

    def guarded(blob: bytes) -> bool:
        try:
            return sound(blob)
        except (ValueError, RecursionError, AttributeError):
            return False

    return guarded


def _metadata(blob: bytes) -> dict[str, Any]:
    about = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")]).get("__metadata__", {})
    return {key: json.loads(value) for key, value in about.items() if value[:1] == "{"}


def tokenizer(text: bytes) -> bool:
    """Whether the library reads it, and what it makes of some texts is quick and small."""
    try:
        raw = strict_json(text)
        inner = tokenizers.Tokenizer.from_str(text.decode())
    except Exception:  # the library raises bare Exception
        return False
    if not all(json.loads(found).startswith(KNOWN_REGEX) for found in REGEX.findall(text.decode())):
        return False
    if any(inner.token_to_id(token["content"]) != token["id"] for token in raw.get("added_tokens", ())):
        return False
    inner.encode_special_tokens = True
    inner.no_truncation()
    inner.no_padding()
    began = time.process_time()
    for probe in PROBES:
        ids = inner.encode(probe, add_special_tokens=False).ids
        again = inner.encode(probe, add_special_tokens=False).ids
        if ids != again or len(ids) > 64 * len(probe.encode()) or any(token >= 1 << 18 for token in ids):
            return False
        if len(inner.decode(ids)) > 64 * 64 * len(probe.encode()):
            return False
    return time.process_time() - began < 1
