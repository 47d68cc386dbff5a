"""The memory benchmark end to end, on small stories and a small model."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.entities import find_questions, told_of
from benchmarks.memory import alike, measure
from benchmarks.transcript import tell
from engine import Engine

SYLLABLES = ("ba", "do", "ki", "lu", "me", "no", "ra", "si", "ta", "vu")


def story(seed: int, names: int = 24, sentences: int = 160) -> str:
    """A story whose people come again and again; no two stories share one."""
    rng = random.Random(seed)
    people = ["".join(rng.choices(SYLLABLES, k=3)).capitalize() + "xyz"[seed] for _ in range(names)]
    told = (f"Then the old fox met {rng.choice(people)} by the river. They sang all day." for _ in range(sentences))
    return " ".join(told)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stories") / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(story(seed) for seed in range(3)), encoding="utf-8")
    return path


def test_a_story_that_comes_back_to_its_people_is_remembered(stories: Path, tiny_weights: Path) -> None:
    figures = measure(stories, tiny_weights, window=64, documents=3, points=2, questions=6)
    loss = figures["loss"]
    assert loss["memory"] < loss["window"]
    assert loss["recollection"] < loss["window"]
    assert loss["recollection"] < loss["placebo_recollection"]
    assert figures["gap_closed"] == figures["memory"]["closed"]
    assert figures["recall"][4]["asked"] > 0
    assert set(figures["entity_recall"]) == {"4", "16", "64"}


def test_it_runs_as_a_command(stories: Path, tiny_weights: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.memory", "--text", str(stories), "--weights", str(tiny_weights)]
    sizes = ["--window", "128", "--documents", "2", "--points", "1", "--questions", "1", "--json"]
    done = subprocess.run([*command, *sizes], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {"gap_closed", "placebo", "entity_recall", "full"} <= figures.keys()
    assert figures["gap_closed"] is None  # these weights read no more than that window


def test_documents_that_are_too_short_are_refused(tmp_path: Path, tiny_weights: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("Once upon a time.\n<|endoftext|>\nThe end.", encoding="utf-8")
    with pytest.raises(SystemExit, match="fewer than two documents"):
        measure(path, tiny_weights, window=64, documents=3, points=2, questions=6)


def test_questions_ask_for_what_is_told_of_again_after_so_long() -> None:
    documents = [story(seed) for seed in range(3)]
    found = find_questions(documents, (4, 400), [100.0] * 3, count=10)
    assert len(found[4]) == 10
    assert not found[400]
    for question in found[4]:
        text = documents[question.document]
        assert text.startswith(question.word, question.at)
        assert question.at - text.rfind(question.word, 0, question.at) >= 400
        assert not set(question.pool) & set(text.split())


def test_names_places_and_things_are_told_apart() -> None:
    told = told_of("Then old Mira went to London, and Mira took the lantern. But Mira saw London.")
    assert told == {"Mira": "name", "London": "place", "lantern": "object"}


def test_the_window_alone_is_right_once_in_twenty_times() -> None:
    rng = random.Random(0)
    right = asked = 0
    for _ in range(2_000):
        values = [rng.gauss(1 if i == 0 else 0, 1) for i in range(100)]
        if chosen := alike(values, rng):
            assert len(set(chosen)) == 20
            asked += 1
            right += max(values[i] for i in chosen) == values[0]
    assert asked > 500
    assert 0.02 < right / asked < 0.15


def test_the_transcript_shows_a_story_and_what_is_remembered_of_it(tiny_weights: Path) -> None:
    told = tell(Engine.load(tiny_weights, threads=1), exchanges=2, seed=1)
    assert told.startswith("> *Once upon a time, a fox named Zilpa")
    assert "Names: Zilpa" in told
    assert told.count("drawn 20 times") == 2
