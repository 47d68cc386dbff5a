"""One token after the other behind a prompt, several in a pass where they were guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.draft import Drafter
from engine.recollection import COPIED, Recollection
from engine.sampling import Sampler
from engine.shape import Floats
from engine.summary import ABBREVIATION
from engine.tokenizer import Tokenizer
from engine.window import Window

SURE = 0.8  # of the probability on one token while a lesson takes part: that one it is
FAR = np.float32(1e3)  # by which the logits of others are put back then, more than any temperature brings up again


class Pass(NamedTuple):
    """What holds for one pass through the model."""

    guesses: int  # how many may be read: behind those the units would be others, and what is written must not depend
    # on what was guessed
    taught: bool  # whether a lesson takes part


# Called before the prompt is read, with nothing, and before each pass, with the ids written since and those guessed.
# Units that it lets in or out count from that pass on.
BeforePass = Callable[[Sequence[int], Sequence[int]], Pass]


def write(
    window: Window,
    tokenizer: Tokenizer,
    prefix: Sequence[int],
    text: Sequence[int],
    sampler: Sampler,
    drafter: Drafter | None,
    before_pass: BeforePass | None = None,
    past: Recollection | None = None,
) -> Iterator[int]:
    """At most max_new_tokens ids behind the prompt; the end of the text is given too, and is the last.

    Guesses of the next ids are read together with the last id drawn. At each position an id is drawn as it would
    be without them, and where it is the one that was guessed, the row behind it is there already: the rule of
    Leviathan et al. 2023 (https://arxiv.org/abs/2211.17192) for a guess that is certain of itself. What is drawn
    is therefore the same as without guesses, whatever they are.

    Args:
        prefix: what stands before the text and stays when the context is full.
        drafter: None: nothing is guessed.
        before_pass: see `BeforePass`.
        past: of the story before the window; it has a say in each distribution.
    """
    params, end = sampler.params, tokenizer.end_of_text
    ids, guesses, written = [*prefix, *text] or tokenizer.encode("\n")[:1] or [0], list[int](), 0
    ends = Abbreviations(tokenizer)
    sampler.begin(ids, end)
    if drafter is not None:
        drafter.begin(ids)
    taught = before_pass is not None and before_pass((), ()).taught
    rows = window.read(ids, len(prefix))[None]  # (1 + guesses, V)
    while True:
        early = 0  # a bit for each row from which the end may not be drawn
        for i in range(len(rows)):
            if written + i < params.min_new_tokens or (params.stop_at_sentence and ends.wait(ids, guesses[:i])):
                early |= 1 << i
        if past is None and not taught:
            drawn = sampler.follow(rows, guesses, early)
        else:
            drawn = one_by_one(rows, ids, guesses, sampler, early, end, past, taught)
        ids += drawn
        written += len(drawn)
        yield from drawn
        if drawn[-1] == end or written == params.max_new_tokens:
            return
        window.cut(window.length - len(guesses) + len(drawn) - 1)
        if drafter is not None:
            drafter.wrote(drawn)
        if window.left == 0:
            window.make_room()
        if drafter is not None:
            guesses = drafter.guess(min(window.left, params.max_new_tokens - written) - 1)
        if before_pass is not None:
            allowed, taught = before_pass(drawn, guesses)
            guesses = guesses[:allowed]
        rows = window.follow([drawn[-1], *guesses])  # (1 + guesses, V)


def one_by_one(
    rows: Floats,
    ids: Sequence[int],
    guesses: Sequence[int],
    sampler: Sampler,
    early: int,
    end: int | None,
    past: Recollection | None,
    taught: bool,
) -> list[int]:
    """What `Sampler.follow` draws from these rows, each mixed with the past; behind a wrong guess none is mixed.

    Where a lesson takes part and the model is sure of a token, neither the past nor the penalty nor a high temperature
    has a say: an answer that was taught word for word is written word for word."""
    before, drawn = list(ids[-COPIED:]), list[int]()
    for i, row in enumerate(rows):
        if taught and (sure := only_sure(row, end if early >> i & 1 else None)) is not None:
            row = sure
        elif past is not None:
            row = past.mix(row, before)
        drawn += sampler.follow(row[None], (), early >> i & 1)
        if i == len(guesses) or drawn[-1] != guesses[i]:
            break
        before.append(drawn[-1])
    return drawn


def only_sure(row: Floats, not_now: int | None = None) -> Floats | None:
    """Logits (V,) that leave the likeliest token alone, where the model is sure of it; None where it is not, or where
    that token may not come yet."""
    likeliest = int(row.argmax())
    if likeliest == not_now or not float(np.exp(row - row[likeliest]).sum()) * SURE <= 1:
        return None
    alone = row - FAR  # (V,)
    alone[likeliest] = row[likeliest]
    return alone


class Abbreviations:
    """Tells where the end of the text has to wait: behind the point of "Mr."."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._may: dict[int, bool] = {}  # ids behind which it might

    def wait(self, ids: Sequence[int], more: Sequence[int]) -> bool:
        """Whether a text that ends with these ids, and more, ends with an abbreviation."""
        last = more[-1] if more else ids[-1]
        if (may := self._may.get(last)) is None:
            piece = self._tokenizer.decode([last])
            may = self._may[last] = piece.endswith(".") or not piece.strip("\n")
        return may and bool(ABBREVIATION.search(self._tokenizer.decode([*ids[-4:], *more][-4:])))
