"""Weights folders and adapters that are whole, damaged or hostile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import Engine, EngineError, SamplingParams, TeachParams

GREEDY = SamplingParams(max_new_tokens=24, temperature=0)
BRIEF = TeachParams(max_steps=6)
IDS = [3, 9, 27, 81, 243]


@pytest.fixture
def folder(tiny_weights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_weights, tmp_path / "weights"))


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def spoil(name: str, value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors[name].view(-1)[3:4].fill_(value)  # type: ignore[return-value]


NORM = "model.norm.weight"
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "not a JSON object"),
    "config is noise": (lambda f: (f / "config.json").write_bytes(b"\xff\x00{"), "not readable JSON"),
    "config nests without end": (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json"),
    "another architecture": (lambda f: change_config(f, model_type="mamba"), "mamba"),
    "huge shape": (lambda f: change_config(f, hidden_size=2**20, num_attention_heads=2), "do not fit"),
    "negative layers": (lambda f: change_config(f, num_hidden_layers=-1), "num_hidden_layers"),
    "true for a number": (lambda f: change_config(f, vocab_size=True), "vocab_size"),
    "wrong width": (lambda f: change_config(f, intermediate_size=65), "shape"),
    "odd heads": (lambda f: change_config(f, num_attention_heads=3), "heads"),
    "another activation": (lambda f: change_config(f, hidden_act="tanh"), "silu"),
    "truncated file": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-7]), "damaged",
    ),
    "an empty file": (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
    "a pickle": (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04\x95" + b"x" * 64), "damaged"),
    "not a number": (lambda f: change_tensors(f, spoil(NORM, float("nan"))), "no numbers"),
    "infinite": (lambda f: change_tensors(f, spoil(NORM, float("inf"))), "no numbers"),
    "one tensor too few": (lambda f: change_tensors(f, lambda t: t.__delitem__(NORM)), NORM),
    "one tensor too many": (lambda f: change_tensors(f, lambda t: t.update(extra=torch.ones(1))), "extra"),
    "integers": (lambda f: change_tensors(f, lambda t: t.update({NORM: torch.ones(32, dtype=torch.int16)})), "type"),
    "vocabulary too small": (lambda f: change_config(f, vocab_size=100), "tokenizer has"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_that_is_not_sound_is_refused_in_one_sentence(folder: Path, name: str) -> None:
    damage, told = HOSTILE[name]
    damage(folder)
    with pytest.raises(EngineError) as caught:
        Engine.load(folder)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def sharded(folder: Path) -> Path:
    """The same weights in two files and an index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    index = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(index.values()):
        save_file({name: tensors[name] for name in names if index[name] == file}, folder / file)
    write_index(folder, index)
    (folder / "model.safetensors").unlink()
    return folder


def write_index(folder: Path, files: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


def change_index(folder: Path, **files: Any) -> None:
    path = folder / "model.safetensors.index.json"
    write_index(folder, {**json.loads(path.read_text())["weight_map"], **files})


def link_outside(folder: Path) -> None:
    """A shard becomes a link to a file elsewhere, as in the cache of Hugging Face's hub."""
    shard, elsewhere = folder / SHARD, folder.parent / "elsewhere.safetensors"
    shard.rename(elsewhere)
    shard.symlink_to(elsewhere)


SHARD = "model-00001-of-00002.safetensors"
HOSTILE_INDEX: dict[str, tuple[Callable[[Path], object], str]] = {
    "a way up": (lambda f: change_index(f, **{NORM: f"../weights/{SHARD}"}), "no file of this folder"),
    "an absolute name": (lambda f: change_index(f, **{NORM: str(f / SHARD)}), "no file of this folder"),
    "a folder below": (lambda f: change_index(f, **{NORM: f"x/{SHARD}"}), "no file of this folder"),
    "another kind of file": (lambda f: change_index(f, **{NORM: "config.json"}), "no file of this folder"),
    "a name with a null": (lambda f: change_index(f, **{NORM: "x\0.safetensors"}), "no file of this folder"),
    "a link that leads out": (link_outside, "no file of this folder"),
    "a shard that is not there": (lambda f: (f / SHARD).unlink(), SHARD),
    "a shard that is damaged": (lambda f: (f / SHARD).write_bytes(b"\xff" * 99), "damaged"),
    "a tensor in the other shard": (lambda f: change_index(f, **{NORM: SHARD}), "not in model.safetensors.index.json"),
    "a tensor that no shard has": (lambda f: change_index(f, extra=SHARD), "extra"),
    "numbers for names": (lambda f: change_index(f, **{NORM: 3}), "no index"),
    "a list": (lambda f: write_index(f, []), "no index"),
    "nothing": (lambda f: write_index(f, {}), "names 0 files"),
    "thousands of files": (lambda f: write_index(f, {str(i): f"{i}.safetensors" for i in range(1001)}), "1,001 files"),
    "noise": (lambda f: (f / "model.safetensors.index.json").write_bytes(b"\xff{"), "no index"),
}


def test_weights_in_several_files_are_those_of_one(tiny_weights: Path, sharded: Path) -> None:
    one, several = Engine.load(tiny_weights), Engine.load(sharded)
    assert np.array_equal(several.logits(IDS), one.logits(IDS))
    assert several.base_id != one.base_id
    assert several.base_id == Engine.load(sharded).base_id


@pytest.mark.parametrize("name", HOSTILE_INDEX)
def test_an_index_that_is_not_sound_is_refused_in_one_sentence(sharded: Path, name: str) -> None:
    damage, told = HOSTILE_INDEX[name]
    damage(sharded)
    with pytest.raises(EngineError) as caught:
        Engine.load(sharded)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_never_opened(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EngineError, match="may run code"):
        Engine.load(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no weights folder"):
        Engine.load(tmp_path / "nowhere")


def test_a_file_that_changes_on_disk_does_not_change_the_running_model(folder: Path) -> None:
    engine = Engine.load(folder)
    before = engine.generate("Once upon", GREEDY).text
    path = folder / "model.safetensors"
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert engine.generate("Once upon", GREEDY).text == before
