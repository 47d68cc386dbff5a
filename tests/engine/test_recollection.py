"""What is recalled of text that left the window: by its words, and by the model's own states."""

from __future__ import annotations

import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decoder import choose, read_out
from engine.errors import AdapterError
from engine.folder import Stored, open_weights
from engine.memory_vectors import MOST, WIDTH, MemoryVectors, States
from engine.recollection import COPIED, FAINT, MOST_PAST_CHARS, SHARES, Recollection, Recollector, Words
from engine.shape import Floats
from engine.tokenizer import Tokenizer
from tests.conftest import SAMPLE
from training.vocabulary import train_char, train_hybrid

HYBRID = train_hybrid([SAMPLE] * 4, 300)
CHAR = train_char([SAMPLE] * 200)
V = 8
NAMES = ("Zebulon", "Oona", "Bodo")
IDS = st.lists(st.integers(0, V - 1), max_size=40)


def plainly(past: list[int], row: Floats, ids: list[int]) -> Floats:
    """The same mixture, counted place by place."""
    p = np.exp(row) / np.exp(row).sum()
    left, recalled = 1.0, np.zeros(V)
    again = len(ids) >= COPIED and any(past[i : i + COPIED] == ids[-COPIED:] for i in range(len(past) - COPIED))
    for n in range(FAINT if again else len(SHARES), 0, -1):
        followed = Counter(past[i + n] for i in range(len(past) - n) if past[i : i + n] == ids[-n:] and len(ids) >= n)
        if seen := followed.total():
            share = left * SHARES[n - 1] * seen / (seen + 1)
            recalled += share / seen * np.array([followed[token] for token in range(V)])
            left -= share
    mixed: Floats = left * p + recalled
    return mixed


@settings(deadline=None)
@given(IDS, IDS)
def test_what_followed_the_same_words_becomes_likelier_by_its_share(past: list[int], ids: list[int]) -> None:
    row = np.linspace(-2, 2, V, dtype=np.float32)
    mixed = Recollection(past).mix(row, ids)
    np.testing.assert_allclose(np.exp(mixed) / np.exp(mixed).sum(), plainly(past, row, ids), rtol=1e-4, atol=1e-7)


@given(IDS, IDS, IDS, st.integers(0, 45))
def test_a_past_that_went_on_recalls_what_one_made_of_all_its_ids_does(
    past: list[int], fresh: list[int], ids: list[int], gone: int
) -> None:
    went_on = Recollection(past).going_on(gone, np.array(fresh, dtype=np.int32))
    whole, row = Recollection([*past[gone:], *fresh]), np.linspace(-2, 2, V, dtype=np.float32)
    for known in ids, [*past, *fresh][-9:-1]:
        np.testing.assert_array_equal(went_on.mix(row, known), whole.mix(row, known))
    again, afresh = went_on.going_on(1, went_on.ids), Recollection([*whole.ids[1:], *whole.ids])
    np.testing.assert_array_equal(again.mix(row, ids), afresh.mix(row, ids))


def test_a_row_that_nothing_is_recalled_for_stays_as_it_is_bit_for_bit() -> None:
    row = np.linspace(-2, 2, V, dtype=np.float32)
    assert Recollection([1, 2, 3]).mix(row, [1, 2, 7]) is row
    assert Recollection([]).mix(row, [1]) is row


def test_a_name_of_long_ago_is_spelt_as_it_was() -> None:
    past = Recollector(HYBRID).of(f"The old miller was called Zeb. {SAMPLE * 20}")
    assert past is not None
    before, name = HYBRID.encode("Then she saw"), HYBRID.encode(" Zeb")
    flat, total = np.zeros(HYBRID.vocab_size, dtype=np.float32), 0.0
    for n in range(len(name)):
        row = past.mix(flat, [*before, *name[:n]])
        total += float(row[name[n]] - np.log(np.exp(row).sum()))
    assert total > 0.8 * len(name) * -np.log(HYBRID.vocab_size)  # nats; the flat rows by themselves give all of these


WORDS = st.lists(st.sampled_from([" Mira", " ran", " home", " and", " Tom", " sat", " here"]), max_size=60).map("".join)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(WORDS, st.integers(0, 300)), min_size=1, max_size=6))
def test_a_past_that_grows_and_loses_its_beginning_is_recalled_as_one_that_is_read_at_once(
    parts: list[tuple[str, int]],
) -> None:
    recollector, text = Recollector(HYBRID), ""
    for part, gone in parts:
        text = text[max(0, text.find(" ", gone)) :] + part
        made, at_once = recollector.of(text), Recollector(HYBRID).of(text)
    row, ids = np.zeros(HYBRID.vocab_size, dtype=np.float32), HYBRID.encode(" Mira and")
    if made is None or at_once is None:
        assert not text
        return
    assert (made.mix(row, ids) == at_once.mix(row, ids)).all()


class Counting(Tokenizer):
    """Says how many characters it has encoded."""

    def __init__(self, other: Tokenizer) -> None:
        self.__dict__ |= other.__dict__
        self.encoded = 0

    def encode(self, text: str) -> list[int]:
        self.encoded += len(text)
        return super().encode(text)


def test_a_word_that_has_begun_goes_on_as_it_did_whatever_stands_before_it() -> None:
    past = Recollector(HYBRID).of("They went to see old Zebulon. " + "The sun shone. " * 40)
    name = HYBRID.encode(" Zebulon")
    assert past is not None
    assert len(name) > 2
    row = past.mix(np.zeros(HYBRID.vocab_size, dtype=np.float32), [*HYBRID.encode("A key for"), *name[:2]])
    p = np.exp(row) / np.exp(row).sum()
    assert p[name[2]] > 0.2  # contexts of one and two tokens, seen once, give 0.07


def test_a_vocabulary_of_characters_recalls_nothing() -> None:
    assert Recollector(CHAR).of(SAMPLE) is None


def test_channels_that_take_turns_are_each_encoded_once() -> None:
    tokenizer = Counting(HYBRID)
    recollector, stories = Recollector(tokenizer), [f"Zebulon met number {n}. {SAMPLE}" for n in range(4)]
    first = [recollector.of(story) for story in stories]
    encoded = tokenizer.encoded
    again = [recollector.of(story) for story in stories]
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert all(recollector.of(story + " Then Mira sat.") is not None for story in stories)
    assert tokenizer.encoded - encoded == len(stories) * len(" Then Mira sat.")


def test_channels_that_take_turns_recall_each_its_own() -> None:
    recollector, row = Recollector(HYBRID), np.zeros(HYBRID.vocab_size, dtype=np.float32)
    stories, names = [f"{name} met a fox. {SAMPLE}" for name in NAMES], [HYBRID.encode(name) for name in NAMES]
    for more in ("", " Then Mira sat.", " Tom ran."):
        for story in stories:
            past, whole = recollector.of(story + more), Recollection(HYBRID.encode(story + more), Words(HYBRID))
            assert past is not None
            for name in names:
                np.testing.assert_array_equal(past.mix(row, name[:-1]), whole.mix(row, name[:-1]))


def test_pasts_are_let_go_where_they_are_more_than_was_allowed() -> None:
    tokenizer = Counting(HYBRID)
    recollector, stories = Recollector(tokenizer, most=0), [f"Zebulon met number {n}. {SAMPLE}" for n in range(2)]
    for story in (*stories, *stories):
        assert recollector.of(story) is recollector.of(story)
    assert tokenizer.encoded == 2 * sum(map(len, stories))


def test_the_vectors_of_a_reply_go_with_it_and_its_past_stays() -> None:
    recollector, vectors = Recollector(HYBRID), MemoryVectors.empty()
    gone = weakref.ref(vectors)
    assert recollector.of(SAMPLE, (vectors, States(np.eye(V, dtype=np.float32)))) is not None
    del vectors
    assert gone() is None


def test_a_long_text_is_encoded_in_pieces_and_recalled_as_in_one() -> None:
    text = "Old Zebulon ran over the hill, and Mira sat by the sea. " * 200
    made, whole = Recollector(HYBRID).of(text), Recollection(HYBRID.encode(text), Words(HYBRID))
    row, ids = np.zeros(HYBRID.vocab_size, dtype=np.float32), HYBRID.encode(" and Mira")
    assert made is not None
    assert (made.mix(row, ids) == whole.mix(row, ids)).all()


def test_a_story_that_repeats_itself_is_not_encoded_anew() -> None:
    tokenizer, text = Counting(HYBRID), "Then Mira sat by the sea. " * (MOST_PAST_CHARS // 20)
    recollector = Recollector(tokenizer)
    recollector.of("Zebulon ran. " + text)
    encoded = tokenizer.encoded
    recollector.of("Zebulon ran. " + text + "Mira saw Zebulon.")
    assert tokenizer.encoded - encoded < 1000


def test_of_a_very_long_story_the_end_is_recalled() -> None:
    recollector = Recollector(HYBRID)
    past = recollector.of("Zebulon ran. " + "Mira sat. " * (MOST_PAST_CHARS // 10))
    row, ids = np.zeros(HYBRID.vocab_size, dtype=np.float32), HYBRID.encode("Zebulon")
    assert past is not None
    assert past.mix(row, ids[:-1])[ids[-1]] <= 0


@pytest.fixture(scope="module")
def stored(tiny_weights: Path) -> Stored:
    return open_weights(tiny_weights)


def written(stored: Stored, *texts: str) -> tuple[MemoryVectors, States]:
    decoder = choose(stored, threads=1).decoder
    states, vectors = States(read_out(decoder).head), MemoryVectors.empty()
    for text in texts:
        vectors = vectors.with_text(decoder, states, stored.tokenizer.encode(text), [0])
    return vectors, states


def test_vectors_bring_back_what_followed_the_same_state(stored: Stored) -> None:
    vectors, states = written(stored, SAMPLE)
    decoder = choose(stored, threads=1).decoder
    ids = stored.tokenizer.encode(SAMPLE)
    rows = decoder.rows([0, *ids[:20]], every=True)  # behind the start and 20 tokens
    recollection = Recollection([], None, (vectors, states))
    for n in range(1, 20):
        assert recollection.mix(rows[n], [7])[ids[n]] > rows[n][ids[n]] + 0.1


def test_vectors_come_back_from_their_bytes_and_grow(stored: Stored) -> None:
    vectors, _ = written(stored, SAMPLE, SAMPLE * 3)
    again = MemoryVectors.load(vectors.dump("base"), "base", stored.config.vocab_size)
    assert len(again.keys) == len(stored.tokenizer.encode(SAMPLE)) + len(stored.tokenizer.encode(SAMPLE * 3)) - 2
    assert again.dump("base") == vectors.dump("base")
    long = MemoryVectors(np.zeros((MOST + 5, WIDTH), np.float32), np.arange(MOST + 5, dtype=np.int32) % 7)
    assert len(MemoryVectors.load(long.dump("base"), "base", 7).keys) == MOST


@pytest.mark.parametrize("text", ["", "M"])
def test_no_text_gives_no_vectors(stored: Stored, text: str) -> None:
    vectors, states = written(stored, text)
    assert len(vectors.keys) == len(vectors.followed) == 0
    row = np.linspace(-1, 1, stored.config.vocab_size, dtype=np.float32)
    mixed = Recollection([], None, (vectors, states)).mix(row, [1])
    np.testing.assert_allclose(mixed - mixed[0], row - row[0], atol=1e-5)


def test_damaged_and_foreign_vectors_are_refused(stored: Stored) -> None:
    blob = written(stored, SAMPLE)[0].dump("base")
    for wrong in (
        b"",
        b"x" * 100,
        blob[:-1],
        blob[:40] + b"\xff" * 8 + blob[48:],
        blob + b"x",
        blob[:-4] + b"\0\0\0\x7f",
    ):
        with pytest.raises(AdapterError, match="damaged"):
            MemoryVectors.load(wrong, "base", stored.config.vocab_size)
    with pytest.raises(AdapterError, match="other weights"):
        MemoryVectors.load(blob, "another", stored.config.vocab_size)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_bytes_are_vectors_or_are_refused(stored: Stored, data: st.DataObject) -> None:
    blob = bytearray(MemoryVectors(np.ones((2, WIDTH), np.float32), np.arange(2, dtype=np.int32)).dump("base"))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        vectors = MemoryVectors.load(bytes(blob), "base", stored.config.vocab_size)
    except AdapterError:
        return
    assert np.isfinite(vectors.keys).all()
