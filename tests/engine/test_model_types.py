"""Llama, Qwen3 and GPT-2 blocks: the same numbers as transformers, and the same engine around them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import Engine, Lesson, SamplingParams, TeachParams, WeightsError
from engine.adapter import units_of, unpack_adapter
from engine.checkpoint import load_weights, save_weights
from engine.generation import LESSON_UNITS, STYLE_UNITS
from engine.host import fitting_dtype
from engine.model import GPT, GPTConfig, KVCache, UnitGroup
from engine.porter import EVERYWHERE
from engine.tokenizer import Tokenizer

V = 300  # of the tokenizer in `tiny_weights`
LLAMA = GPTConfig(V, block_size=64, n_layer=2, n_head=4, n_embd=32, n_ffn=48)
SHAPES = {
    "llama": LLAMA,
    "llama with shared keys": replace(LLAMA, n_kv_head=2, tie_embeddings=False),
    "llama with wide heads": replace(LLAMA, n_kv_head=1, head_width=16, activation="gelu", rope_theta=5e5),
    "llama with biases": replace(LLAMA, attention_bias=True, ffn_bias=True, activation="gelu_new"),
    "llama with scaled positions": replace(LLAMA, rope_scaling=(8.0, 1.0, 4.0, 16), head_width=16),
    "qwen3": replace(LLAMA, model_type="qwen3", n_kv_head=2),
    "qwen3 with relu2": replace(LLAMA, model_type="qwen3", activation="relu2", attention_bias=True),
    "gpt2": replace(LLAMA, model_type="gpt2", activation="gelu_new", n_ffn=80),
    "gpt2 with two matrices of tokens": replace(LLAMA, model_type="gpt2", activation="relu", tie_embeddings=False),
}
ONE_OF_EACH = ["llama with shared keys", "llama with biases", "qwen3", "gpt2"]
IDS = torch.arange(2 * 40).view(2, 40) * 7 % V


def randomize(model: torch.nn.Module, seed: int = 0, std: float = 0.25) -> None:
    """Weights that leave no part of a model without effect: matrices, norms and biases alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * std) if parameter.dim() < 2 else (
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            )


def make(config: GPTConfig, *, seed: int = 0) -> GPT:
    model = GPT(config)
    model.initialize()
    randomize(model, seed)
    for block in model.layers():
        block.feed_forward.blank()
    return model.eval().requires_grad_(False)


@pytest.fixture(params=SHAPES)
def config(request: pytest.FixtureRequest) -> GPTConfig:
    return SHAPES[request.param]


@pytest.fixture(params=ONE_OF_EACH)
def roomy(request: pytest.FixtureRequest) -> GPTConfig:
    """A shape with room for both groups of spare units."""
    return replace(SHAPES[request.param], n_long_term=3, n_session=5)


@pytest.fixture(scope="module")
def tokenizer(tiny_weights: Path) -> Tokenizer:
    return Tokenizer.load(tiny_weights)


def test_transformers_reads_what_we_write(config: GPTConfig, tokenizer: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    save_weights(tmp_path, make(config), tokenizer, {})
    theirs, report = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    loaded = load_weights(tmp_path)
    assert loaded.model.config == config
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(IDS), theirs(IDS).logits, atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shards", ["100MB", "20KB"])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
def test_we_read_what_transformers_writes(
    kind: str, shards: str, dtype: torch.dtype, tiny_weights: Path, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    llama = {
        "num_key_value_heads": 2, "max_position_embeddings": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "hidden_size": 32, "intermediate_size": 48, "head_dim": 16,
    }  # fmt: skip
    gpt2 = {"n_positions": 64, "n_layer": 2, "n_head": 4, "n_embd": 32}
    shape = AutoConfig.for_model(kind, vocab_size=V, **(gpt2 if kind == "gpt2" else llama))
    made = AutoModelForCausalLM.from_config(shape)
    randomize(made)
    made.to(dtype).save_pretrained(tmp_path, max_shard_size=shards)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shards == "20KB")
    shutil.copy(tiny_weights / "tokenizer.json", tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(load_weights(tmp_path).model(IDS), theirs(IDS).logits, atol=1e-3, rtol=0)


def test_reading_in_pieces_gives_the_logits_of_reading_at_once(config: GPTConfig) -> None:
    model, cache, rows = make(config), KVCache(config, torch.float32), []
    assert cache.k.shape == (2, config.kv_heads, 64, config.head_dim)
    for piece in IDS[:1].split([1, 7, 1, 1, 20, 10], dim=1):
        rows.append(model(piece, cache=cache))
    torch.testing.assert_close(torch.cat(rows, dim=1), model(IDS[:1]), atol=1e-4, rtol=1e-4)


def test_a_position_sees_only_its_own_document(config: GPTConfig) -> None:
    model = make(config)
    documents = torch.tensor([[0] * 15 + [1] * 25, [4] * 40])
    masked, other = model(IDS, documents=documents), IDS.clone()
    other[0, :15] = 3
    assert torch.equal(model(other, documents=documents)[0, 15:], masked[0, 15:])
    torch.testing.assert_close(masked[1], model(IDS)[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(masked[0, :15], model(IDS)[0, :15], atol=1e-4, rtol=1e-4)
    if model.positions is None:  # positions that turn tell only distances
        torch.testing.assert_close(masked[0, 15:], model(IDS[:1, 15:])[0], atol=1e-3, rtol=1e-3)


def test_checkpointed_gradients_are_those_of_a_plain_pass(config: GPTConfig) -> None:
    model, gradients = make(config).train().requires_grad_(True), []
    documents = torch.arange(40).div(9, rounding_mode="floor").expand(2, -1)
    for again in (False, True):
        model.gradient_checkpointing = again
        model.zero_grad()
        model(IDS[:, :-1], IDS[:, 1:], documents=documents[:, 1:]).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, computed_again in zip(*gradients, strict=True):
        torch.testing.assert_close(computed_again, plain)


def test_weights_are_counted_before_there_are_any(config: GPTConfig) -> None:
    roomy = replace(config, n_long_term=3, n_session=5)
    assert roomy.n_weights == sum(p.numel() for p in GPT(roomy).parameters())
    assert GPT(roomy).parameter_count() == config.n_weights == sum(p.numel() for p in GPT(config).parameters())


def test_a_fresh_model_is_the_identity_and_its_spare_units_stay_blank(roomy: GPTConfig) -> None:
    model = GPT(roomy)
    torch.manual_seed(0)
    model.initialize()
    start = torch.nn.functional.embedding(IDS, model.embedding.weight)
    start = start if model.positions is None else start + model.positions.weight[:40]
    torch.testing.assert_close(model.hidden(IDS), model.norm(start))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = model(IDS[:, :-1], IDS[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for block in model.layers():
        for kind in ("long_term", "session"):
            assert not any(part.count_nonzero() for part in block.feed_forward.group(kind))


def test_units_in_place_do_what_they_do_beside(roomy: GPTConfig) -> None:
    model, generator = make(roomy), torch.Generator().manual_seed(3)
    blank = model(IDS)
    for kind, r in (("long_term", 3), ("session", 5)):
        groups = [
            UnitGroup(*(torch.randn(shape, generator=generator) * 0.3 for shape in ((r, 32), (r, 32), (32, r))))
            for _ in range(roomy.n_layer)
        ]
        beside = model(IDS, taught=groups)
        assert not torch.allclose(beside, blank)
        for block, group in zip(model.layers(), groups, strict=True):
            for room, part in zip(block.feed_forward.group(kind), group, strict=True):
                room.copy_(part)
        torch.testing.assert_close(model(IDS), beside, atol=1e-4, rtol=1e-4)
        for block in model.layers():
            for room in block.feed_forward.group(kind):
                room.zero_()
        assert torch.equal(model(IDS), blank)


def test_every_type_can_be_taught(roomy: GPTConfig, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_weights(tmp_path, make(replace(roomy, block_size=128)), tokenizer, {})
    engine, ids = Engine.load(tmp_path), IDS[0].tolist()
    base = engine.logits(ids)
    taught = engine.teach(Lesson("The fox is", "Tom"), TeachParams(max_steps=8))
    learnt = unpack_adapter(taught.adapter, engine.config, engine.base_id)
    units = UnitGroup(*(torch.from_numpy(part).float() for part in units_of(learnt, len(learnt[0].units))))
    units = units._replace(down=units.down * EVERYWHERE)
    expected = load_weights(tmp_path).model(IDS, taught=[None] * (roomy.n_layer - 1) + [units])[0]
    np.testing.assert_allclose(
        engine.logits(ids, adapters=[taught.adapter], always_on=True), expected.numpy(), atol=2e-2, rtol=0
    )
    assert not np.array_equal(engine.logits(ids, adapters=[taught.adapter], always_on=True), base)
    assert np.array_equal(engine.logits(ids), base)


def test_a_folder_says_how_many_spare_units_it_wants(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name, config in (("silent", LLAMA), ("asking", replace(LLAMA, n_long_term=8, n_session=4))):
        save_weights(tmp_path / name, make(config), tokenizer, {})
    silent, asking = load_weights(tmp_path / "silent").model.config, load_weights(tmp_path / "asking").model.config
    assert (silent.n_long_term, silent.n_session) == (0, 0)
    assert (asking.n_long_term, asking.n_session) == (8, 4)
    asking = Engine.load(tmp_path / "asking").config  # which has room for a channel's lessons and a style anyway
    assert (asking.n_long_term, asking.n_session) == (STYLE_UNITS, LESSON_UNITS)
    other = load_weights(tmp_path / "asking", n_long_term=2, n_session=0).model.config
    assert (other.n_long_term, other.n_session) == (2, 0)


def test_half_precision_halves_weights_and_cache_and_writes_on(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name in ONE_OF_EACH:
        save_weights(tmp_path, make(SHAPES[name]), tokenizer, {})
        engine = Engine.load(tmp_path, compute_dtype="float16")
        assert engine.info.backend == "torch, float16"
        done = engine.generate("Once", SamplingParams(max_new_tokens=90, min_new_tokens=90, seed=1))
        assert (done.tokens, done.finish_reason) == (90, "length")
        whole = load_weights(tmp_path).model(IDS)[0]
        np.testing.assert_allclose(engine.logits(IDS[0].tolist()), whole.detach().numpy(), atol=0.3, rtol=0.1)


def test_memory_decides_what_is_computed_in() -> None:
    assert fitting_dtype(LLAMA, None) == "float32"
    assert fitting_dtype(LLAMA, "bfloat16") == "bfloat16"
    vast = replace(LLAMA, n_layer=1000, n_embd=8192, n_ffn=1 << 20, block_size=1 << 18)
    for dtype in (None, "float32"):
        with pytest.raises(WeightsError, match="shorter context"):
            fitting_dtype(vast, dtype)


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("llama", {"hidden_act": "tanh"}, "activation 'tanh'"),
        ("llama", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "'yarn'"),
        ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "low_freq_factor"),
        ("llama", {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "different for each layer"),
        ("llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "part of each head"),
        ("llama", {"rope_theta": -1.0}, "rope_theta"),
        ("llama", {"rope_theta": float("nan")}, "NaN, which is no number"),
        ("llama", {"rope_parameters": 3}, "copy the folder again"),
        ("llama", {"num_key_value_heads": 3}, "share 3 of keys"),
        ("llama", {"num_hidden_layers": 10**6}, "do not fit"),
        ("llama", {"max_position_embeddings": 10**7}, "do not fit"),
        ("llama", {"n_session": 10**5}, "n_session"),
        ("llama", {"n_long_term": "x"}, "n_long_term"),
        ("llama", {"rms_norm_eps": 10**400}, "copy the folder again"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 8}, "sliding"),
        ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "sliding"),
        ("qwen3", {"layer_types": 5}, "copy the folder again"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scaled in another way"),
        ("gpt2", {"add_cross_attention": True}, "cross-attention"),
        ("gpt2", {"n_head": 5}, "heads"),
        ("gpt2", {"activation_function": ["gelu"]}, "copy the folder again"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(
    kind: str, change: dict[str, object], told: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save_weights(tmp_path, make(SHAPES[kind]), tokenizer, {})
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError) as caught:
        Engine.load(tmp_path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
