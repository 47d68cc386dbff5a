"""The comparison of training recipes, on corpora of a few kilobytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.recipe.__main__ import main
from benchmarks.recipe.model import Trial
from benchmarks.recipe.race import Contestant, Rules
from benchmarks.recipe.variants import VARIANTS, Shape
from engine.model import GPT
from tests.training.material import write_corpora, write_preset
from training.__main__ import main as training

TINY = ("--shape", "2,2,64,512", "--block", "16", "--batch-tokens", "64", "--valid-chars", "300")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("recipe")
    corpora, preset = write_corpora(home / "corpora"), write_preset(home / "tiny.toml")
    assert training(["prepare", "--preset", str(preset), "--data", str(corpora), "--out", str(home / "data")]) == 0
    return home / "data"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_comparison_prints_differences_and_goes_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.jsonl"
    command = ["--data", str(data), "--steps", "2", "--base-seeds", "2", "--out", str(out), *TINY]
    assert main([*command, "--variants", "base,qk-norm@0.5", "--together", "2"]) == 0
    assert [(row["variant"], row["seed"], row["steps"]) for row in rows(out)] == [
        ("base", 1, 2), ("qk-norm@0.5", 1, 2), ("base", 2, 2),
    ]  # fmt: skip
    table = capsys.readouterr().out
    assert "+0.0000     2" in table
    assert "the spread of base over its 2 seeds" in table

    first = rows(out)
    assert main([*command, "--variants", "base,qk-norm@0.5,smear+bigram"]) == 0
    assert rows(out)[:3] == first
    assert [row["variant"] for row in rows(out)[3:]] == ["smear+bigram"]
    assert "qk-norm@0.5" in capsys.readouterr().out


def test_time_ends_a_contestant_decayed(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert (
        main(["--data", str(data), "--variants", "base", "--seconds", "1", "--clock", "cpu", "--out", str(out), *TINY])
        == 0
    )
    (row,) = rows(out)
    assert 1 <= row["cpu"] < 2
    assert row["steps"] > 5
    assert row["last_loss"] < row["first_loss"]


def test_every_variant_learns(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert main(["--data", str(data), "--steps", "12", "--out", str(out), *TINY]) == 0
    learnt = {row["variant"]: row["first_loss"] - row["last_loss"] for row in rows(out)}
    assert set(learnt) == set(VARIANTS)
    assert all(fall > 0.1 for fall in learnt.values()), learnt


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_has_as_many_parameters_and_never_looks_ahead(name: str, data: Path) -> None:
    rules = Rules(data=str(data), shape=Shape(4, 4, 128, 512), block=16, batch_tokens=64)
    base = Contestant("base", 1, rules, None).model.parameter_count()
    contestant = Contestant(name, 1, rules, base)
    ratio = contestant.model.parameter_count() / base
    assert ratio > 1.01 if contestant.recipe.extra else abs(ratio - 1) < 0.01

    for parameter in contestant.model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    idx = torch.arange(32).view(2, 16)
    other = idx.clone()
    other[:, 10:] += 40
    with torch.no_grad():
        one, two = contestant.model(idx), contestant.model(other)
    torch.testing.assert_close(one[:, :10], two[:, :10])
    assert not torch.equal(one[:, 10:], two[:, 10:])


def test_base_is_the_engines_model(data: Path) -> None:
    rules = Rules(data=str(data), shape=Shape(2, 2, 32, 64), block=16, batch_tokens=64)
    trial = Contestant("base", 1, rules, None).model
    assert isinstance(trial, Trial)
    model = GPT(trial.config)
    model.load_state_dict(trial.state_dict())
    idx = torch.arange(32).view(2, 16)
    documents = (idx > 9).long()
    for told in (None, documents):
        assert torch.equal(model(idx, idx, documents=told), trial(idx, idx, documents=told))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--variants", "base,nonsense"], "no variant 'nonsense'"),
        (["--variants", "base@zero"], "a factor of the learning rates"),
        (["--shape", "2,3,32,64"], "3 heads of even width"),
        (["--shape", "2,2,32,8", "--variants", "untied"], "too few for this variant"),
        (["--batch-tokens", "8"], "holds no window of 16"),
        (["--data", "nowhere"], "run `python -m training prepare` first"),
    ],
)
def test_what_cannot_be_compared_is_said(
    arguments: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.jsonl"
    assert main(["--data", str(data), "--steps", "2", "--out", str(out), *TINY, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_file_of_something_else_is_left_alone(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.jsonl"
    out.write_text("a story\n", encoding="utf-8")
    assert main(["--data", str(data), "--steps", "2", "--out", str(out), *TINY]) == 2
    assert "name another file for --out" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "a story\n"
