"""python -m training train --preset ember --data RUN/data --out RUN [--steps N] [--resume] [--compile] [--threads N]

Reads from top to bottom: settings, data, model, optimizer, loop, checkpoint. A run that was stopped at any moment
goes on with `--resume` as if it had not been: on one machine, with as many threads, the curve is the same to the last
digit.
"""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from config.presets import Preset
from engine.checkpoint import load_weights
from engine.model import GPT, GPTConfig
from training.corpus import join_documents, read_documents
from training.data import Mixture
from training.errors import RunError
from training.evaluate import bits_per_byte
from training.optimizer import clip_gradients, make_optimizers, schedule
from training.progress import Log

VALID_CHARS = 100_000  # of the validation text for the curve; the whole file is for `evaluate`


@dataclass(frozen=True)
class RunOptions:
    out: Path
    data: Path
    steps: int | None = None  # instead of the preset's
    resume: bool = False
    compile: bool = False
    progress: bool = True
    threads: int | None = None  # None: torch's choice
    init_from: Path | None = None  # a weights folder to begin from


def train(preset: Preset, options: RunOptions) -> None:
    """Train from scratch, or on from the last checkpoint in `options.out`.

    Raises:
        RunError: nothing to resume, a run in the way, or data that was prepared for another preset.
    """
    torch.manual_seed(preset.train.seed)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.steps is not None:
        preset = replace(preset, train=replace(preset.train, steps=options.steps))
    settings = preset.train

    mixture = Mixture(options.data, settings.seed)
    check_mixture(preset, mixture, options.data)
    config = model_config(preset, mixture.tokenizer.vocab_size)
    valid = validation_sample(options.data / "valid.txt")

    model = GPT(config)
    model.initialize()
    if options.init_from is not None:
        model.load_state_dict(load_weights(options.init_from).model.state_dict())
    optimizers = make_optimizers(model, settings)
    step_loss = torch.compile(model, dynamic=False) if options.compile else model

    options.out.mkdir(parents=True, exist_ok=True)
    start, seconds, tokens = 0, 0.0, 0
    checkpoint = options.out / "checkpoint.pt"
    if options.resume:
        start, seconds, tokens = load_checkpoint(checkpoint, model, optimizers, mixture, config)
    elif checkpoint.exists():
        raise RunError(f"{options.out} holds a run already; add --resume to go on with it or name another folder.")
    mixture.tokenizer.save(options.out)  # so that a run's folder is all that `export` needs
    log = Log(options.out / "log.jsonl", start, settings.steps, options.progress)
    print(f"{preset.name}: {model.parameter_count():,} parameters, vocabulary {config.vocab_size}", flush=True)

    log.begin(start, tokens)
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
        row: dict[str, Any] = {
            "step": step + 1, "loss": round(loss.item(), 6), "norm": round(norm, 4), "rate": round(rate, 5),
            "tokens": tokens, "seconds": round(seconds, 1),
        }  # fmt: skip
        last = step + 1 == settings.steps
        if (step + 1) % settings.valid_every == 0 or last:
            row |= bits_per_byte(model, mixture.tokenizer, valid, autocast=True).as_row()
        log.write(row)
        if (step + 1) % settings.save_every == 0 or last:
            log.sync()  # a resumed run trusts the rows up to its checkpoint
            save_checkpoint(checkpoint, model, optimizers, mixture, preset, step + 1, seconds, tokens)
    log.close()


def model_config(preset: Preset, vocab_size: int) -> GPTConfig:
    shape = asdict(preset.model)
    return GPTConfig(vocab_size=vocab_size, **shape)


def check_mixture(preset: Preset, mixture: Mixture, folder: Path) -> None:
    """Refuse data that was packed for another mixture: its shares, not the preset's, would be trained."""
    wanted = [(source.file, source.weight) for source in preset.sources]
    if wanted != [(source["file"], source["weight"]) for source in mixture.manifest["sources"]]:
        raise RunError(f"{folder} was prepared for other corpora than preset {preset.name} names; prepare it again.")


def validation_sample(path: Path) -> list[str]:
    """The first whole documents within `VALID_CHARS`; of a single longer one, its beginning."""
    chosen: list[str] = []
    length = 0
    for document in read_documents(path):
        length += len(join_documents([document]))
        if length > VALID_CHARS:
            return chosen or [document[:VALID_CHARS]]
        chosen.append(document)
    if not chosen:
        raise RunError(f"{path} holds no text; run `python -m training prepare` again.")
    return chosen


def batch_shape(preset: Preset, step: int) -> tuple[int, int]:
    """(B, T) of a step: the same number of tokens in short windows before the decay begins, in whole ones after."""
    settings, full = preset.train, preset.model.block_size
    short = settings.short_block_size
    if short is None:
        return settings.batch_size, full
    decaying = step >= settings.steps * (1 - settings.decay_share)
    return (max(1, settings.batch_size * short // full), full) if decaying else (settings.batch_size, short)


def save_checkpoint(
    path: Path, model: GPT, optimizers: list[torch.optim.Optimizer], mixture: Mixture, preset: Preset,
    step: int, seconds: float, tokens: int,
) -> None:  # fmt: skip
    """Everything that the next step depends on, in one file that is replaced only when it is whole."""
    state = {
        "model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "drawn": mixture.state(),
        "config": asdict(model.config), "preset": asdict(preset), "manifest": mixture.manifest,
        "step": step, "seconds": seconds, "tokens": tokens,
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
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise RunError(f"{path} is damaged or no checkpoint; put back a copy of it, or train anew.") from error
    return state


def load_checkpoint(
    path: Path, model: GPT, optimizers: list[torch.optim.Optimizer], mixture: Mixture, config: GPTConfig
) -> tuple[int, float, int]:
    """Restore all of it; returns steps done, seconds and tokens so far."""
    state = read_checkpoint(path)
    if GPTConfig(**state["config"]) != config:
        raise RunError(f"{path} holds a model of another shape; resume with the preset it began with.")
    if state["manifest"] != mixture.manifest:
        raise RunError(f"{path} was trained on other data; resume with the data it began with.")
    if len(state["optimizers"]) != len(optimizers):
        raise RunError(f"{path} was trained with another optimizer; resume with the preset it began with.")
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        rates = [group["initial_lr"] for group in optimizer.param_groups]
        optimizer.load_state_dict(saved)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = rate  # the preset's, which may have been changed between two phases of a run
    mixture.restore(state["drawn"])
    return state["step"], state["seconds"], state["tokens"]
