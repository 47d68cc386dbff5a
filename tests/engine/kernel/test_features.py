"""What the last block reads and leaves behind, the parts of the model around the blocks, and units that come and go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import KernelError
from engine.kernel import Kernel
from engine.model import GPT, GPTConfig
from engine.shape import Floats, UnitGroup
from tests.engine.kernel.material import ISAS, SMALL, make_model, near, needs_kernel, reference

pytestmark = needs_kernel
IDS = [i * 7 % 70 for i in range(80)]


def seen_by_torch(model: GPT, ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The input of the last block's feed-forward and the output of the block, both (T, C), as torch has them."""
    found: list[torch.Tensor] = []
    last = list(model.layers())[-1]
    hooks = [
        last.feed_forward.register_forward_pre_hook(lambda module, given: found.append(given[0][0])),
        last.register_forward_hook(lambda module, given, output: found.append(output[0])),
    ]
    reference(model, ids)
    for hook in hooks:
        hook.remove()
    fed, residual = found
    return fed, residual


def some_units(r: int, seed: int, C: int = SMALL.n_embd) -> UnitGroup:
    chance = np.random.default_rng(seed)
    return UnitGroup(*(chance.normal(size=shape).astype(np.float16) for shape in ((r, C), (r, C), (C, r))))


def same(a: Floats, b: Floats) -> bool:
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))  # bit for bit


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("config", [SMALL, replace(SMALL, n_embd=40, model_type="qwen3", n_layer=3)])
def test_features_are_those_of_torch_at_every_position(isa: str, threads: int, config: GPTConfig) -> None:
    model = make_model(config)
    kernel = Kernel.from_model(model, isa=isa, threads=threads)
    for n in (1, 5, 64, 65, 80):
        fed, residual = kernel.features(IDS[:n])
        assert kernel.length == n
        for found, expected in zip((fed, residual), seen_by_torch(model, IDS[:n]), strict=True):
            near(torch.from_numpy(found), expected)


def test_features_leave_the_cache_that_reading_leaves() -> None:
    model = make_model(SMALL)
    kernel, other = Kernel.from_model(model), Kernel.from_model(model)
    kernel.rows([3, 3, 3])
    kernel.features(IDS[:70])
    other.rows(IDS[:70])
    assert same(kernel.rows([4, 5], every=True), other.rows([4, 5], every=True))


def test_features_take_no_session_units_but_those_of_a_style() -> None:
    kernel, bare = (Kernel.from_model(make_model(SMALL)) for _ in range(2))
    for each in (kernel, bare):
        each.attach([some_units(4, 1), some_units(4, 2)], "long_term")
    kernel.attach([None, some_units(6, 3)])
    assert all(same(a, b) for a, b in zip(kernel.features(IDS), bare.features(IDS), strict=True))
    assert not same(kernel.rows(IDS, 0), bare.rows(IDS, 0))  # they are still there


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bits", [16, 8])
def test_logits_follow_from_a_residual_and_the_parts_behind_the_blocks(tied: bool, bits: int) -> None:
    config = replace(SMALL, tie_embeddings=tied)
    model = make_model(config)
    kernel = Kernel.from_model(model, bits=bits, group=40)
    assert np.array_equal(kernel.matrix("embedding"), model.embedding.weight.detach().numpy())
    assert np.array_equal(kernel.matrix("final_norm"), model.norm.weight.detach().numpy())
    _, residual = kernel.features(IDS)  # (T, C)
    scale = 1 / np.sqrt((residual**2).mean(1, keepdims=True) + config.norm_eps)  # (T, 1)
    logits = residual * scale * kernel.matrix("final_norm") @ kernel.matrix("head").T  # (T, V)
    near(torch.from_numpy(logits), torch.from_numpy(kernel.rows(IDS, 0, every=True)), 1e-5)


def test_what_is_not_there_is_refused_and_changes_nothing() -> None:
    kernel = Kernel.from_model(make_model(SMALL))
    before = kernel.rows([1, 2])
    for ids in ([], [70], [1] * 81):
        with pytest.raises(KernelError):
            kernel.features(ids)
    with pytest.raises(KernelError):
        kernel.matrix("qkv")  # type: ignore[arg-type]
    for which in ([], [True] * 5, [[True] * 6]):
        with pytest.raises(KernelError):
            kernel.admit(which)  # type: ignore[arg-type]
    assert kernel.length == 2
    assert same(kernel.rows([1, 2], 0), before)
    empty = Kernel(SMALL)
    for use in (lambda: empty.features([1]), lambda: empty.matrix("head")):
        with pytest.raises(KernelError, match="were not put"):
            use()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_units_that_are_not_admitted_are_as_if_they_were_blank(data: st.DataObject) -> None:
    """Bit for bit, in any order of attaching and admitting, and beside a style."""
    config = replace(SMALL, n_session=37)
    isa, threads = data.draw(st.sampled_from(ISAS)), data.draw(st.integers(1, 2))
    kernel, plain = (Kernel.from_model(make_model(config), isa=isa, threads=threads) for _ in range(2))
    styled = data.draw(st.booleans())
    for each in (kernel, plain):
        each.attach([some_units(4, 1), some_units(4, 2)] if styled else None, "long_term")
    group: UnitGroup | None = None
    admitted = np.ones(37, dtype=np.bool_)
    for step in data.draw(st.lists(st.sampled_from(["attach", "admit", "detach"]), min_size=1, max_size=5)):
        if step == "admit":
            admitted = np.array(data.draw(st.lists(st.booleans(), min_size=37, max_size=37)))
            kernel.admit(admitted)
        else:
            group = some_units(37, data.draw(st.integers(0, 9))) if step == "attach" else None
            kernel.attach([None, group])
        left = None
        if group is not None:
            left = UnitGroup(group.gate * admitted[:, None], group.up * admitted[:, None], group.down * admitted)
        plain.attach([None, left])
        assert same(kernel.rows(IDS[:20], 0, every=True), plain.rows(IDS[:20], 0, every=True))


def test_admitting_is_for_all_session_units_again_where_nothing_is_said() -> None:
    kernel = Kernel.from_model(make_model(SMALL))
    base = kernel.rows(IDS)
    kernel.attach([None, some_units(6, 1)])
    taught = kernel.rows(IDS, 0)
    kernel.admit([False] * 6)
    assert same(kernel.rows(IDS, 0), base)
    kernel.admit(None)
    assert same(kernel.rows(IDS, 0), taught)
    assert not same(taught, base)
