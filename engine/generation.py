"""The engine: weights, tokenizer and KV cache of one model, and what can be done with them. Blocking, one thread."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.adapter import attach, pack_adapter, unpack_adapter
from engine.checkpoint import Weights, default_weights, load_weights, read_config
from engine.errors import WeightsError
from engine.model import KVCache
from engine.pack import PackCard, attach_pack, load_pack, read_card
from engine.prompt import Context, fit, render
from engine.sampling import Sampler, SamplingParams
from engine.summary import ABBREVIATION
from engine.teach import Lesson, TeachParams, check_lessons, train_units
from engine.tokenizer import MEMORY, STORY, UNKNOWN

SESSION_UNITS = 16  # a channel's adapter: 74 kB on ember
REPLAY_ROWS, REPLAY_TOKENS = 6, 64  # text of the base's own that teaching must leave alone
SENTENCE_END = (".", "!", "?", '."', '!"', '?"', ".'", "!'", "?'")


def ends_sentence(text: str) -> bool:
    """Whether a text stops where a reader would, not behind the point of an abbreviation."""
    text = text.rstrip()
    return text.endswith(SENTENCE_END) and not ABBREVIATION.search(text)


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
    compute_dtype: str


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
    recalled: int  # lessons answered word for word, greedily
    lessons: int


class Engine:
    """One model, ready to write and to be taught. Not safe for several threads: `Worker` owns it."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.model, self.tokenizer, self.base_id = weights.model, weights.tokenizer, weights.base_id
        self._dtype = weights.model.embedding.weight.dtype
        self.asked_dtype: torch.dtype | None = None  # None: whatever fits, for the weights that are swapped in too
        self._cache = KVCache(self.model.config, self._dtype)
        self.pack: PackCard | None = None  # the style that is in the long-term units
        self._attached: str | None = None  # digest of the adapter in the spare units
        self._replay: Tensor | None = None
        control = (self.tokenizer.control[MEMORY], self.tokenizer.control[STORY], self.tokenizer.token_id(UNKNOWN))
        beyond = range(self.tokenizer.vocab_size, self.model.config.vocab_size)  # padding rows of some foreign models
        self._never = [i for i in (*control, *beyond) if i is not None]
        # The later pieces of a rare name are no choice of a word: penalised, they turn one name into another.
        self.penalized = self.tokenizer.word_beginnings() or None

    @classmethod
    def load(
        cls, folder: Path | None = None, *, compute_dtype: torch.dtype | None = None, pack: Path | None = None
    ) -> Engine:
        """Load and check a weights folder, the bundled default if none is named, and put on a style pack, if one is.

        Args:
            compute_dtype: None takes float32 where the host has memory for it and as much again, else float16.

        Raises:
            WeightsError, TokenizerError: see `load_weights`.
            AdapterError: see `load_pack`.
        """
        folder, card = folder or default_weights(), read_card(pack) if pack is not None else None
        asked = read_config(folder)  # a folder may ask for room of its own for styles and lessons
        room = max(asked.n_long_term, card.units if card is not None else 0)
        engine = cls(
            load_weights(folder, dtype=compute_dtype, n_long_term=room, n_session=asked.n_session or SESSION_UNITS)
        )
        engine.asked_dtype = compute_dtype
        if pack is not None:
            attach_pack(engine.model, load_pack(pack, engine.model.config, engine.base_id))
            engine.pack = card
        return engine

    @property
    def compute_dtype(self) -> torch.dtype:
        return self._dtype

    @property
    def info(self) -> EngineInfo:
        card, config = self.weights.card, self.model.config
        return EngineInfo(
            name=str(card.get("name") or self.weights.folder.name),
            base_id=self.base_id,
            model_type=config.model_type,
            parameters=self.model.parameter_count(),
            block_size=config.block_size,
            vocab_size=config.vocab_size,
            rating="mature" if self.pack and self.pack.rating == "mature" else str(card.get("rating", "unknown")),
            folder=self.weights.folder,
            card=card,
            compute_dtype=str(self._dtype).removeprefix("torch."),
        )

    @torch.inference_mode()
    def generate(
        self,
        context: Context | str,
        sampling: SamplingParams,
        *,
        adapter: bytes | None = None,
        on_piece: Callable[[str], None] = lambda piece: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Generated:
        """Continue the context's text.

        Args:
            adapter: what a channel was taught, as bytes of `teach`; None writes with the base.
            on_piece: called with each piece of whole characters as it comes.
            cancelled: polled for every token.

        Raises:
            AdapterError: the adapter is damaged or belongs to other weights.
            PromptError: the pins leave no room.
        """
        began = time.perf_counter()
        self._attach(adapter)
        context = Context(text=context) if isinstance(context, str) else context
        room = max(self.model.config.block_size - sampling.max_new_tokens, self.model.config.block_size // 2)
        ids = render(self.tokenizer, context, room)
        decoder, sampler, pieces = self.tokenizer.stream(), Sampler(sampling, self._never, self.penalized), list[str]()
        tokens, reason = 0, "length"
        for token in self._tokens(ids, sampler):
            if cancelled():
                reason = "cancelled"
                break
            if token == self.tokenizer.end_of_text:
                reason = "stop"
                break
            tokens += 1
            if piece := decoder.push(token):
                pieces.append(piece)
                on_piece(piece)
            late = sampling.stop_at_sentence and tokens >= sampling.max_new_tokens * 3 // 4
            if late and ends_sentence("".join(pieces[-4:])):
                reason = "stop"
                break
        if rest := decoder.flush():
            pieces.append(rest)
            on_piece(rest)
        return Generated("".join(pieces), tokens, time.perf_counter() - began, reason)

    def _tokens(self, prompt: list[int], sampler: Sampler) -> Iterator[int]:
        """At most max_new_tokens ids behind the prompt; the end of the text is given too, and is the last."""
        params, end = sampler.params, self.tokenizer.end_of_text
        ids = prompt or self.tokenizer.encode("\n")[:1] or [0]
        logits = self._prefill(ids)
        for count in range(params.max_new_tokens):
            early = count < params.min_new_tokens or (
                params.stop_at_sentence and ABBREVIATION.search(self.tokenizer.decode(ids[-4:]))
            )
            token = sampler.next(logits, ids, not_now=end if early else None)
            yield token
            if token == end:
                return
            ids.append(token)
            if self._cache.length == self.model.config.block_size:
                # Full: the newest half is read again as if it were all. One pause in half a context.
                ids = ids[-(self.model.config.block_size // 2) :]
                logits = self._prefill(ids)
            else:
                logits = self.model(torch.tensor([[token]]), cache=self._cache)[0, -1]  # (1, 1) -> (V,)

    def _prefill(self, ids: Sequence[int]) -> Tensor:
        """Read a whole prompt into an empty cache; logits (V,) behind its last id."""
        self._cache.length = 0
        logits: Tensor = self.model(torch.tensor([list(ids)]), cache=self._cache, last_only=True)  # (1, T) -> (1, 1, V)
        return logits[0, -1]

    def _attach(self, adapter: bytes | None) -> None:
        digest = hashlib.sha256(adapter).hexdigest() if adapter is not None else None
        if digest != self._attached:
            attach(
                self.model, unpack_adapter(adapter, self.model.config, self.base_id) if adapter is not None else None
            )
            self._attached = digest

    def teach(
        self,
        lessons: Sequence[Lesson],
        params: TeachParams | None = None,
        *,
        on_progress: Callable[[int, float], None] = lambda step, loss: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Taught:
        """Train a session adapter from blank on these lessons and test it by their prompts.

        Raises:
            PromptError: a lesson is empty or too long, or there are too many.
        """
        check_lessons(self.tokenizer, lessons, self.model.config.block_size)
        began = time.perf_counter()
        self._attach(None)
        trained = train_units(
            self.model, self.tokenizer, lessons, self._own_text(), params or TeachParams(),
            on_progress=on_progress, cancelled=cancelled,
        )  # fmt: skip
        blob = pack_adapter(trained.groups, self.base_id)
        recalled = sum(self.recalls(lesson, blob) for lesson in lessons) if not cancelled() else 0
        seconds = time.perf_counter() - began
        return Taught(blob, self.base_id, trained.steps, seconds, trained.loss, recalled, len(lessons))

    def recalls(self, lesson: Lesson, adapter: bytes | None) -> bool:
        """Whether the prompt is answered word for word, greedily."""
        prompt, answer = lesson.joined
        greedy = SamplingParams(
            max_new_tokens=len(self.tokenizer.encode(answer)), temperature=0, repetition_penalty=1.0
        )
        text = self.generate(prompt, greedy, adapter=adapter).text
        return text.strip().startswith(answer.strip())

    def _own_text(self) -> Tensor:
        """Ids (B, T) that the base itself writes, the same every time; made once."""
        if self._replay is None:
            sampler = Sampler(
                SamplingParams(max_new_tokens=REPLAY_TOKENS, temperature=1.0, top_p=0.95, seed=0), self._never
            )
            start = [self.tokenizer.start_of_text] if self.tokenizer.start_of_text is not None else []
            rows = []
            with torch.inference_mode():
                for _ in range(REPLAY_ROWS):
                    row = list(self._tokens([*start], sampler))
                    rows.append((start + row + row * REPLAY_TOKENS)[:REPLAY_TOKENS])
            self._replay = torch.tensor(rows)
        return self._replay

    def try_out(self) -> None:
        """Write a little, as a last check of new weights.

        Raises:
            WeightsError: the model writes nothing, or its logits are no numbers.
        """
        with torch.inference_mode():
            self._attach(None)
            ids = render(self.tokenizer, Context(text="Once upon a time"), self.model.config.block_size // 2)
            if not torch.isfinite(self._prefill(ids)).all():
                raise WeightsError(
                    "These weights overflow while they write; export them again from a sound checkpoint."
                )
        self.generate("Once upon a time", SamplingParams(max_new_tokens=8, min_new_tokens=4, seed=0))

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tokenizer.encode(text))

    def visible_from(self, text: str, room: int) -> int:
        """The character offset where the part of the text begins that `room` tokens can hold."""
        return fit(self.tokenizer, text, room)[1]
