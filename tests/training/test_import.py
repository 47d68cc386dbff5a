"""Folders from elsewhere, as transformers and older programs write them, become weights that the engine serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import tokenizers.decoders
import tokenizers.models
import tokenizers.pre_tokenizers
import tokenizers.trainers
import torch
from safetensors.torch import load_file, save_file

from engine import Context, Engine, Lesson, SamplingParams, TeachParams
from engine.checkpoint import load_weights
from engine.prompt import render
from tests.conftest import SAMPLE
from tests.engine.test_model_types import IDS, randomize
from training.__main__ import main

LLAMA = {
    "num_key_value_heads": 2, "max_position_embeddings": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "hidden_size": 32, "intermediate_size": 48, "head_dim": 8, "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
GPT2 = {"n_positions": 256, "n_layer": 2, "n_head": 4, "n_embd": 32, "bos_token_id": 299, "eos_token_id": 299}
PROMPT = "Once upon a time, there was a little fox"


def write_tokenizer(folder: Path, kind: str) -> None:
    """A byte-level BPE of 300 tokens: like Llama's with tokens that begin and end a text, like GPT-2's in two files."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    special = [] if kind == "gpt2" else ["<s>", "</s>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300 - (kind == "gpt2"), special_tokens=special, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    inner.train_from_iterator([SAMPLE] * 4, trainer)
    if kind == "gpt2":
        inner.model.save(str(folder))
        vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        (folder / "vocab.json").write_text(json.dumps({**vocab, "<|endoftext|>": 299}), encoding="utf-8")
    else:
        inner.enable_truncation(8)  # files are found with this, and would cut every story
        inner.save(str(folder / "tokenizer.json"))


def write_model(folder: Path, kind: str, *, dtype: torch.dtype = torch.float32, shards: str = "1GB") -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(kind, vocab_size=300, **(GPT2 if kind == "gpt2" else LLAMA))
    )
    randomize(model)
    folder.mkdir()
    model.to(dtype).save_pretrained(folder, max_shard_size=shards)
    write_tokenizer(folder, kind)
    return folder


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def change_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def bring(source: Path, out: Path, *more: object) -> Path:
    assert main(["import", str(source), "--out", str(out), *map(str, more)]) == 0
    return out


def refused(capsys: pytest.CaptureFixture[str], source: Path, out: Path, *more: object) -> str:
    capsys.readouterr()
    assert main(["import", str(source), "--out", str(out), *map(str, more)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("training: ")
    assert told.count("\n") == 1
    return told


@pytest.fixture(scope="module", params=["llama", "qwen3", "gpt2"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def source(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many files, BF16."""
    return write_model(tmp_path_factory.mktemp("foreign") / kind, kind, dtype=torch.bfloat16, shards="20KB")


@pytest.fixture(scope="module")
def imported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bring(source, tmp_path_factory.mktemp("imported") / source.name)


def test_greedy_text_is_that_of_transformers_over_200_tokens(imported: Path) -> None:
    from transformers import AutoModelForCausalLM

    engine = Engine.load(imported)
    greedy = SamplingParams(max_new_tokens=200, min_new_tokens=200, temperature=0, repetition_penalty=1.0)
    ours = engine.generate(PROMPT, greedy)
    ids = torch.tensor([render(engine.tokenizer, Context(text=PROMPT), 56)])
    theirs = AutoModelForCausalLM.from_pretrained(imported, dtype=torch.float32).generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=200, min_new_tokens=200,
        repetition_penalty=1.0,
    )[0, ids.size(1) :]  # fmt: skip
    stream = engine.tokenizer.stream()
    assert ours.tokens == len(theirs) == 200
    assert len(set(theirs.tolist())) > 10
    assert ours.text == "".join(stream.push(token) for token in theirs.tolist()) + stream.flush()


def test_logits_are_those_of_the_source(source: Path, imported: Path) -> None:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    with torch.inference_mode():  # BF16's values lie on FP16's grid, but for the smallest
        torch.testing.assert_close(load_weights(imported).model(IDS), theirs(IDS).logits, atol=1e-2, rtol=0)
    assert {str(t.dtype) for t in load_file(imported / "model.safetensors").values()} == {"torch.float16"}


def test_the_tokenizer_reads_as_that_of_transformers(source: Path, imported: Path) -> None:
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(imported), Engine.load(imported).tokenizer
    for text in (PROMPT, "Ünïcode 🐉\n\ntwo  spaces", "x" * 50):
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.decode(ours.encode(text)) == text
    assert (theirs.bos_token_id, theirs.eos_token_id) == (ours.start_of_text, ours.end_of_text)


def test_the_engine_works_with_tokens_that_are_not_ours(kind: str, imported: Path) -> None:
    engine = Engine.load(imported)
    begin, end = {"gpt2": (299, 299), "llama": (0, 1), "qwen3": (0, 1)}[kind]
    context = Context(pins=("The fox is called Mira.",), text="Once upon a time")
    ids = render(engine.tokenizer, context, 200)
    assert ids[0] == begin
    assert engine.tokenizer.decode(ids) == "Facts: The fox is called Mira.\n\nOnce upon a time"
    assert engine.tokenizer.end_of_text == end
    assert engine.generate(context, SamplingParams(max_new_tokens=5, seed=1)).tokens <= 5
    taught = engine.teach(Lesson("The fox is called", "Mira"), TeachParams(max_steps=3))
    assert engine.generate(context, SamplingParams(max_new_tokens=5), adapters=[taught.adapter]).tokens <= 5
    engine.try_out()


def test_the_card_says_where_it_came_from_and_who_has_rated_it(
    kind: str, source: Path, imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = json.loads((imported / "card.json").read_text(encoding="utf-8"))
    assert (card["name"], card["rating"], card["imported_from"]["model_type"]) == (kind, "unknown", kind)
    assert card["parameters"] == Engine.load(imported).info.parameters
    info = Engine.load(bring(source, tmp_path / "rated", "--rating", "mature", "--name", "Other")).info
    assert "Nobody has rated it" not in capsys.readouterr().out
    assert (info.rating, info.name) == ("mature", "Other")
    bring(source, tmp_path / "unrated")
    told = capsys.readouterr().out
    assert "same at 256 of 256 positions" in told
    assert "Nobody has rated it" in told
    bring(tmp_path / "rated", tmp_path / "again")
    assert Engine.load(tmp_path / "again").info.rating == "mature"


def test_a_shorter_context_changes_nothing_within_it(source: Path, imported: Path, tmp_path: Path) -> None:
    short = load_weights(bring(source, tmp_path / "short", "--block-size", 64))
    assert short.model.config.block_size == 64
    assert torch.equal(short.model(IDS), load_weights(imported).model(IDS))


def test_names_and_masks_of_old_checkpoints_are_understood(kind: str, tmp_path: Path) -> None:
    plain = write_model(tmp_path / "plain", kind)
    old = Path(shutil.copytree(plain, tmp_path / "old"))
    body = "transformer." if kind == "gpt2" else "model."

    def age(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix(body)] = tensors.pop(name)
        if kind == "gpt2":
            tensors |= {"h.0.attn.bias": torch.ones(1, 1, 256, 256), "h.0.attn.masked_bias": torch.tensor(-1e4)}
            tensors["lm_head.weight"] = tensors["wte.weight"].clone()
        else:
            tensors["layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)

    change_tensors(old, age)
    one, other = bring(plain, tmp_path / "one"), bring(old, tmp_path / "other")
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_what_cannot_be_imported_is_said_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_model(tmp_path / "good", "gpt2")
    out = tmp_path / "place" / "out"
    wte, norm = "transformer.wte.weight", "transformer.ln_f.weight"

    def spoilt(name: str, spoil: Callable[[Path], object]) -> str:
        folder = Path(shutil.copytree(good, tmp_path / name))
        spoil(folder)
        return refused(capsys, folder, out)

    def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
        return lambda folder: change_tensors(folder, change)

    assert "no numbers in FP16" in spoilt("large", tensors(lambda t: t[norm].fill_(1e5)))
    assert "off by up to" in spoilt("fine", tensors(lambda t: (t[wte].mul_(1e-8), t[norm].mul_(1e3))))
    assert "no numbers" in spoilt("nan", tensors(lambda t: t[norm].fill_(float("nan"))))
    assert "is missing or does not belong" in spoilt("surplus", tensors(lambda t: t.update(extra=torch.ones(2))))
    assert "holds two that differ" in spoilt(
        "untied", tensors(lambda t: t.update({"lm_head.weight": torch.ones_like(t[wte])}))
    )
    assert "'mamba'" in spoilt("mamba", lambda f: change_json(f / "config.json", model_type="mamba"))
    assert "tokenizer.json is missing" in spoilt("mute", lambda f: (f / "merges.txt").unlink())
    assert "no readable tokenizer" in spoilt("noise", lambda f: (f / "vocab.json").write_bytes(b"\xff"))
    assert "tokenizer has 301" in spoilt("many", lambda f: change_json(f / "vocab.json", extra=300))
    assert "may run code" in spoilt("pickle", lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"))
    assert "tokenizer.model" in spoilt(
        "sentencepiece", lambda f: ((f / "merges.txt").unlink(), (f / "tokenizer.model").write_bytes(b"x"))
    )
    assert "no weights folder" in refused(capsys, tmp_path / "nowhere", out)
    assert "as many or fewer" in refused(capsys, good, out, "--block-size", 257)
    assert "import from" in refused(capsys, good, good, "--replace")
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_weights_are_written_over_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_model(tmp_path / "first", "gpt2"), write_model(tmp_path / "second", "llama")
    out = bring(first, tmp_path / "out")
    before = (out / "model.safetensors").read_bytes()
    assert "--replace" in refused(capsys, second, out)
    assert (out / "model.safetensors").read_bytes() == before
    bring(second, out, "--replace")
    assert load_weights(out).model.config.model_type == "llama"
