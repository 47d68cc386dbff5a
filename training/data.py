"""Packed tokens: windows of long contiguous text, drawn from a weighted mixture in an order that a seed fixes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.tokenizer import MEMORY, STORY, Tokenizer
from training.errors import RunError


@dataclass
class Source:
    tokens: Tensor  # (n,) 16-bit ids, mapped from the file
    weight: float
    drawn: int = 0  # tokens given out so far
    final_weight: float | None = None  # instead of `weight` behind the first `Mixture.turn` tokens


class Mixture:
    """Gives batches; `state` and `restore` make a resumed run see what the uninterrupted one would have seen.

    Every source is read in epochs: all its windows once, in an order drawn anew each time, before any comes again.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.manifest: dict[str, Any] = read_manifest(folder)
        self.tokenizer = Tokenizer.load(folder)
        self.sources = [
            Source(map_tokens(folder / source["bin"]), float(source["weight"])) for source in self.manifest["sources"]
        ]
        self.turn: float = math.inf  # tokens, of all sources, behind which the final weights hold
        self._seed = seed
        self._orders: dict[tuple[int, int, int], tuple[Tensor, int]] = {}

    def batch(self, batch_size: int, block_size: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, both (B, T); a target inside a memory prefix is -1: it is read, never written."""
        rows = torch.stack([self._window(self._next_source(), block_size) for _ in range(batch_size)])  # (B, T + 1)
        idx, targets = rows[:, :-1].contiguous(), rows[:, 1:].clone()  # (B, T)
        memory, story = self.tokenizer.control[MEMORY], self.tokenizer.control[STORY]
        if memory is not None and story is not None:
            # Where a story is cut for a memory prefix it does not end: that end of text is not learnt either.
            cut = (targets[:, :-1] == self.tokenizer.end_of_text) & (targets[:, 1:] == memory)  # (B, T - 1)
            hidden = inside_memory(targets, memory, story)
            hidden[:, :-1] |= cut
            targets[hidden] = -1
        return idx, targets

    def finish_with(self, weights: Sequence[float], turn: float) -> None:
        """Draw by other weights, given in the order of the sources, once `turn` tokens were drawn."""
        self.turn = turn
        for source, weight in zip(self.sources, weights, strict=True):
            source.final_weight = weight

    def state(self) -> list[int]:
        return [source.drawn for source in self.sources]

    def restore(self, drawn: list[int]) -> None:
        for source, value in zip(self.sources, drawn, strict=True):
            source.drawn = value

    def _next_source(self) -> int:
        """The source that lags its weight most: exact shares without a random draw."""
        total = sum(source.drawn for source in self.sources) + 1
        first, last = min(total, self.turn), max(0, total - self.turn)  # tokens before the turn and behind it
        lag = [s.weight * first + (s.final_weight or 0) * last - s.drawn for s in self.sources]
        return max(range(len(lag)), key=lag.__getitem__)

    def _window(self, index: int, block_size: int) -> Tensor:
        source = self.sources[index]
        per_epoch = (source.tokens.numel() - 1) // block_size - 1
        if per_epoch < 1:
            raise RunError(f"A corpus is shorter than two windows of {block_size} tokens; take it out of the preset.")
        number = source.drawn // block_size
        order, offset = self._order(index, block_size, number // per_epoch, per_epoch)
        start = offset + int(order[number % per_epoch]) * block_size
        source.drawn += block_size
        return source.tokens[start : start + block_size + 1].to(torch.int64)  # (T + 1,)

    def _order(self, index: int, block_size: int, epoch: int, per_epoch: int) -> tuple[Tensor, int]:
        key = (index, block_size, epoch)
        if key not in self._orders:
            for old in [k for k in self._orders if k[0] == index]:
                del self._orders[old]
            generator = torch.Generator().manual_seed(hash((self._seed, *key)) % 2**63)
            offset = int(torch.randint(block_size, (), generator=generator))
            self._orders[key] = (torch.randperm(per_epoch, generator=generator), offset)
        return self._orders[key]


def inside_memory(targets: Tensor, memory: int, story: int) -> Tensor:
    """(B, T): which positions belong to a memory prefix, its control tokens included; a row may begin inside of one."""
    opens, closes = targets == memory, targets == story
    depth = (opens.int() - closes.int()).cumsum(1)  # 1 inside; 0 and -1 inside where the row began inside
    began_inside = depth.amin(1, keepdim=True) < 0  # (B, T) -> (B, 1)
    inside: Tensor = (depth + began_inside.int() > 0) | closes
    return inside


def document_numbers(idx: Tensor, end_of_text: int) -> Tensor:
    """(B, T): how many documents have begun in the row up to each id; the end-of-text token begins the next one."""
    numbers: Tensor = (idx == end_of_text).cumsum(1)
    return numbers


def map_tokens(path: Path) -> Tensor:
    """The ids of a packed file, (n,), read from disk as they are used."""
    if not path.is_file():
        raise RunError(f"{path} is missing; run `python -m training prepare` again.")
    return torch.from_file(str(path), shared=False, size=path.stat().st_size // 2, dtype=torch.uint16)


def read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise RunError(f"{folder} holds no prepared data; run `python -m training prepare` first.")
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest
