"""What a style is trained on: a small corpus, parted into training and held-out text, and the base's own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.model import GPT, UnitGroup
from engine.tokenizer import Tokenizer
from training.corpus import lot, read_documents
from training.errors import CorpusError
from training.overlap import OverlapFilter
from training.roles import Roles

HELD_OUT = 0.1  # of the documents
FEW_DOCUMENTS, SECTION_CHARS = 20, 4_000  # a corpus of fewer documents is held out by sections of this size
MEASURED_CHARS = 100_000  # at most, of the held-out text
REPLAY_ROWS, REPLAY_TOKENS, REPLAY_AT_ONCE = 32, 96, 4  # of the base's own text, and rows of it in a step


@dataclass(frozen=True)
class Style:
    """A corpus, parted."""

    training: list[tuple[str, bool]]  # a text, and whether a document begins with it
    held_out: list[str]
    removed: dict[str, int]  # what overlapped with the held-out text or the stories

    @property
    def bytes(self) -> int:
        """Of the training text, in UTF-8."""
        return sum(len(text.encode()) for text, _ in self.training)

    @property
    def documents(self) -> int:
        return sum(begins for _, begins in self.training)


def read_style(path: Path, stories: Sequence[str]) -> Style:
    """Hold out a tenth, by what the documents say, so that no reordering moves it; the rest is trained on where it
    shares no run of 13 words with that tenth or with `stories`.

    Raises:
        CorpusError: the corpus is missing or damaged, or nothing is left on one of the sides.
    """
    documents = list(read_documents(path))
    if "crd3" in path.name.lower():  # its speakers are real people
        documents = list(map(Roles(documents), documents))
    whole = len(documents) >= FEW_DOCUMENTS
    texts = [
        (part, i == 0) for document in documents for i, part in enumerate([document] if whole else sections(document))
    ]
    ranked = sorted({text for text, _ in texts}, key=lambda text: (lot(text), text))
    held_out = ranked[: max(1, round(HELD_OUT * len(ranked)))]
    keep = OverlapFilter([*held_out, *stories])
    aside = set(held_out)
    training = [(rest, begins) for text, begins in texts if text not in aside for rest in keep([text])]
    if not training:
        raise CorpusError(
            f"{path} leaves nothing to train on, beside what is held out and what overlaps with that or with the"
            " stories; give more text."
        )
    return Style(training, within(held_out, MEASURED_CHARS), keep.removed())


def sections(document: str) -> Iterator[str]:
    """The document in parts of about `SECTION_CHARS` that end with a line."""
    start = 0
    while start < len(document):
        end = document.find("\n", start + SECTION_CHARS) + 1 or len(document)
        yield document[start:end]
        start = end


def within(documents: Sequence[str], chars: int) -> list[str]:
    """The first documents that have so many characters together, the last of them cut."""
    chosen = []
    for document in documents:
        if chars > 0:
            chosen.append(document[:chars])
        chars -= len(document)
    return chosen


def encode(style: Style, tokenizer: Tokenizer) -> Tensor:
    """Ids of the training text, (n,), each document behind the token that begins one and so ends the one before."""
    start = [tokenizer.start_of_text] if tokenizer.start_of_text is not None else []
    ids = [i for text, begins in style.training for i in (*(start if begins else ()), *tokenizer.encode(text))]
    return torch.tensor(ids)


def batches(ids: Tensor, batch_size: int, block_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows (B, T + 1) without end: every window of the text once, in an order drawn anew, before any comes again."""
    if len(ids) <= block_size:
        raise CorpusError(
            f"The corpus has {len(ids)} tokens to train on, less than one window of {block_size}; give more text."
        )
    rows: list[Tensor] = []
    while True:
        offset = int(torch.randint(min(block_size, len(ids) - block_size), (), generator=generator))
        count = (len(ids) - 1 - offset) // block_size
        for number in torch.randperm(count, generator=generator).tolist():
            start = offset + number * block_size
            rows.append(ids[start : start + block_size + 1])  # (T + 1,)
            if len(rows) == batch_size:
                yield torch.stack(rows)  # (B, T + 1)
                rows = []


class Replay:
    """Text that the base wrote by itself, and how far a changed model is from the base there."""

    @torch.no_grad()
    def __init__(self, model: GPT, tokenizer: Tokenizer, generator: torch.Generator) -> None:
        start = [tokenizer.start_of_text] if tokenizer.start_of_text is not None else tokenizer.encode("\n")[:1]
        tokens = min(REPLAY_TOKENS, model.config.block_size)
        self.ids = write(model, torch.tensor([start] * REPLAY_ROWS), tokens, generator)  # (N, T)
        self._hidden = torch.cat([model.hidden(row[None]) for row in self.ids])  # (N, T, C)

    def drift(self, model: GPT, groups: Sequence[UnitGroup | None] | None, step: int) -> Tensor:
        """Kullback-Leibler divergence of the changed model from the base on some of the rows, in nats a token."""
        first = step * REPLAY_AT_ONCE % REPLAY_ROWS
        rows = slice(first, first + REPLAY_AT_ONCE)
        base = F.log_softmax(model.head(self._hidden[rows]).float(), -1)  # (N', T, C) -> (N', T, V)
        now = F.log_softmax(model.head(model.hidden(self.ids[rows], taught=groups)).float(), -1)  # (N', T, V)
        return F.kl_div(now, base, log_target=True, reduction="none").sum(-1).mean()  # (N', T, V) -> ()


def write(model: GPT, ids: Tensor, tokens: int, generator: torch.Generator) -> Tensor:
    """Rows (N, tokens) that the model draws behind the rows (N, t)."""
    while ids.size(1) < tokens:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(ids, last_only=True)[:, -1]  # (N, t) -> (N, V)
        drawn = torch.multinomial(logits.float().softmax(-1), 1, generator=generator)  # (N, V) -> (N, 1)
        ids = torch.cat((ids, drawn), dim=1)  # (N, t + 1)
    return ids
