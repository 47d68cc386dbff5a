"""How unlikely a model finds given ids: what every likelihood that `evaluate` prints is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from engine.model import GPT
from engine.tokenizer import Tokenizer

BATCH_LOGITS = 2**21  # computed at once, 8 MB in float32: larger batches are no faster on a CPU, from 64 MB on slower
NOT_ASKED = -1  # target of a position that does not count


class Row(NamedTuple):
    """Ids in the order in which they are read; the first `given` of them, at least one, are not predicted."""

    ids: list[int]
    given: int = 1


@torch.inference_mode()
def score(model: GPT, rows: Sequence[Row], *, autocast: bool = False) -> list[float]:
    """The nats that each row's predicted ids cost together, on the device the model is on; a row of at most
    `block_size` + 1 ids. Rows of like length share a batch; what fills up the shorter ones stands behind their ends,
    where a causal model cannot see it."""
    device = next(model.parameters()).device
    nats = [0.0] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids), reverse=True)
    while order:
        length = len(rows[order[0]].ids)
        size = max(1, BATCH_LOGITS // (model.config.vocab_size * length))
        batch, order = order[:size], order[size:]
        ids = torch.zeros(len(batch), length, dtype=torch.int64)  # (B, T + 1)
        targets = torch.full_like(ids, NOT_ASKED)  # (B, T + 1)
        for place, i in enumerate(batch):
            row, given = torch.tensor(rows[i].ids), rows[i].given
            ids[place, : len(row)] = row
            targets[place, given : len(row)] = row[given:]
        ids, targets = ids[:, :-1].to(device), targets[:, 1:].to(device)  # 2 x (B, T)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
            logits = model(ids)  # (B, T) -> (B, T, V)
        losses = F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NOT_ASKED, reduction="none"
        )  # (B * T, V) -> (B * T,)
        sums = losses.cpu().double().view(targets.shape).sum(1)  # (B * T,) -> (B,)
        for i, value in zip(batch, sums.tolist(), strict=True):
            nats[i] = value
    return nats


def split_windows(ids: list[int], block_size: int) -> list[Row]:
    """Windows of at most `block_size` + 1 ids, in which all but the first are predicted: each id but the very first
    is predicted exactly once."""
    return [Row(ids[begin : begin + block_size + 1]) for begin in range(0, len(ids) - 1, block_size)]


def first_ids(tokenizer: Tokenizer) -> list[int]:
    """What stands before a text so that its first token can be predicted: the token that begins every document, or in
    a vocabulary without one a line break."""
    return [tokenizer.start_of_text] if tokenizer.start_of_text is not None else tokenizer.encode("\n")[:1] or [0]
