"""A larger model that begins with the output of a smaller one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.checkpoint import load_weights
from engine.model import GPT, GPTConfig
from tests.training.material import write_preset
from tests.training.test_commands import refused
from training.__main__ import main
from training.grow import grow_model

# Without an epsilon in its norms, which would weigh a little more in a wider stream, only rounding is left.
SMALL = GPTConfig(vocab_size=50, block_size=24, n_layer=2, n_head=2, n_embd=16, n_ffn=24, norm_eps=1e-12)
IDS = torch.arange(40).view(2, 20) % 50  # (B, T)


def small_model(config: GPTConfig) -> GPT:
    """Random weights of which each has a say."""
    torch.manual_seed(1)
    model = GPT(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.3)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(
    "grown",
    [
        {"n_layer": 3},
        {"n_layer": 7},
        {"n_ffn": 40},
        {"n_head": 3, "n_embd": 24},
        {"n_head": 5, "n_embd": 40, "n_ffn": 64, "n_layer": 5, "block_size": 48},
        {"tie_embeddings": False, "n_head": 4, "n_embd": 32},
        {"n_long_term": 4, "n_session": 8, "n_ffn": 32},
        {},
    ],
)
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_grown_model_says_the_same(kind: str, grown: dict[str, int]) -> None:
    small = small_model(replace(SMALL, model_type=kind))  # type: ignore[arg-type]
    large = grow_model(small, replace(small.config, **grown))  # type: ignore[arg-type]
    torch.testing.assert_close(large(IDS), small(IDS), atol=1e-4, rtol=1e-4)


def test_heads_that_share_keys_grow_in_groups() -> None:
    small = small_model(replace(SMALL, n_head=4, n_embd=32, n_kv_head=2))
    large = grow_model(small, replace(small.config, n_head=6, n_embd=48, n_kv_head=3))
    torch.testing.assert_close(large(IDS), small(IDS), atol=1e-4, rtol=1e-4)


def test_everything_new_can_learn() -> None:
    small = small_model(SMALL)
    large = grow_model(small, replace(SMALL, n_layer=4, n_head=4, n_embd=32, n_ffn=48)).train()
    optimizer = torch.optim.SGD(large.parameters(), lr=0.1)
    for _ in range(2):  # what is silent in the first step is heard in the second
        optimizer.zero_grad()
        large(IDS[:, :-1], IDS[:, 1:]).backward()
        optimizer.step()
    assert all((parameter.grad.abs().sum(-1) > 0).all() for parameter in large.parameters() if parameter.dim() == 2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {"n_layer": 1}, "n_layer 2, the preset less"),
        ({}, {"n_embd": 8, "n_head": 1}, "n_head 2, the preset less"),
        ({}, {"n_ffn": 16}, "n_ffn 24, the preset less"),
        ({}, {"block_size": 16}, "block_size 24, the preset less"),
        ({}, {"n_embd": 32}, "head_dim 8, the preset 16"),
        ({}, {"model_type": "qwen3"}, "model_type llama, the preset qwen3"),
        ({}, {"activation": "relu2"}, "activation silu, the preset relu2"),
        ({"model_type": "gpt2"}, {"model_type": "gpt2"}, "Only llama and qwen3"),
        ({"tie_embeddings": False}, {}, "with two matrices"),
        ({}, {"n_head": 4, "n_embd": 32, "n_kv_head": 2}, "shares keys among other heads"),
    ],
)
def test_a_shape_that_cannot_hold_the_weights_is_refused(
    old: dict[str, object], new: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.checkpoint import save_weights
    from training.vocabulary import train_hybrid

    tokenizer = train_hybrid(["a tale"], 260)
    shape = replace(SMALL, vocab_size=tokenizer.vocab_size, **old)  # type: ignore[arg-type]
    save_weights(tmp_path / "small", small_model(shape), tokenizer, {"name": "small"})
    wanted = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_ffn": 24, "block_size": 24} | new
    command = ["grow", "--from", tmp_path / "small", "--preset", preset_of(tmp_path, wanted), "--out", tmp_path / "out"]
    assert said in refused(capsys, *command)
    assert not (tmp_path / "out").exists()


def preset_of(folder: Path, shape: dict[str, object]) -> Path:
    """The tests' preset with another model."""
    path = write_preset(folder / "large.toml")
    before, rest = path.read_text().split("[model]\n")
    lines = "".join(f'{k} = "{v}"\n' if isinstance(v, str) else f"{k} = {str(v).lower()}\n" for k, v in shape.items())
    path.write_text(
        f"{before}[model]\n{lines}[train]\n{rest.split('[train]')[1]}".replace("short_block_size = 16\n", "")
    )
    return path


def test_the_command_writes_a_folder_that_says_the_same(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape: dict[str, object] = {"n_layer": 3, "n_head": 3, "n_embd": 48, "n_ffn": 96, "block_size": 128}
    out = tmp_path / "large"
    command = ["grow", "--from", tiny_weights, "--preset", preset_of(tmp_path, shape), "--out", out]
    assert main([str(part) for part in command]) == 0
    assert capsys.readouterr().out == f"{out}: 3 layers of width 48; train it with --init-from {out}\n"
    small, large = load_weights(tiny_weights), load_weights(out)
    assert (large.model.config.n_embd, large.card["grown_from"]["base_id"]) == (48, small.base_id)
    ids = torch.tensor([small.tokenizer.encode("Once upon a time, Mira found a key.")])  # (1, T)
    assert large.tokenizer.decode(ids[0].tolist()) == "Once upon a time, Mira found a key."
    torch.testing.assert_close(large.model(ids), small.model(ids), atol=5e-3, rtol=5e-3)  # stored in FP16 once more
    assert "holds weights already" in refused(capsys, *command)
    assert "no weights folder" in refused(capsys, *command[:2], tmp_path / "none", *command[3:-1], tmp_path / "new")
