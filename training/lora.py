"""LoRA: low-rank changes of frozen matrices, trained beside them and added to them at the end.

Hu et al. 2021 (https://arxiv.org/abs/2106.09685): W becomes W + BA with A (r, n_in) random and B (n_out, r) zero, so
that training starts at the base. As in the paper it is the attention matrices that change: queries, keys and values in
their fused matrix, and the output. With square matrices, rank r there has as many weights as 2r feed-forward units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model import GPT, Linear

ATTENTION = ("attention.qkv", "attention.out")
FEED_FORWARD = ("feed_forward.gate_up", "feed_forward.down")


class LowRank(nn.Module):
    """A frozen map and a trained change of rank r, which is nothing at first."""

    def __init__(self, inner: Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        n_out, n_in = inner.weight.shape
        self.inner = inner
        self.a = nn.Parameter(torch.randn(rank, n_in, generator=generator) * n_in**-0.5)
        self.b = nn.Parameter(torch.zeros(n_out, rank))

    def forward(self, x: Tensor) -> Tensor:
        change = F.linear(F.linear(x, self.a), self.b)  # (..., n_in) -> (..., r) -> (..., n_out)
        out: Tensor = self.inner(x) + change
        return out

    @torch.no_grad()
    def merged(self) -> Linear:
        """The inner map with the change added to its weight, one matrix as before, in the FP16 that will be stored."""
        weight = self.inner.weight
        weight.copy_((weight + self.b @ self.a).half())  # (n_out, r) @ (r, n_in) -> (n_out, n_in)
        return self.inner


def add_lora(
    model: GPT, weights: int, generator: torch.Generator, names: tuple[str, ...] = ATTENTION
) -> list[nn.Parameter]:
    """Put a change beside each matrix of these names, of the highest rank that takes at most this many weights, but
    at least 1; returns what is to be trained."""
    places = [(block, name) for block in model.layers() for name in names]
    per_rank = sum(sum(block.get_parameter(f"{name}.weight").shape) for block, name in places)
    rank = max(1, weights // per_rank)
    trained: list[nn.Parameter] = []
    for block, name in places:
        inner = block.get_submodule(name)
        assert isinstance(inner, Linear)
        change = LowRank(inner, rank, generator)
        block.set_submodule(name, change)
        trained += [change.a, change.b]
    return trained


def merge_lora(model: GPT) -> None:
    """Add every change to its matrix; the model has the modules of before."""
    for block in model.layers():
        for name, module in list(block.named_modules()):
            if isinstance(module, LowRank):
                block.set_submodule(name, module.merged())
