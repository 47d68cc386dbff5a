"""Measures of a model on held-out text.

python -m training evaluate [--weights DIR] --text FILE [--train FILE ...] [--stories N] [--generate N] [--json]

Likelihoods first (bits per byte here, choices between true and spoilt stories in `choices`), then what can be counted
in text that the model writes (`continuations`, `measures`), beside the same counts of the people's text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from engine.checkpoint import load_weights
from engine.generation import Engine
from engine.model import GPT
from engine.tokenizer import Tokenizer
from training.choices import ending_choice, order_choices
from training.continuations import SAMPLING, Opening, answer_prompts, continue_openings, cut_openings
from training.corpus import read_documents
from training.errors import CorpusError, TrainingError
from training.measures import copied, distinct, first_words, follow_names, repetition, words
from training.scoring import Row, first_ids, score, split_windows

WAITING_ROWS = 1024  # windows that wait to be scored, so that those of like length find each other
UNKNOWN_NATS = math.log(0x110000)  # what it costs to name one of all Unicode characters


@dataclass(frozen=True)
class Fit:
    """How well a model predicts a text."""

    nats: float  # over the whole text
    tokens: int
    bytes: int  # of the original text
    documents: int
    unknown: int  # characters that the tokens do not carry; 0 with a vocabulary that holds all bytes

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes

    def as_row(self) -> dict[str, float]:
        return {"nats_per_token": round(self.nats_per_token, 6), "bits_per_byte": round(self.bits_per_byte, 6)}


def bits_per_byte(model: GPT, tokenizer: Tokenizer, documents: Iterable[str], *, autocast: bool = False) -> Fit:
    """Cross-entropy of whole documents, each read from its start behind an end-of-text token, in windows of
    `block_size` that do not overlap: the first token of a later window is predicted from the last of the one before
    alone. Every byte of the text is counted; the end of a document is not text and is not.

    A character that the vocabulary lacks costs, beside its unknown token, what naming it among all of Unicode costs:
    without that a vocabulary would look the better the fewer characters it knows.
    """
    waiting: list[Row] = []
    start, block_size = first_ids(tokenizer), model.config.block_size
    nats, n_tokens, n_bytes, n_documents, n_unknown = 0.0, 0, 0, 0, 0
    for document in documents:
        ids = tokenizer.encode(document)
        n_documents += 1
        n_tokens += len(ids)
        n_bytes += len(document.encode())
        n_unknown += max(0, len(document) - len(tokenizer.decode(ids)))
        waiting += split_windows([*start, *ids], block_size)
        if len(waiting) >= WAITING_ROWS:
            nats += sum(score(model, waiting, autocast=autocast))
            waiting.clear()
    nats += sum(score(model, waiting, autocast=autocast))
    return Fit(nats + n_unknown * UNKNOWN_NATS, n_tokens, n_bytes, n_documents, n_unknown)


def evaluate(
    weights: Path,
    text: Path,
    *,
    train: Sequence[Path] = (),
    stories: int = 250,
    generate: int = 0,
    on_progress: Callable[[str], None] = lambda told: None,
) -> dict[str, Any]:
    """The figures of a weights folder on a text file, computed in float32 on the CPU; None where a text or a model has
    nothing to measure.

    Args:
        train: what the weights were trained on, to look for copies.
        stories: in how many of the text's stories to choose between a true and a spoilt one.
        generate: how many of the text's stories to continue; 0 leaves out all figures of generated text.
        on_progress: told in a word or two what is done now.

    Raises:
        CorpusError: a text is missing, empty, or not readable.
        TrainingError: copies are asked for, but no generated text to look for them in.
        WeightsError: the weights are missing or damaged.
    """
    if train and not generate:
        raise TrainingError("--train looks for copies in generated text; leave it out, or let --generate be 1 or more.")
    documents = list(read_documents(text))
    if not documents:
        raise CorpusError(f"{text} holds no text; name a file with at least one character.")
    for path in train:
        next(read_documents(path), None)  # a wrong file is told now, not after minutes
    loaded = load_weights(weights, dtype="float32")
    began = time.monotonic()
    figures: dict[str, Any] = {"weights": weights.resolve().name, "text": text.name}
    figures |= likelihoods(loaded.model, loaded.tokenizer, documents, stories, on_progress)
    if generate:
        engine = Engine.load(weights, threads=torch.get_num_threads())
        figures |= generated(engine, cut_openings(documents, generate), train, on_progress)
    return {**figures, "seconds": round(time.monotonic() - began, 1)}


def likelihoods(
    model: GPT,
    tokenizer: Tokenizer,
    documents: Sequence[str],
    stories: int,
    on_progress: Callable[[str], None] = lambda told: None,
) -> dict[str, Any]:
    """Bits per byte, and the choices between true and spoilt stories."""
    on_progress("bits per byte")
    fit = bits_per_byte(model, tokenizer, documents)
    on_progress("endings")
    endings = ending_choice(model, tokenizer, documents, stories)
    on_progress("order of sentences")
    by_sentence, by_block = order_choices(model, tokenizer, documents, stories)
    return {
        **fit.as_row(), "tokens": fit.tokens, "bytes": fit.bytes, "documents": fit.documents,
        "unknown_characters": fit.unknown,
        "ending_choice": rounded(endings.share), "ending_stories": endings.stories,
        "sentence_order": rounded(by_sentence.share), "block_order": rounded(by_block.share),
        "order_stories": by_sentence.stories,
    }  # fmt: skip


def generated(
    engine: Engine,
    stories: Sequence[Opening],
    train: Sequence[Path] = (),
    on_progress: Callable[[str], None] = lambda told: None,
) -> dict[str, Any]:
    """What is counted in the model's continuations of these openings, and in the people's: of each pair as many words
    as the shorter one has, since longer text repeats more; and the answers to the fixed prompts.

    `closing` is the share of continuations that the model ended, with a whole sentence, before they were twice as
    long as the people's; None where the vocabulary has no end of text.
    """
    written = continue_openings(engine, stories, lambda done: on_progress(f"continuation {done} of {len(stories)}"))
    lengths = [min(len(words(own.text)), len(words(story.rest))) for own, story in zip(written, stories, strict=True)]
    ours = [first_words(own.text, length) for own, length in zip(written, lengths, strict=True)]
    theirs = [first_words(story.rest, length) for story, length in zip(stories, lengths, strict=True)]
    beginnings = [story.text for story in stories]
    names = [follow_names(beginnings, texts) for texts in (ours, theirs)]

    figures: dict[str, Any] = {
        "continuations": len(stories), "compared_words": sum(lengths), "introduced_names": names[0].introduced,
    }  # fmt: skip
    figures |= compared("rep_4", *(repetition(texts) for texts in (ours, theirs)))
    figures |= compared("distinct_3", *(distinct(texts) for texts in (ours, theirs)))
    figures |= compared("entity_persistence", *(each.persistence for each in names))
    figures |= compared("known_names", *(each.known_share for each in names))
    if train:
        on_progress("copies")
        figures |= compared("copied_10", *copied((ours, theirs), train))
        figures["train"] = [path.name for path in train]
    closes = bool(stories) and engine.tokenizer.end_of_text is not None
    figures["closing"] = rounded(sum(own.closed for own in written) / len(written)) if closes else None
    on_progress("samples")
    drawn = {name: value for name, value in asdict(SAMPLING).items() if name != "max_new_tokens"}
    return {**figures, "sampling": drawn, "samples": answer_prompts(engine)}


def compared(name: str, ours: float | None, theirs: float | None) -> dict[str, float | None]:
    """A figure, the people's, and the first divided by the second."""
    ratio = ours / theirs if ours is not None and theirs else None
    return {name: rounded(ours), f"{name}_human": rounded(theirs), f"{name}_ratio": rounded(ratio, 2)}


def rounded(share: float | None, digits: int = 4) -> float | None:
    return None if share is None else round(share, digits)
