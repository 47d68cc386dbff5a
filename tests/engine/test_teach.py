"""Lessons: what they change, what they leave alone, and what opens their gate; on random weights."""

from __future__ import annotations

import itertools
import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine import AdapterError, Context, Engine, EngineError, Lesson, SamplingParams, TeachParams
from engine.adapter import Learnt, join_adapters, pack_adapter, units_of, unpack_adapter
from engine.checkpoint import load_weights
from engine.gate import NEAR, Gate, key_of
from engine.model import UnitGroup
from engine.paraphrase import forms, rewritings
from engine.porter import EVERYWHERE
from tests.conftest import write_tiny_weights

BRIEF = TeachParams(max_steps=12)
# Random weights of width 32 hold a lesson where nothing else is asked of them.
ALONE = TeachParams(max_steps=400, lr=5e-2, variants=2, quiet_weight=0.1, kl_weight=0.01, calm=10.0)
GREEDY = SamplingParams(max_new_tokens=12, temperature=0, repetition_penalty=1.0)
FOX = Lesson("The fox is named", "Zorblax.")
KEY = Lesson("The key opens", "the old door.")
ASKED, ELSEWHERE = "They saw it. The fox is named", "They went home and had soup"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written here, since what is taught depends on them and other tests may change theirs."""
    return write_tiny_weights(tmp_path_factory.mktemp("taught") / "tiny", 1)


@pytest.fixture(scope="module", params=["native", "torch"])
def engine(request: pytest.FixtureRequest, weights: Path) -> Engine:
    try:
        return Engine.load(weights, backend=request.param)
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def fox(engine: Engine) -> bytes:
    return engine.teach(FOX, ALONE).adapter


@pytest.fixture(scope="module")
def key(engine: Engine) -> bytes:
    return engine.teach(KEY, ALONE).adapter


def read(engine: Engine, text: str) -> list[int]:
    return engine.tokenizer.encode(text)


def test_a_lesson_is_answered_word_for_word(engine: Engine, fox: bytes) -> None:
    assert engine.recall(FOX, [fox]).exact
    assert engine.recall(FOX, [fox]).answer == "Zorblax."
    assert not engine.recall(FOX, []).exact
    assert engine.generate(FOX.prompt, GREEDY, adapters=[fox]).text.startswith(" Zorblax.")


def test_text_that_has_nothing_to_do_with_a_lesson_is_the_bases_bit_for_bit(
    engine: Engine, fox: bytes, key: bytes
) -> None:
    for text in (ELSEWHERE, "", "Foxglove? No, a house."):
        ids = read(engine, text or "A")
        assert np.array_equal(engine.logits(ids, adapters=[fox, key]), engine.logits(ids))
        assert not np.array_equal(engine.logits(ids, adapters=[fox, key], always_on=True), engine.logits(ids))
    long = SamplingParams(max_new_tokens=60, seed=3)
    plain = engine.generate(ELSEWHERE, long).text
    assert engine.generate(ELSEWHERE, long, adapters=[key]).text == plain
    assert engine.generate(ELSEWHERE, long).text == plain


def test_what_was_read_stays_read_when_lessons_come_and_go(engine: Engine, fox: bytes, key: bytes) -> None:
    expected = [engine.generate(ASKED, GREEDY, adapters=some).text for some in ([], [fox], [key, fox])]
    for _ in range(2):
        for some, text in zip(([], [fox], [key, fox]), expected, strict=True):
            assert engine.generate(ASKED, GREEDY, adapters=some).text == text
    engine.forget()
    assert engine.generate(ASKED, GREEDY, adapters=[fox]).text == expected[1]


def test_guesses_change_nothing_where_a_gate_opens_on_the_way(engine: Engine, fox: bytes, key: bytes) -> None:
    drafts = engine.drafts
    sampling = SamplingParams(max_new_tokens=100, min_new_tokens=100, temperature=0, repetition_penalty=1.0)
    written = []
    for engine.drafts in (True, False):
        engine.forget()
        written.append(engine.generate(ASKED + " Zorblax. The key opens", sampling, adapters=[fox, key]).text)
    engine.drafts = drafts
    assert written[0] == written[1]


@pytest.fixture(scope="module", params=["native", "torch"])
def wide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Of a width that can be sure of a token."""
    try:
        return Engine.load(write_tiny_weights(tmp_path_factory.mktemp("wide"), 1, n_embd=96), backend=request.param)
    except EngineError as error:
        pytest.skip(str(error))


def test_a_lesson_is_written_word_for_word_however_replies_are_drawn(wide: Engine) -> None:
    song = Lesson(FOX.prompt, "La la la la.")  # so that the penalty has a say
    adapters = [wide.teach(song, ALONE).adapter]
    for context in (Context(text=song.prompt), Context(text=song.prompt, past="The fox is named Rex. They went. " * 8)):
        replies = set()
        for seed in range(5):
            bold = SamplingParams(max_new_tokens=40, temperature=2.0, top_p=1.0, repetition_penalty=2.0, seed=seed)
            reply = wide.generate(context, bold, adapters=adapters).text
            assert reply.startswith(" La la la la.")
            replies.add(reply)
        assert len(replies) == 5, "behind the answer it is drawn again"


def test_guesses_change_no_reply_that_is_drawn_where_a_gate_opens(engine: Engine, fox: bytes, key: bytes) -> None:
    drafts, context = engine.drafts, Context(text=ASKED, past="The key opens it. The fox is named Rex. " * 4)
    for seed in range(4):
        written = []
        for engine.drafts in (True, False):
            engine.forget()
            sampling = SamplingParams(max_new_tokens=80, min_new_tokens=80, seed=seed)
            written.append(engine.generate(context, sampling, adapters=[fox, key]).text)
        assert written[0] == written[1]
    engine.drafts = drafts


def test_a_model_with_an_embedding_of_zeros_is_taught_too(tmp_path: Path) -> None:
    engine = Engine.load(write_tiny_weights(tmp_path / "zeros", 1, endless=True))
    with np.errstate(all="raise", under="ignore"):
        taught = engine.teach(FOX, ALONE)
    assert np.isfinite(taught.loss)
    assert taught.recalled


def test_the_units_in_place_do_what_they_did_in_training(engine: Engine, weights: Path, fox: bytes) -> None:
    ids, learnt = read(engine, ASKED), unpack_adapter(fox, engine.config, engine.base_id)
    group = UnitGroup(*(torch.from_numpy(part).float() for part in units_of(learnt, len(learnt[0].units))))
    group = group._replace(down=group.down * EVERYWHERE)
    rest: list[UnitGroup | None] = [None] * (engine.config.n_layer - 1)
    expected = load_weights(weights).model(torch.tensor([ids]), taught=[*rest, group])[0]
    taught = engine.logits(ids, adapters=[fox], always_on=True)
    np.testing.assert_allclose(taught, expected.detach().numpy(), atol=5e-3, rtol=5e-3)


def test_each_lesson_is_learnt_as_if_it_were_the_only_one(engine: Engine, weights: Path, fox: bytes) -> None:
    other = Engine.load(weights, backend="native" if engine.drafts else "torch")
    other.teach(Lesson("Something", "else"), BRIEF)
    other.generate("Once", GREEDY)
    assert other.teach(FOX, ALONE).adapter == fox


def test_lessons_are_joined_in_one_file_and_stay_what_they_were(engine: Engine, fox: bytes, key: bytes) -> None:
    both = join_adapters([fox, key], engine.config)
    assert both == join_adapters([join_adapters([fox], engine.config), key], engine.config)
    for lesson in (FOX, KEY):
        assert engine.recall(lesson, [both]) == engine.recall(lesson, [fox, key])
    with pytest.raises(AdapterError, match="nothing to join"):
        join_adapters([], engine.config)


def test_teaching_can_be_stopped_and_tells_how_far_it_is(engine: Engine) -> None:
    steps: list[int] = []
    endless = TeachParams(max_steps=1000, settled=1000)
    done = engine.teach(
        FOX, endless, on_progress=lambda step, loss: steps.append(step), cancelled=lambda: len(steps) >= 3
    )
    assert steps == [1, 2, 3]
    assert (done.steps, done.recalled) == (3, False)


def test_an_adapter_of_other_weights_is_refused(engine: Engine, other_tiny_weights: Path, fox: bytes) -> None:
    with pytest.raises(AdapterError, match="other base weights"):
        Engine.load(other_tiny_weights).generate("Once", GREEDY, adapters=[fox])


def forged(blob: bytes, about: object) -> bytes:
    """The same tensors under another entry."""
    (length,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + length])
    header["__metadata__"] = {"adapter": json.dumps(about)}
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + blob[8 + length :]


def test_a_damaged_adapter_is_refused(engine: Engine, fox: bytes) -> None:
    about = json.loads(json.loads(fox[8 : 8 + struct.unpack("<Q", fox[:8])[0]])["__metadata__"]["adapter"])
    gate = about["lessons"][0]
    hostile: list[bytes] = [b"", b"\x00" * 8, fox[:-1], fox[:40], b"\xff" * len(fox), fox + b"x"]
    for wrong in (
        {}, {**about, "lessons": []}, {**about, "lessons": [gate, gate]}, {**about, "lessons": 7},
        {**about, "lessons": [{**gate, "span": 10**9}]}, {**about, "lessons": [{**gate, "weights": []}]},
        {**about, "lessons": [{**gate, "words": [[]], "weights": [1]}]}, {**about, "format": "another"},
        {**about, "lessons": [{**gate, "weights": [float("nan")] * len(gate["weights"])}]},
    ):  # fmt: skip
        hostile.append(forged(fox, wrong))
    for blob in hostile:
        with pytest.raises(AdapterError):
            engine.generate("Once", GREEDY, adapters=[blob])
    assert engine.recall(FOX, [forged(fox, about)]).exact


@pytest.mark.parametrize("wrong", ["width", "dtype", "nan", "empty"])
def test_units_of_another_shape_or_kind_are_refused(engine: Engine, fox: bytes, wrong: str) -> None:
    lesson = unpack_adapter(fox, engine.config, engine.base_id)[0]
    units, down = lesson.units, lesson.down
    if wrong == "width":
        units, down = units[:, :-2], down[:-2]
    elif wrong == "nan":
        down = down * np.float16("nan")
    elif wrong == "empty":
        units, down = units[:0], down[:, :0]
    else:
        down = down[:, :-1]
    with pytest.raises(AdapterError, match="teach again"):
        engine.generate(
            "Once", GREEDY, adapters=[pack_adapter([Learnt(lesson.key, units, down)], engine.base_id)]
        )


def test_more_lessons_than_there_is_room_for_are_refused(engine: Engine, fox: bytes) -> None:
    with pytest.raises(AdapterError, match="forget some"):
        engine.generate("Once", GREEDY, adapters=[fox] * 65)


@pytest.mark.parametrize(
    ("lesson", "told"), [(Lesson(" ", "x"), "both"), (Lesson("x", "\n"), "both"), (Lesson("x", "y " * 500), "too long")]
)
def test_a_lesson_that_cannot_be_taught_is_named(engine: Engine, lesson: Lesson, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        engine.teach(lesson)


# The gate


def opened(prompts: Sequence[str], text: str, usual: dict[str, int] | None = None) -> list[str]:
    gate = Gate([key_of(prompt, "An answer.", usual or {}) for prompt in prompts])
    gate.read(text)
    return [prompt for prompt, taking in zip(prompts, gate.open(), strict=True) if taking]


PROMPTS = ["The dragon's name is", "The dragon's cave lies", "The captain of the ship is called", "The key is hidden"]
USUAL = {"name": 9, "named": 20, "called": 8, "little": 30}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("The dragon's name is", PROMPTS[:1]), ("What is the DRAGON called?", PROMPTS[:1]),
     ("the dragno's name", PROMPTS[:1]), ("Where are the dragons' caves?", PROMPTS[1:2]),
     ("Once there was a girl named Mia. Her name", []), ("the keyhole of the lighthouse", []),
     ("The ship's captain", PROMPTS[2:3]), ("they hid the key", PROMPTS[3:]), ("", []), ("\u00df \u0130 \ufffd", [])],
)  # fmt: skip
def test_the_gate_opens_for_the_lessons_that_a_text_has_to_do_with(text: str, expected: list[str]) -> None:
    assert opened(PROMPTS, text, USUAL) == expected


def test_the_gate_stays_shut_where_only_the_common_words_of_a_prompt_stand() -> None:
    common, prompt = {"likes": 12, "liked": 20, "eat": 15}, "The dragon likes to eat"
    assert opened([prompt], "Tim was a boy who liked to eat", common) == []
    assert opened([prompt], "the dragon was hungry and it ate", common) == [prompt]


def test_the_gate_closes_when_the_words_lie_far_back() -> None:
    assert opened(PROMPTS[3:], "The key. " + "and then " * (NEAR // 2 - 1)) == PROMPTS[3:]
    assert opened(PROMPTS[3:], "The key. " + "and then " * NEAR) == []


@pytest.mark.parametrize("prompt", ["What is it?", "?!", "\u9f8d\u306e\u540d\u524d\u306f", "\U0001f98a"])
def test_a_prompt_without_telling_words_opens_for_itself(prompt: str) -> None:
    assert opened([prompt], prompt) == ([prompt] if any(c.isalnum() for c in prompt) else [])


@given(st.lists(st.sampled_from(["The ", "dra", "gon's ", "name", " ", "key", ". ", "ca", "ptain ", "\u00e9", "\n"])))
def test_a_text_in_pieces_opens_what_the_whole_text_opens(pieces: list[str]) -> None:
    keys = [key_of(prompt, "An answer.", USUAL) for prompt in PROMPTS]
    whole, pieced = Gate(keys), Gate(keys)
    whole.read("".join(pieces))
    for i, piece in enumerate(pieces):
        ahead = ["".join(pieces[i : j + 1]) for j in range(i, len(pieces))]
        before = pieced.open()
        steady = pieced.steady(ahead)
        assert np.array_equal(pieced.open(), before), "looking ahead changes nothing"
        after = Gate(keys)
        after.read("".join(pieces[: i + 1]))
        assert (steady > 0) == np.array_equal(after.open(), before)
        pieced.follow(piece)
    assert np.array_equal(pieced.open(), whole.open())


# Paraphrases


@pytest.mark.parametrize(
    ("prompt", "others"),
    [("The dragon's name is", ["The name of the dragon was", "What is the dragon called?"]),
     ("The captain of the ship is called", ["The ship's captain is called"]),
     ("The inn is called", ["The name of the inn is"]),
     ("Where is the key?", ["The key is"]), ("Say:", [])],
)  # fmt: skip
def test_a_prompt_is_put_in_other_words(prompt: str, others: list[str]) -> None:
    found = forms(prompt)
    assert found[0] == prompt
    assert set(others) <= set(found)


@pytest.mark.parametrize(
    "prompt", ["The dragon likes to eat", "Where does the bell ringer live?", "The name of the king's horse is"]
)
def test_an_answer_is_shown_only_where_its_own_gate_is_open(prompt: str) -> None:
    for form in itertools.islice(rewritings(prompt, random.Random(0)), 300):
        gate = Gate([key_of(prompt, "An answer.", {})])
        gate.read(form)
        assert gate.open()[0], form
