"""The engine: weights, tokenizer and KV cache of one model, and what can be done with them. Blocking, one thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.adapter import pack_adapter
from engine.contents import plain_name
from engine.decoder import Backend, Chosen, bytes_needed, choose, read_out
from engine.draft import Drafter
from engine.draft_table import DraftTable
from engine.errors import AdapterError, WeightsError
from engine.folder import Stored, default_weights, open_weights, read_config
from engine.host import DtypeName, return_freed_memory, reusing_memory
from engine.lesson import Lesson, TeachParams, check_lesson
from engine.memory_vectors import MemoryVectors, States
from engine.outcome import EngineInfo, Generated, Recall, Taught
from engine.pack import load_pack, pack_key, read_card
from engine.porter import Attached, Channels
from engine.prompt import Context, fit, render, render_window
from engine.readout import curve_of
from engine.recollection import Recollection, Recollector
from engine.sampling import Sampler, SamplingParams
from engine.shape import Floats
from engine.summary import ABBREVIATION
from engine.teach import Usual, train_units, usual_of
from engine.tokenizer import MEMORY, STORY, UNKNOWN
from engine.units import widened
from engine.window import Window
from engine.writing import BeforePass, write

log = logging.getLogger(__name__)

LESSON_UNITS = 256  # room for what a channel was taught: 20 lessons of 12 tokens
STYLE_UNITS = 64  # room in each block for a channel's style
USUAL_ROWS, USUAL_TOKENS = 16, 128  # text of the base's own that teaching must leave alone
AFTER = 8  # tokens behind an answer that are the base's own again
SENTENCE_END = (".", "!", "?", '."', '!"', '?"', ".'", "!'", "?'")


def ends_sentence(text: str) -> bool:
    """Whether a text stops where a reader would, not behind the point of an abbreviation."""
    text = text.rstrip()
    return text.endswith(SENTENCE_END) and not ABBREVIATION.search(text)


class Asked(NamedTuple):
    """What the engine was asked to compute with; weights that are swapped in get the same."""

    backend: Backend = "auto"
    compute_dtype: DtypeName | None = None
    threads: int | None = None


class Engine:
    """One model, ready to write and to be taught. Not safe for several threads: `Worker` owns it.

    Attributes:
        drafts: whether guesses of what follows are verified several at a time. It changes the speed and nothing else.
    """

    def __init__(self, stored: Stored, chosen: Chosen, asked: Asked, style: Path | None = None) -> None:
        self.stored, self.asked = stored, asked
        self.config, self.tokenizer, self.base_id = stored.config, stored.tokenizer, stored.base_id
        self._table = DraftTable.load(stored.folder, self.config.vocab_size)
        self.drafts = chosen.native  # eager torch gains nothing by them
        self._style = style  # what is worn where a request names none
        self.pack = read_card(style) if style is not None else None
        self._usual: Usual | None = None
        self._reader: States | None = None  # of memory vectors
        self._remembered: tuple[bytes | None, tuple[MemoryVectors, States] | None] = (None, None)  # those read last
        self._channels = Channels(self.config, self.base_id)
        self._recollector = Recollector(self.tokenizer)
        control = (self.tokenizer.control[MEMORY], self.tokenizer.control[STORY], self.tokenizer.token_id(UNKNOWN))
        beyond = range(self.tokenizer.vocab_size, self.config.vocab_size)  # padding rows of some foreign models
        self._never = [i for i in (*control, *beyond) if i is not None]
        # The later pieces of a rare name are no choice of a word: penalised, they turn one name into another.
        self.penalized = self.tokenizer.word_beginnings() or None
        self._attached: Attached | None = None  # the lessons in the session units
        self._worn: tuple[object, ...] | None = None  # the style in the long-term units
        self._use(chosen)
        self._wear(None)

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
        """Load and check a weights folder, the bundled default if none is named.

        Args:
            backend: "auto" takes the native kernel where it runs, else torch; "int8" the kernel with weights of one
                byte.
            compute_dtype: of the torch path; naming one asks for that path. None takes float32 where the host has
                memory for it and as much again, else float16.
            threads: None: one for each core.
            pack: a style to write in wherever a request names no other.

        Raises:
            WeightsError, TokenizerError: see `open_weights` and `choose`.
            EngineError: the kernel was asked for by name, and cannot serve these weights here.
            AdapterError: see `load_pack`.
        """
        folder, card = folder or default_weights(), read_card(pack) if pack is not None else None
        asked = read_config(folder)  # a folder may ask for room of its own for styles and lessons
        room = max(asked.n_long_term, STYLE_UNITS, card.units if card is not None else 0)
        stored = open_weights(folder, n_long_term=room, n_session=max(asked.n_session, LESSON_UNITS))
        asked_for = Asked(backend, compute_dtype, threads)
        return cls(stored, choose(stored, *asked_for), asked_for, pack)

    @property
    def info(self) -> EngineInfo:
        card, config = self.stored.card, self.config
        return EngineInfo(
            name=str(card.get("name") or plain_name(self.stored.folder)),
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
    def bytes_held(self) -> int:
        """What `close` will give back."""
        return 0 if self._decoder.closed else bytes_needed(self.config, *self.asked)

    def close(self) -> None:
        """Give the memory of the weights back; the next request reads them again."""
        self._decoder.close()

    # ---- writing ----------------------------------------------------------------------------------------------

    def generate(
        self,
        context: Context | str,
        sampling: SamplingParams,
        *,
        adapters: Sequence[bytes] = (),
        always_on: bool = False,
        style: Path | None = None,
        on_piece: Callable[[str], None] = lambda piece: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Generated:
        """Continue the context's text.

        Args:
            adapters: what a channel was taught, as bytes of `teach`: one for each lesson, or several joined in one.
            always_on: lessons take part everywhere, not only where the text has to do with them.
            style: a style pack to write in; None: that of `load`, if any.
            on_piece: called with each piece of whole characters as it comes.
            cancelled: polled for every token.

        Raises:
            AdapterError: an adapter or the style is damaged, belongs to other weights or has no room.
            PromptError: the pins leave no room.
        """
        began = time.perf_counter()
        self._wear(style)
        lessons = self._attach(adapters, always_on)
        context = Context(text=context) if isinstance(context, str) else context
        room = max(self.config.block_size - sampling.max_new_tokens, self.config.block_size // 2)
        prefix, text, left = render_window(self.tokenizer, context, room)
        past = self._recollector.of(context.past + context.text[:left], self._vectors(context.vectors))
        porter = None
        if lessons is not None and not always_on:
            porter = lessons.porter(self._decoder, self.tokenizer, context.text)
        decoder, sampler, pieces = self.tokenizer.stream(), Sampler(sampling, self._never, self.penalized), list[str]()
        tokens, reason = 0, "length"
        for token in self._tokens(prefix, text, sampler, porter, past):
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

    def _tokens(
        self,
        prefix: Sequence[int],
        text: Sequence[int],
        sampler: Sampler,
        porter: BeforePass | None = None,
        past: Recollection | None = None,
    ) -> Iterator[int]:
        """At most max_new_tokens ids behind the prompt; the end of the text is given too, and is the last."""
        drafter = Drafter(self._table) if self.drafts else None
        return write(self._window, self.tokenizer, prefix, text, sampler, drafter, porter, past)

    def _attach(self, adapters: Sequence[bytes], always_on: bool = False) -> Attached | None:
        """Write these lessons' units into the decoder, all of them admitted; None where there are none.

        What was read stays: units of the last feed-forward leave no trace in the cache."""
        lessons = self._channels.attached(adapters, always_on=always_on) if adapters else None
        if lessons is not self._attached:
            rest = [None] * (self.config.n_layer - 1)
            self._decoder.attach([*rest, lessons.group] if lessons is not None else None)
            self._attached = lessons
        self._decoder.admit(None)
        return lessons

    def _wear(self, style: Path | None) -> None:
        """Have the style's units in the long-term room, or none; whatever was read in another style is forgotten."""
        if self._decoder.closed:
            self._use(choose(self.stored, *self.asked))
        style = style or self._style
        worn = pack_key(style) if style is not None else None
        if worn == self._worn:
            return
        room = self.config.n_long_term
        groups = widened(load_pack(style, self.config, self.base_id), room) if style is not None else None
        self._window.forget()
        self._decoder.attach(groups, "long_term")
        self._worn = worn

    def _use(self, chosen: Chosen) -> None:
        """Decode with this from now on; nothing is attached to it."""
        self._chosen, self._decoder, self._window = chosen, chosen.decoder, Window(chosen.decoder)
        self._attached, self._worn = None, None

    # ---- teaching and remembering -----------------------------------------------------------------------------

    @reusing_memory()
    def teach(
        self,
        lesson: Lesson,
        params: TeachParams | None = None,
        *,
        on_progress: Callable[[int, float], None] = lambda step, loss: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Taught:
        """Train units for one lesson and test it by its prompt; the same on these weights whatever else was taught.

        Raises:
            PromptError: the lesson is empty or too long.
        """
        check_lesson(self.tokenizer, lesson, self.config.block_size)
        began = time.perf_counter()
        self._bare()
        trained = train_units(
            self.tokenizer, lesson, self._behind("".join(lesson.joined)), self._usual_text(), self._features,
            read_out(self._decoder), curve_of(self.config.activation if self.config.gated else "silu"),
            params or TeachParams(), block_size=self.config.block_size, on_progress=on_progress, cancelled=cancelled,
        )  # fmt: skip
        self._window.forget()
        blob = pack_adapter([trained.learnt], self.base_id)
        recalled = not cancelled() and self.recall(lesson, [blob]).exact
        return Taught(blob, self.base_id, trained.steps, time.perf_counter() - began, trained.loss, recalled)

    def recall(self, lesson: Lesson, adapters: Sequence[bytes], *, always_on: bool = False) -> Recall:
        """What the prompt is answered with, greedily."""
        prompt, answer = lesson.joined
        n = len(self.tokenizer.encode(answer))
        greedy = SamplingParams(max_new_tokens=n, temperature=0, repetition_penalty=1.0)
        text = self.generate(prompt, greedy, adapters=adapters, always_on=always_on).text.strip()
        return Recall(text, text.startswith(answer.strip()))

    def remember(self, text: str, previous: bytes | None = None) -> bytes:
        """Memory vectors of text that left the window, behind those of the text before it; None: it is the first.

        Raises:
            AdapterError: the previous ones are damaged, or belong to other weights.
        """
        before = MemoryVectors.empty()
        if previous is not None:
            before = MemoryVectors.load(previous, self.base_id, self.config.vocab_size)
        self._bare()
        self._window.forget()
        grown = before.with_text(self._decoder, self._states(), self.tokenizer.encode(text), self._start)
        self._window.forget()
        blob = grown.dump(self.base_id)
        return_freed_memory()
        return blob

    @property
    def _start(self) -> list[int]:
        return [self.tokenizer.start_of_text] if self.tokenizer.start_of_text is not None else []

    def _vectors(self, blob: bytes | None) -> tuple[MemoryVectors, States] | None:
        """What a channel's memory vectors hold; nothing where they cannot be used, as they are written anew anyway."""
        if blob != self._remembered[0]:
            read = None
            try:
                if blob is not None:
                    read = MemoryVectors.load(blob, self.base_id, self.config.vocab_size), self._states()
            except AdapterError as error:
                log.info("written without memory vectors: %s", error)
            self._remembered = blob, read
        return self._remembered[1]

    def _states(self) -> States:
        if self._reader is None:
            self._reader = States(read_out(self._decoder).head)
        return self._reader

    def _bare(self) -> None:
        """The base alone, without style or lessons."""
        style, self._style = self._style, None
        try:
            self._wear(None)
        finally:
            self._style = style
        self._attach(())

    def _features(self, ids: Sequence[int]) -> tuple[Floats, Floats]:
        self._window.forget()
        return self._decoder.features(ids)

    def _usual_text(self) -> Usual:
        """Text that the base itself writes, the same every time; made once."""
        if self._usual is None:
            sampling = SamplingParams(max_new_tokens=USUAL_TOKENS, temperature=1.0, top_p=0.95, seed=0)
            sampler, most = Sampler(sampling, self._never), min(USUAL_TOKENS, self.config.block_size)
            rows = [[*self._start, *self._tokens(self._start, [], sampler)][:most] for _ in range(USUAL_ROWS)]
            self._usual = usual_of(self.tokenizer, rows, self._features)
        return self._usual

    def _behind(self, text: str) -> list[int]:
        """What the base writes behind a lesson."""
        sampling = SamplingParams(max_new_tokens=AFTER, min_new_tokens=AFTER, temperature=0.8, top_p=0.9, seed=0)
        return list(self._tokens(self._start, self.tokenizer.encode(text), Sampler(sampling, self._never)))

    # ---- measuring --------------------------------------------------------------------------------------------

    def logits(
        self, ids: Sequence[int], *, adapters: Sequence[bytes] = (), always_on: bool = False, stride: int = 16
    ) -> Floats:
        """Logits (T, V) behind each of T ids, at most a context of them, that nothing stands before; float32.

        Args:
            stride: where lessons are gated, the gate is asked anew behind every so many ids.
        """
        self._wear(None)
        lessons = self._attach(adapters, always_on)
        self._window.forget()
        if lessons is None or always_on:
            return self._decoder.rows(ids, every=True)
        porter, rows = lessons.porter(self._decoder, self.tokenizer, ""), list[Floats]()
        for first in range(0, len(ids), stride):
            porter(ids[first : first + stride], ())
            rows.append(self._decoder.rows(ids[first : first + stride], every=True))
        return np.concatenate(rows)  # (T, V)

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
        self._bare()
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
