"""Files that somebody brings: named cases of folders, and mutants of every kind of file; the benchmark has more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reliability.hostile_folders import CASES, run_cases
from benchmarks.reliability.hostile_weights import run_mutants
from bot.intake import take_in
from engine import Engine, EngineError, SamplingParams, Tokenizer
from engine.folder import open_weights
from engine.strict_json import parse_object
from engine.tensor_header import parse_header
from engine.tokenizer_file import MAX_GROWTH, check_tokenizer
from tests.conftest import write_tiny_weights

MUTANTS = 2500


def test_folders_that_are_no_weights_are_refused_and_leave_nothing() -> None:
    found = run_cases()
    assert len(CASES) >= 20
    assert [name for name, refused in found.items() if not refused] == []


def test_no_mutant_gets_in_and_none_ends_the_process() -> None:
    figures = run_mutants(MUTANTS, seed=7)
    assert (figures["accepted"], figures["crashes"], figures["hangs"]) == (0, 0, 0), figures["found"]
    assert figures["refused"] > MUTANTS // 2
    assert len(figures["kinds"]) == 8


def test_sound_weights_are_taken_in(tmp_path: Path) -> None:
    sound = write_tiny_weights(tmp_path / "sound", 1)
    kept = take_in(sound, tmp_path / "place", "mine", reserve=0)
    assert Engine.load(kept).generate("Once", SamplingParams(max_new_tokens=2)).tokens
    assert Engine.load(kept).info.name == "sound", "as its card says"
    (sound / "card.json").unlink()
    bare = take_in(sound, tmp_path / "place", "bare", reserve=0)
    assert Engine.load(bare).info.name == "bare", "and without a card, as it was called when it was added"


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"1", b'"x"', b"{", b"{}x", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": 01}',
        b'{"a": 1, "a": 1}', b'{"a": {"b": 1, "b": 2}}', b'{"a": 1234567890123456789}', b'{"\\ud800": 1}',
        b'{"a": ["\\udfff"]}', b"\xef\xbb\xbf{}", b'{"a": "\xff"}', b'{"a": ' * 40 + b"1" + b"}" * 40,
        b'{"a": ' + b"[" * 100_000, b"\x00{}", '{"a": 1}'.encode("utf-16"),
    ],
)  # fmt: skip
def test_json_that_could_be_misread_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it|^a name|^there") as refusal:
        parse_object(text)
    assert str(refusal.value).isprintable()


def test_a_header_describes_every_byte_once() -> None:
    one = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}
    text = json.dumps({"x": one, "nothing": {"dtype": "F32", "shape": [0, 3], "data_offsets": [4, 4]}}).encode()
    assert parse_header(text, 8 + len(text) + 4).tensors["x"].shape == (2,)
    for size in (8 + len(text) + 3, 8 + len(text) + 5):
        with pytest.raises(ValueError, match="cut short or followed"):
            parse_header(text, size)


@pytest.mark.parametrize("times", [1, 8, MAX_GROWTH, MAX_GROWTH + 1])
def test_a_vocabulary_may_lengthen_text_so_far_and_no_further(tiny_weights: Path, times: int) -> None:
    raw = json.loads((tiny_weights / "tokenizer.json").read_text())
    first = {"type": "Replace", "pattern": {"String": "a"}, "content": "b"}
    raw["normalizer"] = {"type": "Sequence", "normalizers": [first, {**first, "pattern": {"String": "b"}}]}
    raw["normalizer"]["normalizers"][1]["content"] = "c" * min(times, 64)
    if times > MAX_GROWTH:
        raw["normalizer"]["normalizers"][0]["content"] = "bb"
        with pytest.raises(ValueError, match="too much of a text"):
            check_tokenizer(raw)
    else:
        check_tokenizer(raw)


def test_weights_that_are_exchanged_while_they_serve_are_not_read(tiny_weights: Path, tmp_path: Path) -> None:
    """What was checked is what is read, or nothing is."""
    folder = Path(shutil.copytree(tiny_weights, tmp_path / "weights"))
    stored = open_weights(folder)
    model = folder / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-2] + b"\x01\x00")
    with pytest.raises(EngineError, match="has changed since it was checked"):
        list(stored.files.read())


def test_a_file_of_weights_is_no_link(tiny_weights: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_weights, tmp_path / "weights"))
    for name in ("model.safetensors", "config.json", "tokenizer.json", "card.json"):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
        with pytest.raises(EngineError, match="no plain file"):
            open_weights(folder)
        (folder / name).unlink()
        (tmp_path / name).rename(folder / name)
    open_weights(folder)


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
START = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
TEMPLATE = {
    "type": "TemplateProcessing", "single": START, "pair": [*START, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
}  # fmt: skip
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FAMILIES: dict[str, dict[str, Any]] = {
    "as GPT-2's, of an older version": {"pre_tokenizer": {**BYTE_LEVEL, "use_regex": True}, "decoder": BYTE_LEVEL},
    "as Llama 3's": {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}, BYTE_LEVEL]},
        "post_processor": {"type": "Sequence", "processors": [BYTE_LEVEL, TEMPLATE]}, "decoder": BYTE_LEVEL,
    },
    "as Qwen's": {
        "normalizer": {"type": "NFC"}, "post_processor": BYTE_LEVEL, "decoder": BYTE_LEVEL,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS.replace("{1,3}", "")}, "behavior": "Isolated",
             "invert": False}, BYTE_LEVEL]},
    },
    "as Llama 2's": {
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None, "post_processor": TEMPLATE,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    },
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_vocabularies_of_well_known_models_are_served(tmp_path: Path, family: str) -> None:
    """Each family's own parts around a small vocabulary, as its files have them."""
    vocab = {"<s>": 0, **{chr(code): i for i, code in enumerate([*range(33, 127), 0x120, 0x2581], 1)}}
    model = {"dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
             "fuse_unk": False, "vocab": vocab, "merges": []}  # fmt: skip
    named = {} if "older" in family else {"type": "BPE", "byte_fallback": False, "ignore_merges": True}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": 0, "content": "<s>", **special}, {"id": len(vocab), "content": "<|end|>", **special}]
    raw = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
           "post_processor": None, **FAMILIES[family], "model": {**named, **model}}  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.decode(tokenizer.encode("a fox, two")) == "a fox, two"
