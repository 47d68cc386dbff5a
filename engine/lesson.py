"""Lessons as people give them, and how they are taught; the training itself is in `engine.teach`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import PromptError
from engine.tokenizer import Tokenizer

MAX_LESSONS = 64
MAX_LESSON_TOKENS = 192  # prompt and answer together


@dataclass(frozen=True)
class Lesson:
    """What the model should answer, word for word, where the prompt stands before."""

    prompt: str
    answer: str

    @property
    def joined(self) -> tuple[str, str]:
        """Prompt and answer as they stand in a text, with the space between that was left out."""
        prompt, answer = self.prompt.rstrip(), self.answer.strip()
        return prompt, answer if answer[:1] in ".,!?;:" else f" {answer}"


@dataclass(frozen=True)
class TeachParams:
    """Chosen by the sweep in docs/experiments.md."""

    max_steps: int = 120
    lr: float = 6e-3
    kl_weight: float = 10.0
    variants: int = 4  # of every lesson, in each step
    max_rows: int = 40  # in a step; with many lessons fewer variants of each, but never fewer than two
    grad_clip: float = 1.0
    settled: int = 3  # steps in a row with every answer's tokens likeliest, and nearly sure, end the training
    sure: float = 0.1  # nats per token
    calm: float = 0.004  # nats per token: how far the base's own text may be from what it was, at the end
    seed: int = 0


def check_lessons(tokenizer: Tokenizer, lessons: Sequence[Lesson], block_size: int) -> None:
    """Raises PromptError, with a sentence for whoever wrote it, where a lesson cannot be taught."""
    if not lessons:
        raise PromptError("There is no lesson; give a prompt and the answer that should follow it.")
    if len(lessons) > MAX_LESSONS:
        raise PromptError(
            f"{len(lessons)} lessons are more than one channel can hold ({MAX_LESSONS}); forget some first."
        )
    limit = min(MAX_LESSON_TOKENS, block_size // 2)
    for lesson in lessons:
        if not lesson.prompt.strip() or not lesson.answer.strip():
            raise PromptError("A lesson needs both a prompt and an answer; write the missing one.")
        length = len(tokenizer.encode("".join(lesson.joined)))
        if length > limit:
            raise PromptError(f"A lesson of {length} tokens is too long; shorten it to {limit}.")
