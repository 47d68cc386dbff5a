"""`python -m engine` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.__main__ import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_generate_prints_json(capsys: pytest.CaptureFixture[str], tiny_weights: Path) -> None:
    args = ("generate", "--weights", tiny_weights, "--prompt", "Once", "--max-new-tokens", 9, "--seed", 4, "--json")
    code, out, _ = run(capsys, *args)
    figures = json.loads(out)
    assert code == 0
    assert list(figures) == ["text", "tokens", "seconds", "tokens_per_second", "finish_reason"]
    assert figures["tokens"] <= 9
    assert run(capsys, *args)[1].split('"seconds"')[0] == out.split('"seconds"')[0]


def test_plain_output_is_prompt_and_text(capsys: pytest.CaptureFixture[str], tiny_weights: Path) -> None:
    _, out, _ = run(capsys, "generate", "--weights", tiny_weights, "--prompt", "Once\x1b[2J", "--max-new-tokens", 9)
    assert out.startswith("Once[2J")
    assert "\x1b" not in out


@pytest.mark.parametrize("prompt", ["", "🐉👩‍👩‍👧 \x00\x07\x1b", "x" * 10_000, "<|endoftext|><|memory|>"])
def test_any_prompt_is_continued(capsys: pytest.CaptureFixture[str], tiny_weights: Path, prompt: str) -> None:
    code, _, _ = run(capsys, "generate", "--weights", tiny_weights, "--prompt", prompt, "--max-new-tokens", 5)
    assert code == 0


def test_teach_writes_an_adapter_that_generate_uses(
    capsys: pytest.CaptureFixture[str], tiny_weights: Path, tmp_path: Path
) -> None:
    lessons, out_file = tmp_path / "lessons.jsonl", tmp_path / "taught.safetensors"
    lessons.write_text('{"prompt": "The fox is named", "answer": "Tom"}\n\n')
    code, out, _ = run(capsys, "teach", "--weights", tiny_weights, "--lessons", lessons, "--out", out_file, "--json")
    assert code == 0
    assert json.loads(out)["lessons"] == 1
    args = ("generate", "--weights", tiny_weights, "--prompt", "The fox", "--adapter", out_file, "--max-new-tokens", 4)
    assert run(capsys, *args)[0] == 0


def test_info_and_bench_print_json(capsys: pytest.CaptureFixture[str], tiny_weights: Path) -> None:
    code, out, _ = run(capsys, "info", "--weights", tiny_weights, "--json")
    assert (code, json.loads(out)["name"]) == (0, "tiny")
    code, out, _ = run(capsys, "bench", "--weights", tiny_weights, "--json")
    assert {"tokens_per_second", "share_of_read_floor", "peak_rss_mb"} <= set(json.loads(out))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["generate", "--prompt", "x", "--weights", "/nowhere"], "no weights folder"),
        (["generate", "--prompt", "x", "--temperature", "-1"], "temperature"),
        (["generate", "--prompt", "x", "--adapter", "/nowhere"], "cannot be read"),
        (["generate", "--prompt", "x", "--threads", "0"], "--threads"),
        (["teach", "--lessons", "/nowhere", "--out", "x"], "cannot be read"),
    ],
)
def test_errors_are_one_sentence_and_exit_two(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"prompt": "x"}', '{"prompt": 1, "answer": 2}', "[" * 90_000])
def test_a_line_that_is_no_lesson_is_named_by_its_number(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str
) -> None:
    lessons = tmp_path / "lessons.jsonl"
    lessons.write_text('{"prompt": "a", "answer": "b"}\n' + line + "\n")
    code, _, err = run(capsys, "teach", "--lessons", lessons, "--out", tmp_path / "x")
    assert code == 2
    assert "line 2" in err
