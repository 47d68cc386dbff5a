"""Weights folders in the Hugging Face format: config.json, model.safetensors (FP16), tokenizer.json, card.json.

A folder from anywhere is checked before anything of it is used: names, shapes, dtypes and finite values. The tensors
are copied out of the file, so that a file which changes on disk never changes a running model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import WeightsError
from engine.host import fitting_dtype
from engine.hugging_face import read_shape, tensor_views, write_shape
from engine.model import GPT, GPTConfig
from engine.tensor_files import TensorFiles, file_sha256
from engine.tokenizer import Tokenizer

BUNDLED = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_NAME = "ember"


@dataclass(frozen=True)
class Stored:
    """A folder that was checked as far as can be done without reading its tensors."""

    config: GPTConfig
    tokenizer: Tokenizer
    files: TensorFiles
    base_id: str  # sha256 of model.safetensors, in hex: adapters belong to exactly one
    card: dict[str, Any]  # empty if the folder has none
    folder: Path


@dataclass(frozen=True)
class Weights:
    model: GPT
    tokenizer: Tokenizer
    base_id: str  # sha256 of model.safetensors, in hex: adapters belong to exactly one
    card: dict[str, Any]  # empty if the folder has none
    folder: Path


def default_weights() -> Path:
    """The bundled weights that serve when nobody chose others."""
    return BUNDLED / DEFAULT_NAME


def load_weights(
    folder: Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    n_long_term: int | None = None,
    n_session: int | None = None,
) -> Weights:
    """Read and check a weights folder; the model comes in eval mode with `dtype` for weights and arithmetic.

    Args:
        dtype: None takes float32 where the host has memory for it and as much again, else float16.
        n_long_term, n_session: spare feed-forward units to make room for, zero at first; None: as many as the folder
            asks for, which most do not.

    Raises:
        WeightsError: as of `open_weights`, or there is not enough memory for it.
        TokenizerError: as of `open_weights`.
    """
    stored = open_weights(folder, n_long_term=n_long_term, n_session=n_session)
    model = read_model(stored.config, stored.files, fitting_dtype(stored.config, dtype))
    return Weights(model, stored.tokenizer, stored.base_id, stored.card, folder)


def open_weights(folder: Path, *, n_long_term: int | None = None, n_session: int | None = None) -> Stored:
    """Check a weights folder, but for the values of its tensors.

    Raises:
        WeightsError: the folder or one of its files is missing, damaged, or not a model that this engine serves.
        TokenizerError: the tokenizer is missing, damaged, or larger than the model's vocabulary.
    """
    config = read_config(folder)
    if n_long_term is not None:
        config = replace(config, n_long_term=n_long_term)
    if n_session is not None:
        config = replace(config, n_session=n_session)
    tokenizer = Tokenizer.load(folder, **document_tokens(folder, config.vocab_size))
    if tokenizer.vocab_size > config.vocab_size:
        raise WeightsError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens but the model only {config.vocab_size};"
            " the files belong to different models, copy the folder again."
        )
    files = TensorFiles.find(folder)
    return Stored(config, tokenizer, files, files.sha256(), read_card(folder), folder)


def read_config(folder: Path) -> GPTConfig:
    """The model's shape, from the folder's config.json.

    Raises:
        WeightsError: there is no folder or no such file, or it is not of a model that this engine serves.
    """
    if not folder.is_dir():
        raise WeightsError(
            f"There is no weights folder {folder}; name a folder that holds config.json and model.safetensors."
        )
    return read_shape(read_json(folder / "config.json"), folder / "config.json")


def document_tokens(folder: Path, vocab_size: int) -> dict[str, int | None]:
    """Which ids begin and end a document, by the folder's config.json; None where it does not say."""
    raw, tokens = read_json(folder / "config.json"), dict[str, int | None]()
    for role, key in (("begin", "bos_token_id"), ("end", "eos_token_id")):
        given: Any = raw.get(key)
        token = given[0] if isinstance(given, list) and given else given  # models for chats name several
        tokens[role] = token if type(token) is int and 0 <= token < vocab_size else None
    return tokens


@torch.no_grad()
def read_model(config: GPTConfig, files: TensorFiles, dtype: torch.dtype) -> GPT:
    """The model in eval mode, its spare units zero, so that they change nothing. Beside it no more than one tensor is
    in memory.

    Raises:
        WeightsError: other tensors than the model has, or values that are no numbers or too large for `dtype`.
    """
    model = GPT(config, dtype)
    views = tensor_views(model)
    files.check({name: tuple(view.shape) for name, view in views.items()})
    for name, tensor in files.read():
        views[name].copy_(tensor)
        if tensor.dtype != dtype and not torch.isfinite(views[name]).all():
            raise WeightsError(f"{files.folder}: {name} holds values too large for {dtype}; load it in float32.")
    for block in model.layers():
        block.feed_forward.blank()
    return model.eval().requires_grad_(False)


def save_weights(folder: Path, model: GPT, tokenizer: Tokenizer, card: dict[str, Any]) -> str:
    """Write a folder that this engine and `transformers` load; returns its base_id. Weights are stored in FP16.

    Raises:
        WeightsError: a weight is too large for FP16.
    """
    tensors = to_hugging_face(model)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # the library writes for its owner alone; whoever runs the bot must read it
    begin, end = tokenizer.start_of_text, tokenizer.end_of_text
    _write_json(folder / "config.json", write_shape(model.config, begin, end))
    _write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": begin,
            "eos_token_id": end,
            "do_sample": True,
            "temperature": 0.8,
            "top_p": 0.9,
            "repetition_penalty": 1.1,
        },
    )
    tokenizer.save(folder)
    names = {"bos_token": tokenizer.token_name(begin), "eos_token": tokenizer.token_name(end)}
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", **{key: name for key, name in names.items() if name is not None},
         "clean_up_tokenization_spaces": False},
    )  # fmt: skip
    base_id = file_sha256(path)
    _write_json(folder / "card.json", {**card, "sha256": base_id})
    return base_id


def to_hugging_face(model: GPT) -> dict[str, Tensor]:
    """The core's tensors in FP16 under Hugging Face's names.

    Raises:
        WeightsError: a value is too large for FP16.
    """
    tensors = {name: view.to(torch.float16).contiguous() for name, view in tensor_views(model).items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{name} holds values that are no numbers in FP16; these weights cannot be stored.")
    return tensors


def read_card(folder: Path) -> dict[str, Any]:
    """What the folder says of itself; empty if it says nothing."""
    return read_json(folder / "card.json") if (folder / "card.json").is_file() else {}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises WeightsError."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing; a weights folder needs it.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not readable JSON; copy the folder again.") from error
    if not isinstance(raw, dict):
        raise WeightsError(f"{path} is not a JSON object; copy the folder again.")
    return raw


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
