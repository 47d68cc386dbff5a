"""What CONTRIBUTING.md and the documents promise of commands and bundled weights."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from config.presets import load_preset, preset_names
from training.__main__ import build_parser

ROOT = Path(__file__).parent.parent
MAX_WEIGHTS_BYTES = 72 * 10**6


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def documented(program: str) -> list[str]:
    """The commands of this program in the documents, as they would be typed: in back quotes or on a line alone."""
    pages = ("CONTRIBUTING.md", "docs/training.md", "docs/experiments.md")
    texts = [re.sub(r"\\\n\s*", "", read(name)) for name in pages]  # a line that goes on is one command
    shown = rf"`({program} [^`\n]+)`|^({program} [a-z]+ +-[^\n]+)$"
    return sorted({span or line for text in texts for span, line in re.findall(shown, text, flags=re.MULTILINE)})


@pytest.mark.parametrize("line", documented("python -m training"))
def test_documented_training_commands_parse(line: str) -> None:
    assert build_parser().parse_args(shlex.split(line)[3:]).run_command


@pytest.mark.parametrize("line", documented("make"))
def test_documented_make_targets_exist(line: str) -> None:
    done = subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_names_the_python_that_is_needed(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")  # as an older Python answers the question for its version
    old.chmod(0o755)
    command = ["make", "run", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "older than Python 3.11; name another one" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("script", ["benchmarks/train_step.py"])
def test_benchmarks_tell_how_they_are_run(script: str) -> None:
    done = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_bundled_weights_are_small_and_say_what_they_are() -> None:
    folders = sorted(path.parent for path in (ROOT / "weights").glob("*/config.json"))
    assert sum(file.stat().st_size for folder in folders for file in folder.iterdir()) <= MAX_WEIGHTS_BYTES
    for folder in folders:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        assert card["rating"] == "general"
        assert all(corpus["licence"] and corpus["sha256"] for corpus in card["corpora"])
        if any("CC BY" in corpus["licence"] for corpus in card["corpora"]):
            assert (folder / "CREDITS.tsv").is_file()


@pytest.mark.parametrize("name", preset_names())
def test_no_preset_is_validated_on_what_a_model_wrote(name: str) -> None:
    assert "synthetic" not in load_preset(name).valid
