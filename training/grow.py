"""python -m training grow --from WEIGHTS --preset hearth --out DIR

A larger model that begins where a smaller one ended: deeper, wider or both, and at first with the very same output.
A run that starts from it (`train --init-from DIR`) spends nothing on what the small one knows already.

Everything new is silent: rows and columns that write to the residual stream are zero, those that read from it are
random. Net2Net (Chen et al. 2016, https://arxiv.org/abs/1511.05641) keeps the function by copying units, which leaves
twins to be told apart; zeros, as in Gesmundo & Maile 2023 (https://arxiv.org/abs/2308.06103), need no such care.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from config.presets import Preset
from engine.blocks import RMSNorm
from engine.checkpoint import load_weights, save_weights
from engine.model import GPT, GPTConfig
from training.errors import RunError

NEVER_SHRINK = ("n_layer", "n_head", "kv_heads", "n_embd", "n_ffn", "block_size")
ALWAYS_EQUAL = ("model_type", "activation", "head_dim")


def grow(source: Path, preset: Preset, out: Path, *, seed: int = 1) -> GPTConfig:
    """Write the weights in `source` at the shape of `preset` into `out`, a weights folder; returns that shape.

    Raises:
        RunError: the preset's shape cannot hold these weights, or `out` holds weights already.
        WeightsError: `source` holds no weights.
    """
    if (out / "model.safetensors").exists():
        raise RunError(f"{out} holds weights already; name another folder.")
    small = load_weights(source)
    config = replace(small.model.config, **asdict(preset.model))
    model = grow_model(small.model, config, seed=seed)
    card, name = small.card, small.card.get("name", source.resolve().name)
    save_weights(out, model, small.tokenizer, {
        "name": out.resolve().name, "rating": card.get("rating", "general"), "parameters": model.parameter_count(),
        "about": f"{name} at the shape of {preset.name}, not trained further",
        "grown_from": {"name": name, "base_id": small.base_id, "corpora": card.get("corpora", []),
                       "training": card.get("training", {})},
    })  # fmt: skip
    return config


def check_shapes(old: GPTConfig, new: GPTConfig) -> None:
    """Refuse what zeros cannot bridge."""
    if new.model_type == "gpt2" or new.attention_bias or new.ffn_bias:
        raise RunError("Only llama and qwen3 blocks without biases grow, as a LayerNorm sees zeros; train it anew.")
    for name in ALWAYS_EQUAL:
        if getattr(new, name) != getattr(old, name):
            theirs, ours = getattr(old, name), getattr(new, name)
            raise RunError(f"The weights have {name} {theirs}, the preset {ours}; make them equal.")
    for name in NEVER_SHRINK:
        if getattr(new, name) < getattr(old, name):
            raise RunError(f"The weights have {name} {getattr(old, name)}, the preset less; name a larger preset.")
    if new.tie_embeddings and not old.tie_embeddings:
        raise RunError("The weights read and write tokens with two matrices, the preset with one; set tie_embeddings.")
    if new.n_head * old.kv_heads != old.n_head * new.kv_heads:
        raise RunError("The preset shares keys among other heads than the weights do; keep n_head / n_kv_head.")


@torch.no_grad()
def grow_model(small: GPT, config: GPTConfig, *, seed: int = 1) -> GPT:
    """A model of shape `config` whose logits are those of `small`, but for rounding and the epsilon in its norms.

    Raises:
        RunError: the shape cannot hold the weights.
    """
    old = small.config
    check_shapes(old, config)
    generator = torch.Generator().manual_seed(seed)
    C, F = old.n_embd, old.n_ffn
    model = GPT(config)

    def widen(weight: Tensor, rows: int, columns: int, *, reads: bool) -> Tensor:
        """(m, n) to (rows, columns); new columns and the rows that read are random, all else is zero."""
        wide = torch.zeros(rows, columns)
        if reads:
            wide.normal_(std=float(weight.std()), generator=generator)
        wide[: weight.size(0), : weight.size(1)] = weight
        return wide

    def norm(weight: Tensor) -> Tensor:
        """The root mean square of a stream that is zero in its new part is smaller by this factor."""
        scaled = weight * (C / config.n_embd) ** 0.5
        return torch.cat((scaled, scaled.mean().expand(config.n_embd - C)))  # (C,) -> (n_embd,)

    model.embedding.weight.copy_(widen(small.embedding.weight, config.vocab_size, config.n_embd, reads=False))
    model.norm.weight.copy_(norm(small.norm.weight))
    if not config.tie_embeddings:
        model.head.weight.copy_(widen(small.head.weight, config.vocab_size, config.n_embd, reads=True))
    kept = {(i + 1) * config.n_layer // old.n_layer - 1: i for i in range(old.n_layer)}  # new layer -> old layer
    blocks = list(small.layers())
    for layer, block in enumerate(model.layers()):
        nearest = min(kept, key=lambda at: (abs(at - layer), at))
        origin = blocks[kept[nearest]]
        ours, theirs = block.attention, origin.attention
        parts = torch.split(theirs.qkv.weight, list(theirs.parts))  # queries, keys, values: (n D, C)
        wide = [widen(part, rows, config.n_embd, reads=True) for part, rows in zip(parts, ours.parts, strict=True)]
        ours.qkv.weight.copy_(torch.cat(wide))
        units = [part[:F] for part in origin.feed_forward.gate_up.weight.chunk(2)]  # gates, ups: (U, C) -> (F, C)
        wide = [widen(part, config.n_units, config.n_embd, reads=True) for part in units]
        block.feed_forward.gate_up.weight.copy_(torch.cat(wide))
        speaks = float(layer in kept)  # a new layer reads as its neighbour does and says nothing yet
        out, down = speaks * theirs.out.weight, speaks * origin.feed_forward.down.weight[:, :F]  # (C, H D), (C, F)
        ours.out.weight.copy_(widen(out, config.n_embd, ours.out.weight.size(1), reads=False))
        block.feed_forward.down.weight.copy_(widen(down, config.n_embd, config.n_units, reads=False))
        block.feed_forward.blank()
        block.attention_norm.weight.copy_(norm(origin.attention_norm.weight))
        block.feed_forward_norm.weight.copy_(norm(origin.feed_forward_norm.weight))
        for mine, its in ((ours.q_norm, theirs.q_norm), (ours.k_norm, theirs.k_norm)):
            if isinstance(mine, RMSNorm) and isinstance(its, RMSNorm):
                mine.weight.copy_(its.weight)  # (D,): heads keep their width
    return model
