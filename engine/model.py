"""The model: a decoder-only GPT, read from the embedding at the top to the logits at the bottom.

Its blocks, and the letters that stand for sizes, are those of `engine.blocks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.blocks import (
    Block,
    FeedForward,
    KVCache,
    Linear,
    RMSNorm,
    make_norm,
    rotary_table,
    rotate,
)
from engine.shape import GPTConfig, UnitGroup, UnitKind

__all__ = [
    "GPT",
    "Block",
    "FeedForward",
    "GPTConfig",
    "KVCache",
    "Linear",
    "RMSNorm",
    "UnitGroup",
    "attach_units",
    "rotate",
]


class GPT(nn.Module):
    """Token ids in, logits (or the loss) out.

    Attributes:
        gradient_checkpointing: compute each block anew in the backward pass (Chen et al. 2016,
            https://arxiv.org/abs/1604.06174): the memory of one block in place of all, for a third more time.
    """

    gradient_checkpointing: bool = False

    def __init__(self, config: GPTConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        C, V = config.n_embd, config.vocab_size
        self.embedding = Linear(C, V, dtype=dtype)  # (V, C): read by row here, and by the tied head
        learned = config.model_type == "gpt2"
        self.positions = Linear(C, config.block_size, dtype=dtype) if learned else None  # (block_size, C), by row
        self.blocks = nn.ModuleList(Block(config, dtype) for _ in range(config.n_layer))
        self.norm = make_norm(config, dtype)
        self.head = Linear(C, V, dtype=dtype)
        if config.tie_embeddings:
            self.head.weight = self.embedding.weight
        cos, sin = (None, None) if learned else rotary_table(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.cos: Tensor | None
        self.sin: Tensor | None

    def layers(self) -> Iterator[Block]:
        """The blocks, typed."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def initialize(self) -> None:
        """Fresh weights: normal with 0.02, and zero where a block writes to the residual stream, so that each block
        starts as the identity. That keeps deep streams calm as GPT-2's scaling by 1 / sqrt(2 n_layer) does, for every
        type of block, and needs no depth."""
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.out.weight", "feed_forward.down.weight", ".bias")):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        for block in self.layers():
            block.feed_forward.blank()

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        *,
        cache: KVCache | None = None,
        taught: Sequence[UnitGroup | None] | None = None,
        documents: Tensor | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Logits (B, T, V) of ids (B, T), (B, 1, V) with `last_only`; with targets (B, T) the mean loss in nats per
        token, where a target of -1 does not count. With a cache (B = 1) the ids follow the cached positions.

        Args:
            taught: for each block, units beside those that are attached.
            documents: (B, T), the number of the document that each position belongs to: a position sees those of its
                own alone. Positions count on over documents. Not together with a cache.
        """
        x = self.hidden(idx, cache=cache, taught=taught, documents=documents)  # (B, T) -> (B, T, C)
        if last_only:
            x = x[:, -1:]  # (B, T, C) -> (B, 1, C)
        logits: Tensor = self.head(x)  # (B, T, C) -> (B, T, V)
        if targets is None:
            return logits
        loss: Tensor = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)
        return loss  # (B * T, V) -> ()

    def hidden(
        self,
        idx: Tensor,
        *,
        cache: KVCache | None = None,
        taught: Sequence[UnitGroup | None] | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """What the head reads: (B, T, C) of ids (B, T); the other arguments are those of `forward`."""
        S, T = (cache.length if cache is not None else 0), idx.size(1)
        mask = visible(idx, S, documents)
        x = F.embedding(idx, self.embedding.weight)  # (B, T) -> (B, T, C)
        if self.positions is not None:
            x = x + self.positions.weight[S : S + T]  # (T, C) to each row
        turn = None
        if self.cos is not None and self.sin is not None:
            turn = (self.cos[S : S + T].to(x.dtype), self.sin[S : S + T].to(x.dtype))  # each (T, D)
        again = self.gradient_checkpointing and cache is None and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            rest = (turn, mask, layer, cache, taught[layer] if taught is not None else None)
            x = checkpoint(block, x, *rest, use_reentrant=False, preserve_rng_state=False) if again else block(x, *rest)
        if cache is not None:
            cache.length += T
        out: Tensor = self.norm(x)
        return out

    def parameter_count(self) -> int:
        """Weights of the core; a tied matrix counts once, spare units do not count."""
        core = replace(self.config, n_long_term=0, n_session=0)
        return sum(p.numel() for p in self.parameters()) - (self.config.n_weights - core.n_weights)


def visible(idx: Tensor, S: int, documents: Tensor | None) -> Tensor | None:
    """Which positions each new one may look at, True where it may; None is the plain triangle, and for a single new
    position all before it. (T, S + T) behind cached positions, (B, 1, T, T) within documents."""
    T = idx.size(1)
    if documents is not None:
        if S:
            raise ValueError("documents cannot be told apart behind a cache")
        before = torch.ones(T, T, dtype=torch.bool, device=idx.device).tril()  # (T, T)
        return (documents.unsqueeze(2) == documents.unsqueeze(1)).logical_and(before).unsqueeze(1)  # (B, 1, T, T)
    if S and T > 1:
        return torch.ones(T, S + T, dtype=torch.bool, device=idx.device).tril(S)  # (T, S + T)
    return None


@torch.no_grad()
def attach_units(model: GPT, kind: UnitKind, groups: Sequence[UnitGroup | None] | None) -> None:
    """Write the units into the model's spare rows and columns; None, or None for a block, blanks it.

    Units that a group does not fill are blank too: all zero, they add exactly nothing, bit for bit.
    """
    for i, block in enumerate(model.layers()):
        room = block.feed_forward.group(kind)
        for spare in room:
            spare.zero_()
        group = groups[i] if groups is not None else None
        if group is not None:
            r = len(group.gate)
            gate, up, down = (torch.as_tensor(part) for part in group)
            room.gate[:r], room.up[:r], room.down[:, :r] = gate, up, down
