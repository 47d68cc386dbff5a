"""The model of a comparison: the engine's GPT, some of whose pieces are exchanged.

Without switches it is the engine's model, value by value, so that `base` is what `ember` trains. It trains only: there
is no cache. Sizes: B batch, T positions, C = n_embd, H heads, D = C / H, U units of one feed-forward layer,
V = vocab_size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.blocks import Attention, Block, FeedForward, KVCache, Linear, relu2, rotate
from engine.model import GPT, GPTConfig, visible
from engine.shape import UnitGroup

BIGRAM_BUCKETS, BIGRAM_WIDTH = 4096, 32  # 131 thousand weights; a table of all pairs would be V x V
SOFT_CAP = 15.0
LEAK = 0.5  # slope of the leaky ReLU below zero


@dataclass(frozen=True)
class Switches:
    """What the engine's model does not have; each is explained in `variants`."""

    plain_units: Literal["relu2", "leaky_relu2"] | None = None  # feed-forward without gates
    value_embedding: bool = False
    value_residual: bool = False
    attention_every: int = 1  # 2: the second, fourth, ... block has none
    width_slope: float = 0.0  # of the feed-forward: the last block has 1 + slope, the first 1 - slope of the mean
    zero_init: bool = True
    soft_cap: bool = False
    smear: bool = False
    bigram: bool = False


@dataclass
class Values:
    """What attention layers hand each other within one pass, each (B, H, T, D)."""

    table: Tensor | None = None  # of the value embedding
    first: Tensor | None = None  # of the first block


class ValueAttention(Attention):
    """Attention whose values are mixed with others, in two learnt shares that begin equal."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype, values: Values, *, table: bool, first: bool) -> None:
        super().__init__(config, dtype)
        self.values = values
        self.table_mix = nn.Parameter(torch.tensor([0.5, 0.5])) if table else None
        self.first_mix = nn.Parameter(torch.tensor([0.5, 0.5])) if first else None

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None, layer: int, cache: KVCache | None
    ) -> Tensor:
        B, T, C = x.size()
        q, k, v = (
            part.view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, T, C) -> (B, H, T, D)
            for part in self.qkv(x).split(self.parts, dim=-1)  # (B, T, 3C) -> 3 x (B, T, C)
        )
        assert turn is not None
        q, k = rotate(q, *turn), rotate(k, *turn)
        if self.values.first is None:
            self.values.first = v
        for mix, other in ((self.table_mix, self.values.table), (self.first_mix, self.values.first)):
            if mix is not None and other is not None:
                v = mix[0] * v + mix[1] * other
        y = F.scaled_dot_product_attention(q, k, v.to(q.dtype), attn_mask=mask, is_causal=mask is None)  # (B, H, T, D)
        out: Tensor = self.out(y.transpose(1, 2).reshape(B, T, C))  # (B, H, T, D) -> (B, T, C)
        return out


class PlainFeedForward(FeedForward):
    """Units without gates."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype, kind: Literal["relu2", "leaky_relu2"]) -> None:
        super().__init__(config, dtype)
        del self.gate_up
        self.up = Linear(config.n_embd, config.n_ffn, dtype=dtype)
        self.activation: Callable[[Tensor], Tensor] = relu2 if kind == "relu2" else leaky_relu2

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(self.activation(self.up(x)))  # (B, T, C) -> (B, T, U) -> (B, T, C)
        return out

    def blank(self) -> None:
        """There are no spare units."""


class Unattending(Block):
    """A block of feed-forward alone."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype) -> None:
        super().__init__(config, dtype)
        del self.attention, self.attention_norm

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        layer: int,
        cache: KVCache | None,
        taught: UnitGroup | None,
    ) -> Tensor:
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out


class CappedHead(Linear):
    """Logits bent into (-SOFT_CAP, SOFT_CAP)."""

    def forward(self, x: Tensor) -> Tensor:
        return SOFT_CAP * torch.tanh(super().forward(x) / SOFT_CAP)


class Trial(GPT):
    """The engine's GPT for training, with switches."""

    def __init__(self, config: GPTConfig, switches: Switches) -> None:
        super().__init__(config)
        C, V, dtype = config.n_embd, config.vocab_size, torch.float32
        self.switches, self.values = switches, Values()
        for layer, block in enumerate(self.layers()):
            if layer % switches.attention_every:
                self.blocks[layer] = block = Unattending(config, dtype)
            # The blocks nearest to the tokens gain most from the tokens' own values.
            table = switches.value_embedding and layer in (0, config.n_layer - 1)
            first = switches.value_residual and layer > 0
            if switches.value_embedding or switches.value_residual:
                block.attention = ValueAttention(config, dtype, self.values, table=table, first=first)
            own = replace(config, n_ffn=block_units(config, switches, layer))
            if switches.plain_units is not None:
                block.feed_forward = PlainFeedForward(own, dtype, switches.plain_units)
            elif switches.width_slope:
                block.feed_forward = FeedForward(own, dtype)
        self.value_table = Linear(C, V) if switches.value_embedding else None
        self.bigram_table = Linear(BIGRAM_WIDTH, BIGRAM_BUCKETS) if switches.bigram else None
        self.bigram_out = Linear(BIGRAM_WIDTH, C) if switches.bigram else None
        self.smear_gate = nn.Parameter(torch.full((C,), -2.0)) if switches.smear else None  # begins at a share of 0.12
        if switches.soft_cap:
            self.head = CappedHead(C, V)
            if config.tie_embeddings:
                self.head.weight = self.embedding.weight

    def initialize(self) -> None:
        """As the engine does it, but for `zero_init`: normal, narrower by the root of the number of writing layers."""
        super().initialize()
        if not self.switches.zero_init:
            std = 0.02 / (2 * self.config.n_layer) ** 0.5
            for name, parameter in self.named_parameters():
                if name.endswith(("attention.out.weight", "feed_forward.down.weight")):
                    nn.init.normal_(parameter, std=std)
        if self.bigram_out is not None:
            nn.init.zeros_(self.bigram_out.weight)

    def hidden(self, idx: Tensor, *, documents: Tensor | None = None, **_: Any) -> Tensor:
        """What the head reads: (B, T, C) of ids (B, T); `documents` as in the engine."""
        B, T = idx.size()
        assert self.cos is not None
        assert self.sin is not None
        x = F.embedding(idx, self.embedding.weight)  # (B, T) -> (B, T, C)
        if self.bigram_table is not None and self.bigram_out is not None:
            x = x + self.bigram_out(F.embedding(bigram_bucket(idx), self.bigram_table.weight)).to(x.dtype)  # (B, T, C)
        if self.smear_gate is not None:
            before = F.pad(x, (0, 0, 1, 0))[:, :-1]  # (B, T, C): each position's left neighbour, zero for the first
            x = torch.lerp(x, before, torch.sigmoid(self.smear_gate))
        if self.value_table is not None:
            table = F.embedding(idx, self.value_table.weight)  # (B, T, C)
            self.values.table = table.view(B, T, self.config.n_head, -1).transpose(1, 2)  # -> (B, H, T, D)
        turn, mask = (self.cos[:T], self.sin[:T]), visible(idx, 0, documents)
        for layer, block in enumerate(self.blocks):
            x = block(x, turn, mask, layer, None, None)
        self.values.table = self.values.first = None
        out: Tensor = self.norm(x)
        return out


def leaky_relu2(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK).square()


def bigram_bucket(idx: Tensor) -> Tensor:
    """(B, T): a bucket for each id together with the id before it; the first of a window stands alone."""
    before = F.pad(idx, (1, 0))[:, :-1]  # (B, T)
    return (before * 36_313 ^ idx * 27_191) % BIGRAM_BUCKETS


def block_units(config: GPTConfig, switches: Switches, layer: int) -> int:
    """Feed-forward units of a block: `n_ffn`, or on a slope through the depth with that mean."""
    height = 2 * layer / max(1, config.n_layer - 1) - 1  # -1 at the first block, 1 at the last
    return round(config.n_ffn * (1 + switches.width_slope * height))


def fitted(config: GPTConfig, switches: Switches, parameters: int) -> GPTConfig:
    """The config with the `n_ffn` that comes nearest to this many parameters, in steps of 8 units.

    Raises:
        ValueError: all else leaves no room for as many as 8 units.
    """

    def count(units: int) -> int:
        return Trial(replace(config, n_ffn=units), switches).parameter_count()

    step = count(128) - count(64)
    units = 8 * round((parameters - count(64)) / step * 64 / 8 + 8)
    if units < 8:
        raise ValueError(f"{parameters:,} parameters are too few for this variant; give the shape more")
    return replace(config, n_ffn=units)
