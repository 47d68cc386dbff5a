"""What validation will ask, and twins, are kept out of training."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from training.overlap import WHOLE_LINES, WORD, N, OverlapFilter

PHRASE = "one two three four five six seven eight nine ten eleven twelve thirteen"
OTHER = "Quite another tale is told here, which nobody asks for in the end, not even by chance."


def words(text: str) -> tuple[str, ...]:
    return tuple(WORD.findall(text.lower()))


def runs(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {found[i : i + N] for i in range(len(found) - N + 1)}


def test_a_run_of_13_words_is_an_overlap_and_12_are_not() -> None:
    keep = OverlapFilter([f"Here we count: {PHRASE}."])
    twelve = PHRASE.rsplit(" ", 1)[0]
    texts = [f"Aloud: {PHRASE}!", f"LOUDLY, {PHRASE.upper().replace(' ', ', ')}?", f"Aloud: {twelve} fourteen.", OTHER]
    assert list(keep(texts)) == texts[2:]
    assert keep.removed() == {"duplicates": 0, "overlapping": 2, "overlapping lines": 0}


def test_a_short_text_overlaps_only_as_a_whole() -> None:
    keep = OverlapFilter(["The end.", ""])
    assert list(keep(["the END", "The end of it.", "..."])) == ["The end of it.", "..."]


def test_twins_are_told_by_their_words_and_wordless_texts_by_their_signs() -> None:
    keep = OverlapFilter([])
    assert list(keep(["A tale.", "a TALE!", "A tale, too.", "??", "!!", "??"])) == [
        "A tale.",
        "A tale, too.",
        "??",
        "!!",
    ]
    assert list(keep(["A tale", "New."])) == ["New."]  # also from one corpus to the next
    assert keep.removed()["duplicates"] == 3


def test_a_long_text_loses_the_lines_that_a_run_touches() -> None:
    lines = [f"Line number {i} of a long book tells of the {i}th day.\n" for i in range(2 * WHOLE_LINES)]
    first, second = PHRASE[:27], PHRASE[28:]
    book = [*lines[:10], f"And then: {first}\n", "\n", f"{second} it was.\n", *lines[10:]]
    keep = OverlapFilter([PHRASE])
    assert list(keep(["".join(book)])) == ["".join([*lines[:10], *lines[10:]])]
    assert keep.removed()["overlapping lines"] == 2


def test_one_giant_line_is_taken_sentence_by_sentence() -> None:
    sentences = [f"Sentence number {i} tells of the {i}th day. " for i in range(200)]
    book = "".join([*sentences[:50], f"He said {PHRASE}. ", *sentences[50:]])
    assert list(OverlapFilter([PHRASE])([book])) == ["".join(sentences)]


def test_lines_that_come_together_are_looked_at_again() -> None:
    parts = PHRASE.split(" ")
    before, after = " ".join(parts[:6]) + "\n", " ".join(parts[6:]) + "\n"
    asked = "a b c d e f g h i j k l m"
    lines = [f"Line number {i} of a long book tells of the {i}th day.\n" for i in range(WHOLE_LINES)]
    book = "".join([*lines, before, asked + "\n", after])
    assert list(OverlapFilter([PHRASE, asked])([book])) == ["".join(lines)]


TEXT = st.lists(st.sampled_from(["a", "b", "c.", "\n", "D"]), max_size=120).map(" ".join)


@given(asked=st.lists(TEXT, max_size=3), told=st.lists(TEXT, max_size=6))
def test_what_is_kept_shares_no_run_and_what_shares_none_is_kept(asked: list[str], told: list[str]) -> None:
    forbidden = {run for text in asked for run in runs(text)}
    kept = list(OverlapFilter(asked)(told))
    assert all(forbidden.isdisjoint(runs(text)) for text in kept)
    assert len({words(text) or text for text in kept}) == len(kept)
    free = [text for text in told if forbidden.isdisjoint(runs(text)) and words(text) not in map(words, asked)]
    assert set(map(words, free)) <= set(map(words, kept))


def test_the_same_in_every_order_of_validation() -> None:
    rng = random.Random(1)
    texts = [" ".join(rng.choices("abcd", k=rng.randrange(40))) for _ in range(60)]
    asked = [text[:40] for text in texts[:10]]
    assert list(OverlapFilter(asked)(texts)) == list(OverlapFilter(reversed(asked))(texts))
