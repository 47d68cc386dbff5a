"""Style packs and merged LoRA, from a corpus to a model that writes so."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import Engine, SamplingParams
from engine.checkpoint import load_weights, save_weights
from engine.model import GPT
from engine.pack import read_card
from tests.training.material import SEPARATOR, start
from training.__main__ import main
from training.corpus import read_documents
from training.evaluate import bits_per_byte
from training.lora import ATTENTION, FEED_FORWARD, add_lora, merge_lora

GREEDY = SamplingParams(max_new_tokens=24, temperature=0)
QUICK = ("--steps", "12", "--units", "4", "--kl-weight", "0", "--threads", "1")


def verse(rng: random.Random) -> str:
    """Some lines, none like another's."""
    words = "the a little key door river forest house old friend opened asked walked found near".split()
    lines = (" ".join(rng.choices(words, k=rng.randrange(5, 9))) for _ in range(6))
    return "\n".join(f"O {line}, and away!" for line in lines)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(3)
    path = tmp_path_factory.mktemp("corpora") / "verse.txt"
    path.write_text("".join(f"{verse(rng)}\n{SEPARATOR}\n" for _ in range(40)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpora") / "stories.txt"
    path.write_text(f"\n{SEPARATOR}\n".join(verse(random.Random(seed)) for seed in (8, 9)), encoding="utf-8")
    return path


def adapt(base: Path, corpus: Path, out: Path, *more: object, rating: str = "general") -> int:
    args = ("--base", base, "--corpus", corpus, "--out", out, "--licence", "public domain", "--rating", rating)
    more = ("--children", "no", *more)
    return main(["adapt", *map(str, (*args, *QUICK, *more))])


@pytest.fixture(scope="module")
def pack(tiny_weights: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "verse.safetensors"
    assert adapt(tiny_weights, corpus, out, "--lr", 0.02, "--steps", 30) == 0
    return out


@pytest.fixture(scope="module")
def merged(tiny_weights: Path, corpus: Path, stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights") / "verse"
    assert adapt(tiny_weights, corpus, out, "--method", "lora", "--lr", 0.02, "--steps", 30, "--text", stories) == 0
    return out


def test_a_pack_is_small_says_what_it_is_and_writes_otherwise(tiny_weights: Path, corpus: Path, pack: Path) -> None:
    assert pack.stat().st_size < 1_000_000
    about = read_card(pack).about
    assert (about["name"], about["units"], about["rating"]) == ("verse", 4, "general")
    assert about["base_id"] == load_weights(tiny_weights).base_id
    (told,) = about["corpora"]
    assert (told["file"], told["licence"], told["documents"]) == ("verse.txt", "public domain", 36)
    assert told["sha256"] == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert about["training"]["weights"] == 4 * 3 * 32 * 2
    assert about["training"]["tokens"] == 30 * 8 * 128
    style = about["bits_per_byte"]["held_out"]
    assert style["after"] < style["before"]
    assert str(corpus.parent) not in json.dumps(about)
    engine = Engine.load(tiny_weights, pack=pack)
    assert engine.generate("Once", GREEDY).text != Engine.load(tiny_weights).generate("Once", GREEDY).text


def test_before_the_first_step_a_style_is_the_base_bit_for_bit(
    tiny_weights: Path, corpus: Path, stories: Path, tmp_path: Path
) -> None:
    assert adapt(tiny_weights, corpus, tmp_path / "still.safetensors", "--lr", 0, "--text", stories) == 0
    for figures in read_card(tmp_path / "still.safetensors").about["bits_per_byte"].values():
        assert figures["before"] == figures["after"]
    assert adapt(tiny_weights, corpus, tmp_path / "still", "--lr", 0, "--method", "lora") == 0
    assert load_weights(tmp_path / "still").base_id == load_weights(tiny_weights).base_id


def test_the_same_command_writes_the_same_bytes_and_leaves_the_base_alone(
    tiny_weights: Path, corpus: Path, tmp_path: Path
) -> None:
    before = {file.name: file.read_bytes() for file in tiny_weights.iterdir()}
    seeds, held = (("a", 1), ("b", 1), ("c", 2)), ("--kl-weight", 0.3, "--steps", 4)
    for name, seed in seeds:
        assert adapt(tiny_weights, corpus, tmp_path / name, "--seed", seed, "--name", "verse", *held) == 0
    first, again, other = ((tmp_path / name).read_bytes() for name, _ in seeds)
    assert first == again != other
    assert {file.name: file.read_bytes() for file in tiny_weights.iterdir()} == before


def test_the_base_s_own_words_hold_it_near(tiny_weights: Path, corpus: Path, tmp_path: Path) -> None:
    own = Engine.load(tiny_weights).generate("Once", SamplingParams(max_new_tokens=100, temperature=1.0, seed=1)).text
    stories = tmp_path / "own.txt"
    stories.write_text(own, encoding="utf-8")
    after = []
    for weight in (0, 10):
        out = tmp_path / f"held-{weight}.safetensors"
        assert adapt(tiny_weights, corpus, out, "--kl-weight", weight, "--lr", 0.02, "--text", stories) == 0
        after.append(read_card(out).about["bits_per_byte"]["stories"]["after"])
    assert after[1] < after[0]


def test_merged_lora_is_a_weights_folder_of_its_own(tiny_weights: Path, stories: Path, merged: Path) -> None:
    base, loaded = load_weights(tiny_weights), load_weights(merged)
    assert loaded.base_id != base.base_id
    card = loaded.card
    assert card["adapted_from"]["base_id"] == base.base_id
    assert card["adapted_from"]["name"] == "tiny"
    assert (card["name"], card["sha256"], card["parameters"]) == ("verse", loaded.base_id, base.model.parameter_count())
    assert card["training"]["weights"] == 4 * 3 * 32 * 2  # as many as a pack of as many units has
    assert card["bits_per_byte"]["held_out"]["after"] < card["bits_per_byte"]["held_out"]["before"]
    fit = bits_per_byte(loaded.model, loaded.tokenizer, read_documents(stories))
    assert round(fit.bits_per_byte, 6) == card["bits_per_byte"]["stories"]["after"]
    Engine.load(merged).try_out()


def test_transformers_reads_merged_weights_with_the_same_logits(merged: Path) -> None:
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([[3, 9, 27, 81, 243]])
    with torch.inference_mode():
        theirs = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)(ids).logits
        assert (theirs - load_weights(merged).model(ids)).abs().max() < 1e-3


@pytest.mark.parametrize("names", [ATTENTION, FEED_FORWARD, ATTENTION + FEED_FORWARD])
def test_merging_changes_logits_by_rounding_alone(tiny_weights: Path, names: tuple[str, ...]) -> None:
    model, ids = load_weights(tiny_weights).model, torch.tensor([[3, 9, 27, 81, 243]])
    base, generator = model(ids), torch.Generator().manual_seed(2)
    leaves = add_lora(model, 2_000, generator, names)
    assert torch.equal(model(ids), base)
    with torch.no_grad():
        for leaf in leaves:
            leaf.add_(torch.randn(leaf.shape, generator=generator) * 0.05)
    apart = model(ids)
    assert (apart - base).abs().max() > 0.1
    merge_lora(model)
    assert [name for name, _ in model.named_parameters()] == [
        name for name, _ in load_weights(tiny_weights).model.named_parameters()
    ]
    torch.testing.assert_close(model(ids), apart, atol=0.02, rtol=0)
    weight = next(model.layers()).get_parameter(f"{names[0]}.weight")
    assert torch.equal(weight, weight.half().float())


@pytest.mark.parametrize(
    ("base_rating", "rating", "joint"),
    [("general", "general", "general"), ("general", "mature", "mature"), ("mature", "general", "mature"),
     (None, "general", "unknown"), (None, "mature", "mature")],
)  # fmt: skip
def test_a_style_is_general_only_where_corpus_and_base_are(
    tiny_weights: Path, corpus: Path, tmp_path: Path, base_rating: str | None, rating: str, joint: str
) -> None:
    base = Path(shutil.copytree(tiny_weights, tmp_path / "base"))
    card = {"name": "tiny"} | ({"rating": base_rating} if base_rating else {})
    (base / "card.json").write_text(json.dumps(card), encoding="utf-8")
    assert adapt(base, corpus, tmp_path / "p", "--steps", 1, rating=rating) == 0
    assert read_card(tmp_path / "p").rating == rating
    assert Engine.load(base, pack=tmp_path / "p").info.rating == joint
    assert adapt(base, corpus, tmp_path / "w", "--steps", 1, "--method", "lora", rating=rating) == 0
    assert Engine.load(tmp_path / "w").info.rating == joint


@pytest.mark.parametrize(
    "shape", [{"model_type": "gpt2", "activation": "gelu_new"}, {"model_type": "qwen3", "activation": "relu2"}]
)
@pytest.mark.parametrize("method", ["units", "lora"])
def test_every_type_of_block_takes_a_style(
    tiny_weights: Path, corpus: Path, tmp_path: Path, shape: dict[str, Any], method: str
) -> None:
    base = load_weights(tiny_weights)
    model = GPT(replace(base.model.config, **shape))
    model.initialize()
    save_weights(tmp_path / "base", model, base.tokenizer, {"name": "base", "rating": "general"})
    assert adapt(tmp_path / "base", corpus, tmp_path / "style", "--method", method, "--steps", 30) == 0
    as_pack = method == "units"
    card = read_card(tmp_path / "style").about if as_pack else load_weights(tmp_path / "style").card
    assert card["bits_per_byte"]["held_out"]["after"] < card["bits_per_byte"]["held_out"]["before"] - 0.01
    assert card["training"]["weights"] == 4 * 3 * 32 * 2
    engine = Engine.load(tmp_path / "base", pack=tmp_path / "style") if as_pack else Engine.load(tmp_path / "style")
    assert engine.generate("O", GREEDY).tokens == 24


def test_a_rating_must_be_said(tiny_weights: Path, corpus: Path, tmp_path: Path) -> None:
    args = ["--base", tiny_weights, "--corpus", corpus, "--out", tmp_path / "p", "--licence", "public domain"]
    with pytest.raises(SystemExit) as caught:
        main(["adapt", *map(str, args)])
    assert caught.value.code == 2


def test_text_that_validation_holds_is_not_trained_on(tiny_weights: Path, corpus: Path, tmp_path: Path) -> None:
    texts = corpus.read_text(encoding="utf-8").split(f"\n{SEPARATOR}\n")[:-1]
    stories, twice = tmp_path / "stories.txt", tmp_path / "twice.txt"
    stories.write_text(f"\n{SEPARATOR}\n".join(texts[:6]), encoding="utf-8")
    twice.write_text(f"\n{SEPARATOR}\n".join([*texts, *texts[10:15]]), encoding="utf-8")
    assert adapt(tiny_weights, twice, tmp_path / "p", "--steps", 1, "--text", stories) == 0
    (told,) = read_card(tmp_path / "p").about["corpora"]
    removed = told["removed"]
    assert 3 <= removed["overlapping"] <= 6  # what is held out anyway does not count
    assert 3 <= removed["duplicates"] <= 5
    assert told["documents"] == 36 - removed["overlapping"]


def test_a_corpus_that_is_one_document_is_held_out_in_sections(tiny_weights: Path, tmp_path: Path) -> None:
    rng = random.Random(4)
    (tmp_path / "play.txt").write_text("\n".join(verse(rng) for _ in range(120)), encoding="utf-8")
    assert adapt(tiny_weights, tmp_path / "play.txt", tmp_path / "p", "--steps", 1) == 0
    (told,) = read_card(tmp_path / "p").about["corpora"]
    assert told["documents"] == 1
    assert 0.5 < told["bytes"] / (tmp_path / "play.txt").stat().st_size < 0.95


def test_credits_go_with_the_style(tiny_weights: Path, corpus: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_weights, tmp_path / "base"))
    (base / "CREDITS.tsv").write_text("of the base\n", encoding="utf-8")
    own = Path(shutil.copy(corpus, tmp_path / "verse.txt"))
    licence = ("--licence", "CC BY", "--steps", 1)
    assert adapt(base, own, tmp_path / "none.safetensors", *licence) == 2
    assert adapt(base, own, tmp_path / "told.safetensors", *licence, "--credit", "Verse by Tom") == 0
    assert read_card(tmp_path / "told.safetensors").about["corpora"][0]["credit"] == "Verse by Tom"
    (tmp_path / "verse.credits.tsv").write_text("of the verse\n", encoding="utf-8")
    assert adapt(base, own, tmp_path / "listed.safetensors", *licence) == 0
    assert (tmp_path / "listed.safetensors.credits.tsv").read_text(encoding="utf-8") == "of the verse\n"
    assert adapt(base, own, tmp_path / "merged", *licence, "--method", "lora") == 0
    assert (tmp_path / "merged" / "CREDITS.tsv").read_text(encoding="utf-8") == "of the base\n"
    assert (tmp_path / "merged" / "verse.credits.tsv").read_text(encoding="utf-8") == "of the verse\n"


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no base": ({"--base": "nowhere"}, "nowhere"),
    "no corpus": ({"--corpus": "nowhere.txt"}, "missing"),
    "a corpus of a line": ({"--corpus": "line.txt"}, "leaves nothing to train on"),
    "a corpus of three lines": ({"--corpus": "lines.txt"}, "less than one window"),
    "no stories": ({"--text": "nowhere.txt"}, "missing"),
    "more units than a megabyte holds": ({"--units": "400", "--base": "wide"}, "give --units"),
    "a rate that runs away": ({"--lr": "1e9", "--steps": "30", "--kl-weight": "0"}, "lower --lr"),
    "a place that is taken": ({"--out": "line.txt"}, "is there already"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], tiny_weights: Path, corpus: Path, tmp_path: Path, name: str
) -> None:
    changes, told = REFUSED[name]
    (tmp_path / "line.txt").write_text("O one line.\n", encoding="utf-8")
    (tmp_path / "lines.txt").write_text(f"\n{SEPARATOR}\n".join(["O one.", "O two.", "O three."]), encoding="utf-8")
    wide = Path(shutil.copytree(tiny_weights, tmp_path / "wide"))
    config = json.loads((wide / "config.json").read_text(encoding="utf-8"))
    (wide / "config.json").write_text(json.dumps(config | {"hidden_size": 512, "num_hidden_layers": 12}))
    before = sorted(tmp_path.rglob("*"))
    paths = ("--base", "--corpus", "--out", "--text")
    found = {name: str(tmp_path / value) if name in paths else value for name, value in changes.items()}
    arguments = {
        "--base": str(tiny_weights), "--corpus": str(corpus), "--out": str(tmp_path / "p"), "--licence": "none",
        "--rating": "general",
    } | found  # fmt: skip
    assert main(["adapt", *(part for pair in arguments.items() for part in pair)]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("method", ["units", "lora"])
def test_a_training_that_is_stopped_leaves_nothing(
    tiny_weights: Path, corpus: Path, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "packs" / "p"
    child = start(
        "adapt", "--base", tiny_weights, "--corpus", corpus, "--out", out, "--licence", "none", "--rating", "general",
        "--steps", 50_000, "--kl-weight", 0, "--threads", 1, "--method", method,
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()  # it has begun
    child.send_signal(signal.SIGINT)
    told, _ = child.communicate(timeout=300)
    assert child.returncode == 130
    assert told.endswith("training: stopped; nothing was written.\n")
    assert "Traceback" not in told
    assert not list(tmp_path.rglob("p*/*"))
