"""The model: a decoder-only GPT with Llama blocks, read from the embedding at the top to the logits at the bottom.

Sizes: B batch, T new positions, S cached positions, C = n_embd, H = n_head, D = head_dim = C / H, F = n_ffn,
U = units of one feed-forward layer = F core + n_long_term + n_session, V = vocab_size.

Blocks follow Llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971): RMSNorm before each half (Zhang & Sennrich
2019), rotary positions (Su et al. 2021), SwiGLU (Shazeer 2020). Beside the core units each feed-forward layer has
two groups of spare units, long-term and session: the parallel adapter of He et al. 2022
(https://arxiv.org/abs/2110.04366), placed in rows and columns of the same matrices so that it costs no extra operation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a model; presets in `config/presets/` say why they chose each number."""

    vocab_size: int
    block_size: int = 512  # positions the model was trained on, and the cap of the KV cache
    n_layer: int = 6
    n_head: int = 4
    n_embd: int = 256
    n_ffn: int = 768  # core units of a feed-forward layer; 3 x n_embd spends more of the model there than Llama's 8/3
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tie_embeddings: bool = True  # one matrix reads and writes tokens: saves V x C weights, which a small model needs
    n_long_term: int = 0  # spare units for style packs
    n_session: int = 0  # spare units for what a channel was taught

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def n_units(self) -> int:
        """All units of one feed-forward layer, spare ones included."""
        return self.n_ffn + self.n_long_term + self.n_session


class UnitGroup(NamedTuple):
    """One group of r feed-forward units, apart from the core: what a session adapter holds for one block."""

    gate: Tensor  # (r, C)
    up: Tensor  # (r, C)
    down: Tensor  # (C, r)

    def __call__(self, x: Tensor) -> Tensor:
        """The group's share of the feed-forward output, (..., C) to (..., C)."""
        h = x.to(self.gate.dtype)  # the units are trained in float32 whatever the base computes in
        units = F.silu(F.linear(h, self.gate)) * F.linear(h, self.up)  # (..., C) -> (..., r)
        return F.linear(units, self.down).to(x.dtype)  # (..., r) -> (..., C)


class KVCache:
    """Keys and values of the positions read so far, for one sequence; allocated once for `block_size` positions."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype) -> None:
        shape = (config.n_layer, config.n_head, config.block_size, config.head_dim)
        self.k = torch.zeros(shape, dtype=dtype)  # (n_layer, H, block_size, D)
        self.v = torch.zeros(shape, dtype=dtype)  # (n_layer, H, block_size, D)
        self.length = 0  # positions filled

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write (1, H, T, D) behind what is there; give back all S + T positions as (1, H, S + T, D)."""
        end = self.length + k.size(2)
        self.k[layer, :, self.length : end] = k[0]
        self.v[layer, :, self.length : end] = v[0]
        return self.k[layer, :, :end].unsqueeze(0), self.v[layer, :, :end].unsqueeze(0)  # (1, H, S + T, D)


class RMSNorm(nn.Module):
    """Divides by the root mean square and scales; computed in float32 whatever the dtype of x."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.n_embd))
        self.eps = config.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        scale = torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)  # (..., C) -> (..., 1)
        return (x32 * scale).to(x.dtype) * self.weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in the half-split layout that Hugging Face uses; (B, H, T, D) with cos, sin (T, D)."""
    first, second = x.chunk(2, dim=-1)  # (B, H, T, D) -> 2 x (B, H, T, D/2)
    return x * cos + torch.cat((-second, first), dim=-1) * sin  # -> (B, H, T, D)


class Linear(nn.Module):
    """y = x W^T, with memory for the weight but no values: they come from a file or from `GPT.initialize`."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)  # (..., n_in) -> (..., n_out)


class Attention(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head, self.head_dim = config.n_head, config.head_dim
        self.qkv = Linear(config.n_embd, 3 * config.n_embd)
        self.out = Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, layer: int, cache: KVCache | None) -> Tensor:
        B, T, C = x.size()
        q, k, v = (
            part.view(B, T, self.n_head, self.head_dim).transpose(1, 2)  # (B, T, C) -> (B, H, T, D)
            for part in self.qkv(x).split(C, dim=-1)  # (B, T, 3C) -> 3 x (B, T, C)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, D)
        else:
            S = cache.length
            k, v = cache.extend(layer, k, v)  # (1, H, S + T, D)
            # A row of several new positions may not look at those behind it; a single one may look at all.
            mask = torch.ones(T, S + T, dtype=torch.bool).tril(S) if T > 1 else None  # (T, S + T)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (1, H, T, D)
        out: Tensor = self.out(y.transpose(1, 2).reshape(B, T, C))  # (B, H, T, D) -> (B, T, C)
        return out


class FeedForward(nn.Module):
    """SwiGLU over the core, long-term and session units, which lie side by side in that order."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.gate_up = Linear(config.n_embd, 2 * config.n_units)  # rows: all gates, then all ups
        self.down = Linear(config.n_units, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)  # (B, T, C) -> 2 x (B, T, U)
        out: Tensor = self.down(F.silu(gate) * up)  # (B, T, U) -> (B, T, C)
        return out


class Block(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config)
        self.attention = Attention(config)
        self.feed_forward_norm = RMSNorm(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, layer: int, cache: KVCache | None, taught: UnitGroup | None
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin, layer, cache)
        h = self.feed_forward_norm(x)
        y = self.feed_forward(h)
        if taught is not None:  # while a session adapter is being trained its units stand apart, as leaves of the graph
            y = y + taught(h)
        out: Tensor = x + y
        return out


class GPT(nn.Module):
    """Token ids in, logits (or the loss) out."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Linear(config.n_embd, config.vocab_size)  # (V, C): read by row here, and by the tied head
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = RMSNorm(config)
        self.head = Linear(config.n_embd, config.vocab_size)
        if config.tie_embeddings:
            self.head.weight = self.embedding.weight
        cos, sin = rotary_table(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.cos: Tensor
        self.sin: Tensor

    def layers(self) -> Iterator[Block]:
        """The blocks, typed."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def initialize(self) -> None:
        """Fresh weights: normal with 0.02, and zero where a block writes to the residual stream, so that each block
        starts as the identity."""
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.out.weight", "feed_forward.down.weight")):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        *,
        cache: KVCache | None = None,
        taught: Sequence[UnitGroup | None] | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Logits (B, T, V) of ids (B, T), (B, 1, V) with `last_only`; with targets (B, T) the mean loss in nats per
        token, where a target of -1 does not count. With a cache (B = 1) the ids follow the cached positions."""
        x = self.hidden(idx, cache=cache, taught=taught)  # (B, T) -> (B, T, C)
        if last_only:
            x = x[:, -1:]  # (B, T, C) -> (B, 1, C)
        logits: Tensor = self.head(x)  # (B, T, C) -> (B, T, V)
        if targets is None:
            return logits
        loss: Tensor = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)
        return loss  # (B * T, V) -> ()

    def hidden(
        self, idx: Tensor, *, cache: KVCache | None = None, taught: Sequence[UnitGroup | None] | None = None
    ) -> Tensor:
        """What the head reads: (B, T, C) of ids (B, T); the other arguments are those of `forward`."""
        S, T = (cache.length if cache is not None else 0), idx.size(1)
        cos, sin = self.cos[S : S + T], self.sin[S : S + T]  # (T, D)
        x = F.embedding(idx, self.embedding.weight)  # (B, T) -> (B, T, C)
        for layer, block in enumerate(self.blocks):
            x = block(x, cos, sin, layer, cache, taught[layer] if taught is not None else None)
        if cache is not None:
            cache.length += T
        out: Tensor = self.norm(x)
        return out

    def parameter_count(self) -> int:
        """Weights of the core; a tied matrix counts once, spare units do not count."""
        spare = 3 * self.config.n_embd * (self.config.n_units - self.config.n_ffn) * self.config.n_layer
        return sum(p.numel() for p in self.parameters()) - spare


def rotary_table(config: GPTConfig) -> tuple[Tensor, Tensor]:
    """cos and sin of every position's angles, each (block_size, D)."""
    D = config.head_dim
    frequency = torch.exp(-math.log(config.rope_theta) * torch.arange(0, D, 2, dtype=torch.float32) / D)  # (D/2,)
    angle = torch.arange(config.block_size, dtype=torch.float32).outer(frequency)  # (block_size, D/2)
    angle = torch.cat((angle, angle), dim=-1)  # (block_size, D)
    return angle.cos(), angle.sin()
