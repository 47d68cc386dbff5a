"""Model and training presets: TOML files in `config/presets/`, read with the standard library alone.

A preset lists only what differs from the defaults here, each line with its reason.
"""

from __future__ import annotations

import math
import tomllib
import types
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

PRESETS = Path(__file__).parent / "presets"


class PresetError(Exception):
    """A preset is missing or says something that cannot be used."""


@dataclass(frozen=True)
class ModelPreset:
    """Shape; the fields mean what they mean in `engine.model.GPTConfig`."""

    n_layer: int
    n_head: int
    n_embd: int
    n_ffn: int
    block_size: int


@dataclass(frozen=True)
class TokenizerPreset:
    kind: Literal["char", "hybrid"]
    vocab_size: int = 2048  # hybrid only; a char vocabulary is as large as the text asks for
    dropout_share: float = 0.03  # of the documents: encoded with BPE dropout, so that small pieces are trained too


@dataclass(frozen=True)
class SourcePreset:
    """One corpus of the mixture."""

    file: str  # name in the data folder
    weight: float  # share of the training tokens
    licence: str
    rating: Literal["general", "mature"] = "general"
    hold_out: float = 0.0  # share of the documents kept from training, for validation
    max_bytes: int | None = None  # take only the first documents up to this many bytes


@dataclass(frozen=True)
class TrainPreset:
    steps: int
    batch_size: int = 32  # sequences in one optimizer step at the short context; a longer one takes fewer
    short_block_size: int | None = None  # context before the decay begins; None: the model's own all the time
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 3e-4  # AdamW: everything. Muon: embeddings and norms
    muon_lr: float = 0.02  # matrices of the blocks
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    warmup_steps: int = 100
    decay_share: float = 0.4  # last share of the steps, in which the rate falls to zero in a line (WSD)
    grad_clip: float = 1.0
    seed: int = 1
    valid_every: int = 250  # steps
    save_every: int = 250  # steps


@dataclass(frozen=True)
class Preset:
    name: str
    about: str
    model: ModelPreset
    tokenizer: TokenizerPreset
    train: TrainPreset
    valid: str  # file in the data folder that training never sees
    sources: tuple[SourcePreset, ...]  # their weights add up to 1
    memory_share: float = 0.2  # of the documents: second part behind a memory prefix made from the first


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """A preset by its name, or by the path of a TOML file of one's own.

    Raises:
        PresetError: no such preset, not TOML, an unknown key, a missing one, or a value that cannot be meant.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(preset_names())
        raise PresetError(f"There is no preset {name!r}; choose one of {known} or name a .toml file.")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PresetError(f"{path} is not valid TOML: {error}; mend that line.") from error
    return _build(path.stem, raw)


def _build(name: str, raw: dict[str, Any]) -> Preset:
    model = _section(name, ModelPreset, "model", raw.pop("model", {}))
    sections = {
        "name": name,
        "model": model,
        "tokenizer": _section(name, TokenizerPreset, "tokenizer", raw.pop("tokenizer", {})),
        "train": _section(name, TrainPreset, "train", raw.pop("train", {})),
        "sources": tuple(_section(name, SourcePreset, "source", item) for item in raw.pop("source", [])),
    }
    preset: Preset = _section(name, Preset, "top level", {**raw, **sections})
    if model.n_embd % model.n_head or (model.n_embd // model.n_head) % 2:
        raise PresetError(f"Preset {name}: n_embd {model.n_embd} is not {model.n_head} heads (n_head) of even width.")
    if (short := preset.train.short_block_size) is not None and short > model.block_size:
        raise PresetError(f"Preset {name}: short_block_size {short} exceeds block_size {model.block_size}.")
    total = sum(source.weight for source in preset.sources)
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise PresetError(f"Preset {name}: the weights of the sources add up to {total:g}; make it 1.")
    return preset


def _section(name: str, kind: type[Any], section: str, values: Any) -> Any:
    if not isinstance(values, dict):
        raise PresetError(f"Preset {name}: {section} must be a table of settings; see config/presets.py.")
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            raise PresetError(f"Preset {name}, {section}: {key} is not a setting; see config/presets.py.")
        if isinstance(value, list):
            values[key] = value = tuple(value)
        if not _fits(value, hints[key]):
            raise PresetError(f"Preset {name}, {section}: {key} = {value!r} cannot be used; see config/presets.py.")
    missing = [f.name for f in fields(kind) if f.name not in values and f.default is MISSING]
    if missing:
        raise PresetError(f"Preset {name}, {section}: {missing[0]} is missing; add it.")
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value may stand where a field is typed so; numbers are never negative in a preset."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if not isinstance(value, tuple):
            return False
        options = [inner[0]] * len(value) if inner[-1] is ... else list(inner)
        return len(value) == len(options) and all(map(_fits, value, options))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    return isinstance(value, hint)
