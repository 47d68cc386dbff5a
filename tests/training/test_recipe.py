"""The settings of a run, each by what it does to the log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from config.presets import TrainPreset
from engine.model import GPT, GPTConfig
from tests.training.conftest import Ground
from training.__main__ import main
from training.average import Average
from training.checkpoint import read_checkpoint
from training.optimizer import make_optimizers, schedule


def run_with(ground: Ground, out: Path, *changes: tuple[str, str], steps: int = 6, more: tuple[str, ...] = ()) -> Path:
    """A run of the tiny preset with lines of it replaced; returns its folder."""
    text = ground.preset.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    preset = out.with_suffix(".toml")
    preset.write_text(text, encoding="utf-8")
    arguments = ["--preset", preset, "--data", ground.data, "--out", out, "--steps", steps, "--threads", 1, *more]
    assert main(["train", *map(str, arguments)]) == 0
    return out


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in rows(run)]


def test_a_batch_in_pieces_is_the_same_batch(ground: Ground, tmp_path: Path) -> None:
    """Rows that are all memory prefix, and so count no target, are among them."""
    exact = ("[train]", '[train]\nautocast = "off"')
    whole = run_with(ground, tmp_path / "whole", exact, ("micro_batch_size = 3\n", ""))
    for size in (1, 3):
        change = ("micro_batch_size = 3", f"micro_batch_size = {size}")
        pieces = run_with(ground, tmp_path / f"by-{size}", exact, change)
        assert losses(pieces) == pytest.approx(losses(whole), abs=1e-4)


def test_documents_that_share_a_window_are_masked_from_each_other(ground: Ground, tmp_path: Path) -> None:
    masked = losses(run_with(ground, tmp_path / "masked"))
    plain = losses(run_with(ground, tmp_path / "plain", ("document_masking = true", "document_masking = false")))
    assert masked[0] == plain[0]  # blocks that still add nothing do not look anywhere
    assert masked[2:] != plain[2:]


def test_arithmetic_is_chosen_by_the_preset(ground: Ground, tmp_path: Path) -> None:
    runs = {
        name: run_with(ground, tmp_path / name, ("[train]", f'[train]\nautocast = "{name}"'), steps=3)
        for name in ("off", "bf16", "fp16")
    }
    exact = losses(runs["off"])
    for name in ("bf16", "fp16"):
        assert losses(runs[name]) == pytest.approx(exact, abs=0.02)
        assert losses(runs[name]) != exact
    assert read_checkpoint(runs["fp16"] / "checkpoint.pt")["scaler"]["scale"] > 0


def test_gradient_checkpointing_changes_nothing(ground: Ground, tmp_path: Path) -> None:
    kept = run_with(ground, tmp_path / "kept", steps=3)
    again = run_with(ground, tmp_path / "again", ("[train]", "[train]\ngradient_checkpointing = true"), steps=3)
    assert losses(again) == losses(kept)


@pytest.mark.parametrize(("optimizer", "model_type"), [("muon", "gpt2"), ("adamw", "qwen3"), ("muon", "llama")])
def test_spare_units_stay_blank_in_training(ground: Ground, tmp_path: Path, optimizer: str, model_type: str) -> None:
    shape = f'[model]\nmodel_type = "{model_type}"\nn_long_term = 4\nn_session = 8'
    run = run_with(ground, tmp_path / "run", ("[model]", shape), ('"muon"', f'"{optimizer}"'), steps=3)
    saved = read_checkpoint(run / "checkpoint.pt")
    model = GPT(GPTConfig(**saved["config"]))
    model.load_state_dict(saved["model"])
    groups = [layer.feed_forward.group(kind) for layer in model.layers() for kind in ("long_term", "session")]
    assert [group.gate.size(0) for group in groups] == [4, 8, 4, 8]
    assert all(not part.any() for group in groups for part in group)
    assert losses(run)[-1] < losses(run)[0]


def test_a_run_that_leaves_the_numbers_says_so(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = tmp_path / "wild.toml"
    wild = ground.preset.read_text(encoding="utf-8").replace("lr = 4e-3", "lr = 1e30").replace("muon", "adamw")
    preset.write_text(wild.replace("grad_clip", "#"), encoding="utf-8")
    arguments = ["--preset", preset, "--data", ground.data, "--out", tmp_path / "run", "--threads", 1]
    assert main(["train", *map(str, arguments)]) == 2
    assert "the loss is no number" in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_the_average_of_weights_follows_its_definition() -> None:
    torch.manual_seed(1)
    model = GPT(GPTConfig(11, block_size=8, n_layer=1, n_head=1, n_embd=8, n_ffn=8))
    model.initialize()
    average, expected = Average(model, 0.5), model.embedding.weight.detach().clone()
    for step in range(1, 30):
        torch.nn.init.normal_(model.embedding.weight)
        average.update(model, step)
        keep = min(0.5, step / (step + 9))
        expected = keep * expected + (1 - keep) * model.embedding.weight.detach()
    assert torch.allclose(average.model.embedding.weight, expected, atol=1e-6)
    assert average.model.head.weight is average.model.embedding.weight


wsd = TrainPreset(steps=100, warmup_steps=10, decay_share=0.4)


def test_the_rate_rises_stays_and_falls() -> None:
    shares = [schedule(step, wsd) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9:61] == [1.0] * 52
    assert shares[60:] == pytest.approx([(100 - step) / 40 for step in range(60, 100)])


@settings(deadline=None)
@given(st.integers(4, 300), st.floats(0.05, 0.95))
@example(5, 0.3)
def test_one_cycle_is_that_of_torch(steps: int, rise: float) -> None:
    assume(rise * steps > 1.01)  # theirs divides by zero otherwise
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=steps, pct_start=rise, cycle_momentum=False
    )
    preset = replace(wsd, steps=steps, schedule="one_cycle", rise_share=rise)
    for step in range(steps):
        assert schedule(step, preset) == pytest.approx(theirs.get_last_lr()[0], abs=1e-6)
        if step + 1 < steps:
            optimizer.step()
            theirs.step()


@given(st.integers(1, 50), st.floats(0, 1), st.integers(1, 60), st.sampled_from(["wsd", "one_cycle"]))
def test_a_rate_is_a_share_however_short_the_run(steps: int, share: float, warmup: int, kind: Any) -> None:
    preset = TrainPreset(steps=steps, warmup_steps=warmup, decay_share=share, rise_share=share, schedule=kind)
    assert all(0 <= schedule(step, preset) <= 1 for step in range(steps))


def test_every_weight_has_one_optimizer_and_biases_do_not_decay() -> None:
    model = GPT(GPTConfig(11, block_size=8, n_layer=2, n_head=2, n_embd=8, n_ffn=8, model_type="gpt2"))
    for kind in ("adamw", "muon"):
        groups = [g for o in make_optimizers(model, replace(wsd, optimizer=kind)) for g in o.param_groups]
        held = [id(p) for group in groups for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in model.parameters())
        assert all(group["weight_decay"] == 0 for group in groups for p in group["params"] if p.dim() < 2)
