"""The engine room: a small GPT that writes, and learns what a channel teaches. Knows nothing of Discord or SQL.

Importing a name from here imports only what that name needs; torch is needed for teaching alone, where the native
kernel decodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import (
    AdapterError,
    EngineClosedError,
    EngineError,
    PromptError,
    QueueFullError,
    TokenizerError,
    WeightsError,
)

if TYPE_CHECKING:
    from engine.folder import default_weights
    from engine.generation import Engine
    from engine.job import Job
    from engine.lesson import Lesson, TeachParams
    from engine.outcome import EngineInfo, Generated, Recall, Taught
    from engine.prompt import Context
    from engine.sampling import Sampler, SamplingParams
    from engine.summary import Summary
    from engine.tokenizer import Tokenizer
    from engine.worker import Worker

_HOMES = {
    "default_weights": "engine.folder",
    "Engine": "engine.generation",
    "EngineInfo": "engine.outcome",
    "Generated": "engine.outcome",
    "Recall": "engine.outcome",
    "Taught": "engine.outcome",
    "Job": "engine.job",
    "Context": "engine.prompt",
    "Sampler": "engine.sampling",
    "SamplingParams": "engine.sampling",
    "Summary": "engine.summary",
    "Lesson": "engine.lesson",
    "TeachParams": "engine.lesson",
    "Tokenizer": "engine.tokenizer",
    "Worker": "engine.worker",
}

__all__ = [
    "AdapterError",
    "Context",
    "Engine",
    "EngineClosedError",
    "EngineError",
    "EngineInfo",
    "Generated",
    "Job",
    "Lesson",
    "PromptError",
    "QueueFullError",
    "Recall",
    "Sampler",
    "SamplingParams",
    "Summary",
    "TeachParams",
    "Taught",
    "Tokenizer",
    "TokenizerError",
    "WeightsError",
    "Worker",
    "default_weights",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
