"""Measures of a model on held-out text."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from engine.model import GPT
from engine.tokenizer import Tokenizer

BATCH_TOKENS = 16_384  # windows read at once


@dataclass(frozen=True)
class Fit:
    """How well a model predicts a text."""

    nats: float  # over all tokens
    tokens: int
    bytes: int  # of the original text

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes

    def as_row(self) -> dict[str, float]:
        return {"nats_per_token": round(self.nats_per_token, 6), "bits_per_byte": round(self.bits_per_byte, 6)}


@torch.inference_mode()
def bits_per_byte(model: GPT, tokenizer: Tokenizer, documents: Sequence[str], *, autocast: bool = False) -> Fit:
    """Cross-entropy of whole documents, each read from its start behind an end-of-text token, in windows of
    `block_size` that do not overlap: the first token of a later window is predicted from the last of the one before
    alone. Every byte of the text is counted; the end of a document is not text and is not.
    """
    windows: dict[int, list[list[int]]] = defaultdict(list)  # by length
    start = [tokenizer.end_of_text] if tokenizer.end_of_text is not None else tokenizer.encode("\n")[:1]
    block_size = model.config.block_size
    n_bytes = 0
    for document in documents:
        n_bytes += len(document.encode())
        ids = [*start, *tokenizer.encode(document)]
        for begin in range(0, len(ids) - 1, block_size):
            window = ids[begin : begin + block_size + 1]
            windows[len(window)].append(window)
    nats, n_tokens = 0.0, 0
    for length, group in windows.items():
        per_batch = max(1, BATCH_TOKENS // length)
        for i in range(0, len(group), per_batch):
            rows = torch.tensor(group[i : i + per_batch])  # (B, T + 1)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                logits = model(rows[:, :-1])  # (B, T) -> (B, T, V)
            targets = rows[:, 1:].flatten()  # (B, T) -> (B * T,)
            nats += float(F.cross_entropy(logits.flatten(0, 1).float(), targets, reduction="sum"))
            n_tokens += targets.numel()
    return Fit(nats, n_tokens, n_bytes)
