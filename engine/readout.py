"""From the stream behind the last block to probabilities, and the gradient back: what teaching needs of a model.

Sizes: N positions, C = n_embd, V = vocab_size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.errors import EngineError
from engine.shape import Activation, Floats


@dataclass(frozen=True)
class ReadOut:
    """The final norm and the head of a model, in float32."""

    head: Floats  # (V, C)
    scale: Floats  # (C,)
    shift: Floats | None  # (C,), of a LayerNorm; None: an RMSNorm
    eps: float

    def probabilities(self, stream: Floats) -> tuple[Floats, Floats, Floats]:
        """Of every next token (N, V) behind the stream (N, C); with the normed stream (N, C) and what it was
        multiplied by (N, 1), which `back` asks for."""
        x = stream - stream.mean(-1, keepdims=True) if self.shift is not None else stream  # (N, C)
        by = 1 / np.sqrt(np.mean(x * x, -1, keepdims=True) + self.eps)  # (N, C) -> (N, 1)
        normed = x * by
        read = normed * self.scale + (self.shift if self.shift is not None else 0)
        logits = read @ self.head.T  # (N, C) -> (N, V)
        logits -= logits.max(-1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(-1, keepdims=True)
        return logits, normed, by

    def back(self, wanted: Floats, normed: Floats, by: Floats) -> Floats:
        """The gradient at the stream (N, C) of one at the logits (N, V)."""
        g = (wanted @ self.head) * self.scale  # (N, V) -> (N, C)
        g -= normed * np.mean(g * normed, -1, keepdims=True)
        if self.shift is not None:
            g -= g.mean(-1, keepdims=True)
        return g * by


Curve = Callable[[Floats], tuple[Floats, Floats]]


def curve_of(activation: Activation) -> Curve:
    """An activation and its slope, at each number."""
    if activation in ("gelu", "gelu_new"):
        return gelu
    found: Curve | None = {"silu": silu, "relu2": relu2, "relu": relu}.get(activation)
    if found is None:
        raise EngineError(f"Nothing can be taught to a model of activation {activation}; choose other weights.")
    return found


def silu(x: Floats) -> tuple[Floats, Floats]:
    s: Floats = np.reciprocal(1 + np.exp(-np.clip(x, -60, 60)), dtype=np.float32)
    slope: Floats = s * (1 + x * (1 - s))
    return x * s, slope


def relu(x: Floats) -> tuple[Floats, Floats]:
    return np.maximum(x, np.float32(0)), (x > 0).astype(np.float32)


def relu2(x: Floats) -> tuple[Floats, Floats]:
    positive: Floats = np.maximum(x, np.float32(0))
    return positive * positive, positive + positive


def gelu(x: Floats) -> tuple[Floats, Floats]:
    """By its tangent form, which the exact one differs from by 0.001 at most."""
    a, b = math.sqrt(2 / math.pi), 0.044715
    t = np.tanh(a * (x + b * x**3))
    value: Floats = np.asarray(0.5 * x * (1 + t), dtype=np.float32)
    slope: Floats = np.asarray(0.5 * (1 + t) + 0.5 * x * (1 - t * t) * a * (1 + 3 * b * x * x), dtype=np.float32)
    return value, slope
