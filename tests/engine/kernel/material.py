"""Small models with random weights, whose values FP16 holds exactly, and what torch computes from them in FP32."""

from __future__ import annotations

import pytest
import torch

from engine.kernel import available, isas
from engine.model import GPT, GPTConfig, KVCache

RELATIVE = 2e-3  # of the largest logit
SMALL = GPTConfig(vocab_size=70, block_size=80, n_layer=2, n_head=4, n_embd=48, n_ffn=72, n_long_term=4, n_session=6)
BUILT, WHY = available()
ISAS = isas() if BUILT else []
needs_kernel = pytest.mark.skipif(not BUILT, reason=WHY)


def make_model(config: GPTConfig, seed: int = 0, taught: bool = False) -> GPT:
    """In eval mode; its spare units are blank unless it is `taught`."""
    torch.manual_seed(seed)
    model = GPT(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=parameter.size(1) ** -0.5)
            elif name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
            else:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
        for block in model.layers():
            if not taught:
                block.feed_forward.blank()
            elif block.feed_forward.gate_up.bias is not None:
                F, U = config.n_ffn, config.n_units
                block.feed_forward.gate_up.bias[F:U] = 0
                block.feed_forward.gate_up.bias[U + F :] = 0
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model.eval()


@torch.no_grad()
def reference(model: GPT, ids: list[int]) -> torch.Tensor:
    """Logits (T, V) behind each id."""
    logits: torch.Tensor = model(torch.tensor([ids]))[0]  # (1, T, V) -> (T, V)
    return logits


class RoundedCache(KVCache):
    """Keys and values rounded to FP16 as the kernel holds them: a model of two channels magnifies that without end."""

    def extend(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().extend(layer, k.half().float(), v.half().float())


@torch.no_grad()
def rounded_reference(model: GPT, ids: list[int]) -> torch.Tensor:
    """Logits (T, V) behind each id, with such a cache."""
    logits: torch.Tensor = model(torch.tensor([ids]), cache=RoundedCache(model.config, torch.float32))[0]
    return logits


def near(found: torch.Tensor, expected: torch.Tensor, relative: float = RELATIVE) -> None:
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    assert (found - expected).abs().max() <= relative * expected.abs().max()
