"""From a run to weights that this engine and `transformers` read alike."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from engine.checkpoint import load_weights
from tests.training.conftest import Ground
from tests.training.material import write_preset
from training.__main__ import main
from training.checkpoint import read_checkpoint

PROMPT = "Once upon a time, Mira found a key."


def export(ground: Ground, out: Path, *more: object, run: Path | None = None) -> Path:
    assert main(["export", "--run", str(run or ground.run), "--out", str(out), *map(str, more)]) == 0
    return out


@pytest.fixture(scope="module")
def exported(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights") / "spark"
    return export(ground, out, "--text", ground.corpora / "valid.txt", "--data", ground.corpora)


def assert_transformers_agrees(folder: Path, text: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ours = load_weights(folder, dtype="float32")
    ids = AutoTokenizer.from_pretrained(folder)(text, add_special_tokens=False)["input_ids"]
    assert ids == ours.tokenizer.encode(text)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    idx = torch.tensor([ids[: ours.model.config.block_size]])
    with torch.inference_mode():
        assert (theirs(idx).logits - ours.model(idx)).abs().max() < 1e-3


def test_transformers_reads_the_folder_with_the_same_logits(exported: Path) -> None:
    assert_transformers_agrees(exported, PROMPT)


def test_the_card_says_what_the_weights_are_made_of(ground: Ground, exported: Path) -> None:
    card = json.loads((exported / "card.json").read_text(encoding="utf-8"))
    loaded = load_weights(exported)
    assert (card["name"], card["rating"], card["about"]) == ("spark", "general", "for tests")
    assert card["parameters"] == sum(p.numel() for p in loaded.model.parameters())
    assert card["sha256"] == hashlib.sha256((exported / "model.safetensors").read_bytes()).hexdigest() == loaded.base_id
    assert [corpus["file"] for corpus in card["corpora"]] == ["stories.txt.xz", "notes_synthetic.txt"]
    stories, notes = card["corpora"]
    assert stories["sha256"] == hashlib.sha256((ground.corpora / "stories.txt.xz").read_bytes()).hexdigest()
    assert "note" not in stories
    assert "synthetic" in notes["note"]
    assert {"licence", "documents", "bytes", "weight", "rating"} <= set(stories)
    assert card["training"]["steps"] == card["training"]["planned_steps"] == 30
    assert card["training"]["tokens"] == 18 * 4 * 16 + 12 * 2 * 32
    assert card["training"]["arithmetic"] == "CPU, bfloat16 autocast over float32 weights, stored as float16"
    log = [json.loads(line) for line in (ground.run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    measured = {str(row["step"]): round(row["bits_per_byte"], 4) for row in log if "bits_per_byte" in row}
    assert card["training"]["curve"]["bits_per_byte_after_steps"] == measured
    assert str(ground.run) not in json.dumps(card)


def test_the_figure_in_the_card_is_what_evaluate_prints(
    ground: Ground, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = json.loads((exported / "card.json").read_text(encoding="utf-8"))["evaluation"]
    text = ground.corpora / figures["text"]
    command = figures.pop("command")
    assert command == "python -m training evaluate --weights spark --text valid.txt --generate 0"
    assert main(["evaluate", "--weights", str(exported), "--text", str(text), "--generate", "0", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {key: printed[key] for key in figures} == figures


def test_authors_are_credited_beside_the_weights(exported: Path) -> None:
    credited = (exported / "CREDITS.tsv").read_text(encoding="utf-8").splitlines()
    assert credited[0].split("\t") == ["corpus", "doc", "title", "text_author", "licence"]
    assert credited[2].split("\t") == ["notes_synthetic", "1", "The Map", "É. Other", "CC BY"]


def test_what_is_exported_is_the_average_of_the_weights(ground: Ground, exported: Path) -> None:
    saved = read_checkpoint(ground.run / "checkpoint.pt")
    found = load_weights(exported).model.embedding.weight
    mean, last = (saved[name]["embedding.weight"].half().float() for name in ("average", "model"))
    assert torch.equal(found, mean)
    assert not torch.equal(mean, last)
    assert "average" in json.loads((exported / "card.json").read_text(encoding="utf-8"))["training"]["weights"]


def test_a_licence_that_asks_for_credits_is_content_with_one_in_the_preset(ground: Ground, tmp_path: Path) -> None:
    corpora = tmp_path / "corpora"
    shutil.copytree(ground.corpora, corpora)
    (corpora / "notes_synthetic.credits.tsv").unlink()
    preset = tmp_path / "named.toml"
    text = ground.preset.read_text(encoding="utf-8")
    text = text.replace('licence = "CC BY"', 'licence = "CC BY"\ncredit = "The Notes, 2026"')
    preset.write_text(text, encoding="utf-8")
    data, run, out = (tmp_path / name for name in ("data", "run", "out"))
    assert main(["prepare", "--preset", str(preset), "--data", str(corpora), "--out", str(data)]) == 0
    train = ["train", "--preset", str(preset), "--data", str(data), "--out", str(run), "--steps", "1", "--threads", "1"]
    assert main(train) == 0
    export(ground, out, "--data", corpora, run=run)
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert card["corpora"][1]["credit"] == "The Notes, 2026"
    assert "credits" not in card


def test_replace_writes_the_same_weights_again(ground: Ground, exported: Path) -> None:
    before = (exported / "model.safetensors").read_bytes()
    export(ground, exported, "--replace", "--name", "other", "--text", ground.corpora / "valid.txt")
    assert (exported / "model.safetensors").read_bytes() == before
    assert json.loads((exported / "card.json").read_text(encoding="utf-8"))["name"] == "other"


def test_characters_and_adamw_take_the_same_road(ground: Ground, tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "char.toml", kind="char", optimizer="adamw", steps=3)
    data, run = tmp_path / "data", tmp_path / "run"
    assert main(["prepare", "--preset", str(preset), "--data", str(ground.corpora), "--out", str(data)]) == 0
    assert main(["train", "--preset", str(preset), "--data", str(data), "--out", str(run), "--threads", "1"]) == 0
    assert_transformers_agrees(export(ground, tmp_path / "out", run=run), PROMPT.replace("y", "é"))
