"""Everything that the engine raises on purpose. Each message is one sentence: what happened and what to do."""

from __future__ import annotations


class EngineError(Exception):
    """Root of the engine's error tree."""


class WeightsError(EngineError):
    """A weights folder is missing, incomplete, damaged, or of a shape that this engine does not serve."""


class TokenizerError(EngineError):
    """A tokenizer file is missing, damaged, or does not fit the model."""


class AdapterError(EngineError):
    """An adapter is damaged, or was trained for other base weights than those that are active."""


class KernelError(EngineError):
    """The native kernel is not here, does not know a model, or was called with what it cannot do."""


class PromptError(EngineError):
    """A prompt, a lesson or a sampling setting cannot be used as it was given."""


class QueueFullError(EngineError):
    """The queue takes no more jobs now.

    Attributes:
        position: the place in the queue that the refused job would have had.
        expected_wait: seconds until a place is expected to come free.
    """

    def __init__(self, position: int, expected_wait: float) -> None:
        self.position = position
        self.expected_wait = expected_wait
        super().__init__(
            f"{position} requests are waiting already; try again in about {max(1, round(expected_wait))} seconds."
        )


class EngineClosedError(EngineError):
    """The engine is shutting down and takes no more jobs."""
