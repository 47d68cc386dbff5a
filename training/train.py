"""python -m training train --preset ember --data RUN/data --out RUN [--steps N] [--resume] [--compile]

Reads from top to bottom: settings, data, model, optimizer, loop, checkpoint. A run that was stopped at any moment
goes on with `--resume` as if it had not been: on one machine the curve is the same to the last digit.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from config.presets import Preset
from engine.model import GPT, GPTConfig
from training.data import Mixture
from training.errors import RunError
from training.evaluate import bits_per_byte
from training.optimizer import clip_gradients, make_optimizers, schedule

VALID_BYTES = 100_000  # of the validation text for the curve; the whole file is for `evaluate`


@dataclass(frozen=True)
class RunOptions:
    out: Path
    data: Path
    steps: int | None = None  # instead of the preset's
    resume: bool = False
    compile: bool = False
    progress: bool = True


def train(preset: Preset, options: RunOptions) -> None:
    """Train from scratch, or on from the last checkpoint in `options.out`.

    Raises:
        RunError: nothing to resume, a run in the way, or data that was prepared for another preset.
    """
    torch.manual_seed(preset.train.seed)
    if options.steps is not None:
        preset = replace(preset, train=replace(preset.train, steps=options.steps))
    settings = preset.train

    mixture = Mixture(options.data, settings.seed)
    config = model_config(preset, mixture.tokenizer.vocab_size)
    valid = (options.data / "valid.txt").read_text(encoding="utf-8")[:VALID_BYTES].split("\n<|endoftext|>\n")[:-1]

    model = GPT(config)
    model.initialize()
    optimizers = make_optimizers(model, settings)
    step_loss = torch.compile(model, dynamic=False) if options.compile else model

    options.out.mkdir(parents=True, exist_ok=True)
    start, seconds, tokens = 0, 0.0, 0
    checkpoint = options.out / "checkpoint.pt"
    if options.resume:
        start, seconds, tokens = load_checkpoint(checkpoint, model, optimizers, mixture, config)
    elif checkpoint.exists():
        raise RunError(f"{options.out} holds a run already; add --resume to go on with it or name another folder.")
    log = Log(options.out / "log.jsonl", start, settings.steps, options.progress)
    print(f"{preset.name}: {model.parameter_count():,} parameters, vocabulary {config.vocab_size}", flush=True)

    for step in range(start, settings.steps):
        began = time.monotonic()
        batch_size, block_size = batch_shape(preset, step)
        idx, targets = mixture.batch(batch_size, block_size)  # (B, T)
        rate = schedule(step, settings)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss: Tensor = step_loss(idx, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_gradients(model.parameters(), settings.grad_clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seconds, tokens = seconds + time.monotonic() - began, tokens + idx.numel()
        row: dict[str, Any] = {"step": step + 1, "loss": round(loss.item(), 6), "norm": round(norm, 4), "rate": round(rate, 5),
                               "tokens": tokens, "seconds": round(seconds, 1)}  # fmt: skip
        last = step + 1 == settings.steps
        if (step + 1) % settings.valid_every == 0 or last:
            row |= bits_per_byte(model, mixture.tokenizer, valid, autocast=True).as_row()
        if (step + 1) % settings.save_every == 0 or last:
            save_checkpoint(checkpoint, model, optimizers, mixture, preset, config, step + 1, seconds, tokens)
        log.write(row)
    log.close()


def model_config(preset: Preset, vocab_size: int) -> GPTConfig:
    shape = asdict(preset.model)
    return GPTConfig(vocab_size=vocab_size, **shape)


def batch_shape(preset: Preset, step: int) -> tuple[int, int]:
    """(B, T) of a step: the same number of tokens in short windows before the decay begins, in whole ones after."""
    settings, full = preset.train, preset.model.block_size
    short = settings.short_block_size
    if short is None:
        return settings.batch_size, full
    decaying = step >= settings.steps * (1 - settings.decay_share)
    return (max(1, settings.batch_size * short // full), full) if decaying else (settings.batch_size, short)


def save_checkpoint(
    path: Path, model: GPT, optimizers: list[torch.optim.Optimizer], mixture: Mixture, preset: Preset, config: GPTConfig,
    step: int, seconds: float, tokens: int,
) -> None:  # fmt: skip
    """Everything that the next step depends on, in one file that is replaced only when it is whole."""
    state = {
        "model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "drawn": mixture.state(),
        "config": asdict(config), "preset": asdict(preset), "manifest": mixture.manifest, "step": step, "seconds": seconds,
        "tokens": tokens,
    }  # fmt: skip
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RunError(f"{path} is missing; train first, or leave out --resume.")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_checkpoint(
    path: Path, model: GPT, optimizers: list[torch.optim.Optimizer], mixture: Mixture, config: GPTConfig
) -> tuple[int, float, int]:
    """Restore all of it; returns steps done, seconds and tokens so far."""
    state = read_checkpoint(path)
    if state["config"] != asdict(config):
        raise RunError(f"{path} holds a model of another shape than the preset's; resume with the preset it began with.")
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        rates = [group["initial_lr"] for group in optimizer.param_groups]
        optimizer.load_state_dict(saved)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = rate  # the preset's, which may have been changed between two phases of a run
    mixture.restore(state["drawn"])
    return state["step"], state["seconds"], state["tokens"]


class Log:
    """Rows as JSON lines, and a progress line on a terminal or one row every so often elsewhere."""

    def __init__(self, path: Path, start: int, steps: int, progress: bool) -> None:
        kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= start] if path.exists() else []
        path.write_text("".join(f"{line}\n" for line in kept))  # rows behind the checkpoint are written again
        self._file = path.open("a")
        self._start, self._steps, self._progress = start, steps, progress
        self._began, self._tokens = time.monotonic(), None

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if not self._progress:
            return
        done, elapsed = row["step"] - self._start, time.monotonic() - self._began
        left = elapsed / done * (self._steps - row["step"])
        speed = row["tokens"] / max(row["seconds"], 1e-9)
        text = f"step {row['step']}/{self._steps}  loss {row['loss']:.4f}  {speed:,.0f} tokens/s  {left / 60:.0f} min left"
        if "bits_per_byte" in row:
            print(f"\r{text}  valid {row['nats_per_token']:.4f} nats/token, {row['bits_per_byte']:.4f} bits/byte", flush=True)
        elif sys.stdout.isatty():
            print(f"\r{text}", end="", flush=True)

    def close(self) -> None:
        self._file.close()
