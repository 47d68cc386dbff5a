"""One token after the other behind a prompt, several in a pass where they were guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.draft import Drafter
from engine.sampling import Sampler
from engine.summary import ABBREVIATION
from engine.tokenizer import Tokenizer
from engine.window import Window


def write(
    window: Window,
    tokenizer: Tokenizer,
    prefix: Sequence[int],
    text: Sequence[int],
    sampler: Sampler,
    drafter: Drafter | None,
) -> Iterator[int]:
    """At most max_new_tokens ids behind the prompt; the end of the text is given too, and is the last.

    Guesses of the next ids are read together with the last id drawn. At each position an id is drawn as it would
    be without them, and where it is the one that was guessed, the row behind it is there already: the rule of
    Leviathan et al. 2023 (https://arxiv.org/abs/2211.17192) for a guess that is certain of itself. What is drawn
    is therefore the same as without guesses, whatever they are.

    Args:
        prefix: what stands before the text and stays when the context is full.
        drafter: None: nothing is guessed.
    """
    params, end = sampler.params, tokenizer.end_of_text
    ids = [*prefix, *text] or tokenizer.encode("\n")[:1] or [0]
    if drafter is not None:
        drafter.begin(ids)
    rows, guesses, written = window.read(ids, len(prefix))[None], list[int](), 0  # rows: (1 + guesses, V)
    while True:
        right = 0  # guesses that came true
        for row in rows:
            early = written < params.min_new_tokens or (
                params.stop_at_sentence and ABBREVIATION.search(tokenizer.decode(ids[-4:]))
            )
            token = sampler.next(row, ids, not_now=end if early else None)
            yield token
            written += 1
            if token == end or written == params.max_new_tokens:
                return
            ids.append(token)
            if drafter is not None:
                drafter.extend(token)
            if right == len(guesses) or token != guesses[right]:
                break
            right += 1
        window.cut(window.length - len(guesses) + right)
        if drafter is not None and guesses:
            drafter.judge(len(guesses), right)
        if window.left == 0:
            window.make_room()
        most = min(window.left - 1, params.max_new_tokens - written - 1)
        guesses = drafter.propose()[: max(0, most)] if drafter is not None else []
        rows = window.follow([token, *guesses])  # (1 + guesses, V)
