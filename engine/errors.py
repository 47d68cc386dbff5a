"""Everything that the engine raises on purpose. Each message is one sentence: what happened and what to do."""

from __future__ import annotations

MAX_SHOWN = 80  # characters of a name that stands in a file


def shown(name: object) -> str:
    """A name from a file that somebody brought, fit to stand in a sentence: on one line, and not the longest."""
    text = "".join(c if c.isprintable() else "?" for c in str(name)[: MAX_SHOWN + 1])
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}\N{HORIZONTAL ELLIPSIS}"


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
        position: how many jobs would have been before the refused one.
        expected_wait: seconds until it would have had its turn.
        one_line: whether only the line it belongs to is full, as others have room.
    """

    def __init__(self, position: int, expected_wait: float, *, one_line: bool = False) -> None:
        self.position, self.expected_wait, self.one_line = position, expected_wait, one_line
        whose = "This channel has as many requests waiting as it may, and " if one_line else ""
        count = "1 is" if position == 1 else f"{position} are"
        before = f"{count} before yours" if one_line else f"{position} requests are waiting already"
        super().__init__(f"{whose}{before}; try again in about {max(1, round(expected_wait))} seconds.")


class EngineClosedError(EngineError):
    """The engine is shutting down and takes no more jobs."""
