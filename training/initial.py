"""What a run begins from (`train --init-from`): all of other weights that fits, and a count of what did not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.checkpoint import load_weights
from engine.model import GPT
from engine.tensor_files import TensorFiles
from engine.tensor_views import whole_tensors
from training.card import describe_run
from training.checkpoint import read_torch_file
from training.corpus import file_sha256
from training.errors import RunError

WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before a tensor's name
TOLD = ("name", "rating", "corpora", "training", "grown_from")  # of a weights folder's card
NESTED = ("model", "state_dict", "model_state_dict")  # where checkpoints of other training loops keep the weights


def load_initial(model: GPT, source: Path, data: Path, *, told: bool) -> dict[str, Any]:
    """Copy every tensor of `source` whose name and shape the model has, too; prints counts if `told`.

    Args:
        source: a weights folder, a run's folder or its checkpoint, or a state dict in a `.pt` or `.safetensors` file.
        data: what `prepare` wrote; a line says so where its tokenizer is not that of the source.

    Returns what the card will tell of the source: name, rating, corpora and training, as far as they are known.

    Raises:
        RunError: the source is missing, damaged, or has nothing that fits.
        WeightsError: a weights folder or a safetensors file is damaged.
    """
    tensors, origin = read_source(source)
    if model.config.tie_embeddings and "embedding.weight" in tensors:
        tensors.pop("head.weight", None)  # the same matrix by another name
    wanted = dict(model.named_parameters())  # a tied matrix is in it once
    shared = wanted.keys() & tensors.keys()
    fitting = [name for name in shared if wanted[name].shape == tensors[name].shape]
    counts = {
        "checkpoint": len(tensors), "model": len(wanted), "loaded": len(fitting),
        "missing": len(wanted.keys() - tensors.keys()), "unexpected": len(tensors.keys() - wanted.keys()),
        "mismatched": len(shared) - len(fitting),
    }  # fmt: skip
    found = ", ".join(f"{name} {count}" for name, count in counts.items())
    if not fitting:
        raise RunError(f"{source} has no tensor with the name and shape of one of this model's ({found}); name others.")
    with torch.no_grad():
        for name in fitting:
            wanted[name].copy_(tensors[name])
    if told:
        print(f"tensors of {source}: {found}", flush=True)
        if vocabulary(source) not in (None, vocabulary(data)):
            print("its tokenizer is another one: the rows of its embedding stood for other tokens", flush=True)
    return origin | {"tensors": counts}


def describe_initial(source: Path) -> dict[str, Any]:
    """What the card tells of weights that a run began from; the errors are those of `load_initial`."""
    return read_source(source)[1]


def read_source(source: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors under the model's own names, and what the card will tell of them."""
    folder = source.parent if source.name == "model.safetensors" else source
    if (folder / "config.json").is_file():
        weights = load_weights(folder)
        card = {"name": folder.resolve().name} | {key: weights.card[key] for key in TOLD if key in weights.card}
        return dict(weights.model.named_parameters()), card | {"base_id": weights.base_id}
    path = source / "checkpoint.pt" if source.is_dir() else source
    if not path.is_file():
        raise RunError(f"{source} holds neither weights nor a run; name a weights folder, a run or a file of weights.")
    if path.suffix == ".safetensors":
        tensors = dict(whole_tensors(TensorFiles.of(path)))
        return plain_names(tensors, path), {"name": path.name, "sha256": file_sha256(path)}
    saved = read_torch_file(path)
    if isinstance(saved, dict) and {"model", "manifest", "preset"} <= saved.keys():
        return dict(saved.get("average") or saved["model"]), {"name": saved["preset"]["name"], **describe_run(saved)}
    for key in NESTED:
        if isinstance(saved, dict) and isinstance(saved.get(key), dict):
            saved = saved[key]
    return plain_names(saved, path), {"name": path.name, "sha256": file_sha256(path)}


def plain_names(saved: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by names without the prefixes of wrappers."""
    if not isinstance(saved, dict):
        raise RunError(f"{path} holds no tensors by name; name a file with a state dict.")
    tensors: dict[str, Tensor] = {}
    for name, tensor in saved.items():
        if isinstance(name, str) and isinstance(tensor, Tensor):
            while name.startswith(WRAPPERS):
                name = name.split(".", 1)[1]
            tensors[name] = tensor
    return tensors


def vocabulary(source: Path) -> Any:
    """The tokens of the tokenizer that lies in a folder, or beside a file; None where none does."""
    path = (source if source.is_dir() else source.parent) / "tokenizer.json"
    return json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"] if path.is_file() else None
