"""Keeping house in the terminal: settings, and what is kept of whoever writes there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bot.test_terminal import Home


@pytest.fixture
def home(tmp_path: Path, tiny_weights: Path) -> Home:
    return Home(tmp_path, tiny_weights)


def test_settings_are_set_shown_and_kept(home: Home) -> None:
    first = home.run(
        "/settings set LENGTH 9", "/settings set length 5000", "/settings set length", "/settings preset wild"
    )
    assert "length is 9 from the next reply on." in first.out
    assert "8 to 400" in first.out
    assert "NAME VALUE" in first.out
    again = home.run("/settings", "/settings preset no", "/settings clear", "/settings show")
    assert "length: 9 (this channel; " in again.out
    assert "temperature: 1.1 (this channel's preset wild; " in again.out
    assert "steady, wild, default" in again.out
    assert "length: 16 (the default; " in again.out


def test_what_is_kept_is_shown_exported_and_removed(home: Home) -> None:
    first = home.run(
        "A fox ran.", "/privacy", "/privacy export mine.json", "/privacy export mine.json", "/privacy delete"
    )
    assert "Of you I keep 1 turn and 1 title of a story" in first.out
    assert "is there already" in first.out
    assert "/privacy delete yes" in first.out
    whole = json.loads((home.folder / "mine.json").read_text())
    assert [turn["text"] for turn in whole["turns"]] == ["A fox ran."]
    assert whole["stories"][0]["title"] == "A fox ran."
    assert (home.folder / "mine.json").stat().st_mode & 0o077 == 0
    then = home.run("/privacy delete yes", "/show", "/privacy show")
    assert "Removed: 1 turn and 1 title of a story." in then.out
    assert "A fox ran" not in then.out.split("Removed", 1)[1]
    assert "Of you I keep 1 line in the log." in then.out


def test_the_process_tells_how_it_is(home: Home) -> None:
    run = home.run("A fox ran.", "/status")
    assert "Done: replies 1, lessons 0, failures 0; " in run.out
    assert "No warnings or errors since the start." in run.out


def test_weights_come_and_go(home: Home, other_tiny_weights: Path) -> None:
    run = home.run(f"/weights add mine {other_tiny_weights}", "/weights show mine", "/weights show",
                   "/weights add mine", "/weights add other /nowhere", "/weights remove mine",
                   "/weights list")  # fmt: skip
    assert "mine is on the shelf" in run.out
    assert "Weights: mine\n" in run.out
    assert "Weights: tiny (active)" in run.out
    assert "NAME FOLDER" in run.out
    assert "could not be copied (No such file or directory)" in run.out
    assert "mine is gone." in run.out
    assert "mine" not in run.out.split("mine is gone.")[1]
