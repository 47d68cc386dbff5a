"""AdamW for all, or Muon for the matrices of the blocks with AdamW for the rest; and how their rates go."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from config.presets import TrainPreset
from engine.model import GPT, Linear


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by a Newton-Schulz iteration (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    A fused matrix (query, key and value; gate and up) is several maps in one, and each is orthogonalised by itself:
    `rows` of a group are their heights.
    """

    def __init__(
        self, params: Iterable[dict[str, Any]], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(state["momentum"], group["momentum"])  # Nesterov
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                for target, part in zip(parameter.split(group["rows"]), update.split(group["rows"]), strict=True):
                    scale = max(1.0, part.size(0) / part.size(1)) ** 0.5
                    target.add_(orthogonalize(part), alpha=-group["lr"] * scale)


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, about: singular values end between 0.7 and 1.2. Shape is kept."""
    a, b, c = 3.4445, -4.7750, 2.0315  # the quintic of the paper, tuned for slope at zero
    x = matrix.bfloat16()
    tall = x.size(0) > x.size(1)
    x = x.T if tall else x  # the smaller side first: (m, n) with m <= n
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T  # (m, n) -> (m, m)
        mixed = torch.addmm(gram, gram, gram, beta=b, alpha=c)  # (m, m)
        x = torch.addmm(x, mixed, x, beta=a)  # (m, n)
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result


def make_optimizers(model: GPT, preset: TrainPreset) -> list[torch.optim.Optimizer]:
    """Optimizers whose groups carry `initial_lr`, which the schedule multiplies."""
    matrices = {name: p for name, p in model.named_parameters() if p.dim() == 2 and name.startswith("blocks.")}
    others = [p for name, p in model.named_parameters() if p.dim() == 2 and name not in matrices]
    scales = [p for p in model.parameters() if p.dim() < 2]
    adam_groups: list[dict[str, Any]] = [
        {"params": others, "weight_decay": preset.weight_decay},
        {"params": scales, "weight_decay": 0.0},  # a norm's scale has no reason to be small, nor has a bias
    ]
    optimizers: list[torch.optim.Optimizer] = []
    if preset.optimizer == "muon":
        heights = {f"{name}.weight": layer.parts for name, layer in model.named_modules() if isinstance(layer, Linear)}
        groups = [{"params": [p], "rows": [n for n in heights[name] if n]} for name, p in matrices.items()]
        optimizers.append(Muon(groups, lr=preset.muon_lr, weight_decay=preset.weight_decay))
    else:
        adam_groups[0]["params"] = [*matrices.values(), *others]
    fused = model.embedding.weight.device.type == "cuda"  # one kernel for all weights; on a CPU nothing is gained
    optimizers.append(torch.optim.AdamW(adam_groups, lr=preset.lr, betas=preset.betas, fused=fused))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def schedule(step: int, preset: TrainPreset) -> float:
    """Share of the full rate at this step, counted from 0.

    `wsd`: warm-up, constant, then a line to zero (Hu et al. 2024, https://arxiv.org/abs/2404.06395).
    `one_cycle`: a cosine up from 1/25, another down to nearly zero (Smith & Topin 2018,
    https://arxiv.org/abs/1708.07120, with the shape and the shares of PyTorch's OneCycleLR; momentum stays).
    """
    if preset.schedule == "one_cycle":
        first, top = 1 / 25, preset.rise_share * preset.steps - 1
        if step <= top:
            return cosine(first, 1.0, step / top if step else float(top == 0))
        return cosine(1.0, first / 10_000, (step - top) / (preset.steps - 1 - top))
    warmup = min(1.0, (step + 1) / max(1, preset.warmup_steps))
    return warmup * min(1.0, (preset.steps - step) / max(1.0, preset.decay_share * preset.steps))


def cosine(begin: float, end: float, way: float) -> float:
    """From `begin` to `end` along half a cosine; `way` in 0 to 1."""
    return end + (begin - end) * (1 + math.cos(math.pi * way)) / 2


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> float:
    """Scale all gradients to a common norm of at most `limit`; returns the norm before, which may be no number."""
    return float(nn.utils.clip_grad_norm_(list(parameters), limit))
