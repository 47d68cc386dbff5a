"""python -m training drafts --data RUN/data --weights weights/NAME [--max-mb 1.0]

Makes the table of drafts of a weights folder (`engine.draft_table`): what mostly follows the last few ids, counted in
prepared data. For contexts of each length, shorter ones first, the likeliest next id and its probability are estimated,
the longer context's counts smoothed towards what the shorter one said (a Dirichlet prior, MacKay & Peto 1995,
https://doi.org/10.1017/S1351324900000218). An entry is worth what it saves: how often its context comes, times what it
knows better than that of the shorter context, which would answer in its place. The file holds those that save most.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from engine.draft_table import FILE, context_hashes, dump_table, entry_bytes
from engine.folder import read_config
from engine.tensor_files import file_sha256
from engine.tokenizer import Tokenizer
from training.data import map_tokens, read_manifest
from training.errors import RunError

CHAR_VOCABULARY = 256  # a smaller vocabulary is one of characters (a hybrid has all bytes): a word is many ids long
CHAR_ORDERS, ORDERS = (8, 6, 5, 4, 3, 2), (3, 2, 1)
SOURCE_TOKENS = 8_000_000  # of a source; more changes little
SCALE = 10_000_000.0  # counts are those of a mixture of so many tokens
PRIOR = 3.0  # of these counts, for what the shorter context said
DOUBT = 0.25  # what it is worth to know a probability better, where the guess stays: a share of a better guess
MIN_MB, MAX_MB, HEADER_BYTES = 0.01, 8, 4096
SPARE = 4  # entries that are offered for each slot; not all find one of theirs free
BITS = 16  # of an id in packed data


@dataclass(frozen=True)
class DraftOptions:
    data: Path  # what `prepare` wrote, with the vocabulary of the weights
    weights: Path  # the folder that gets the file
    max_mb: float = 1.0
    orders: tuple[int, ...] | None = None  # lengths of contexts, longest first; None: by the vocabulary


class Counts(NamedTuple):
    """How often ids follow contexts of one length, sorted."""

    keys: Tensor  # (n,) the context's hash, and in the last 16 bits the id
    counts: Tensor  # (n,) float64
    shorter: Tensor  # (n,) hash of the end of the context that the next shorter length sees


class Guesses(NamedTuple):
    """The likeliest id behind each context of one length, sorted by hash."""

    hashes: Tensor  # (n,)
    ids: Tensor  # (n,)
    probability: Tensor  # (n,)
    saved: Tensor  # (n,) what the entry is worth

    def best(self, count: int) -> Guesses:
        """Those that save most, in that order."""
        chosen = self.saved.topk(min(count, len(self.saved))).indices
        return Guesses(*(column[chosen] for column in self))


def make_drafts(options: DraftOptions) -> dict[str, Any]:
    """Write `drafts.safetensors` into the weights folder, over an older one; returns what it says of itself.

    Raises:
        RunError: the data is not of this vocabulary, or the size makes no sense.
        TokenizerError, WeightsError: a folder cannot be read.
    """
    manifest = read_manifest(options.data)
    check_vocabulary(options.data, options.weights)
    vocab_size = read_config(options.weights).vocab_size
    if not MIN_MB <= options.max_mb <= MAX_MB:
        raise RunError(f"A table of {options.max_mb} MB cannot be used; name a size from {MIN_MB} to {MAX_MB}.")
    slots = (int(options.max_mb * 1e6) - HEADER_BYTES) // entry_bytes(vocab_size)
    orders = options.orders or (CHAR_ORDERS if vocab_size < CHAR_VOCABULARY else ORDERS)
    sources = [(map_tokens(options.data / source["bin"]), float(source["weight"])) for source in manifest["sources"]]
    offered = [found.best(SPARE * slots) for found in estimate(sources, orders)]
    best = Guesses(*(torch.cat(column) for column in zip(*offered, strict=True))).best(SPARE * slots)
    about = {"orders": list(orders), "preset": manifest["preset"], "sources": [s["file"] for s in manifest["sources"]]}
    blob = dump_table(
        (best.hashes, best.ids, best.probability), slots, vocab_size=vocab_size,
        tokenizer=file_sha256(options.weights / "tokenizer.json"), about=about,
    )  # fmt: skip
    path = options.weights / FILE
    beside = path.with_suffix(".new")
    beside.write_bytes(blob)
    os.replace(beside, path)  # a bot that loads the folder now sees the old file or the new one, never half of one
    return {**about, "slots": slots, "bytes": len(blob)}


def check_vocabulary(data: Path, weights: Path) -> None:
    """Raises RunError where the two folders have different vocabularies."""
    prepared, served = Tokenizer.load(data), Tokenizer.load(weights)
    names = [[tokenizer.token_name(i) for i in range(tokenizer.vocab_size)] for tokenizer in (prepared, served)]
    if names[0] != names[1]:
        raise RunError(
            f"{data} was prepared with another vocabulary than that of {weights};"
            f" prepare it again with --tokenizer {weights}."
        )


def estimate(sources: Sequence[tuple[Tensor, float]], orders: Sequence[int]) -> Iterator[Guesses]:
    """The guesses for contexts of each of these lengths, shortest first.

    Args:
        sources: packed ids (n,) and their share of the mixture.

    Raises:
        RunError: all sources are shorter than a context.
    """
    before: Guesses | None = None
    shorter = 0
    for order in sorted(orders):
        parts = [count(ids[:SOURCE_TOKENS], share, order, shorter) for ids, share in sources if len(ids) > order]
        if not parts:
            raise RunError(f"No source has more than the {order} tokens of a context; prepare more text.")
        before, shorter = guess(merge(parts), before), order
        yield before


def count(ids: Tensor, share: float, order: int, shorter: int) -> Counts:
    """What follows each context of `order` ids among these (n,), in counts of a mixture of `SCALE` ids of which `share`
    is theirs."""
    hashes = torch.from_numpy(context_hashes(ids.numpy(), order))  # (n - order,)
    keys, places = (hashes << BITS | ids[order:].to(torch.int64)).sort()
    starts, _ = runs(keys)
    counts = torch.diff(starts, append=torch.tensor([len(keys)])).double() * (share * SCALE / len(ids))
    ends = torch.from_numpy(context_hashes(ids.numpy(), shorter))[order - shorter :]  # (n - order,)
    return Counts(keys[starts], counts, ends[places[starts]])


def merge(parts: Sequence[Counts]) -> Counts:
    """The sum of several sources' counts."""
    keys, places = torch.cat([part.keys for part in parts]).sort()
    starts, group = runs(keys)
    counts = torch.cat([part.counts for part in parts])[places]
    shorter = torch.cat([part.shorter for part in parts])[places[starts]]
    return Counts(keys[starts], total(counts, group, len(starts)), shorter)


def guess(counted: Counts, before: Guesses | None) -> Guesses:
    """The likeliest id of each context; `before` are the guesses for shorter contexts."""
    ids = counted.keys & (1 << BITS) - 1  # (n,)
    starts, context = runs(counted.keys >> BITS)  # (contexts,), (n,)
    hashes, seen = counted.keys[starts] >> BITS, total(counted.counts, context, len(starts))  # (contexts,)
    known, sure = look_up(before, counted.shorter[starts])
    again = ids == known[context]  # (n,)
    scores = counted.counts + PRIOR * torch.where(again, sure[context], 0.0)  # (n,)
    new = most(scores, context, len(starts))
    # The shorter context's guess need not have been seen behind this one at all.
    old = torch.maximum(most(torch.where(again, scores, 0.0), context, len(starts)), PRIOR * sure)
    likeliest = most(torch.where(scores == new[context], ids, 0), context, len(starts))
    probability, without = torch.maximum(new, old) / (seen + PRIOR), old / (seen + PRIOR)
    # What is unsure is seldom proposed, so it saves less again.
    saved = seen * probability * (probability - without + DOUBT * (probability - sure).abs())
    return Guesses(hashes, torch.where(old > new, known, likeliest), probability, saved)


def look_up(guesses: Guesses | None, hashes: Tensor) -> tuple[Tensor, Tensor]:
    """Ids and probabilities of the guesses for these contexts; -1 and 0 for those that nothing is known of."""
    if guesses is None:
        return torch.full_like(hashes, -1), torch.zeros(len(hashes), dtype=torch.float64)
    places = torch.searchsorted(guesses.hashes, hashes).clamp(max=len(guesses.hashes) - 1)
    found = guesses.hashes[places] == hashes
    return torch.where(found, guesses.ids[places], -1), torch.where(found, guesses.probability[places], 0.0)


def total(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Sums (groups,) of the values (n,) of each group."""
    return torch.zeros(groups, dtype=values.dtype).index_add(0, group, values)


def most(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """The largest (groups,) of the values (n,) of each group; they are 0 or more."""
    return torch.zeros(groups, dtype=values.dtype).scatter_reduce(0, group, values, "amax")


def runs(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """Where each run of equal values of (n,) starts, and to which run each value belongs, (n,)."""
    new = torch.ones(len(ordered), dtype=torch.bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return new.nonzero()[:, 0], new.cumsum(0) - 1
