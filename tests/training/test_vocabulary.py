"""Text goes through a vocabulary and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.vocabulary import ITSELF, MARK, with_marks
from engine.tokenizer import CONTROL_TOKENS, Tokenizer
from tests.training.gpt2_files import write_gpt2_files
from training.vocabulary import MIN_CHARACTER_COUNT, read_tokenizer, train_char, train_hybrid

SAMPLE = 'Once upon a time, Mira found a key. "Open it!" said Tom.\n' * 250
KNOWN = "".join(sorted(set(SAMPLE)))


@pytest.fixture(scope="module")
def hybrid() -> Tokenizer:
    return train_hybrid([SAMPLE], 320)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("gpt2")
    write_gpt2_files(folder, SAMPLE)
    return read_tokenizer(folder)


@pytest.fixture(scope="module")
def char() -> Tokenizer:
    return train_char([SAMPLE, "é" * (MIN_CHARACTER_COUNT - 1)])


@given(text=st.text(st.characters(codec="utf-8"), max_size=80))
@example(text="<|endoftext|> and <|memory|><|story|>")
@example(text="👩‍👩‍👧 \x00\x1b[31m\r\n\t\u202e ﬁ e\u0301")
@example(text="  two spaces at both ends  ")
def test_bytes_carry_any_text(hybrid: Tokenizer, gpt2: Tokenizer, text: str) -> None:
    for tokenizer in (hybrid, gpt2):
        for ids in (tokenizer.encode(text), tokenizer.encode_with_dropout(text, 0.5)):
            assert tokenizer.decode(ids) == text
            assert not set(ids) & {tokenizer.control[name] for name in CONTROL_TOKENS}


@pytest.fixture(scope="module")
def marked() -> Tokenizer:
    return with_marks([SAMPLE, "McAdam said HELLO. " * 20], 400)


PARTS = st.sampled_from([MARK, ITSELF, " ", "A", "a", "É", "İ", "Mira", "<|memory|>", "\n"])


@given(parts=st.lists(PARTS, max_size=20))
@example(parts=[MARK, ITSELF, " A", MARK, " a", MARK, "a", ITSELF, MARK, "A", MARK])
def test_marks_for_upper_case_lose_nothing(marked: Tokenizer, parts: list[str]) -> None:
    assert marked.decode(marked.encode("".join(parts))) == "".join(parts)


@pytest.mark.parametrize("kind", ["hybrid", "gpt2", "char", "marked"])
def test_a_saved_tokenizer_is_the_same_here_and_in_transformers(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer: Tokenizer = request.getfixturevalue(kind)
    tokenizer.save(tmp_path)
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    text = 'Once upon a time, Tom said "Open it!"\n'
    ids = tokenizer.encode(text)
    assert read_tokenizer(tmp_path).encode(text) == theirs.encode(text) == ids
    assert theirs.decode(ids, clean_up_tokenization_spaces=False) == tokenizer.decode(ids)


def test_a_large_vocabulary_has_the_size_that_was_asked_for_where_the_text_has_as_many_words() -> None:
    text = " ".join(f"word{number}" for number in range(3000))
    assert train_hybrid([text], 2500).vocab_size == 2500


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
