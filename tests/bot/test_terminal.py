"""The terminal channel as a child process with a pipe: what a script and a person at a keyboard get."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from bot.__main__ import EX_CONFIG
from bot.terminal_commands import COMMANDS, GROUPS

ROOT = Path(__file__).parents[2]
LIMIT = 60.0  # seconds; a run takes about three, most of them to import torch


class Home:
    """An empty machine: its environment, its data folder, and runs of the program on it."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.data = folder / "data"
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MINIATURE_")}
        self.environment = kept | {
            "HOME": str(folder),
            "USER": "Ann",
            "PYTHONPATH": str(ROOT),
            "MINIATURE_DATA_DIR": str(self.data),
            "MINIATURE_WEIGHTS": str(weights),
            "MINIATURE_MAX_NEW_TOKENS": "16",
        }

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "bot"],
            cwd=self.folder,
            env=self.environment | {f"MINIATURE_{name.upper()}": value for name, value in settings.items()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *lines: str | bytes, **settings: str) -> Run:
        script = b"".join(line.encode() + b"\n" if isinstance(line, str) else line + b"\n" for line in lines)
        process = self.start(**settings)
        out, err = process.communicate(script, timeout=LIMIT)
        assert b"Traceback" not in out + err
        return Run(process.returncode, out.decode(), err.decode())


class Run:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def errors(self) -> list[str]:
        return [line for line in self.out.splitlines() if line.startswith("! ")]


@pytest.fixture
def home(tmp_path: Path, tiny_weights: Path) -> Home:
    return Home(tmp_path, tiny_weights)


def test_a_story_with_a_lesson_an_undo_and_a_restart(home: Home) -> None:
    first = home.run(
        "/start The Fox | Once upon a time, there was a fox named Mira.",
        "She went to the river.",
        "Then Tom came.",
        "They played all day.",
        "/undo",
        "/teach The fox is called => Zibbo.",
        "/lessons",
        "/memory",
    )
    assert (first.code, first.err, first.errors) == (0, "", [])
    assert "tiny, " in first.out.splitlines()[0]
    assert "Taken back: They played all day." in first.out
    assert "Learnt in " in first.out
    assert re.search(r"^1\. The fox is called → Zibbo\. \(.*, learnt\)$", first.out, re.MULTILINE)
    second = home.run("/show", "/lessons", "/continue", "/quit", "/nothing after quit")
    assert (second.code, second.err, second.errors) == (0, "", [])
    assert second.out.splitlines()[1].startswith("The Fox: ")
    assert "Then Tom came." in second.out
    assert "They played" not in second.out
    assert "1. The fox is called → Zibbo." in second.out


def test_lessons_are_taught_tested_and_forgotten(home: Home) -> None:
    run = home.run(
        "/teach add The fox is called => Zibbo.",
        "/teach test my memory => well",
        "/TEACH list",
        "/teach test",
        "/teach always on",
        "/memory",
        "/teach always off",
        "/teach forget 1",
        "/teach forget-member Ann",
        "/teach list",
    )
    assert (run.code, run.err, run.errors) == (0, "", [])
    assert "2. test my memory → well (Ann, learnt)" in run.out
    assert re.search(r"^\d of 2 answered word for word\.$", run.out, re.MULTILINE)
    assert "2, all learnt; they take part in all text" in run.out
    assert run.out.splitlines()[-3:] == [
        "Forgotten: The fox is called",
        "Forgotten: test my memory",
        "Nothing was taught here yet: /teach add does it.",
    ]


def test_a_story_is_branched_edited_and_carried_in_and_out(home: Home) -> None:
    (home.folder / "hen.txt").write_text("A hen sat on an egg.\n\nIt was blue.", encoding="utf-8")
    run = home.run(
        "/start Fox | A fox ran.",
        "She saw Tom.",
        "/retry",
        "/pick",
        "/pick 1",
        "/edit",
        "/edit | He\\nsat.",
        "/edit 1 | A hare ran.",
        "/tree",
        "/branch 1",
        "/note It is night.",
        "/note Rain. | 2",
        "/memory",
        "/note",
        "/continue short",
        "/export fox.html",
        "/export fox.epub",
        "/finish",
        "/import hen.txt",
        "/import hen.txt | The hen",
        "/list",
        "/resume 1",
        "/show",
    )
    assert (run.code, run.err, run.errors) == (0, "", [])
    assert re.search(r"^  1\. .*\n\* 2\. ", run.out, re.MULTILINE)
    assert "Try 1 of 2: " in run.out
    assert re.search(r"^/edit \| ", run.out, re.MULTILINE)
    assert "* 6: A hare ran. (Ann)" in run.out
    assert re.search(r"\*\* .*He sat\. \(the model, changed by Ann\)$", run.out, re.MULTILINE)
    assert "The story goes on from: A fox ran." in run.out
    assert "Note, 2 lines before the end of the text" in run.out
    assert "The note is gone: Rain." in run.out
    assert (home.folder / "fox.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (home.folder / "fox.epub").read_bytes().startswith(b"PK")
    assert "hen begins, with 34 characters in 1 turn." in run.out
    assert "* 3. The hen (34 characters in 1 turn)\n  2. hen (34 characters in 1 turn)\n  1. Fox (" in run.out
    bad = home.run("/pick 9", "/edit 99", "/edit x | y", "/branch", "/branch 99", "/note Rain. | far", "/continue huge",
                   "/import", "/import none.txt", "/import fox.epub", "/resume 9", "/export fox.html")  # fmt: skip
    assert (bad.code, bad.err, len(bad.errors)) == (0, "", 12)
    assert all(line.endswith(".") for line in bad.errors)


def test_memory_is_shown_edited_restored_and_reset(home: Home) -> None:
    first = home.run(
        "/start Fox | The fox ran to the river.",
        "/memory pin Mira is a fox.",
        "/memory pin The lamp is old. | lamp, light",
        "/memory edit names: Mira, Tom | earlier: Mira ran.",
        "/memory edit Names: Zed",
        "/memory edit",
        "/memory history",
        "/memory pause",
        "/memory show",
    )
    assert (first.code, first.err, first.errors) == (0, "", [])
    assert "/memory edit Names: Zed" in first.out
    assert re.search(r"^2\. \d{4}-\d\d-\d\d \d\d:\d\d, by Ann: Names: Zed$", first.out, re.MULTILINE)
    page = first.out[first.out.rindex("█ Pins (") :]
    assert "1: Mira is a fox." in page
    assert "2: The lamp is old. (only where the text has lamp or light)" in page
    for part in ("paused", "Names: Zed", "ran to the river", "that wait for their keys", " of 128 tokens are taken, "):
        assert part in page
    second = home.run("/memory restore 1", "/memory resume", "/memory unpin 1", "/memory", "/memory reset",
                      "/memory reset yes", "/memory show")  # fmt: skip
    assert second.errors == [
        "! This forgets pins, lessons and summaries of this channel, and cannot be undone; the story stays."
        " /memory reset yes does it."
    ]
    before, _, after = second.out.partition("! ")
    assert "Names: Mira, Tom" in before
    assert "paused" not in before
    assert "Mira is a fox" not in before.partition("No longer pinned")[2].partition("\n")[2]
    assert "lamp" in before
    assert "lamp" not in after
    assert "ran to the river" in after


def test_a_style_is_chosen_and_put_away(home: Home) -> None:
    run = home.run("/style", "/style use verse", "/style off", "/style use")
    assert "There are no style packs" in run.out
    assert [line[:28] for line in run.errors] == ["! There is no style pack of ", "! A name is missing: /style "]
    assert "no style pack is used here" in run.out


def test_a_script_goes_on_after_every_kind_of_bad_line(home: Home) -> None:
    run = home.run(
        "/nonsense",
        "/undo",
        "/continue",
        "/teach no arrow",
        "/teach => ",
        "/forget one",
        "/forget 7",
        "/unpin 99999999999999999999",
        "/memory wipe",
        "/memory edit",
        "/memory restore 7",
        "/memory history of all",
        "/teach always maybe",
        "/teach switch on",
        "/teach forget-member Nobody",
        "/undo 3",
        "/weights activate nowhere",
        "/weights rollback",
        "/weights what",
        "/start",
        "/start Title | " + "x" * 10_000,
        "/export /nowhere/at/all",
        "x" * 10_000,
        "x" * 3_000_000,
        "\x00\x07\x1b\x7f",
        "/",
        "The fox ran home.",
        "/show",
    )
    assert (run.code, run.err) == (0, "")
    assert len(run.errors) == 26
    assert all(line.endswith(".") for line in run.errors)
    assert "10,000 characters" in run.out
    assert "/help" in run.errors[0]
    assert "The fox ran home.\n\nThe fox ran home." in run.out  # a story begun by a turn takes its title from it


def test_odd_text_export_help_and_a_last_line_without_its_end(home: Home) -> None:
    lines = [
        "🦊 ran 🏃‍♀️ home \x1b[31mred\x07.".encode(),
        b"half \xf0\x9f\x98 of it \xff.",
        "e\u0301\u202e\u200b".encode(),
        b"/export story.md",
        b"/export story.md",
        b"/help",
        b"/show",
    ]
    process = home.start()
    out, err = process.communicate(b"\r\n".join(lines), timeout=LIMIT)
    run = Run(process.returncode, out.decode(), err.decode())
    assert (run.code, run.err) == (0, "")
    assert "\x1b" not in run.out
    assert "🦊 ran 🏃‍♀️ home [31mred." in run.out.split("/quit")[1]  # what /show gave, after /help
    assert run.errors == ["! story.md is there already: choose another name."]
    assert (home.folder / "story.md").read_text(encoding="utf-8").startswith("# 🦊 ran")
    assert all(f"  {command.call}  " in run.out and command.help in run.out for command in COMMANDS)
    assert [line for line in run.out.splitlines() if line in GROUPS] == list(GROUPS)


def test_weights_are_changed_and_remembered(home: Home, other_tiny_weights: Path) -> None:
    (home.data / "weights").mkdir(parents=True)
    (home.data / "weights" / "other").symlink_to(other_tiny_weights)
    (home.data / "weights" / "first").symlink_to(home.environment.pop("MINIATURE_WEIGHTS"))
    setting = {"weights": str(home.data / "weights" / "first")}
    run = home.run(
        "/weights", "/weights activate other", "/weights", "/weights rollback", "/weights activate other", **setting
    )
    assert run.errors == []
    assert "* first" in run.out
    assert "* other" in run.out
    assert "Back to tiny." in run.out
    with closing(sqlite3.connect(home.data / "memory.sqlite3")) as connection:
        kept = dict(connection.execute("SELECT key, value FROM settings WHERE scope = 'process'").fetchall())
    assert kept["weights"] == str(home.data / "weights" / "other")


@pytest.mark.parametrize(
    ("settings", "code", "part"),
    [
        ({"weights": "/nowhere"}, EX_CONFIG, "/nowhere"),
        ({"data_dir": "/proc/nowhere"}, EX_CONFIG, "MINIATURE_DATA_DIR"),
        ({"temperature": "hot"}, EX_CONFIG, "MINIATURE_TEMPERATURE"),
        ({"database": "/sys/memory.sqlite3"}, EX_CONFIG, "writable"),
    ],
)
def test_a_start_that_fails_is_one_sentence(home: Home, settings: dict[str, str], code: int, part: str) -> None:
    run = home.run("Hello.", **settings)
    assert (run.code, run.out) == (code, "")
    assert run.err.startswith("! ")
    assert run.err.count("\n") == 1
    assert part in run.err


def test_a_newer_database_is_left_as_it_is(home: Home) -> None:
    file = home.folder / "newer.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 999")
    before = file.read_bytes()
    run = home.run("/show", database=str(file))
    assert (run.code, run.out) == (EX_CONFIG, "")
    assert "newer version" in run.err
    assert file.read_bytes() == before


def test_a_second_process_on_the_same_file_is_refused(home: Home) -> None:
    first = home.start()
    assert first.stdout is not None
    first.stdout.readline()
    second = home.run("Hello.")
    assert second.code == 1, "which another start may mend"
    assert "in use" in second.err
    first.communicate(b"/quit\n", timeout=LIMIT)
    assert first.returncode == 0


def test_sigterm_ends_a_waiting_process_in_good_order(home: Home) -> None:
    process = home.start()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"/start Fox | A fox ran.\n")
    process.stdin.flush()
    while b"Fox begins." not in process.stdout.readline():
        pass
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=LIMIT)  # its input stays open
    assert (process.returncode, out, err) == (0, b"", b"")
    assert time.monotonic() - began < 10
    with closing(sqlite3.connect(home.data / "memory.sqlite3")) as connection:
        assert connection.execute("SELECT chars FROM turns").fetchall() == [(len("A fox ran."),)]


def test_whoever_stops_reading_ends_it_quietly(home: Home) -> None:
    process = home.start()
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    _, err = process.communicate(b"/help\n" * 100, timeout=LIMIT)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_options_answer_at_once(home: Home, option: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "bot", option]
    run = subprocess.run(command, env=home.environment, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert "MINIATURE_" in run.stdout if option == "--help" else "miniature-memory" in run.stdout
    assert " torch\n" not in run.stderr
    assert " discord\n" not in run.stderr
