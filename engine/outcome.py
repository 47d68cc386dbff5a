"""What the engine tells of itself and of what it has done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class EngineInfo:
    name: str
    base_id: str
    model_type: str  # "llama", "qwen3" or "gpt2"
    parameters: int
    block_size: int
    vocab_size: int
    rating: str  # "general", "mature", or "unknown" where nobody has said
    folder: Path
    card: dict[str, Any]
    backend: str  # what decodes: "native kernel, avx2, float16" or "torch, float32"
    backend_reason: str


@dataclass(frozen=True)
class Generated:
    text: str
    tokens: int
    seconds: float
    finish_reason: str  # "stop": the text ended; "length": max_new_tokens were written; "cancelled"

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Taught:
    adapter: bytes
    base_id: str
    steps: int
    seconds: float
    loss: float  # nats per answer token
    recalled: bool  # whether the prompt is answered word for word, greedily


@dataclass(frozen=True)
class Recall:
    """What a lesson's prompt is answered with, greedily."""

    answer: str
    exact: bool
