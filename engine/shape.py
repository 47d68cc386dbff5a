"""What a model is, in numbers: its shape, its rotary positions, and groups of units. Nothing here needs torch.

Sizes: B batch, T new positions, S cached positions, C = n_embd, H = n_head, K = n_kv_head, D = head_dim, F = n_ffn,
U = units of one feed-forward layer = F core + n_long_term + n_session, V = vocab_size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

ModelType = Literal["llama", "qwen3", "gpt2"]
Activation = Literal["silu", "relu2", "gelu_new", "gelu", "relu"]
UnitKind = Literal["long_term", "session"]
ACTIVATION_NAMES: tuple[Activation, ...] = get_args(Activation)
Floats: TypeAlias = NDArray[np.float32]


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
    model_type: ModelType = "llama"
    activation: Activation = "silu"  # of the core: on the gates of llama and qwen3, on gpt2's units themselves
    n_kv_head: int | None = None  # heads of keys and values, each read by n_head / n_kv_head of queries; None: n_head
    head_width: int | None = None  # None: n_embd / n_head
    # Llama 3's for a longer context than was trained: factor, low and high frequency factor, positions trained before
    rope_scaling: tuple[float, float, float, int] | None = None
    attention_bias: bool = False  # gpt2 has biases whatever stands here
    ffn_bias: bool = False

    @property
    def head_dim(self) -> int:
        return self.head_width or self.n_embd // self.n_head

    @property
    def kv_heads(self) -> int:
        return self.n_kv_head or self.n_head

    @property
    def gated(self) -> bool:
        """Whether a core unit has a gate."""
        return self.model_type != "gpt2"

    @property
    def n_spare(self) -> int:
        return self.n_long_term + self.n_session

    @property
    def n_units(self) -> int:
        """All units of one feed-forward layer, spare ones included."""
        return self.n_ffn + self.n_spare

    @property
    def n_weights(self) -> int:
        """All weights of a model of this shape, spare ones included; known before any memory is taken."""
        C, D, gpt2 = self.n_embd, self.head_dim, self.model_type == "gpt2"
        read = (self.n_head + 2 * self.kv_heads) * D  # rows of qkv
        attention = read * C + self.n_head * D * C + (read + C) * (self.attention_bias or gpt2)
        attention += 2 * D * (self.model_type == "qwen3")
        rows = 2 * self.n_units if self.gated else self.n_units + self.n_spare  # of gate_up
        feed_forward = rows * C + self.n_units * C + (rows + C) * (self.ffn_bias or gpt2)
        norm = 2 * C if gpt2 else C
        tables = self.vocab_size * C * (1 if self.tie_embeddings else 2) + self.block_size * C * gpt2
        return self.n_layer * (attention + feed_forward + 2 * norm) + norm + tables


class UnitGroup(NamedTuple):
    """One group of r gated feed-forward units, apart from the core: what an adapter holds for one block.

    Tensors of torch where units are trained, arrays of numpy where they come from a file.
    """

    gate: Any  # (r, C)
    up: Any  # (r, C)
    down: Any  # (C, r)


def as_array(values: Any) -> NDArray[Any]:
    """Values of torch, which need not be a module that is loaded, or of numpy as numpy has them: it knows no BF16."""
    if not hasattr(values, "detach"):
        return np.asarray(values)
    values = values.detach()
    array: NDArray[Any] = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    return array


def rotary_angles(config: GPTConfig) -> tuple[Floats, Floats]:
    """cos and sin of every position's angles, each (block_size, D).

    Llama 3's scaling (Grattafiori et al. 2024, https://arxiv.org/abs/2407.21783, and its published code) slows low
    frequencies by a factor and keeps high ones, told apart by the turns that each made within the trained context.
    """
    D = config.head_dim
    frequency = np.exp(-math.log(config.rope_theta) * np.arange(0, D, 2, dtype=np.float32) / D)  # (D/2,)
    if config.rope_scaling is not None:
        factor, low, high, trained = config.rope_scaling
        turns = trained * frequency / (2 * math.pi)  # (D/2,)
        kept = np.clip((turns - low) / (high - low), 0, 1)  # (D/2,)
        frequency = frequency * (kept + (1 - kept) / factor)
    positions = np.arange(config.block_size, dtype=np.float32)
    angle = np.outer(positions, frequency.astype(np.float32))  # (block_size, D/2)
    angle = np.concatenate((angle, angle), axis=-1)  # (block_size, D)
    return np.cos(angle), np.sin(angle)
