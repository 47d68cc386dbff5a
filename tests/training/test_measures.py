"""What is counted in text, and what is told from spoilt text: small cases by hand, and the bundled weights on a few."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint import load_weights
from engine.folder import default_weights
from engine.generation import Engine
from engine.model import GPT, GPTConfig
from training.choices import ending_choice, order_choices
from training.continuations import continue_openings, cut_openings
from training.measures import copied, distinct, first_words, follow_names, repetition, words
from training.vocabulary import train_char

STORIES = [
    "Once upon a time, there was a little girl named Lily. She had a red ball.\nOne day, the ball rolled into the pond."
    " Lily was very sad.\nA duck saw her cry. The duck swam to the ball and pushed it back. Lily thanked the duck.",
    "Tom was a big dog. He lived on a farm with a cow.\nOne night, the cow heard a noise. It was a fox at the door.\n"
    "Tom barked as loud as he could, and the fox ran away. The cow was not afraid any more.",
    "Anna wanted to bake a cake for her mom. She took eggs and milk and flour.\nBut there was no sugar in the house."
    " Anna asked the man next door.\nHe gave her a cup of sugar. The cake was sweet, and her mom was happy. The end.",
    "There was a boy named Sam. Sam was afraid of the dark.\nHis dad gave him a small lamp. Sam put it next to his bed."
    "\nThat night, Sam slept well. In the morning he told his dad that the dark was not so bad.\nThe end.",
]


@pytest.mark.parametrize(
    ("text", "repeated", "various"),
    [
        ("one two three four, one two three four", 1 / 5, 4 / 8),  # five runs of four; four different runs of three
        ("A b c d e. F g h i j!", 0, 8 / 10),
        ("no, no, no, no, no", 1 / 2, 1 / 5),
        ("too short", None, 0),
        ("", None, None),
    ],
)
def test_repetition_and_variety(text: str, repeated: float | None, various: float | None) -> None:
    assert repetition([text]) == (None if repeated is None else pytest.approx(repeated))
    assert distinct([text]) == (None if various is None else pytest.approx(various))


def test_repetition_stays_within_a_text_and_variety_spans_all() -> None:
    assert repetition(["a b c d", "a b c d"]) == 0
    assert distinct(["a b c", "a b c"]) == pytest.approx(1 / 6)


@given(st.text("ab c.'\n", max_size=60), st.integers(0, 20))
def test_the_first_words_are_the_first_words(text: str, count: int) -> None:
    assert words(first_words(text, count)) == words(text)[:count]
    assert text.startswith(first_words(text, count))


def test_copies_are_runs_of_ten_words_within_one_training_document(tmp_path: Path) -> None:
    training = tmp_path / "train.txt"
    training.write_text("We saw one two three four five six seven eight nine ten\n<|endoftext|>\neleven twelve a b")
    written = "ONE two three, four five six seven eight nine: ten eleven twelve"
    assert copied([[written], ["short"], []], [training]) == [pytest.approx(1 / 3), None, None]
    training.write_text("one two three four five six seven eight nine ten eleven twelve")
    assert copied([[written]], [training]) == [1.0]
    assert copied([[written]], []) == [0.0]


def test_names_that_come_again_and_names_that_are_new() -> None:
    opening = "There was a girl named Mira. She had a dog named Bolt. Mira and Bolt went to the river."
    told = follow_names([opening], ["Then Mira met Tom. Tom was kind, and Mira's day was good. Then Tom went home."])
    assert (told.introduced, told.kept, told.mentions, told.known) == (2, 1, 5, 2)
    nobody = follow_names(["The cow was sad."], ["A man named Ben came. Ben was kind."])
    assert (nobody.persistence, nobody.known_share) == (None, None)


def test_a_model_that_knows_nothing_chooses_by_chance() -> None:
    tokenizer = train_char(STORIES)
    model = GPT(GPTConfig(tokenizer.vocab_size, block_size=64, n_layer=1, n_head=1, n_embd=8, n_ffn=8)).eval()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)  # every token is as likely as any other
    assert [tuple(choice) for choice in order_choices(model, tokenizer, STORIES, 10)] == [(0.5, 4), (0.5, 4)]
    assert ending_choice(model, tokenizer, STORIES, 10).stories == 4


def test_the_bundled_weights_know_a_story_from_a_spoilt_one() -> None:
    weights = load_weights(default_weights())
    by_sentence, by_block = order_choices(weights.model, weights.tokenizer, STORIES, 10)
    assert (by_sentence.share, by_block.share) == (1, 1)
    endings = ending_choice(weights.model, weights.tokenizer, STORIES, 10)
    assert endings.stories == 4
    assert endings.share is not None
    assert endings.share >= 0.75


def test_choices_do_not_depend_on_how_stories_are_batched() -> None:
    weights = load_weights(default_weights())
    together = order_choices(weights.model, weights.tokenizer, STORIES, 10)[0]
    alone = [order_choices(weights.model, weights.tokenizer, [story], 10)[0] for story in STORIES]
    assert together.share == sum(choice.share or 0 for choice in alone) / len(alone)


def test_texts_without_stories_are_not_asked() -> None:
    weights = load_weights(default_weights())
    book = " ".join(STORIES) * 10
    for documents in (["One line."], ["Ha.\nHa.\nHa.\nHa.\nHa."], [book], []):
        assert order_choices(weights.model, weights.tokenizer, documents, 10)[0] == (None, 0)
        assert ending_choice(weights.model, weights.tokenizer, documents, 10) == (None, 0)
        assert cut_openings(documents, 10) == []


def test_openings_and_what_people_wrote_behind_them_make_the_story() -> None:
    told = [f"{story} They all lived by the sea." for story in STORIES]
    openings = cut_openings(told, 3)
    assert len(openings) == 3
    assert all(opening.text + opening.rest in told for opening in openings)
    assert openings[0].text.endswith("Lily was very sad.")
    engine = Engine.load(default_weights())
    first, again = (continue_openings(engine, openings[:1]) for _ in range(2))
    assert first == again  # seeded
    assert first[0].text
