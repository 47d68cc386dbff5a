"""The model: cache against whole passes, spare units, and the arithmetic of sampling."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import PromptError, SamplingParams
from engine.checkpoint import load_weights
from engine.generation import Engine
from engine.model import GPT, GPTConfig, KVCache
from engine.sampling import Sampler

CONFIG = GPTConfig(vocab_size=50, block_size=32, n_layer=3, n_head=2, n_embd=16, n_ffn=24, n_session=4)


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    model = GPT(CONFIG)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_reading_in_pieces_gives_the_logits_of_reading_at_once(model: GPT, pieces: list[int]) -> None:
    total = min(sum(pieces), CONFIG.block_size)
    ids = torch.arange(total).unsqueeze(0) * 7 % CONFIG.vocab_size
    whole = model(ids)
    cache, position, rows = KVCache(CONFIG, torch.float32), 0, []
    for size in pieces:
        step = ids[:, position : position + size]
        if step.size(1):
            rows.append(model(step, cache=cache))
        position += size
    assert cache.length == total
    torch.testing.assert_close(torch.cat(rows, dim=1), whole, atol=1e-5, rtol=1e-5)


def test_a_later_token_never_changes_an_earlier_row(model: GPT) -> None:
    ids = torch.arange(20).unsqueeze(0)
    other = ids.clone()
    other[0, 15:] = 3
    assert torch.equal(model(ids)[:, :15], model(other)[:, :15])


def test_parameter_count_leaves_spare_units_out(model: GPT) -> None:
    bare = GPT(GPTConfig(vocab_size=50, block_size=32, n_layer=3, n_head=2, n_embd=16, n_ffn=24))
    assert model.parameter_count() == bare.parameter_count() == sum(p.numel() for p in bare.parameters())


def test_spare_units_change_nothing_until_they_are_taught(tiny_weights: Path) -> None:
    ids = torch.tensor([[1, 5, 9, 60, 70]])
    bare = load_weights(tiny_weights).model(ids)
    torch.testing.assert_close(load_weights(tiny_weights, n_session=16).model(ids), bare, atol=1e-6, rtol=0)


def test_greedy_takes_the_likeliest_and_ties_are_stable() -> None:
    assert Sampler(SamplingParams(temperature=0)).next(torch.tensor([0.1, 3.0, 2.9]), []) == 1


def test_the_penalty_turns_a_repeated_token_down() -> None:
    logits = torch.tensor([2.0, 1.9, -5.0])
    sampler = Sampler(SamplingParams(temperature=0, repetition_penalty=1.2))
    assert sampler.next(logits, [0]) == 1
    assert sampler.next(logits, []) == 0


def test_the_penalty_spares_what_does_not_begin_a_word() -> None:
    sampler = Sampler(SamplingParams(temperature=0, repetition_penalty=1.2), penalized=frozenset({1}))
    assert sampler.next(torch.tensor([2.0, 1.9, -5.0]), [0, 1]) == 0
    assert sampler.next(torch.tensor([1.8, 1.9, -5.0]), [0, 1]) == 0


def test_what_may_never_come_never_comes() -> None:
    sampler = Sampler(SamplingParams(seed=1, top_p=1.0), never=[0])
    drawn = {sampler.next(torch.tensor([9.0, 0.0, 0.0, 0.0]), [], not_now=3) for _ in range(60)}
    assert drawn == {1, 2}


@pytest.mark.parametrize(("top_k", "top_p", "allowed"), [(2, 1.0, {0, 1}), (None, 0.6, {0}), (None, 0.7, {0, 1})])
def test_top_k_and_top_p_cut_the_tail(top_k: int | None, top_p: float, allowed: set[int]) -> None:
    logits = torch.tensor([0.65, 0.2, 0.1, 0.05]).log()
    sampler = Sampler(SamplingParams(temperature=1.0, top_k=top_k, top_p=top_p, repetition_penalty=1.0, seed=0))
    assert {sampler.next(logits, []) for _ in range(400)} == allowed


def test_drawing_follows_the_distribution() -> None:
    p = torch.tensor([0.5, 0.3, 0.2])
    sampler = Sampler(SamplingParams(temperature=1.0, top_p=1.0, repetition_penalty=1.0, seed=3))
    n = 6000
    counts = torch.bincount(torch.tensor([sampler.next(p.log(), []) for _ in range(n)]), minlength=3)
    chi_square = float(((counts - n * p) ** 2 / (n * p)).sum())
    assert chi_square < 13.8  # 2 degrees of freedom, p = 0.001


@pytest.mark.parametrize(
    "bad",
    [{"temperature": -1}, {"temperature": float("nan")}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": 0},
     {"max_new_tokens": 0}, {"repetition_penalty": 0.0}, {"seed": 2**70}],
)  # fmt: skip
def test_settings_out_of_range_are_named(bad: dict[str, float]) -> None:
    with pytest.raises(PromptError, match=next(iter(bad))):
        SamplingParams(**bad)  # type: ignore[arg-type]


def test_the_same_seed_writes_the_same_text(tiny_weights: Path) -> None:
    engine = Engine.load(tiny_weights)
    first = engine.generate("Once", SamplingParams(seed=5, max_new_tokens=40))
    assert engine.generate("Once", SamplingParams(seed=5, max_new_tokens=40)).text == first.text
    assert engine.generate("Once", SamplingParams(seed=6, max_new_tokens=40)).text != first.text


def test_writing_goes_on_past_the_end_of_the_context(tiny_weights: Path) -> None:
    engine = Engine.load(tiny_weights)
    done = engine.generate("Once", SamplingParams(seed=5, max_new_tokens=500, min_new_tokens=500))
    assert (done.tokens, done.finish_reason) == (500, "length")
