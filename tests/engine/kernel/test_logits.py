"""The kernel against the torch model in FP32."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from config.presets import load_preset, preset_names
from engine.kernel import Kernel, unknown
from engine.model import GPTConfig, KVCache
from engine.shape import UnitGroup
from tests.engine.kernel.material import ISAS, SMALL, make_model, near, needs_kernel, reference, rounded_reference

pytestmark = needs_kernel


def preset_shape(name: str) -> GPTConfig:
    """The preset's own shape, with fewer layers and tokens where it is too large for a test."""
    preset = load_preset(name)
    shape, vocab = preset.model, min(preset.tokenizer.vocab_size, 2048)
    layers = max(1, min(shape.n_layer, 4_000_000 // (12 * shape.n_embd**2)))
    return GPTConfig(
        vocab, shape.block_size, layers, shape.n_head, shape.n_embd, shape.n_ffn, n_kv_head=shape.n_kv_head,
        model_type=shape.model_type, activation=shape.activation, tie_embeddings=shape.tie_embeddings,
        n_long_term=shape.n_long_term, n_session=shape.n_session,
    )  # fmt: skip


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_at_every_fill(name: str) -> None:
    config = preset_shape(name)
    if config.model_type == "gpt2":
        assert unknown(config)
        return
    model = make_model(config, taught=True)
    ids = torch.randint(0, config.vocab_size, (config.block_size,)).tolist()
    expected = reference(model, ids)  # (T, V): behind 1, 2, ... block_size positions
    for isa in ISAS:
        kernel = Kernel.from_model(model, isa=isa)
        all_at_once, singly = (2048, 256) if isa == ISAS[0] else (512, 40)  # singly is how text is written
        near(kernel.logits(ids[:all_at_once], every=True), expected[:all_at_once])
        near(torch.stack([kernel.logits([token], at) for at, token in enumerate(ids[:singly])]), expected[:singly])
        kernel.close()


@st.composite
def shapes(draw: st.DrawFn) -> GPTConfig:
    kv_heads = draw(st.integers(1, 3))
    head_dim = 2 * draw(st.integers(1, 24))
    return GPTConfig(
        vocab_size=draw(st.integers(1, 90)),
        block_size=draw(st.integers(1, 70)),
        n_layer=draw(st.integers(1, 2)),
        n_head=kv_heads * draw(st.integers(1, 3)),
        n_kv_head=kv_heads,
        head_width=head_dim,
        n_embd=draw(st.integers(1, 70)),
        n_ffn=draw(st.integers(1, 70)),
        n_long_term=draw(st.integers(0, 5)),
        n_session=draw(st.integers(0, 35)),
        model_type=draw(st.sampled_from(["llama", "qwen3"])),
        activation=draw(st.sampled_from(["silu", "relu2"])),
        tie_embeddings=draw(st.booleans()),
        attention_bias=draw(st.booleans()),
        ffn_bias=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(shapes(), st.data())
def test_any_shape_read_in_any_pieces(config: GPTConfig, data: st.DataObject) -> None:
    model = make_model(config, data.draw(st.integers(0, 99)), taught=data.draw(st.booleans()))
    kernel = Kernel.from_model(model, isa=data.draw(st.sampled_from(ISAS)), threads=data.draw(st.integers(1, 2)))
    ids = data.draw(st.lists(st.integers(0, config.vocab_size - 1), min_size=1, max_size=config.block_size))
    expected, at = rounded_reference(model, ids), 0
    while at < len(ids):
        n = data.draw(st.integers(1, len(ids) - at))
        near(kernel.logits(ids[at : at + n], at, every=True), expected[at : at + n])
        at += n
        if at < len(ids) and data.draw(st.booleans()):
            at = data.draw(st.integers(0, at))  # read some of it again, over what is there
            kernel.truncate(at)


@pytest.mark.parametrize("isa", ISAS)
def test_every_number_of_positions_at_once(isa: str) -> None:
    model = make_model(SMALL, taught=True)
    kernel = Kernel.from_model(model, isa=isa)
    ids = torch.randint(0, SMALL.vocab_size, (80,)).tolist()
    expected = reference(model, ids)
    for block in range(1, 81):
        kernel.truncate(0)
        for at in range(0, 80, block):
            near(kernel.logits(ids[at : at + block]), expected[min(at + block, 80) - 1])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [16, 8])
def test_logits_are_the_same_bit_for_bit_however_they_were_read(isa: str, bits: int) -> None:
    """So guesses that are verified together, or a prefix that stays in the cache, never change what is written."""
    config = replace(SMALL, n_embd=96, n_ffn=200, n_kv_head=2, model_type="qwen3", vocab_size=130, head_width=24)
    kernel = Kernel.from_model(make_model(config, taught=True), bits=bits, isa=isa, threads=2)
    ids = torch.randint(0, config.vocab_size, (80,)).tolist()
    singly = torch.stack([kernel.logits([token]) for token in ids])  # (T, V)
    for block in (2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 31, 64, 80):
        kernel.truncate(0)
        found = torch.cat([kernel.logits(ids[at : at + block], every=True) for at in range(0, 80, block)])  # (T, V)
        assert torch.equal(found, singly)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [2, 3])
def test_several_threads(isa: str, threads: int) -> None:
    model = make_model(SMALL)
    kernel = Kernel.from_model(model, isa=isa, threads=threads)
    assert kernel.threads == threads
    ids = torch.randint(0, SMALL.vocab_size, (80,)).tolist()
    near(torch.stack([kernel.logits([token]) for token in ids]), reference(model, ids))
    near(kernel.logits(ids, 0, every=True), reference(model, ids))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("group", [0, 32, 40])
def test_int8_is_torch_with_rounded_weights(isa: str, group: int) -> None:
    config = replace(SMALL, tie_embeddings=False)
    model = make_model(config, taught=True)
    kernel = Kernel.from_model(model, bits=8, group=group, isa=isa)
    F, U = config.n_ffn, config.n_units

    def rounded(weight: torch.Tensor) -> None:
        for part in weight.split(group or weight.size(1), dim=1):
            scale = part.abs().amax(1, keepdim=True) / 127
            part.copy_((part / scale).round() * scale)

    with torch.no_grad():
        rounded(model.head.weight)
        for block in model.layers():
            ffn = block.feed_forward
            for weight in (
                block.attention.qkv.weight, block.attention.out.weight,
                ffn.gate_up.weight[:F], ffn.gate_up.weight[U : U + F], ffn.down.weight[:, :F],
            ):  # fmt: skip
                rounded(weight)
    ids = torch.randint(0, config.vocab_size, (70,)).tolist()
    near(kernel.logits(ids, every=True), reference(model, ids))


def test_attached_units_are_those_of_torch_and_blank_ones_leave_nothing() -> None:
    model = make_model(SMALL)
    kernel = Kernel.from_model(model)
    ids = torch.randint(0, SMALL.vocab_size, (9,)).tolist()
    base = kernel.logits(ids)
    for kind, r in (("long_term", 4), ("session", 6)):
        group = UnitGroup(*(torch.randn(*shape).half() for shape in ((r, 48), (r, 48), (48, r))))
        kernel.attach([None, group], kind)
        with torch.no_grad():
            for own, part in zip(list(model.layers())[1].feed_forward.group(kind), group, strict=True):
                own.copy_(part)
        near(kernel.logits(ids, 0), reference(model, ids)[-1])
    kernel.attach(None)
    kernel.attach(None, "long_term")
    assert torch.equal(kernel.logits(ids, 0), base)


@pytest.mark.parametrize("isa", ISAS)
def test_behind_dropped_positions_keys_are_as_if_read_nearer(isa: str) -> None:
    model = make_model(SMALL)
    kernel = Kernel.from_model(model, isa=isa)
    ids = torch.randint(0, SMALL.vocab_size, (70,)).tolist()
    kernel.logits(ids)
    kernel.drop(5, 42)
    assert kernel.length == 33
    cache = KVCache(SMALL, torch.float32)
    with torch.no_grad():
        model(torch.tensor([ids]), cache=cache)
        assert model.cos is not None
        assert model.sin is not None
        cos, sin = model.cos[37], model.sin[37]  # (D,)
        first, second = cache.k[:, :, 42:70].chunk(2, -1)  # 2 x (n_layer, K, 28, D/2)
        cache.k[:, :, 5:33] = torch.cat((first, second), -1) * cos - torch.cat((-second, first), -1) * sin
        cache.v[:, :, 5:33] = cache.v[:, :, 42:70].clone()
        cache.length = 33
        for token in ids[:20]:
            near(kernel.logits([token]), model(torch.tensor([[token]]), cache=cache)[0, -1])
        kernel.drop(52, 53)  # the last one
        assert kernel.length == 52
        cache.length = 52
        near(kernel.logits([3, 4]), model(torch.tensor([[3, 4]]), cache=cache)[0, -1])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_window_that_slides_stays_near_one_that_was_never_rounded(data: st.DataObject) -> None:
    """Ten contexts long: each drop rounds keys once more, and what it costs stays within the bound."""
    model = make_model(SMALL, data.draw(st.integers(0, 99)))
    kernel = Kernel.from_model(model)
    kept, drops = data.draw(st.integers(0, 20)), data.draw(st.lists(st.integers(1, 40), min_size=20, max_size=20))
    cache = KVCache(SMALL, torch.float32)
    assert model.cos is not None
    assert model.sin is not None
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for n in drops:
            new = torch.randint(0, SMALL.vocab_size, (80 - cache.length,), generator=generator).tolist()
            near(kernel.logits(new), model(torch.tensor([new]), cache=cache)[0, -1], 1e-2)
            kernel.drop(kept, kept + n)
            cos, sin = model.cos[n], model.sin[n]  # (D,)
            first, second = cache.k[:, :, kept + n :].chunk(2, -1)  # 2 x (n_layer, K, 80 - kept - n, D/2)
            cache.k[:, :, kept : 80 - n] = torch.cat((first, second), -1) * cos - torch.cat((-second, first), -1) * sin
            cache.v[:, :, kept : 80 - n] = cache.v[:, :, kept + n :].clone()
            cache.length = 80 - n


def test_what_is_put_in_pieces_of_any_order_and_dtype_is_the_whole() -> None:
    config = replace(SMALL, n_long_term=0, n_session=0, tie_embeddings=False)
    model, ids = make_model(config), [1, 2, 3]
    whole = Kernel.from_model(model, bits=8).logits(ids)
    kernel = Kernel(config, bits=8)
    kernel.put("final_norm", 0, model.norm.weight.half())
    kernel.put("head", 0, model.head.weight[40:].half(), 40)
    kernel.put("head", 0, model.head.weight[:40].half())
    kernel.put("embedding", 0, model.embedding.weight.t().contiguous().t())  # columns that lie apart
    for i, block in enumerate(model.layers()):
        q, k, v = block.attention.qkv.weight.split(48)  # (3 C, C) -> 3 x (C, C)
        gate, up = block.feed_forward.gate_up.weight.chunk(2)  # (2 F, C) -> 2 x (F, C)
        kernel.put("qkv", i, v, 96)
        kernel.put("qkv", i, q.half())
        kernel.put("qkv", i, k, 48)
        kernel.put("out", i, block.attention.out.weight.double())
        kernel.put("gate", i, gate)
        kernel.put("down", i, block.feed_forward.down.weight.half())
        kernel.put("attention_norm", i, block.attention_norm.weight[24:], 24)
        kernel.put("attention_norm", i, block.attention_norm.weight[:24])
        kernel.put("ffn_norm", i, block.feed_forward_norm.weight)
        kernel.put("up", i, up)
    assert torch.equal(kernel.logits(ids), whole)


def test_bfloat16_is_put_as_it_is() -> None:
    model = make_model(replace(SMALL, n_long_term=0, n_session=0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().half().float())
    kernel, other = Kernel.from_model(model), Kernel.from_model(model.bfloat16())
    assert torch.equal(kernel.logits([5, 6]), other.logits([5, 6]))
