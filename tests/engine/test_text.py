"""Tokenizer, summary and prompt: everything between text and ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Context, PromptError, Summary, Tokenizer, TokenizerError
from engine.generation import ends_sentence
from engine.prompt import fit, render, render_window, with_note
from engine.summary import split_sentences, summarize
from tests.conftest import SAMPLE
from training.vocabulary import train_char, train_hybrid

HYBRID = train_hybrid([SAMPLE] * 4, 300)
CHAR = train_char([SAMPLE] * 200)


@given(st.text())
def test_any_text_comes_back_from_a_hybrid(text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    assert HYBRID.decode(HYBRID.encode(text)) == clean


@given(st.text(alphabet=st.sampled_from(SAMPLE)))
def test_known_characters_come_back_from_a_char_vocabulary(text: str) -> None:
    ids = CHAR.encode(text)
    assert len(ids) == len(text)
    assert CHAR.decode(ids) == text


@given(st.text(max_size=60))
def test_streamed_pieces_are_the_whole_text(text: str) -> None:
    ids = HYBRID.encode(text)
    decoder = HYBRID.stream()
    pieces = [decoder.push(i) for i in ids]
    assert "".join(pieces) + decoder.flush() == HYBRID.decode(ids)


def test_a_character_is_never_shown_in_halves() -> None:
    decoder = HYBRID.stream()
    pieces = [decoder.push(i) for i in HYBRID.encode("a🐉b")]
    assert "\ufffd" not in "".join(pieces)


@pytest.mark.parametrize("name", ["<|endoftext|>", "<|memory|>", "<|story|>"])
@pytest.mark.parametrize("tokenizer", [HYBRID, CHAR])
def test_typed_text_never_becomes_a_control_token(tokenizer: Tokenizer, name: str) -> None:
    assert not set(tokenizer.encode(f"x {name} y")) & set(tokenizer.control.values())


def test_a_missing_or_damaged_tokenizer_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="is missing"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="not a readable tokenizer"):
        Tokenizer.load(tmp_path)


@settings(deadline=None)
@given(st.text(max_size=400), st.integers(1, 60))
def test_what_fits_is_the_end_of_the_text(text: str, room: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    ids, offset = fit(HYBRID, text, room)
    assert len(ids) <= room
    assert HYBRID.decode(ids) in (text[offset:], HYBRID.decode(HYBRID.encode(text[offset:])[-room:]))


def test_the_window_begins_with_a_sentence() -> None:
    story = "Tom ran home. " * 60
    _, offset = fit(HYBRID, story, 50)
    assert story[offset:].startswith("Tom ran home.")


@pytest.mark.parametrize(
    ("text", "ends"), [("He ran home. ", True), ('"Stop!"', True), ("Then came Mr.", False), ("He said", False)]
)
def test_a_reply_does_not_stop_at_an_abbreviation(text: str, ends: bool) -> None:
    assert ends_sentence(text) is ends


def test_sentences_are_cut_as_a_reader_would() -> None:
    text = 'Mr. Fox ran. "Stop!" cried\nMrs. Bear. It was J. R. Hare\n\nThe end.'
    assert split_sentences(text) == ["Mr. Fox ran.", '"Stop!"', "cried", "Mrs. Bear.", "It was J. R. Hare", "The end."]


def test_memory_stands_before_the_story_and_pins_survive_a_long_one() -> None:
    summary = Summary(("Mira",), ("the forest",), ("Mira found a key.",))
    ids = render(HYBRID, Context(("Mira is a fox.",), summary, "Once upon a time. " * 40), 120)
    text = HYBRID.decode(ids)
    assert len(ids) <= 120
    assert text.startswith("Facts: Mira is a fox.\nNames: Mira")
    assert text.rstrip().endswith("Once upon a time.")


def test_of_a_summary_that_is_too_long_the_beginning_is_read() -> None:
    summary = Summary(("Mira",), (), tuple(f"Mira found key {n}." for n in range(40)))
    text = HYBRID.decode(render(HYBRID, Context(("Mira is a fox.",), summary, "Once upon a time. " * 40), 120))
    assert "key 0." in text
    assert "key 39." not in text
    assert text.rstrip().endswith("Once upon a time.")


def test_pins_that_leave_no_room_are_refused() -> None:
    with pytest.raises(PromptError, match="pinned facts"):
        render(HYBRID, Context(pins=("A fact. " * 100,), text="Once"), 100)


def test_a_summary_keeps_names_places_and_facts_within_its_budget() -> None:
    end = "Then Mira and Tom found a secret door in the old house. Tom was afraid. "
    text = SAMPLE + "The sun was warm. " * 30 + end
    summary = summarize(text, None, 220)
    assert {"Mira", "Tom"} <= set(summary.names)
    assert any("forest" in place or "house" in place for place in summary.places)
    assert any("secret" in sentence or "named Mira" in sentence for sentence in summary.sentences)
    assert sum(len(line) + 1 for line in summary.lines()) <= 220
    assert Summary.from_json(summary.to_json()) == summary


@settings(deadline=None)
@given(st.lists(st.text(max_size=200), max_size=6), st.integers(0, 300))
def test_folding_any_text_stays_within_reason(parts: list[str], budget: int) -> None:
    summary: Summary | None = None
    for part in parts:
        summary = summarize(part, summary, budget)
        assert sum(len(sentence) + 1 for sentence in summary.sentences) <= max(budget, 0)
        assert len(summary.names) <= 12
        assert len(summary.places) <= 4
        assert sum(len(line) + 1 for line in summary.lines()) <= max(budget, 0) + 1
        assert Summary.from_json(summary.to_json()) == summary


def test_the_heroes_of_the_beginning_are_still_known_at_the_end() -> None:
    summary = summarize(SAMPLE, None, 300)
    for n in range(12):
        crowd = f"Then Anna{n} met Otto{n}. Later Anna{n} and Otto{n} went home. "
        summary = summarize(crowd, summary, 300)
    assert "Mira" in summary.names


def test_a_name_that_the_story_comes_back_to_is_shown_again() -> None:
    summary = summarize("The sun shone on the fields. " * 60, None, 120)
    summary = summarize("Then Zebulon sang. Later old Zebulon wept.", summary, 120)
    assert "Zebulon" in summary.names
    for day in "abcdefghijkl":
        crowd = [f"Then Anna{day}{c} met Otto{day}{c}. Later Anna{day}{c} and Otto{day}{c} sang." for c in "abcdefgh"]
        summary = summarize(" ".join(crowd) + " The sun shone on them all for a long time." * 20, summary, 120)
    assert "Zebulon" not in summary.names
    summary = summarize("At last Zebulon came. There he was, old Zebulon, and Zebulon wept.", summary, 120)
    assert "Zebulon" in summary.names


def test_an_edited_summary_is_read_as_it_was_written() -> None:
    summary = summarize(SAMPLE * 2 + "Mira took the golden ring. Mira lost the golden ring.", None, 400)
    assert summary.things
    assert Summary.from_text("\n".join(summary.lines()), summary).lines() == summary.lines()
    edited = Summary.from_text("names: Bob , Al\nand Cleo\nEarlier: All ran.")
    assert edited.names == ("Bob", "Al", "and Cleo")
    assert Summary.from_text("Nobody knows Mr. Fox. He is old!").sentences == ("Nobody knows Mr. Fox.", "He is old!")
    assert not Summary.from_text(" \n")
    with pytest.raises(PromptError, match="pin them"):
        Summary.from_text("Facts: Mira is a fox.")


def test_what_a_person_takes_out_of_a_summary_does_not_come_back_by_itself() -> None:
    summary = summarize("Then Mira met Zebulon. Later Mira and Zebulon sang. " * 4, None, 200)
    edited = Summary.from_text("Names: Mira, Cleo", summary)
    later = summarize("It rained for a long time.", edited, 200)
    assert "Zebulon" not in later.names
    assert {"Mira", "Cleo"} <= set(later.names)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_edit_is_a_summary_that_reads_the_same_again(text: str) -> None:
    try:
        summary = Summary.from_text(text)
    except PromptError:
        return
    assert Summary.from_text("\n".join(summary.lines())).lines() == summary.lines()


def test_summaries_stored_before_there_was_an_archive_are_read() -> None:
    old = Summary.from_json('{"names": ["Mira"], "places": [], "sentences": ["Mira found a key."]}')
    assert old.lines() == ["Names: Mira", "Earlier: Mira found a key."]
    assert "Mira" in summarize("The rain fell.", old, 200).names
    for wrong in ("[]", "{}", "nonsense", '{"names": 1, "places": [], "sentences": []}', "null"):
        with pytest.raises(PromptError, match="not readable"):
            Summary.from_json(wrong)


def test_what_the_window_leaves_out_of_the_text_is_told() -> None:
    text = "Once upon a time. " * 40
    rendered = render_window(HYBRID, Context(("Mira is a fox.",), None, text), 60)
    assert len(rendered.prefix) + len(rendered.text) <= 60
    assert HYBRID.decode(rendered.text) == text[rendered.left :]


def test_a_note_is_a_line_of_its_own_near_the_end() -> None:
    text = "Mr. Fox ran. He fell!\n\nThe moon rose. It was"
    assert with_note(text, "NOTE", 1) == "Mr. Fox ran. He fell!\n\nThe moon rose.\nNOTE\nIt was"
    assert with_note(text, "NOTE", 2) == "Mr. Fox ran. He fell!\n\nNOTE\nThe moon rose. It was"
    assert with_note(text, "NOTE", 3) == "Mr. Fox ran.\nNOTE\nHe fell!\n\nThe moon rose. It was"
    assert with_note(text, "NOTE", 9) == f"NOTE\n{text}"
    assert with_note("", "NOTE", 3) == "NOTE\n"


@given(st.text(max_size=80), st.integers(1, 9))
def test_a_note_changes_nothing_else(text: str, depth: int) -> None:
    noted = with_note(text, "\u2603", depth)
    assert "".join(noted.split()) in {
        "".join((text[:cut] + "\u2603" + text[cut:]).split()) for cut in range(len(text) + 1)
    }


def test_a_note_takes_its_room_from_the_text_and_never_more_than_a_quarter() -> None:
    text = "Once upon a time, a fox ran. " * 40
    plain = render_window(HYBRID, Context(("Mira is a fox.",), None, text), 100)
    noted = render_window(HYBRID, Context(("Mira is a fox.",), None, text, note="Tom lived in a forest."), 100)
    assert noted.prefix == plain.prefix, "what stands before it is read once"
    assert noted.left > plain.left
    assert len(noted.prefix) + len(noted.text) <= 100
    tail = "Once upon a time, a fox ran. " * 2
    assert HYBRID.decode(noted.text).endswith(f"\nTom lived in a forest.\n{tail}"[-40:])
    assert "Tom lived in a forest." in HYBRID.decode(noted.text)
    assert render_window(HYBRID, Context(("Mira is a fox.",), None, text, note="Tom. " * 40), 100) == plain
