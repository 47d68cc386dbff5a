"""The engine: weights, tokenizer and KV cache of one model, and what can be done with them. Blocking, one thread."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.adapter import pack_adapter, unpack_adapter
from engine.decoder import Backend, Chosen, choose
from engine.draft import POSITION_COST, POSITION_COSTS, Drafter
from engine.draft_table import DraftTable
from engine.errors import WeightsError
from engine.folder import Stored, default_weights, open_weights, read_config
from engine.host import DtypeName, return_freed_memory
from engine.kernel import Kernel
from engine.lesson import Lesson, TeachParams, check_lessons
from engine.pack import PackCard, load_pack, read_card
from engine.prompt import Context, fit, render, render_parts
from engine.sampling import Sampler, SamplingParams
from engine.shape import Floats, UnitGroup
from engine.summary import ABBREVIATION
from engine.tokenizer import MEMORY, STORY, UNKNOWN
from engine.units import widened
from engine.window import Window
from engine.writing import write

if TYPE_CHECKING:  # torch is 200 MB that a process with the kernel does without until somebody teaches
    from engine.model import GPT
    from engine.teach import TrainedUnits

log = logging.getLogger(__name__)

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
    backend: str  # what decodes: "native kernel, avx2, float16" or "torch, float32"
    backend_reason: str


class Asked(NamedTuple):
    """What the engine was asked to compute with; weights that are swapped in get the same."""

    backend: Backend = "auto"
    compute_dtype: DtypeName | None = None
    threads: int | None = None


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
    """One model, ready to write and to be taught. Not safe for several threads: `Worker` owns it.

    Attributes:
        drafts: whether guesses of what follows are verified several at a time. It changes the speed and nothing else.
    """

    def __init__(
        self, stored: Stored, chosen: Chosen, asked: Asked, style: list[UnitGroup | None] | None = None
    ) -> None:
        self.stored, self.asked = stored, asked
        self.config, self.tokenizer, self.base_id = stored.config, stored.tokenizer, stored.base_id
        self._table = DraftTable.load(stored.folder, self.config.vocab_size)
        self.drafts = chosen.native  # eager torch gains nothing by them
        self.pack: PackCard | None = None  # the style that is in the long-term units
        self._style = style
        self._attached: str | None = None  # digest of the adapter in the session units
        self._use(chosen)
        self._replay: list[list[int]] | None = None
        control = (self.tokenizer.control[MEMORY], self.tokenizer.control[STORY], self.tokenizer.token_id(UNKNOWN))
        beyond = range(self.tokenizer.vocab_size, self.config.vocab_size)  # padding rows of some foreign models
        self._never = [i for i in (*control, *beyond) if i is not None]
        # The later pieces of a rare name are no choice of a word: penalised, they turn one name into another.
        self.penalized = self.tokenizer.word_beginnings() or None

    @classmethod
    def load(
        cls,
        folder: Path | None = None,
        *,
        backend: Backend = "auto",
        compute_dtype: DtypeName | None = None,
        threads: int | None = None,
        pack: Path | None = None,
    ) -> Engine:
        """Load and check a weights folder, the bundled default if none is named, and put on a style pack, if one is.

        Args:
            backend: "auto" takes the native kernel where it runs, else torch; "int8" the kernel with weights of one
                byte.
            compute_dtype: of the torch path; naming one asks for that path. None takes float32 where the host has
                memory for it and as much again, else float16.
            threads: None: one for each core.

        Raises:
            WeightsError, TokenizerError: see `open_weights` and `choose`.
            EngineError: the kernel was asked for by name, and cannot serve these weights here.
            AdapterError: see `load_pack`.
        """
        folder, card = folder or default_weights(), read_card(pack) if pack is not None else None
        asked = read_config(folder)  # a folder may ask for room of its own for styles and lessons
        room = max(asked.n_long_term, card.units if card is not None else 0)
        stored = open_weights(folder, n_long_term=room, n_session=asked.n_session or SESSION_UNITS)
        style = widened(load_pack(pack, stored.config, stored.base_id), room) if pack is not None else None
        asked_for = Asked(backend, compute_dtype, threads)
        engine = cls(stored, choose(stored, *asked_for), asked_for, style)
        engine.pack = card
        return engine

    @property
    def info(self) -> EngineInfo:
        card, config = self.stored.card, self.config
        return EngineInfo(
            name=str(card.get("name") or self.stored.folder.name),
            base_id=self.base_id,
            model_type=config.model_type,
            parameters=replace(config, n_long_term=0, n_session=0).n_weights,
            block_size=config.block_size,
            vocab_size=config.vocab_size,
            rating="mature" if self.pack and self.pack.rating == "mature" else str(card.get("rating", "unknown")),
            folder=self.stored.folder,
            card=card,
            backend=self._chosen.backend,
            backend_reason=self._chosen.reason,
        )

    @property
    def _position_cost(self) -> float:
        """What a guess costs in a pass, by the instruction set that runs."""
        isa = self._decoder.isa if isinstance(self._decoder, Kernel) else ""
        return POSITION_COSTS.get(isa, POSITION_COST)

    def close(self) -> None:
        """Give the memory of the weights back; the next request reads them again."""
        self._decoder.close()

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
        room = max(self.config.block_size - sampling.max_new_tokens, self.config.block_size // 2)
        prefix, text = render_parts(self.tokenizer, context, room)
        decoder, sampler, pieces = self.tokenizer.stream(), Sampler(sampling, self._never, self.penalized), list[str]()
        tokens, reason = 0, "length"
        for token in self._tokens(prefix, text, sampler):
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

    def _tokens(self, prefix: Sequence[int], text: Sequence[int], sampler: Sampler) -> Iterator[int]:
        """At most max_new_tokens ids behind the prompt; the end of the text is given too, and is the last."""
        drafter = Drafter(self._table, position_cost=self._position_cost) if self.drafts else None
        return write(self._window, self.tokenizer, prefix, text, sampler, drafter)

    def _attach(self, adapter: bytes | None) -> None:
        if self._decoder.closed:
            self._serve()
        digest = hashlib.sha256(adapter).hexdigest() if adapter is not None else None
        if digest != self._attached:
            groups = unpack_adapter(adapter, self.config, self.base_id) if adapter is not None else None
            self._window.forget()
            self._decoder.attach(groups)
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
        check_lessons(self.tokenizer, lessons, self.config.block_size)
        began = time.perf_counter()
        self._attach(None)
        replay = self._own_text()
        trained = self._train(lessons, replay, params or TeachParams(), on_progress, cancelled)
        blob = pack_adapter(trained.groups, self.base_id)
        recalled = sum(self.recalls(lesson, blob) for lesson in lessons) if not cancelled() else 0
        seconds = time.perf_counter() - began
        return Taught(blob, self.base_id, trained.steps, seconds, trained.loss, recalled, len(lessons))

    def _train(
        self,
        lessons: Sequence[Lesson],
        replay: list[list[int]],
        params: TeachParams,
        on_progress: Callable[[int, float], None],
        cancelled: Callable[[], bool],
    ) -> TrainedUnits:
        """Training needs the torch model. Where the kernel serves, that is read again from the folder and takes the
        kernel's place for as long, since the host may have no room for both and what training needs."""
        from engine.teach import borrow_model, train_units
        from engine.torch_decoder import TorchDecoder

        def train(model: GPT) -> TrainedUnits:
            return train_units(
                model, self.tokenizer, lessons, replay, params, on_progress=on_progress, cancelled=cancelled
            )

        if isinstance(self._decoder, TorchDecoder):
            return train(self._decoder.model)
        if self.stored.files.sha256() != self.base_id:
            raise WeightsError(f"{self.stored.folder} has changed since it was loaded; activate the weights again.")
        self._decoder.close()
        try:
            return train(borrow_model(self.stored, self._style, self.asked.threads))
        finally:
            return_freed_memory()
            self._serve()

    def _serve(self) -> None:
        """Bring the decoder back after it was closed; where that fails, the next request tries again.

        Raises:
            EngineError: it cannot be had now.
        """
        self._use(choose(self.stored, *self.asked))

    def _use(self, chosen: Chosen) -> None:
        """Decode with this from now on; nothing is attached to it but the style."""
        self._chosen, self._decoder, self._window = chosen, chosen.decoder, Window(chosen.decoder)
        self._attached = None
        self._decoder.attach(self._style, "long_term")

    def recalls(self, lesson: Lesson, adapter: bytes | None) -> bool:
        """Whether the prompt is answered word for word, greedily."""
        prompt, answer = lesson.joined
        greedy = SamplingParams(
            max_new_tokens=len(self.tokenizer.encode(answer)), temperature=0, repetition_penalty=1.0
        )
        text = self.generate(prompt, greedy, adapter=adapter).text
        return text.strip().startswith(answer.strip())

    def _own_text(self) -> list[list[int]]:
        """Rows of ids, equally long, that the base itself writes, the same every time; made once."""
        if self._replay is None:
            sampler = Sampler(
                SamplingParams(max_new_tokens=REPLAY_TOKENS, temperature=1.0, top_p=0.95, seed=0), self._never
            )
            start = [self.tokenizer.start_of_text] if self.tokenizer.start_of_text is not None else []
            self._replay = []
            for _ in range(REPLAY_ROWS):
                row = list(self._tokens(start, [], sampler))
                self._replay.append((start + row + row * REPLAY_TOKENS)[:REPLAY_TOKENS])
        return self._replay

    def logits(self, ids: Sequence[int], *, adapter: bytes | None = None) -> Floats:
        """Logits (T, V) behind each of T ids, at most a context of them, that nothing stands before; float32."""
        self._attach(adapter)
        self._window.forget()
        return self._decoder.rows(ids, every=True)

    def forget(self) -> None:
        """Read the next prompt as if it were the first: for measuring."""
        self._window.forget()

    def read_once(self) -> int:
        """Read all weights that a token needs, and compute nothing: the least time it can take. Gives their bytes."""
        return self._decoder.read_once()

    def try_out(self) -> None:
        """Write a little, as a last check of new weights.

        Raises:
            WeightsError: the model writes nothing, or its logits are no numbers.
        """
        self._attach(None)
        ids = render(self.tokenizer, Context(text="Once upon a time"), self.config.block_size // 2)
        if not np.isfinite(self._window.read(ids)).all():
            raise WeightsError("These weights overflow while they write; export them again from a sound checkpoint.")
        self.generate("Once upon a time", SamplingParams(max_new_tokens=8, min_new_tokens=4, seed=0))

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tokenizer.encode(text))

    def visible_from(self, text: str, room: int) -> int:
        """The character offset where the part of the text begins that `room` tokens can hold."""
        return fit(self.tokenizer, text, room)[1]
