"""The weights that come with the project: whole, honest about themselves, and able to do what the README says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine import Context, Engine, Lesson, SamplingParams, default_weights
from engine.checkpoint import load_weights
from engine.folder import BUNDLED, read_card
from engine.tensor_files import file_sha256

FOLDERS = sorted(path.parent for path in BUNDLED.glob("*/config.json"))
STORY = "Once upon a time, there was a little fox. She lived in the forest with her mother. One day, "


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_card_is_that_of_the_file(folder: Path) -> None:
    card = read_card(folder)
    assert card["sha256"] == file_sha256(folder / "model.safetensors")
    assert card["rating"] == "general"
    assert card["parameters"] == load_weights(folder).model.parameter_count()
    assert all(corpus["licence"] for corpus in card["corpora"])
    assert card["evaluation"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_transformers_gives_the_same_logits(folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = load_weights(folder)
    ids = [weights.tokenizer.end_of_text, *weights.tokenizer.encode(STORY)]
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        row = torch.tensor([ids])
        assert (theirs(row).logits - weights.model(row)).abs().max() < 1e-3
    assert AutoTokenizer.from_pretrained(folder)(STORY, add_special_tokens=False)["input_ids"] == ids[1:]


def test_the_default_writes_words(engine: Engine) -> None:
    done = engine.generate(STORY, SamplingParams(max_new_tokens=120, min_new_tokens=60, seed=7))
    words = done.text.split()
    assert len(words) > 30
    assert sum(word.strip('.,!?"').isalpha() for word in words) > 0.8 * len(words)


def test_a_lesson_is_recalled_in_a_story_and_nothing_is_left_of_it_without_its_adapter(engine: Engine) -> None:
    lesson = Lesson("The dragon's name is", "Zorblax the Quiet.")
    sampling = SamplingParams(max_new_tokens=12, seed=1)
    before = engine.generate(Context(text=STORY + lesson.prompt), sampling).text
    taught = engine.teach(lesson)
    assert taught.recalled
    for seed in range(5):
        draw = SamplingParams(max_new_tokens=12, seed=seed)
        text = engine.generate(Context(text=STORY + lesson.prompt), draw, adapters=[taught.adapter]).text
        assert text.startswith(" Zorblax the Quiet.")
    assert engine.generate(Context(text=STORY + lesson.prompt), sampling).text == before
    assert len(taught.adapter) <= 256_000
    assert default_weights() in FOLDERS
