"""Writing behind a prompt: where the end has to wait, and what is called before each pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.decoder import choose
from engine.draft import Drafter
from engine.folder import open_weights
from engine.kernel import available
from engine.sampling import Sampler, SamplingParams
from engine.summary import ABBREVIATION
from engine.tokenizer import Tokenizer
from engine.window import Window
from engine.writing import Abbreviations, Pass, write


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("allowed", [None, 1])
@pytest.mark.parametrize("guess", [False, True])
def test_before_each_pass_what_is_new_is_told_and_what_is_guessed(
    tiny_weights: Path, guess: bool, allowed: int | None, taught: bool
) -> None:
    if guess and not available()[0]:
        pytest.skip("drafts are for the native kernel")
    stored = open_weights(tiny_weights)
    decoder = choose(stored, threads=1).decoder
    told: list[list[int]] = []

    def before_pass(new: Sequence[int], guesses: Sequence[int]) -> Pass:
        told.append(list(new))
        assert guess or not guesses
        return Pass(len(guesses) if allowed is None else allowed, taught)

    sampler = Sampler(SamplingParams(max_new_tokens=40, min_new_tokens=40, temperature=0))
    drafter = Drafter(costs=[0.0] * 7) if guess else None
    text = [5, 6, 7, 5, 6, 7, 5, 6]
    written = list(write(Window(decoder), stored.tokenizer, [1, 2], text, sampler, drafter, before_pass))
    assert len(written) == 40
    assert told[0] == []  # before the prompt is read
    flat = [token for new in told for token in new]
    assert flat == written[: len(flat)]
    assert max(map(len, told)) <= (8 if allowed is None else 1 + allowed)
    assert (len(told) < 40) == guess  # of several new ids at once some guess was right


def test_the_end_waits_behind_an_abbreviation(tiny_weights: Path) -> None:
    tokenizer = Tokenizer.load(tiny_weights)
    ends = Abbreviations(tokenizer)
    for text in ("said Mr.", "the end.", "said Mr", "Dr.\n", "Dr.\n\n", "It was J.", 'Mr."', "St. ", "é.", "J.é"):
        ids = tokenizer.encode(text)
        for cut in range(len(ids)):
            known = ids[:cut] or tokenizer.encode("x")
            expected = bool(ABBREVIATION.search(tokenizer.decode([*known, *ids[cut:]][-4:])))
            assert ends.wait(known, ids[cut:]) == expected
