"""What is in the cache: reused where a prompt goes on, moved where its oldest text has left, and never wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import GPT
from engine.shape import Floats, GPTConfig, ModelType, UnitGroup, UnitKind
from engine.torch_decoder import TorchDecoder
from engine.window import Window

V, BLOCK = 60, 64
PREFIX = [1, 2, 3]
TEXT = [i * 7 % 50 + 5 for i in range(40)]


def make(model_type: ModelType = "llama", n_layer: int = 1) -> GPT:
    torch.manual_seed(0)
    config = GPTConfig(V, block_size=BLOCK, n_layer=n_layer, n_head=2, n_embd=16, n_ffn=24, model_type=model_type)
    model = GPT(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


class Counting(TorchDecoder):
    """Tells how many ids were read."""

    read = 0

    def rows(self, ids: Sequence[int], *, every: bool = False) -> Floats:
        self.read += len(ids)
        return super().rows(ids, every=every)


def fresh(model: GPT, ids: Sequence[int]) -> Floats:
    """The last row that the model gives for these ids and nothing else."""
    with torch.inference_mode():
        row: Floats = model(torch.tensor([list(ids)]))[0, -1].numpy()  # (1, T) -> (1, T, V) -> (V,)
    return row


def test_a_prompt_that_goes_on_is_read_where_it_is_new() -> None:
    model = make(n_layer=2)
    decoder = Counting(model)
    window = Window(decoder)
    window.read([*PREFIX, *TEXT], len(PREFIX))
    decoder.read = 0
    row = window.read([*PREFIX, *TEXT, 8, 9], len(PREFIX))
    assert decoder.read == 2
    np.testing.assert_allclose(row, fresh(model, [*PREFIX, *TEXT, 8, 9]), atol=1e-5, rtol=1e-5)


def test_the_same_prompt_again_costs_one_position() -> None:
    decoder = Counting(make())
    window = Window(decoder)
    first = window.read([*PREFIX, *TEXT], len(PREFIX))
    decoder.read = 0
    np.testing.assert_allclose(window.read([*PREFIX, *TEXT], len(PREFIX)), first, atol=1e-5, rtol=1e-5)
    assert decoder.read == 1


@pytest.mark.parametrize("kept", [1, 2])
def test_nothing_is_left_of_a_prefix_that_became_shorter(kept: int) -> None:
    model = make(n_layer=2)
    window = Window(Counting(model))
    window.read([*PREFIX, *TEXT], len(PREFIX))
    ids = [*PREFIX[:kept], *TEXT, 8, 9]
    np.testing.assert_allclose(window.read(ids, kept), fresh(model, ids), atol=1e-5, rtol=1e-5)


def test_another_summary_is_read_anew() -> None:
    model = make(n_layer=2)
    window = Window(TorchDecoder(model))
    window.read([*PREFIX, *TEXT], len(PREFIX))
    row = window.read([1, 4, 4, *TEXT], 3)
    np.testing.assert_allclose(row, fresh(model, [1, 4, 4, *TEXT]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("first", [TEXT[10], 55], ids=["as it was read", "without its space"])
def test_a_text_that_lost_its_beginning_moves_forward(first: int) -> None:
    model = make()  # of one block: keys and values do not depend on what stands before
    decoder = Counting(model)
    window = Window(decoder)
    window.read([*PREFIX, *TEXT], len(PREFIX))
    decoder.read = 0
    row = window.read([*PREFIX, first, *TEXT[11:], 8, 9], len(PREFIX))
    assert decoder.read == 2
    np.testing.assert_allclose(row, fresh(model, [*PREFIX, *TEXT[10:], 8, 9]), atol=1e-4, rtol=1e-4)


def test_learned_positions_never_move() -> None:
    model = make("gpt2", n_layer=2)
    window = Window(TorchDecoder(model))
    window.read([*PREFIX, *TEXT], len(PREFIX))
    row = window.read([*PREFIX, *TEXT[10:], 8, 9], len(PREFIX))
    np.testing.assert_allclose(row, fresh(model, [*PREFIX, *TEXT[10:], 8, 9]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gpt2"])
def test_a_full_context_keeps_its_prefix_and_its_newest_text(model_type: ModelType) -> None:
    model = make(model_type)
    window, written = Window(TorchDecoder(model)), list(TEXT)
    window.read([*PREFIX, *written], len(PREFIX))
    for i in range(10 * BLOCK):
        if window.left == 0:
            window.make_room()
        written.append(i * 11 % 50 + 5)
        row = window.follow(written[-1:])[-1]
    stays = window.length - len(PREFIX)
    assert stays > BLOCK // 3
    np.testing.assert_allclose(row, fresh(model, [*PREFIX, *written[-stays:]]), atol=1e-3, rtol=1e-3)


def test_units_that_change_make_the_window_forget() -> None:
    model = make()
    decoder = TorchDecoder(model)
    window = Window(decoder)
    window.read([*PREFIX, *TEXT], len(PREFIX))
    groups: list[UnitGroup | None] = [None]
    kind: UnitKind = "session"
    decoder.attach(groups, kind)
    window.forget()
    assert (window.length, decoder.length) == (0, 0)


ids = st.lists(st.integers(0, 8), min_size=1, max_size=40)  # few ids, so that texts agree by chance


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["read", "cut start", "go on", "guess", "fill"]), ids), max_size=12))
def test_whatever_is_asked_the_last_row_is_that_of_what_the_window_holds(steps: list[tuple[str, list[int]]]) -> None:
    model = make()
    window, held = Window(TorchDecoder(model)), list(PREFIX)
    window.read(held, len(PREFIX))
    for step, new in steps:
        if step == "read":
            held = [*PREFIX, *new]
            row = window.read(held, len(PREFIX))
        elif step == "cut start":  # the oldest text leaves, and the story goes on
            held = [*PREFIX, *held[len(PREFIX) + len(new) :], *new][:BLOCK]
            row = window.read(held, len(PREFIX))
        elif step == "go on":
            held = [*held, *new][:BLOCK]
            row = window.read(held, len(PREFIX))
        elif step == "guess" and window.left:
            tried = new[: min(window.left, 8)]
            rows, right = window.follow(tried), len(tried) // 2 + 1
            window.cut(window.length - len(tried) + right)
            held, row = [*held, *tried[:right]], rows[right - 1]
        else:
            while window.left:
                held = [*held, new[0]]
                window.follow(new[:1])
            window.make_room()
            held = [*PREFIX, *held[len(held) - window.length + len(PREFIX) :], *new[:1]]
            row = window.follow(new[:1])[-1]
        assert window.length == len(held)
        np.testing.assert_allclose(row, fresh(model, held), atol=2e-3, rtol=2e-3)
