"""Choosing the next token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import PromptError

# The penalty looks back this far. Over a whole story every common word would be penalised, which ruins the prose.
REPETITION_WINDOW = 64
MAX_NEW_TOKENS = 100_000


@dataclass(frozen=True)
class SamplingParams:
    """How a reply is drawn.

    Raises:
        PromptError: a value is out of its range.
    """

    max_new_tokens: int = 160
    temperature: float = 0.8  # 0 takes the likeliest token every time
    top_k: int | None = None  # off
    top_p: float = 0.9
    repetition_penalty: float = 1.1
    seed: int | None = None  # None: another story every time
    min_new_tokens: int = 0  # the end of the text is not drawn before
    # In the last quarter of max_new_tokens the end of a sentence ends the reply, and nothing ends it behind "Mr.".
    stop_at_sentence: bool = False

    def __post_init__(self) -> None:
        checks = (
            (1 <= self.max_new_tokens <= MAX_NEW_TOKENS, f"max_new_tokens must lie between 1 and {MAX_NEW_TOKENS:,}."),
            (math.isfinite(self.temperature) and 0 <= self.temperature <= 10, "temperature must lie between 0 and 10."),
            (self.top_k is None or self.top_k >= 1, "top_k must be 1 or more, or left out."),
            (0 < self.top_p <= 1, "top_p must lie above 0 and at most at 1."),
            (0.5 <= self.repetition_penalty <= 10, "repetition_penalty must lie between 0.5 and 10."),
            (self.min_new_tokens >= 0, "min_new_tokens must be 0 or more."),
            (self.seed is None or -(2**63) <= self.seed < 2**63, "seed must fit into 64 bits."),
        )
        for holds, message in checks:
            if not holds:
                raise PromptError(message)


class Sampler:
    """Draws tokens for one reply: repetition penalty, temperature, top-k, top-p, in that order.

    Args:
        never: ids that are not drawn at all (control tokens other than the end of the text).
        penalized: the only ids that the repetition penalty may turn down; None lets it turn down any.
    """

    def __init__(
        self, params: SamplingParams, never: Sequence[int] = (), penalized: frozenset[int] | None = None
    ) -> None:
        self.params = params
        self._penalized = penalized
        self._never = torch.tensor(list(never), dtype=torch.int64)
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed)

    def next(self, logits: Tensor, history: Sequence[int], *, not_now: int | None = None) -> int:
        """The next id from logits (V,), given the ids before it; `not_now` is an id that may not come yet."""
        scores = logits.float().clone()  # (V,)
        scores[self._never] = -torch.inf
        if not_now is not None:
            scores[not_now] = -torch.inf
        if self.params.repetition_penalty != 1.0 and history:
            self._penalize(scores, history[-REPETITION_WINDOW:])
        if self.params.temperature == 0:
            return int(scores.argmax())
        scores /= self.params.temperature
        if self.params.top_k is not None and self.params.top_k < scores.numel():
            scores[scores < scores.topk(self.params.top_k).values[-1]] = -torch.inf
        probabilities = scores.softmax(-1)  # (V,)
        if self.params.top_p < 1.0:
            probabilities = self._nucleus(probabilities)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))

    def _penalize(self, scores: Tensor, recent: Sequence[int]) -> None:
        """Divide positive and multiply negative scores of recent ids (Keskar et al. 2019, CTRL)."""
        repeated = set(recent) if self._penalized is None else self._penalized.intersection(recent)
        ids = torch.tensor(sorted(repeated), dtype=torch.int64)  # (n,)
        seen = scores[ids]  # (V,) -> (n,)
        penalty = self.params.repetition_penalty
        scores[ids] = torch.where(seen > 0, seen / penalty, seen * penalty)

    def _nucleus(self, probabilities: Tensor) -> Tensor:
        """Keep the fewest ids whose probability reaches top_p (Holtzman et al. 2020)."""
        ordered, ids = probabilities.sort(descending=True)  # (V,)
        before = ordered.cumsum(-1) - ordered  # mass of the likelier ids; the likeliest always stays
        kept = torch.where(before < self.params.top_p, ordered, 0.0)
        return torch.zeros_like(probabilities).scatter_(0, ids, kept)
