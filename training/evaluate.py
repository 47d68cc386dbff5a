"""Measures of a model on held-out text.

python -m training evaluate [--weights DIR] --text FILE [--json]
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.checkpoint import load_weights
from engine.model import GPT
from engine.tokenizer import Tokenizer
from training.corpus import read_documents
from training.errors import CorpusError

BATCH_LOGITS = 2**25  # logits computed at once: 128 MB in float32
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


@torch.inference_mode()
def bits_per_byte(model: GPT, tokenizer: Tokenizer, documents: Iterable[str], *, autocast: bool = False) -> Fit:
    """Cross-entropy of whole documents, each read from its start behind an end-of-text token, in windows of
    `block_size` that do not overlap: the first token of a later window is predicted from the last of the one before
    alone. Every byte of the text is counted; the end of a document is not text and is not.

    A character that the vocabulary lacks costs, beside its unknown token, what naming it among all of Unicode costs:
    without that a vocabulary would look the better the fewer characters it knows.
    """
    waiting: dict[int, list[list[int]]] = defaultdict(list)  # windows by their length
    start = [tokenizer.end_of_text] if tokenizer.end_of_text is not None else tokenizer.encode("\n")[:1]
    block_size, vocab_size = model.config.block_size, model.config.vocab_size
    nats, n_tokens, n_bytes, n_documents, n_unknown = 0.0, 0, 0, 0, 0
    for document in documents:
        ids = tokenizer.encode(document)
        n_documents += 1
        n_tokens += len(ids)
        n_bytes += len(document.encode())
        n_unknown += max(0, len(document) - len(tokenizer.decode(ids)))
        for window in split_windows([*start, *ids], block_size):
            group = waiting[len(window)]
            group.append(window)
            if len(group) >= max(1, BATCH_LOGITS // (vocab_size * len(window))):
                nats += _nats(model, group, autocast)
                group.clear()
    nats += sum(_nats(model, group, autocast) for group in waiting.values() if group)
    return Fit(nats + n_unknown * UNKNOWN_NATS, n_tokens, n_bytes, n_documents, n_unknown)


def split_windows(ids: list[int], block_size: int) -> list[list[int]]:
    """Windows of at most `block_size` + 1 ids, in which all but the first are predicted: each id but the very first
    is predicted exactly once."""
    return [ids[begin : begin + block_size + 1] for begin in range(0, len(ids) - 1, block_size)]


def _nats(model: GPT, windows: list[list[int]], autocast: bool) -> float:
    rows = torch.tensor(windows)  # (B, T + 1)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits: Tensor = model(rows[:, :-1])  # (B, T) -> (B, T, V)
    losses = F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="none")  # (B * T,)
    return float(losses.double().sum())


def evaluate(weights: Path, text: Path) -> dict[str, float | int | str]:
    """The figures of a weights folder on a text file, computed in float32.

    Raises:
        CorpusError: the text is missing, empty, or not readable.
        WeightsError: the weights are missing or damaged.
    """
    documents = list(read_documents(text))
    if not documents:
        raise CorpusError(f"{text} holds no text; name a file with at least one character.")
    loaded = load_weights(weights, dtype=torch.float32)
    began = time.monotonic()
    fit = bits_per_byte(loaded.model, loaded.tokenizer, documents)
    return {
        "weights": weights.resolve().name, "text": text.name, **fit.as_row(), "tokens": fit.tokens, "bytes": fit.bytes,
        "documents": fit.documents, "unknown_characters": fit.unknown, "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
