"""python -m training grow --from WEIGHTS --preset hearth --out DIR

A larger model that begins where a smaller one ended: deeper, wider or both, and at first with the very same output.
A run that starts from it (`train --init-from DIR`) spends nothing on what the small one knows already.

Everything new is silent: rows and columns that write to the residual stream are zero, those that read from it are
random. Net2Net (Chen et al. 2016, https://arxiv.org/abs/1511.05641) keeps the function by copying units, which leaves
twins to be told apart; zeros need no such care, as in the growth operators of bert2BERT (Chen et al. 2022) and of
Gesmundo & Maile 2023 (https://arxiv.org/abs/2308.06103), whose norm is rescaled for the wider stream in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from config.presets import Preset
from engine.checkpoint import load_weights, save_weights
from engine.model import GPT, GPTConfig
from training.errors import RunError


def grow(source: Path, preset: Preset, out: Path, *, seed: int = 1) -> GPTConfig:
    """Write the weights in `source` at the shape of `preset` into `out`, a weights folder; returns that shape.

    Raises:
        RunError: the preset is smaller somewhere, its heads are of another width, or `out` holds weights already.
        WeightsError: `source` holds no weights.
    """
    if (out / "model.safetensors").exists():
        raise RunError(f"{out} holds weights already; name another folder.")
    small = load_weights(source)
    shape = preset.model
    config = replace(
        small.model.config, n_layer=shape.n_layer, n_head=shape.n_head, n_embd=shape.n_embd, n_ffn=shape.n_ffn,
        block_size=shape.block_size,
    )  # fmt: skip
    model = grow_model(small.model, config, seed=seed)
    save_weights(out, model, small.tokenizer, {
        "name": out.resolve().name, "rating": small.card.get("rating", "general"), "parameters": model.parameter_count(),
        "about": f"{small.card.get('name', source.name)} at the shape of {preset.name}, not trained further",
        "grown_from": {"name": small.card.get("name", source.name), "base_id": small.base_id,
                       "corpora": small.card.get("corpora", []), "training": small.card.get("training", {})},
    })  # fmt: skip
    return config


@torch.no_grad()
def grow_model(small: GPT, config: GPTConfig, *, seed: int = 1) -> GPT:
    """A model of shape `config` whose logits are those of `small`, but for rounding."""
    old = small.config
    for name in ("n_layer", "n_head", "n_embd", "n_ffn", "block_size"):
        if getattr(config, name) < getattr(old, name):
            raise RunError(f"The weights have {name} {getattr(old, name)}, the preset less; name a larger preset.")
    if config.head_dim != old.head_dim:
        raise RunError(f"The weights have heads of width {old.head_dim}, the preset {config.head_dim}; make them equal.")
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
        parts = origin.attention.qkv.weight.chunk(3)  # (3C, C) -> 3 x (C, C)
        wide = [widen(part, config.n_embd, config.n_embd, reads=True) for part in parts]
        block.attention.qkv.weight.copy_(torch.cat(wide))
        parts = origin.feed_forward.gate_up.weight.chunk(2)  # (2F, C) -> 2 x (F, C)
        wide = [widen(part, config.n_ffn, config.n_embd, reads=True) for part in parts]
        block.feed_forward.gate_up.weight.copy_(torch.cat(wide))
        out, down = origin.attention.out.weight, origin.feed_forward.down.weight  # (C, C), (C, F)
        if layer not in kept:  # a new layer reads as its neighbour does and says nothing yet
            out, down = torch.zeros(C, C), torch.zeros(C, F)
        block.attention.out.weight.copy_(widen(out, config.n_embd, config.n_embd, reads=False))
        block.feed_forward.down.weight.copy_(widen(down, config.n_embd, config.n_ffn, reads=False))
        block.attention_norm.weight.copy_(norm(origin.attention_norm.weight))
        block.feed_forward_norm.weight.copy_(norm(origin.feed_forward_norm.weight))
    return model
