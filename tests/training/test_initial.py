"""A run that begins from other weights takes what fits, counts the rest, and says where it came from."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoint import load_weights
from tests.training.conftest import Ground
from training.__main__ import main
from training.checkpoint import read_checkpoint

NAMES = ("checkpoint", "model", "loaded", "missing", "unexpected", "mismatched")


@pytest.fixture(scope="module")
def exported(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights") / "first"
    assert main(["export", "--run", str(ground.run), "--out", str(out)]) == 0
    return out


def begin(ground: Ground, source: Path, out: Path, *changes: tuple[str, str], code: int = 0) -> Path:
    """One step of a run from `source`, with lines of the preset replaced."""
    text = ground.preset.read_text(encoding="utf-8")
    for old, new in changes:
        text = text.replace(old, new)
    preset = out.with_suffix(".toml")
    preset.write_text(text, encoding="utf-8")
    arguments = ["--preset", preset, "--data", ground.data, "--out", out, "--steps", 1, "--threads", 1]
    assert main(["train", *map(str, arguments), "--init-from", str(source)]) == code
    return out


def counts(printed: str) -> dict[str, int]:
    found = {name: re.search(rf"{name} (\d+)", printed) for name in NAMES}
    return {name: int(match[1]) for name, match in found.items() if match}


def first_loss(run: Path) -> float:
    row: dict[str, Any] = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return float(row["loss"])


def test_a_run_a_checkpoint_and_a_weights_folder_are_the_same_beginning(
    ground: Ground, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = (ground.run, ground.run / "checkpoint.pt", exported, exported / "model.safetensors")
    found = []
    for index, source in enumerate(sources):
        capsys.readouterr()
        found.append(first_loss(begin(ground, source, tmp_path / str(index))))
        told = counts(capsys.readouterr().out)
        assert told["checkpoint"] == told["model"] == told["loaded"] > 0
        assert told["missing"] == told["unexpected"] == told["mismatched"] == 0
    assert found == pytest.approx([found[0]] * 4, abs=2e-3)  # a folder holds FP16
    assert found[0] < first_loss(ground.run) - 0.5


def test_a_state_dict_is_freed_of_wrappers_and_what_does_not_fit_is_counted(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    average = read_checkpoint(ground.run / "checkpoint.pt")["average"]
    average.pop("head.weight")
    wrapped = {f"module._orig_mod.{name}": tensor.clone() for name, tensor in average.items()}
    wrapped["module._orig_mod.blocks.0.feed_forward.down.weight"] = torch.zeros(3, 3)
    wrapped["module.surplus"] = torch.zeros(1)
    del wrapped["module._orig_mod.norm.weight"]
    expected = {"checkpoint": len(wrapped), "model": len(average), "loaded": len(average) - 2,
                "missing": 1, "unexpected": 1, "mismatched": 1}  # fmt: skip
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "theirs.pt")
    torch.save(wrapped, tmp_path / "bare.pt")
    save_file(wrapped, tmp_path / "theirs.safetensors")
    for name in ("theirs.pt", "bare.pt", "theirs.safetensors"):
        capsys.readouterr()
        begin(ground, tmp_path / name, tmp_path / f"from-{name}".replace(".", "-"))
        assert counts(capsys.readouterr().out) == expected


def test_a_deeper_model_takes_the_blocks_that_are_there(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(ground, ground.run, tmp_path / "deep", ("n_layer = 2", "n_layer = 3"))
    told = counts(capsys.readouterr().out)
    assert told["missing"] == told["model"] - told["loaded"] == 6
    assert told["unexpected"] == told["mismatched"] == 0


def test_another_tokenizer_is_mentioned(
    ground: Ground, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(ground, exported, tmp_path / "same")
    assert "tokenizer is another" not in capsys.readouterr().out
    foreign = tmp_path / "foreign"
    shutil.copytree(exported, foreign)
    text = (foreign / "tokenizer.json").read_text(encoding="utf-8")
    (foreign / "tokenizer.json").write_text(text.replace('"z"', '"\\u4e00"'), encoding="utf-8")
    begin(ground, foreign, tmp_path / "other")
    assert "tokenizer is another" in capsys.readouterr().out


def test_what_cannot_be_begun_from_is_refused(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise.pt").write_bytes(b"noise")
    (tmp_path / "noise.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0noise")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    for name, said in (
        ("nowhere", "holds neither weights nor a run"),
        ("noise.pt", "damaged"),
        ("noise.safetensors", "damaged"),
        ("list.pt", "no tensors by name"),
        ("other.pt", "no tensor with the name and shape"),
    ):
        capsys.readouterr()
        begin(ground, tmp_path / name, tmp_path / "out", code=2)
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_card_names_what_the_run_began_from(ground: Ground, exported: Path, tmp_path: Path) -> None:
    card_path = exported / "card.json"
    before = card_path.read_text(encoding="utf-8")
    card_path.write_text(json.dumps(json.loads(before) | {"rating": "mature"}), encoding="utf-8")
    run = begin(ground, exported, tmp_path / "run")
    card_path.write_text(before, encoding="utf-8")
    assert main(["export", "--run", str(run), "--out", str(tmp_path / "second")]) == 0
    card = json.loads((tmp_path / "second" / "card.json").read_text(encoding="utf-8"))
    assert card["begun_from"]["name"] == "first"
    assert card["begun_from"]["base_id"] == load_weights(exported).base_id
    assert card["begun_from"]["training"]["steps"] == 30
    assert [corpus["file"] for corpus in card["begun_from"]["corpora"]] == ["stories.txt.xz", "notes_synthetic.txt"]
    assert card["rating"] == "mature"  # what was once learnt is still in the weights


def test_a_grown_model_names_the_one_it_was_grown_from(ground: Ground, exported: Path, tmp_path: Path) -> None:
    wider = (("n_ffn = 32", "n_ffn = 40"), ("n_layer = 2", "n_layer = 3"))
    preset = tmp_path / "wider.toml"
    text = ground.preset.read_text(encoding="utf-8")
    for old, new in wider:
        text = text.replace(old, new)
    preset.write_text(text, encoding="utf-8")
    assert main(["grow", "--from", str(exported), "--preset", str(preset), "--out", str(tmp_path / "grown")]) == 0
    run = begin(ground, tmp_path / "grown", tmp_path / "run", *wider)
    assert main(["export", "--run", str(run), "--out", str(tmp_path / "third")]) == 0
    card = json.loads((tmp_path / "third" / "card.json").read_text(encoding="utf-8"))
    assert card["grown_from"]["name"] == "first"
    assert card["grown_from"]["training"]["steps"] == 30
    assert "begun_from" not in card
