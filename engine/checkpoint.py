"""Weights folders and the torch model: loading one, and saving it in FP16. `engine.folder` says what a folder is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import WeightsError
from engine.folder import open_weights
from engine.host import BYTES, DtypeName, fitting_dtype
from engine.hugging_face import write_shape
from engine.model import GPT
from engine.shape import GPTConfig
from engine.tensor_files import TensorFiles, file_sha256
from engine.tensor_views import tensor_views
from engine.tokenizer import Tokenizer


@dataclass(frozen=True)
class Weights:
    model: GPT
    tokenizer: Tokenizer
    base_id: str  # sha256 of model.safetensors, in hex: adapters belong to exactly one
    card: dict[str, Any]  # empty if the folder has none
    folder: Path


def load_weights(
    folder: Path,
    *,
    dtype: DtypeName | None = "float32",
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


@torch.no_grad()
def read_model(config: GPTConfig, files: TensorFiles, dtype: DtypeName) -> GPT:
    """The model in eval mode, its spare units zero, so that they change nothing. Beside it no more than one tensor is
    in memory.

    Raises:
        WeightsError: other tensors than the model has, or values that are no numbers or too large for `dtype`.
    """
    model = GPT(config, getattr(torch, dtype))
    views = tensor_views(model)
    files.check({name: tuple(view.shape) for name, view in views.items()})
    for name, first, rows in files.read():
        view = views[name][first : first + len(rows)]
        view.copy_(torch.from_numpy(rows))
        if rows.itemsize > BYTES[dtype] and not torch.isfinite(view).all():
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
            "repetition_penalty": 1.15,
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


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
