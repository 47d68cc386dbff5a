"""Choosing the next token."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import PromptError
from engine.kernel import NativeSampler, available
from engine.shape import Floats

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
    repetition_penalty: float = 1.15
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

    Every drawn token takes one uniform number, so that a seed writes the same text whether its logits come one row at
    a time or, with guesses being verified, several. The native sampler does the same work where it was built.

    Args:
        never: ids that are not drawn at all (control tokens other than the end of the text).
        penalized: the only ids that the repetition penalty may turn down; None lets it turn down any.
        native: None takes the native sampler where there is one.
    """

    def __init__(
        self,
        params: SamplingParams,
        never: Sequence[int] = (),
        penalized: frozenset[int] | None = None,
        *,
        native: bool | None = None,
    ) -> None:
        self.params = params
        self._random = random.Random(params.seed).random
        self._text: list[int] = []  # that `follow` goes on with
        self._end: int | None = None
        self._begun = False  # in the native sampler
        self._ahead: list[float] = []  # numbers that were taken for rows which were not needed: the next ones use them
        self._penalized = penalized
        self._never = list(never)
        self._wanted = available()[0] if native is None else native
        self._native: NativeSampler | None = None  # made when the first row tells the size of the vocabulary

    def next(self, logits: ArrayLike, history: Sequence[int], *, not_now: int | None = None) -> int:
        """The next id from logits (V,), given the ids before it; `not_now` is an id that may not come yet."""
        probabilities = self.distribution(logits, history, not_now=not_now)
        if self.params.temperature == 0:
            return int(probabilities.argmax())
        if self._native is not None:
            return self._native.draw(probabilities, self._uniform())
        below = probabilities.cumsum(dtype=np.float64)  # (V,)
        place = int(np.searchsorted(below, self._uniform() * below[-1], side="right"))
        return min(place, int(probabilities.nonzero()[0][-1]))  # rounding may lead behind the last that is possible

    def begin(self, ids: Sequence[int], end: int | None) -> None:
        """Take a text that `follow` goes on with; `end` is the id that ends it, None where there is none."""
        self._text, self._end, self._begun = list(ids), end, False

    def follow(self, rows: Floats, guesses: Sequence[int] = (), early: int = 0) -> list[int]:
        """The next ids of the text from logits (1 + guesses, V), each the one that `next` gives, as long as they are
        those guessed; the last one may be another, or the text's end.

        Args:
            early: a bit for each row, the lowest for the first: 1 where the end may not come yet.
        """
        params, native = self.params, self._native_for(rows.shape[1])
        if native is None:
            drawn = list[int]()
            for i, row in enumerate(rows):
                drawn.append(self.next(row, self._text, not_now=self._end if early >> i & 1 else None))
                self._text.append(drawn[-1])
                if drawn[-1] == self._end or drawn != list(guesses[: i + 1]):
                    break
            return drawn
        if not self._begun:
            native.begin(
                self._text, window=REPETITION_WINDOW, end=self._end, temperature=params.temperature, top_k=params.top_k,
                top_p=params.top_p, penalty=params.repetition_penalty,
            )  # fmt: skip
            self._begun = True
        while len(self._ahead) < len(rows):
            self._ahead.append(self._random())
        drawn = native.follow(rows, guesses, self._ahead, early)
        if params.temperature:
            del self._ahead[: len(drawn)]
        return drawn

    def _native_for(self, vocab: int) -> NativeSampler | None:
        if self._wanted and self._native is None:
            self._native = NativeSampler(vocab, self._never, self._penalized)
        return self._native

    def _uniform(self) -> float:
        return self._ahead.pop(0) if self._ahead else self._random()

    def distribution(self, logits: ArrayLike, history: Sequence[int], *, not_now: int | None = None) -> Floats:
        """What the next id is drawn from: (V,), in proportion; at temperature 0 all of it is on one id."""
        params, recent, row = self.params, history[-REPETITION_WINDOW:], np.asarray(logits, dtype=np.float32)  # (V,)
        if (native := self._native_for(row.size)) is not None:
            return native.process(
                row, recent, temperature=params.temperature, top_k=params.top_k, top_p=params.top_p,
                penalty=params.repetition_penalty, not_now=not_now,
            )  # fmt: skip
        scores = row.copy()
        scores[self._never] = -np.inf
        if not_now is not None:
            scores[not_now] = -np.inf
        if params.repetition_penalty != 1.0 and recent:
            self._penalize(scores, recent)
        if params.temperature == 0:
            likeliest = int(scores.argmax())
            scores[:] = 0
            scores[likeliest] = 1
            return scores
        scores /= params.temperature
        if params.top_k is not None and params.top_k < scores.size:
            scores[scores < np.partition(scores, -params.top_k)[-params.top_k]] = -np.inf
        likelihoods = np.exp(scores - scores.max())  # (V,)
        probabilities: Floats = likelihoods / likelihoods.sum()
        return self._nucleus(probabilities) if params.top_p < 1.0 else probabilities

    def _penalize(self, scores: Floats, recent: Sequence[int]) -> None:
        """Divide positive and multiply negative scores of recent ids (Keskar et al. 2019, CTRL)."""
        repeated = set(recent) if self._penalized is None else self._penalized.intersection(recent)
        ids = sorted(repeated)
        seen = scores[ids]  # (V,) -> (n,)
        penalty = self.params.repetition_penalty
        scores[ids] = np.where(seen > 0, seen / penalty, seen * penalty)

    def _nucleus(self, probabilities: Floats) -> Floats:
        """Keep the fewest ids whose probability reaches top_p (Holtzman et al. 2020)."""
        ids = np.argsort(-probabilities, kind="stable")  # (V,)
        ordered = probabilities[ids]  # (V,)
        before = ordered.cumsum() - ordered  # mass of the likelier ids; the likeliest always stays
        kept = np.zeros_like(probabilities)
        kept[ids] = np.where(before < self.params.top_p, ordered, 0)
        return kept
