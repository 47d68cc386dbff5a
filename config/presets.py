"""Model and training presets: TOML files in `config/presets/`, read with the standard library alone.

A preset lists only what differs from the defaults here, each line with its reason. Its corpora stand in it, or in a
mixture of `config/mixtures/` that several presets share.
"""

from __future__ import annotations

import math
import tomllib
import types
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

PRESETS = Path(__file__).parent / "presets"
MIXTURES = Path(__file__).parent / "mixtures"


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
    model_type: Literal["llama", "qwen3", "gpt2"] = "llama"
    n_kv_head: int | None = None  # heads of keys and values, each shared by several of queries; None: as many
    activation: Literal["silu", "relu2", "gelu_new", "gelu", "relu"] = "silu"  # of gates; of the units in gpt2
    tie_embeddings: bool = True
    n_long_term: int = 0  # units of each block that the served model keeps free, for style packs
    n_session: int = 0  # the same for what a channel is taught


@dataclass(frozen=True)
class TokenizerPreset:
    kind: Literal["char", "hybrid", "bpe"]
    vocab_size: int = 2048  # a char vocabulary is as large as the text asks for
    dropout_share: float = 0.03  # of the documents: encoded with BPE dropout, so that small pieces are trained too


@dataclass(frozen=True)
class SourcePreset:
    """One corpus of the mixture."""

    file: str  # name in the data folder
    weight: float  # share of the training tokens
    licence: str
    rating: Literal["general", "mature"] = "general"
    children: Literal["yes", "no"] | None = None  # whether anything in it is about, for or by them; None: nobody knows
    credit: str | None = None  # who is named in the card, where no list of authors lies beside the corpus
    speakers: Literal["roles"] | None = None  # each line is "NAME: text" of a real person, who becomes GM, PLAYER 1 ...
    final_weight: float | None = None  # the same in the last steps, see `final_share`; None: as before
    hold_out: float = 0.0  # share of the documents kept from training, for validation
    max_bytes: int | None = None  # take only the first documents up to this many bytes


@dataclass(frozen=True)
class TrainPreset:
    steps: int
    batch_size: int = 32  # sequences in one optimizer step at the short context; a longer one takes fewer
    micro_batch_size: int | None = None  # sequences read at once, their gradients added up; None: all of the batch
    short_block_size: int | None = None  # context before the decay begins; None: the model's own all the time
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 3e-4  # AdamW: everything. Muon: embeddings and norms
    muon_lr: float = 0.02  # matrices of the blocks
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    schedule: Literal["wsd", "one_cycle"] = "wsd"
    warmup_steps: int = 100  # wsd: the rate rises in a line
    decay_share: float = 0.4  # wsd: last share of the steps, in which the rate falls to zero in a line
    rise_share: float = 0.3  # one_cycle: first share of the steps, in which the rate rises
    grad_clip: float = 1.0
    final_share: float = 0.0  # last share of the steps, in which the sources' final weights hold
    autocast: Literal["bf16", "fp16", "off"] = "bf16"  # arithmetic of the matrices; weights are float32 always
    compile: bool = False  # torch.compile, unless the command line says otherwise
    gradient_checkpointing: bool = False  # computes each block twice instead of keeping what it computed
    document_masking: bool = False  # attention does not reach over the end of a text
    ema: float | None = None  # share of the mean of weights that a step keeps; the mean is what is validated, exported
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


def final_weights(preset: Preset) -> list[float]:
    """The weight of each source at the end of the training."""
    return [s.weight if s.final_weight is None else s.final_weight for s in preset.sources]


def mixes_children(corpora: Iterable[tuple[str, str | None, str | None]]) -> str | None:
    """Why corpora, by file, rating and what is said of children, may not be trained on together; None where they may.

    Where one is mature, all of them have to say `children = "no"`.
    """
    listed = list(corpora)
    mature = next((file for file, rating, _ in listed if rating == "mature"), None)
    if mature is None:
        return None
    for file, _, children in listed:
        if children != "no":
            told = "has to do with children" if children else "does not say that it has nothing to do with children"
            return f'{mature} is mature and {file} {told} (children = "no"), so they are not mixed: take out one'
    return None


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """A preset by its name, or by the path of a TOML file of one's own.

    Raises:
        PresetError: no such preset or mixture, not TOML, a key unknown or missing, or a value that cannot be meant.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(preset_names())
        raise PresetError(f"There is no preset {name!r}; choose one of {known} or name a .toml file.")
    raw = _read_toml(path)
    if (mixture := raw.pop("mixture", None)) is not None:
        if "source" in raw:
            raise PresetError(f"Preset {path.stem} has sources of its own and names a mixture; take out one of them.")
        raw = _read_mixture(path, mixture) | raw
    return _build(path.stem, raw)


def _read_mixture(preset: Path, name: Any) -> dict[str, Any]:
    """`source` and `valid` of a mixture, named as presets are; a path is one from the preset's own folder."""
    own = isinstance(name, str) and name.endswith(".toml")
    path = preset.parent / name if own else MIXTURES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in MIXTURES.glob("*.toml")))
        raise PresetError(f"Preset {preset.stem}: no mixture {name!r}; choose one of {known} or name a .toml file.")
    raw = _read_toml(path)
    if surplus := set(raw) - {"valid", "source"}:
        raise PresetError(f"Mixture {path.stem}: {min(surplus)} is not a setting; it holds valid and [[source]] alone.")
    return raw


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PresetError(f"{path} is not valid TOML: {error}; mend that line.") from error


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
    total = sum(source.weight for source in preset.sources)
    final = sum(final_weights(preset))
    short, ema, kv = preset.train.short_block_size, preset.train.ema, model.n_kv_head
    checks = (
        (model.n_embd % model.n_head == 0 and model.n_embd // model.n_head % 2 == 0,
         f"n_embd {model.n_embd} is not {model.n_head} heads (n_head) of even width"),
        (kv is None or (model.n_head % kv == 0 and model.model_type != "gpt2"),
         f"n_kv_head {kv} does not divide n_head {model.n_head}, or the blocks are of gpt2, which shares no heads"),
        (short is None or short <= model.block_size, f"short_block_size {short} exceeds block_size {model.block_size}"),
        (ema is None or ema < 1, f"ema {ema} would keep the first weights for ever; choose a share below 1"),
        (math.isclose(total, 1, abs_tol=1e-6), f"the weights of the sources add up to {total:g}; make it 1"),
        (math.isclose(final, 1, abs_tol=1e-6), f"the final weights of the sources add up to {final:g}; make it 1"),
        (preset.train.final_share <= 1, f"final_share {preset.train.final_share:g} is above 1; choose a share up to 1"),
    )  # fmt: skip
    for holds, message in checks:
        if not holds:
            raise PresetError(f"Preset {name}: {message}.")
    mixed = mixes_children((source.file, source.rating, source.children) for source in preset.sources)
    if mixed is not None:
        raise PresetError(f"Preset {name}: {mixed}.")
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
