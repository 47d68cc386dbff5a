"""The native sampler against the one in numpy: the same distribution, and draws that follow it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import KernelError
from engine.kernel import NativeSampler
from engine.sampling import REPETITION_WINDOW, Sampler, SamplingParams
from tests.engine.kernel.material import needs_kernel

pytestmark = needs_kernel


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_distribution_is_that_of_the_plain_sampler(data: st.DataObject) -> None:
    V = data.draw(st.integers(2, 300))
    spread = data.draw(st.sampled_from([0.01, 1.0, 4.0, 40.0]))
    logits = np.random.default_rng(data.draw(st.integers(0, 999))).normal(0, spread, V).astype(np.float32)
    history = data.draw(st.lists(st.integers(0, V - 1), max_size=90))
    ids = st.integers(0, V - 1)
    penalized = data.draw(st.none() | st.frozensets(ids))
    never = data.draw(st.lists(ids, max_size=V - 2, unique=True))
    not_now = data.draw(st.none() | ids)
    params = SamplingParams(
        temperature=data.draw(st.sampled_from([0, 0.3, 0.8, 1.0, 2.0])),
        top_k=data.draw(st.none() | st.integers(1, V + 3)),
        top_p=data.draw(st.sampled_from([0.1, 0.5, 0.9, 1.0])),
        repetition_penalty=data.draw(st.sampled_from([0.8, 1.0, 1.1, 2.0])),
    )
    expected = Sampler(params, never, penalized, native=False).distribution(logits, history, not_now=not_now)
    sampler = NativeSampler(V, never, penalized)
    p = sampler.process(
        logits, history[-REPETITION_WINDOW:], temperature=params.temperature, top_k=params.top_k, top_p=params.top_p,
        penalty=params.repetition_penalty, not_now=not_now,
    )  # fmt: skip
    assert np.array_equal(p > 0, expected > 1e-37)
    assert np.allclose(p, expected, rtol=1e-4, atol=1e-7)
    for uniform in (0.0, 0.3, 0.7, math.nextafter(1, 0)):
        assert p[sampler.draw(p, uniform)] > 0
    assert all(p[i] == 0 for i in never)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_several_rows_give_what_they_give_one_by_one(data: st.DataObject) -> None:
    """The same ids for the same seed, natively and without, whatever is guessed, up to a wrong guess or the end."""
    V, rows = data.draw(st.integers(2, 40)), data.draw(st.integers(1, 8))
    ids = st.integers(0, V - 1)
    chance = np.random.default_rng(data.draw(st.integers(0, 999)))
    logits = chance.normal(0, data.draw(st.sampled_from([0.1, 2.0, 9.0])), (rows, V)).astype(np.float32)
    history = data.draw(st.lists(ids, max_size=90))
    end, early = data.draw(st.none() | ids), data.draw(st.integers(0, 2**rows - 1))
    params = SamplingParams(
        temperature=data.draw(st.sampled_from([0, 0.8])), top_k=data.draw(st.none() | st.integers(1, V)),
        top_p=data.draw(st.sampled_from([0.5, 1.0])), repetition_penalty=data.draw(st.sampled_from([1.0, 1.3])), seed=1,
    )  # fmt: skip
    for native in (True, False):
        single, several = (Sampler(params, native=native) for _ in range(2))
        expected = list[int]()
        for i, row in enumerate(logits):
            expected.append(single.next(row, [*history, *expected], not_now=end if early >> i & 1 else None))
        last = expected.index(end) if end in expected else rows - 1
        wrong = data.draw(st.integers(0, rows - 1))
        guesses = expected[: rows - 1]
        if wrong < rows - 1:
            guesses[wrong] = (guesses[wrong] + 1) % V
        several.begin(history, end)
        assert several.follow(logits, guesses, early) == expected[: min(last, wrong) + 1]
        # What the sampler took for rows that were not needed is not lost.
        again, both = several.follow(logits[:1]), [*history, *expected[: min(last, wrong) + 1]]
        reference = Sampler(params, native=native)
        for i in range(min(last, wrong) + 1):
            reference.next(logits[i], [], not_now=None)
        assert again == [reference.next(logits[0], both)]


def test_rows_that_do_not_fit_are_refused() -> None:
    sampler = NativeSampler(3)
    rows = np.zeros((2, 3), np.float32)
    with pytest.raises(KernelError, match="begin"):
        sampler.follow(rows, [1], [0.5, 0.5])
    with pytest.raises(KernelError):
        sampler.begin([2**64], window=4, end=None, temperature=1.0)
    with pytest.raises(KernelError):
        sampler.begin([1], window=4, end=3, temperature=1.0)
    sampler.begin([1, 7, -3], window=4, end=2, temperature=1.0)
    misfits: list[tuple[Any, list[int], list[float]]] = [
        (rows, [], [0.5] * 2), (rows, [1], [0.5]), (rows[:, :2], [1], [0.5] * 2), (rows, [1], [0.5] * 33),
        (rows.astype(np.float64), [1], [0.5] * 2), (rows * math.nan, [1], [0.5] * 2),
    ]  # fmt: skip
    for wrong, guesses, uniforms in misfits:
        with pytest.raises(KernelError):
            sampler.follow(wrong, guesses, uniforms)
    assert len(sampler.follow(rows[:, ::-1], [1], [0.5, 0.5])) <= 2


@pytest.mark.parametrize("top_p", [0.2, 0.9, 0.999])
def test_of_equal_probabilities_the_lowest_ids_are_kept(top_p: float) -> None:
    for V in (10, 3000):
        p = NativeSampler(V).process(np.zeros(V), [], temperature=1.0, top_p=top_p)
        kept = p.nonzero()[0].tolist()
        assert kept == list(range(len(kept)))
        assert abs(len(kept) - V * top_p) < 1.01


def test_draws_follow_the_distribution() -> None:
    sampler = NativeSampler(5)
    p = sampler.process([0.0, 1.0, 2.0, -1.0, 0.5], [], temperature=1.0)
    counts = np.zeros(5)
    for i in range(10_000):
        counts[sampler.draw(p, (i + 0.5) / 10_000)] += 1
    assert np.allclose(counts / 10_000, p, atol=2e-4)


@pytest.mark.parametrize(
    "logits",
    [
        [math.nan, 1.0, 2.0], [math.inf, 1.0, 2.0], [math.nan] * 3, [-math.inf] * 3, [1.0, -math.inf, -math.inf],
        [1.0, 2.0], [],
    ],
)  # fmt: skip
def test_logits_that_give_no_distribution(logits: list[float]) -> None:
    for temperature in (0.0, 1.0):
        with pytest.raises(KernelError):
            NativeSampler(3, never=[0]).process(logits, [], temperature=temperature, top_p=0.9)


def test_numbers_out_of_any_range_are_refused_or_harmless() -> None:
    sampler, logits = NativeSampler(3), [1.0, 2.0, 3.0]
    for not_now in (3, -1, 2**32):
        with pytest.raises(KernelError):
            sampler.process(logits, [], temperature=1.0, not_now=not_now)
    with pytest.raises(KernelError):
        sampler.process(logits, [2**64], temperature=1.0)
    with pytest.raises(KernelError):
        NativeSampler(3, never=[3])
    with pytest.raises(KernelError):
        NativeSampler(0)
    harmless: list[dict[str, Any]] = [
        {"temperature": math.nan}, {"temperature": -1.0}, {"temperature": 1.0, "top_p": math.nan},
        {"temperature": 1.0, "top_p": -1.0}, {"temperature": 1.0, "penalty": 0.0}, {"temperature": 1.0, "top_k": -5},
        {"temperature": 1e-30, "top_p": 0.5},
    ]  # fmt: skip
    for wild in harmless:
        p = sampler.process(logits, [0, 7, -3], **wild)
        for uniform in (0.5, -1.0, 2.0, math.nan):
            assert 0 <= sampler.draw(p, uniform) < 3
    with pytest.raises(KernelError):
        sampler.draw(np.ones(2, np.float32), 0.5)
    assert 0 <= sampler.draw(np.full(3, np.nan, np.float32), 0.5) < 3
