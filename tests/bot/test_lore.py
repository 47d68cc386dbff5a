"""Pins with keys: when they enter, and which of them where there is no room for all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.lore import Words, entering, last_mention
from memory import Pin

WORDS = st.sampled_from(["fox", "mill", "old", "an", "a"])
PHRASES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
TEXTS = st.lists(st.one_of(WORDS, st.sampled_from([".", ", ", " ", "\n", "'s", "-", "s"])), max_size=25).map("".join)


def pin(number: int, *keys: str) -> Pin:
    return Pin(number, f"Fact {number}.", 1, "Ann", 0.0, keys)


def always(begin: int) -> Callable[[Sequence[Pin]], int | None]:
    return lambda pins: begin


@pytest.mark.parametrize(
    ("key", "text", "offset"),
    [
        ("Mira", "And MIRA's key.", 4),
        ("mira", "Admiral Miranda", None),
        ("old mill", "The old\n  Mill, the old mill.", 20),
        ("old mill", "old, mill", None),
        ("l'été", "C\u2019était l\u2019ete.", 8),  # the apostrophe, the accents
        ("e\u0301te\u0301", "l'\u00e9t\u00e9", 2),
        ("STRASSE", "die Straße", 4),
        ("C++", "in C++.", 3),
        ("na na", "na na na", 3),
        ("", "anything", None),
        ("fox", "", None),
    ],
)
def test_a_key_is_a_whole_word_or_phrase_without_case_and_accents(key: str, text: str, offset: int | None) -> None:
    assert last_mention([key], Words(text)) == offset


@given(text=TEXTS, keys=st.lists(PHRASES, max_size=3))
def test_the_last_mention_is_where_a_search_finds_it(text: str, keys: list[str]) -> None:
    expressions = [r"(?<!\w)(?=" + r"\s+".join(key.split()) + r"(?!\w))" for key in keys]
    found = [match.start() for expression in expressions for match in re.finditer(expression, text)]
    assert last_mention(keys, Words(text)) == max(found, default=None)


@given(text=st.text(max_size=30), key=st.text(min_size=1, max_size=8))
def test_case_and_accents_make_no_difference(text: str, key: str) -> None:
    found = last_mention([key], Words(text))
    assert (found is None) or 0 <= found < len(text)
    for change in (str.casefold, lambda string: unicodedata.normalize("NFD", string)):
        assert last_mention([change(key)], Words(text)) == found
        assert (last_mention([key], Words(change(text))) is None) == (found is None)


def test_plain_pins_always_enter_and_come_first() -> None:
    pins = [pin(1, "fox"), pin(2), pin(3, "hen"), pin(4)]
    assert entering(pins, "A fox.", always(0)) == [pins[1], pins[3], pins[0]]
    assert entering(pins, "A fox.", lambda pins: None) == [pins[1], pins[3]]
    assert entering(pins, "A fox and a hen.", always(6)) == [pins[1], pins[3], pins[2]]


def test_the_newest_mention_is_kept_where_there_is_room_for_one() -> None:
    pins = [pin(1, "fox"), pin(2, "hen", "bird"), pin(3, "cow")]
    assert entering(pins, "A cow, a hen, a fox, a bird.", lambda pins: 0 if len(pins) < 2 else None) == [pins[1]]


@given(
    keys=st.lists(st.lists(PHRASES, max_size=2), max_size=6),
    text=TEXTS,
    room=st.integers(0, 6),
    wide=st.integers(0, 60),
    narrower=st.integers(0, 15),
)
def test_what_enters_is_called_for_by_text_that_is_seen(
    keys: list[list[str]], text: str, room: int, wide: int, narrower: int
) -> None:
    pins = [pin(number, *of_one) for number, of_one in enumerate(keys)]
    plain = [one for one in pins if not one.keys]

    def seen_from(together: Sequence[Pin]) -> int | None:
        return max(len(text) - wide + narrower * len(together), 0) if len(together) <= len(plain) + room else None

    chosen = entering(pins, text, seen_from)
    entered = chosen[len(plain) :]
    assert chosen == [*plain, *(one for one in pins if one in entered)]
    mentions = {one.id: last_mention(one.keys, Words(text)) for one in pins}
    begin = seen_from(chosen) if entered else 0
    assert begin is not None
    for one in entered:
        offset = mentions[one.id]
        assert offset is not None
        assert begin <= offset
    for one in pins:
        offset = mentions[one.id]
        if one.keys and one not in entered and offset is not None:
            # Beside those that were mentioned no earlier than this one there was no room for it, or none to see why.
            newer = [other for other in entered if (mentions[other.id] or 0) >= offset]
            with_it = seen_from([*plain, *newer, one])
            assert with_it is None or with_it > offset
