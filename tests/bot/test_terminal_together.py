"""Several people at one keyboard: the modes, the table and what a reply is asked to be, in the terminal channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.test_styles import write_pack
from tests.bot.test_terminal import Home


@pytest.fixture
def home(tmp_path: Path, tiny_weights: Path) -> Home:
    return Home(tmp_path, tiny_weights)


def test_a_round_of_named_players(home: Home) -> None:
    first = home.run(
        "/start The Fox | There was a fox. | round robin",
        "Anybody wrote this.",
        "/join Ben",
        "/join Cleo",
        "/join ben",
        "Ben wrote this.",
        "/skip",
        "/mode",
        temperature="0",  # else a random model begins a line as an error does, now and then
    )
    assert first.errors == ["! You sit at the table already: wait for your turn."]
    hints = [line for line in first.out.splitlines() if line.startswith(("Next: ", "Nobody sits"))]
    assert hints == [
        "Nobody sits at the table, so that anybody may write: /join NAME takes a seat.",
        "Nobody sits at the table, so that anybody may write: /join NAME takes a seat.",
        "Next: Ben", "Next: Ben", "Next: Cleo", "Next: Ben", "Next: Ben",
    ]  # fmt: skip
    again = home.run(
        "Ben came back.", "/leave Cleo", "/leave Dan", "/show writers", "/mode free", "/join Dan", temperature="0"
    )
    assert again.errors == [
        "! You do not sit at the table, so there is no seat to leave.",
        "! This story has no table, as its mode is free: /story mode changes that.",
    ]
    for part in ("Ann: There was a fox. Anybody wrote this.", "Ben: Ben wrote this.", "Ben: Ben came back.",
                 "the model: "):  # fmt: skip
        assert part in again.out


def test_one_word_and_the_last_line(home: Home) -> None:
    words = home.run("/start Words | A fox ran. | one word", "Then, suddenly,", "Then,", "/continue", "/show writers")
    assert len(words.errors) == 2
    assert "each adds one word" in words.errors[0]
    assert "last word is the model's" in words.errors[1]
    assert "Ann: A fox ran. Then,\n\nthe model: " in words.out
    line = home.run(
        "/start Line | The dax was blue. It slept. | last line",
        "The blicket was green. It sang.",
        "/show",
        "/export",
        "/tree",
        "/memory edit",
        "/finish",
        "/mode chess",
    )
    before, after = line.out.split("ends here", 1)
    assert "dax was" not in before.split("It slept.", 1)[1], "after its start"
    assert "blicket was" not in before
    assert "The dax was blue. It slept. The blicket was green. It sang." in after
    assert line.errors[0].startswith("! Only the last line of this story is seen until")
    assert line.errors[-1].startswith("! There is no such mode: choose one of free, round robin,")


def test_length_and_style_of_one_reply(home: Home, tiny_weights: Path) -> None:
    write_pack(home.data / "styles" / "verse.safetensors", tiny_weights)
    run = home.run(
        "/start The Fox | There was a fox.",
        "/continue short in verse",
        "/retry in verse",
        "/retry long",
        "/continue in prose",
        "/continue vast",
        "/show everything",
    )
    assert [error[:30] for error in run.errors] == [
        "! There is no style pack of th", "! There is no such length: cho", "! That shows the end of the st",
    ]  # fmt: skip
