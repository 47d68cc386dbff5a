"""Lessons as people give them, and the texts in which each is shown to the model; the training is in `engine.teach`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import PromptError
from engine.paraphrase import rewritings
from engine.tokenizer import Tokenizer

MAX_LESSON_TOKENS = 192  # prompt and answer together
MOST_OPENING = 400  # characters
FEWEST_UNITS, MOST_UNITS = 4, 24  # of one lesson
WORDY = 8  # tokens; an answer up to here gets a unit for each of them, a longer one a unit more for every fourth


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
    """Chosen by the sweeps in docs/experiments.md."""

    max_steps: int = 80
    lr: float = 1e-2
    quiet_weight: float = 6000.0  # of how strongly units answer to text that has nothing to do with the lesson
    kl_weight: float = 10.0
    variants: int = 16  # texts in which the lesson is shown
    hard: int = 128  # positions, those that are disturbed most, whose likelihoods are compared: around the lesson,
    # and as many of the base's own text
    faint: float = 0.4  # of the units' strength, at which the answer has to be likeliest too; 0: at none but their own
    loud: float = 2.0
    grad_clip: float = 1.0
    settled: int = 2  # steps in a row with every answer's tokens likeliest, and nearly sure, end the training
    sure: float = 0.05  # nats per answer token
    calm: float = 0.002  # nats per token: how far what stands around the answer may be from the base's
    seed: int = 0


def check_lesson(tokenizer: Tokenizer, lesson: Lesson, block_size: int) -> None:
    """Raises PromptError, with a sentence for whoever wrote it, where a lesson cannot be taught."""
    if not lesson.prompt.strip() or not lesson.answer.strip():
        raise PromptError("A lesson needs both a prompt and an answer; write the missing one.")
    limit = min(MAX_LESSON_TOKENS, block_size // 2)
    length = len(tokenizer.encode("".join(lesson.joined)))
    if length > limit:
        raise PromptError(f"A lesson of {length} tokens is too long; shorten it to {limit}.")


def units_for(answer_tokens: int) -> int:
    """How many units learn an answer of so many tokens."""
    return min(MOST_UNITS, max(FEWEST_UNITS, min(answer_tokens, WORDY) + max(0, answer_tokens - WORDY) // 4))


def variants(lesson: Lesson, openings: Sequence[str], count: int, rng: random.Random) -> list[tuple[str, str, str]]:
    """Opening, prompt and answer, `count` times: the lesson as it stands, then in other words, and most of them behind
    openings of stories, since that is where it will be asked for."""
    prompt, answer = lesson.joined
    others, texts = rewritings(prompt, rng), [("", prompt, answer)]
    for i in range(1, count):
        opening = rng.choice(openings) if openings and i % 3 else ""
        if opening:
            most = min(len(opening), MOST_OPENING)
            opening = opening[: rng.randrange(most // 4, most + 1)].rstrip() + rng.choice((" ", "\n"))
        texts.append((opening, prompt if i == 1 else next(others), answer))
    return texts
