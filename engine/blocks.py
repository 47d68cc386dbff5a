"""What a GPT is built of: norms, attention, feed-forward layers with spare units, and the cache of keys and values.

Sizes are named in `engine.shape`.

Three types of blocks, each computing what the Hugging Face model of that name does:
- llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971): RMSNorm before each half (Zhang & Sennrich 2019),
  rotary positions (Su et al. 2021), SwiGLU (Shazeer 2020); heads may share keys and values (Ainslie et al. 2023).
- qwen3 (Yang et al. 2025, https://arxiv.org/abs/2505.09388): the same, with an RMSNorm on each head's queries and keys.
- gpt2 (Radford et al. 2019): LayerNorm, learned positions, a feed-forward layer without gates, biases throughout.

Beside the core units each feed-forward layer has two groups of spare units, long-term and session: the parallel adapter
of He et al. 2022 (https://arxiv.org/abs/2110.04366), in rows and columns of the same matrices: no extra operation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.shape import Activation, GPTConfig, UnitGroup, UnitKind, rotary_angles


def relu2(x: Tensor) -> Tensor:
    """The squared ReLU of So et al. 2021 (https://arxiv.org/abs/2109.08668)."""
    return F.relu(x).square()


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": F.silu, "relu2": relu2, "gelu_new": partial(F.gelu, approximate="tanh"), "gelu": F.gelu, "relu": F.relu,
}  # fmt: skip


def apply_units(group: UnitGroup, x: Tensor, activation: Callable[[Tensor], Tensor] = F.silu) -> Tensor:
    """A group's share of the feed-forward output, (..., C) to (..., C)."""
    h = x.to(group.gate.dtype)  # the units are trained in float32 whatever the base computes in
    units = activation(F.linear(h, group.gate)) * F.linear(h, group.up)  # (..., C) -> (..., r)
    return F.linear(units, group.down).to(x.dtype)  # (..., r) -> (..., C)


class KVCache:
    """Keys and values of the positions read so far, for one sequence; allocated once for `block_size` positions."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype, device: torch.device | None = None) -> None:
        shape = (config.n_layer, config.kv_heads, config.block_size, config.head_dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)  # (n_layer, K, block_size, D)
        self.v = torch.zeros(shape, dtype=dtype, device=device)  # (n_layer, K, block_size, D)
        self.length = 0  # positions filled

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write (1, K, T, D) behind what is there; give back all S + T positions as (1, K, S + T, D)."""
        end = self.length + k.size(2)
        self.k[layer, :, self.length : end] = k[0]
        self.v[layer, :, self.length : end] = v[0]
        return self.k[layer, :, :end].unsqueeze(0), self.v[layer, :, :end].unsqueeze(0)  # (1, K, S + T, D)


class RMSNorm(nn.Module):
    """Divides by the root mean square and scales; computed in float32 whatever the dtype of x."""

    def __init__(self, config: GPTConfig, width: int | None = None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width or config.n_embd, dtype=dtype))
        self.eps = config.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        scale = torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)  # (..., C) -> (..., 1)
        return (x32 * scale).to(x.dtype) * self.weight


class LayerNorm(nn.Module):
    """Takes the mean away, divides by the standard deviation, scales and shifts (Ba et al. 2016)."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.n_embd, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(config.n_embd, dtype=dtype))
        self.eps = config.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, weight.shape, weight, bias, self.eps)


def make_norm(config: GPTConfig, dtype: torch.dtype) -> RMSNorm | LayerNorm:
    return LayerNorm(config, dtype) if config.model_type == "gpt2" else RMSNorm(config, dtype=dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in the half-split layout that Hugging Face uses; (B, H, T, D) with cos, sin (T, D)."""
    first, second = x.chunk(2, dim=-1)  # (B, H, T, D) -> 2 x (B, H, T, D/2)
    return x * cos + torch.cat((-second, first), dim=-1) * sin  # -> (B, H, T, D)


class Linear(nn.Module):
    """y = x W^T + b, with memory for the weights but no values: they come from a file or from `GPT.initialize`.

    Several maps of the same x lie one above the other in W; `parts` are their heights.
    """

    def __init__(self, n_in: int, *parts: int, bias: bool = False, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.parts = list(parts)
        self.weight = nn.Parameter(torch.empty(sum(parts), n_in, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(sum(parts), dtype=dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)  # (..., n_in) -> (..., n_out)


class Attention(nn.Module):
    def __init__(self, config: GPTConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.head_dim, self.kv_heads = config.head_dim, config.kv_heads
        self.grouped = config.kv_heads < config.n_head
        self.parts = [n * config.head_dim for n in (config.n_head, config.kv_heads, config.kv_heads)]
        bias = config.attention_bias or config.model_type == "gpt2"
        self.qkv = Linear(config.n_embd, *self.parts, bias=bias, dtype=dtype)
        self.out = Linear(self.parts[0], config.n_embd, bias=bias, dtype=dtype)
        normed = config.model_type == "qwen3"
        self.q_norm = RMSNorm(config, config.head_dim, dtype) if normed else None
        self.k_norm = RMSNorm(config, config.head_dim, dtype) if normed else None

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None, layer: int, cache: KVCache | None
    ) -> Tensor:
        B, T, _ = x.size()
        q, k, v = (
            part.view(B, T, -1, self.head_dim).transpose(1, 2)  # (B, T, n D) -> (B, n, T, D) for n = H, K, K
            for part in self.qkv(x).split(self.parts, dim=-1)  # (B, T, (H + 2K) D) -> 3 x (B, T, n D)
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if turn is not None:
            q, k = rotate(q, *turn), rotate(k, *turn)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # (1, K, S + T, D)
        if T > 1:
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=self.grouped
            )  # (B, H, T, D)
        else:  # one position looks at all before it, so queries that share keys are read like positions, unrepeated
            shared = q.reshape(B, self.kv_heads, -1, self.head_dim)  # (B, H, 1, D) -> (B, K, H / K, D)
            y = F.scaled_dot_product_attention(shared, k, v, attn_mask=mask)  # (B, K, H / K, D)
        out: Tensor = self.out(y.reshape(B, -1, T, self.head_dim).transpose(1, 2).reshape(B, T, -1))  # -> (B, T, C)
        return out


class FeedForward(nn.Module):
    """Core, long-term and session units, which lie side by side in that order.

    The spare units are gated whatever the core is. Rows of `gate_up`: the gates of all units, then the ups of all;
    without gates in the core: the core's rows, the gates of the spare units, then their ups.
    """

    def __init__(self, config: GPTConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = config
        self.activation = ACTIVATIONS[config.activation]
        self.spare_activation = self.activation if config.gated else F.silu
        U, spare = config.n_units, config.n_spare
        bias = config.ffn_bias or not config.gated
        parts = (U, U) if config.gated else (config.n_ffn, spare, spare)
        self.gate_up = Linear(config.n_embd, *parts, bias=bias, dtype=dtype)
        self.down = Linear(U, config.n_embd, bias=bias, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        read = self.gate_up(x)  # (B, T, C) -> (B, T, 2U) or (B, T, F + 2 spare)
        if self.config.gated:
            gate, up = read.chunk(2, dim=-1)  # -> 2 x (B, T, U)
            units = self.activation(gate) * up  # (B, T, U)
        elif self.config.n_spare:
            spare = self.config.n_spare
            core, gate, up = read.split((self.config.n_ffn, spare, spare), dim=-1)
            units = torch.cat((self.activation(core), F.silu(gate) * up), dim=-1)  # -> (B, T, U)
        else:
            units = self.activation(read)  # (B, T, F)
        out: Tensor = self.down(units)  # (B, T, U) -> (B, T, C)
        return out

    def group(self, kind: UnitKind) -> UnitGroup:
        """Views of a group's rows and columns: writing into them attaches units, zeroing them takes them away."""
        first = self.config.n_ffn + (self.config.n_long_term if kind == "session" else 0)
        r = self.config.n_session if kind == "session" else self.config.n_long_term
        gate_up, down = self.gate_up.weight.detach(), self.down.weight.detach()  # (2U or F + 2 spare, C), (C, U)
        up = gate_up.size(0) - self.config.n_units + first  # in either order of rows the spare ups are the last
        return UnitGroup(gate_up[first : first + r], gate_up[up : up + r], down[:, first : first + r])

    @torch.no_grad()
    def blank(self) -> None:
        """Zero in all spare units, so that they add exactly nothing; training leaves them so, as no gradient flows."""
        for group in (self.group("long_term"), self.group("session")):
            for part in group:
                part.zero_()
        if self.gate_up.bias is not None:
            first, up = self.config.n_ffn, self.gate_up.bias.size(0) - self.config.n_spare
            self.gate_up.bias[first : first + self.config.n_spare].zero_()
            self.gate_up.bias[up:].zero_()


class Block(nn.Module):
    def __init__(self, config: GPTConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.attention_norm = make_norm(config, dtype)
        self.attention = Attention(config, dtype)
        self.feed_forward_norm = make_norm(config, dtype)
        self.feed_forward = FeedForward(config, dtype)

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        layer: int,
        cache: KVCache | None,
        taught: UnitGroup | None,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), turn, mask, layer, cache)
        h = self.feed_forward_norm(x)
        y = self.feed_forward(h)
        if taught is not None:  # while an adapter is being trained its units stand apart, as leaves of the graph
            y = y + apply_units(taught, h, self.feed_forward.spare_activation)
        out: Tensor = x + y
        return out


def rotary_table(config: GPTConfig) -> tuple[Tensor, Tensor]:
    """cos and sin of every position's angles, each (block_size, D)."""
    cos, sin = rotary_angles(config)
    return torch.from_numpy(cos), torch.from_numpy(sin)
