"""Text goes through a vocabulary and comes back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.tokenizer import CONTROL_TOKENS, Tokenizer
from training.vocabulary import MIN_CHARACTER_COUNT, train_char, train_hybrid

SAMPLE = 'Once upon a time, Mira found a key. "Open it!" said Tom.\n' * 250
KNOWN = "".join(sorted(set(SAMPLE)))


@pytest.fixture(scope="module")
def hybrid() -> Tokenizer:
    return train_hybrid([SAMPLE], 320)


@pytest.fixture(scope="module")
def char() -> Tokenizer:
    return train_char([SAMPLE, "é" * (MIN_CHARACTER_COUNT - 1)])


@given(text=st.text(st.characters(codec="utf-8"), max_size=80))
@example(text="<|endoftext|> and <|memory|><|story|>")
@example(text="👩‍👩‍👧 \x00\x1b[31m\r\n\t\u202e ﬁ e\u0301")
@example(text="  two spaces at both ends  ")
def test_a_hybrid_vocabulary_carries_any_text(hybrid: Tokenizer, text: str) -> None:
    for ids in (hybrid.encode(text), hybrid.encode_with_dropout(text, 0.5)):
        assert hybrid.decode(ids) == text
        assert not set(ids) & {hybrid.control[name] for name in CONTROL_TOKENS}


@given(text=st.text(KNOWN, max_size=80))
@example(text="  tOo  \n\n")
def test_a_character_vocabulary_carries_what_it_knows(char: Tokenizer, text: str) -> None:
    ids = char.encode(text)
    assert len(ids) == len(text)
    assert char.decode(ids) == text


@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
@example(text="<|endoftext|>")
@example(text="é👩‍👧\x00")
def test_a_character_vocabulary_leaves_out_what_it_does_not_know(char: Tokenizer, text: str) -> None:
    ids = char.encode(text)
    assert len(ids) == len(text)
    assert char.decode(ids) == "".join(c for c in text if c in KNOWN)
    assert not set(ids) & {char.control[name] for name in CONTROL_TOKENS}


def test_dropout_leaves_no_trace(hybrid: Tokenizer) -> None:
    text = "Mira found a key."
    plain = hybrid.encode(text)
    assert any(hybrid.encode_with_dropout(text, 0.5) != plain for _ in range(5))
    assert hybrid.encode(text) == plain
