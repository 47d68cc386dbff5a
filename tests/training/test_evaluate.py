"""Bits per byte against the plainest computation: one document, one token at a time."""

from __future__ import annotations

import json
import lzma
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.checkpoint import Weights, load_weights
from engine.model import GPT, GPTConfig
from engine.tokenizer import CONTROL_TOKENS
from tests.conftest import write_tiny_weights
from tests.training.conftest import Ground
from tests.training.material import SEPARATOR
from training.__main__ import main
from training.corpus import held_out, join_documents, read_documents
from training.evaluate import bits_per_byte
from training.vocabulary import train_char

BLOCK = 8

# Story-like text, and anything else that UTF-8 can carry.
characters = st.characters(codec="utf-8")
texts = st.one_of(st.text("ab Mira.\n", min_size=1, max_size=60), st.text(characters, min_size=1, max_size=20))
lines = st.text(characters.filter(lambda c: c not in "\r\n\0\ufeff"), max_size=12)  # no NUL, no byte order mark


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("evaluate") / "short"
    return load_weights(write_tiny_weights(folder, 3, block_size=BLOCK))


def naive_nats(weights: Weights, document: str) -> float:
    ids = [weights.tokenizer.control[SEPARATOR], *weights.tokenizer.encode(document)]
    nats = 0.0
    for i in range(1, len(ids)):
        begin = (i - 1) // BLOCK * BLOCK  # the window in which this token is predicted
        logits = weights.model(torch.tensor([ids[begin:i]]))[0, -1].double()
        nats -= float(logits.log_softmax(0)[ids[i]])
    return nats


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(texts, min_size=1, max_size=5))
def test_every_token_of_whole_documents_counts_once(weights: Weights, documents: list[str]) -> None:
    fit = bits_per_byte(weights.model, weights.tokenizer, documents)
    assert fit.nats == pytest.approx(sum(naive_nats(weights, document) for document in documents), rel=1e-5)
    assert fit.bytes == sum(len(document.encode()) for document in documents)
    assert fit.tokens == sum(len(weights.tokenizer.encode(document)) for document in documents)
    assert (fit.documents, fit.unknown) == (len(documents), 0)


@pytest.mark.parametrize("extra", [-1, 0, 1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_documents_that_end_at_the_edge_of_a_window(weights: Weights, extra: int) -> None:
    document = "0" * (BLOCK + extra)  # a digit is one token of this vocabulary
    fit = bits_per_byte(weights.model, weights.tokenizer, [document])
    assert fit.tokens == BLOCK + extra
    assert fit.nats == pytest.approx(naive_nats(weights, document), rel=1e-5)


def test_a_missing_character_costs_what_naming_it_costs() -> None:
    tokenizer = train_char(["ab" * 300])
    model = GPT(GPTConfig(tokenizer.vocab_size, block_size=BLOCK, n_layer=1, n_head=1, n_embd=8, n_ffn=8)).eval()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)  # every token is as likely as any other
    fit = bits_per_byte(model, tokenizer, ["abé"])
    assert fit.unknown == 1
    assert fit.nats == pytest.approx(3 * math.log(tokenizer.vocab_size) + math.log(0x110000))


@given(st.lists(st.lists(lines, min_size=1, max_size=4).map("\n".join).filter(bool), min_size=1, max_size=4))
def test_documents_come_back_from_their_file(tmp_path_factory: pytest.TempPathFactory, documents: list[str]) -> None:
    documents = [d for d in documents if SEPARATOR not in d.split("\n")]
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_bytes(join_documents(documents).encode())
    assert list(read_documents(path)) == documents
    crlf = join_documents(documents).replace("\n", "\r\n")
    path.write_bytes(crlf.encode())
    assert list(read_documents(path)) == [document.replace("\n", "\r\n") for document in documents]


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        ("one", ["one"]),
        ("one\n", ["one\n"]),  # no separator: the file is the document, byte for byte
        ("one\r\n\r\n", ["one\r\n\r\n"]),
        ("é", ["é"]),
        ("one\n<|endoftext|>\ntwo", ["one", "two"]),
        ("one\n<|endoftext|>\ntwo\n", ["one", "two\n"]),
        ("one\n<|endoftext|>\n\n\n", ["one"]),
        ("one\n\n<|endoftext|>\n<|endoftext|>\ntwo\n<|endoftext|>", ["one\n", "two"]),
        ("one <|endoftext|>\n", ["one <|endoftext|>\n"]),  # not alone on its line: text
        ("one\r\n<|endoftext|>\r\ntwo\r\n<|endoftext|>\r\n", ["one", "two"]),
    ],
)
def test_separators_and_line_breaks(content: str, documents: list[str], tmp_path: Path) -> None:
    path = tmp_path / "text.txt.xz"
    path.write_bytes(lzma.compress(content.encode()))
    assert list(read_documents(path)) == documents


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    return figures


def test_the_command_prints_the_same_as_table_and_json(
    ground: Ground, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ground.corpora / "stories.txt.xz"
    arguments = ["--weights", tiny_weights, "--text", text, "--train", text, "--generate", 3]
    figures = evaluated(capsys, *arguments)
    assert main(["evaluate", *map(str, arguments)]) == 0
    table = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in table.splitlines() if line.split()[1:])
    for name in FIGURES:
        shown = "-" if figures[name] is None else str(figures[name])
        assert rows[name].startswith(shown)
    for name in ("rep_4", "distinct_3", "copied_10", "entity_persistence", "known_names"):
        assert {f"{name}_human", f"{name}_ratio"} <= set(figures)
    assert {"nats_per_token", "tokens", "bytes", "unknown_characters", "seconds"} <= set(figures)
    documents = list(read_documents(text))
    assert figures["documents"] == len(documents) == 60
    assert figures["bytes"] == sum(len(document.encode()) for document in documents)
    assert figures["copied_10_human"] == 1.0  # the text was looked for in itself
    assert figures["sampling"]["seed"] == 1
    assert "temperature 0.8" in table
    assert all(sample["prompt"] in table for sample in figures["samples"])


FIGURES = (
    "bits_per_byte ending_choice sentence_order block_order rep_4 distinct_3 copied_10 entity_persistence known_names"
    " closing"
).split()


def test_without_generated_text_the_likelihoods_are_the_same(
    ground: Ground, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", tiny_weights, "--text", ground.corpora / "valid.txt"]
    short, long = evaluated(capsys, *arguments, "--generate", 0), evaluated(capsys, *arguments, "--generate", 2)
    assert "samples" not in short
    assert {name: long[name] for name in short if name != "seconds"} == {
        name: value for name, value in short.items() if name != "seconds"
    }


def test_a_text_without_stories_has_bits_per_byte_alone(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Mira.")
    figures = evaluated(capsys, "--weights", tiny_weights, "--text", text)
    assert figures["bits_per_byte"] > 0
    assert all(figures[name] is None for name in FIGURES[1:] if name != "copied_10")
    assert main(["evaluate", "--weights", str(tiny_weights), "--text", str(text)]) == 0


def test_weights_with_a_short_context_and_no_control_tokens_are_measured_too(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_weights(tmp_path / "foreign", 3, block_size=BLOCK)
    for name in ("tokenizer.json", "config.json"):
        content = (folder / name).read_text(encoding="utf-8")
        for known in (*CONTROL_TOKENS, "bos_token_id", "eos_token_id"):
            content = content.replace(known, f"other {known.strip('<|>')}")
        (folder / name).write_text(content, encoding="utf-8")
    figures = evaluated(capsys, "--weights", folder, "--text", ground.corpora / "valid.txt", "--generate", 2)
    assert figures["closing"] is None  # nothing in the vocabulary ends a text
    assert 0 <= figures["sentence_order"] <= 1
    assert figures["samples"][0]["text"]


def test_copies_need_a_training_text_and_generated_text(
    ground: Ground, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ground.corpora / "valid.txt"
    for more, said in (
        (["--train", text, "--generate", "0"], "looks for copies in generated text"),
        (["--train", text, tmp_path / "none.txt"], "missing"),
    ):
        assert main(["evaluate", *map(str, ("--weights", tiny_weights, "--text", text, *more))]) == 2
        assert said in capsys.readouterr().err


@given(st.text(characters, min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_the_held_out_split_is_decided_by_the_text_alone(document: str, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert held_out(document, low) <= held_out(document, high)  # a larger share keeps what a smaller one held
    assert not held_out(document, 0)
    assert held_out(document, 1)


def test_the_held_out_split_stays_where_it_was() -> None:
    held = [n for n in range(40) if held_out(f"Story number {n}.", 0.25)]
    assert held == HELD
    assert sum(held_out(str(n), 0.05) for n in range(4000)) == pytest.approx(200, rel=0.25)


HELD = [4, 16, 17, 22, 24, 25, 29, 31, 35]  # a published split: if it moves, no figure compares with an older one
