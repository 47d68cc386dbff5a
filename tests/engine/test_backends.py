"""Which path decodes, what is said of it, and that the text is the same on each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import Context, Engine, EngineError, Lesson, SamplingParams, TeachParams
from engine.checkpoint import save_weights
from engine.kernel import available
from engine.model import GPT
from engine.sampling import Sampler
from engine.shape import GPTConfig
from engine.tokenizer import Tokenizer
from tests.conftest import SAMPLE

ROOT = Path(__file__).parent.parent.parent
GREEDY = SamplingParams(max_new_tokens=60, min_new_tokens=60, temperature=0)
DRAWN = SamplingParams(max_new_tokens=60, min_new_tokens=60, seed=7)

native = pytest.mark.skipif(not available()[0], reason=available()[1])


@pytest.fixture
def engine(tiny_weights: Path) -> Iterator[Engine]:
    engine = Engine.load(tiny_weights)
    yield engine
    engine.close()


@native
@pytest.mark.parametrize("params", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_the_kernel_writes_what_torch_writes(engine: Engine, tiny_weights: Path, params: SamplingParams) -> None:
    torch = Engine.load(tiny_weights, backend="torch")
    assert engine.info.backend.startswith("native kernel")
    assert torch.info.backend == "torch, float32"
    assert engine.generate(SAMPLE, params).text == torch.generate(SAMPLE, params).text


@native
@pytest.mark.parametrize("params", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_guesses_change_no_text(engine: Engine, params: SamplingParams) -> None:
    guessed = engine.generate(SAMPLE, params).text
    engine.drafts = False
    engine.forget()
    assert engine.generate(SAMPLE, params).text == guessed


@native
def test_one_byte_a_weight_is_near(engine: Engine, tiny_weights: Path) -> None:
    small = Engine.load(tiny_weights, backend="int8")
    assert small.info.backend.endswith("int8")
    ours, exact = small.logits([5, 6, 7, 8]), engine.logits([5, 6, 7, 8])
    assert 0 < np.abs(ours - exact).max() < 0.1 * np.abs(exact).max()


def test_both_samplers_draw_the_same() -> None:
    rng = np.random.default_rng(0)
    for seed in range(40):
        logits = rng.normal(size=200).astype(np.float32) * 3
        params = SamplingParams(seed=seed, top_k=None if seed % 2 else 20, top_p=0.9, temperature=0.8)
        history = rng.integers(0, 200, 30).tolist()
        drawn = [Sampler(params, [3], native=n).next(logits, history) for n in (False, available()[0])]
        assert drawn[0] == drawn[1]


def test_without_the_kernel_torch_writes_the_same_and_one_line_says_why(tiny_weights: Path) -> None:
    command = [sys.executable, "-m", "engine", "generate", "--weights", str(tiny_weights), "--prompt", "Once", "--json"]
    texts = []
    for library in ({}, {"MINIATURE_KERNEL_LIBRARY": "/nowhere.so"}):
        done = subprocess.run(
            [*command, "--seed", "2"],
            cwd=ROOT,
            env={**os.environ, **library},
            capture_output=True,
            text=True,
            check=True,
        )
        texts.append(json.loads(done.stdout)["text"])
        assert len(done.stderr.splitlines()) == len(library), done.stderr
    assert texts[0] == texts[1]


@native
def test_what_the_kernel_does_not_know_goes_to_torch(tmp_path: Path, tiny_weights: Path) -> None:
    config = GPTConfig(300, block_size=64, n_layer=1, n_head=2, n_embd=16, n_ffn=24, model_type="gpt2")
    model = GPT(config)
    model.initialize()
    save_weights(tmp_path, model, Tokenizer.load(tiny_weights), {})
    engine = Engine.load(tmp_path)
    assert engine.info.backend == "torch, float32"
    assert "gpt2" in engine.info.backend_reason
    assert engine.generate("Once", GREEDY).tokens == 60
    with pytest.raises(EngineError, match="cannot serve these weights"):
        Engine.load(tmp_path, backend="native")


def test_a_text_of_ten_contexts_is_written_with_its_pins_in_sight(engine: Engine) -> None:
    context = Context(pins=("Mira is a fox.",), text=SAMPLE)
    length = 10 * engine.config.block_size
    done = engine.generate(context, SamplingParams(max_new_tokens=length, min_new_tokens=length, seed=1))
    assert (done.tokens, done.finish_reason) == (length, "length")


@native
def test_teaching_leaves_the_kernel_as_it_was(engine: Engine) -> None:
    asked = "The fox is named"
    text = engine.generate(asked, GREEDY).text
    taught = engine.teach(Lesson(asked, "Zorblax"), TeachParams(max_steps=60))
    assert engine.info.backend.startswith("native kernel")
    assert engine.generate(asked, GREEDY, adapters=[taught.adapter]).text != text
    assert engine.generate(asked, GREEDY).text == text
