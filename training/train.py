"""python -m training train --preset ember --data RUN/data --out RUN [--steps N] [--resume] [--compile] [--threads N]
[--device cpu|cuda] [--init-from WEIGHTS]; in several processes: torchrun --nproc-per-node 2 -m training train ...

Reads from top to bottom: settings, data, model, optimizer, loop. A run that was stopped at any moment goes on with
`--resume` as if it had not been: on one machine, with as many threads, the curve is the same to the last digit.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from config.presets import Preset, TrainPreset, final_weights
from engine.model import GPT, GPTConfig
from training.average import Average
from training.checkpoint import State, load_checkpoint, save_checkpoint
from training.corpus import join_documents, read_documents
from training.data import Mixture, document_numbers
from training.distributed import Processes, join_processes
from training.errors import RunError
from training.evaluate import bits_per_byte
from training.initial import load_initial
from training.mixing import corpora_of, require_unmixed
from training.optimizer import clip_gradients, make_optimizers, schedule
from training.progress import Log, keep_rows
from training.record import describe_run, update_record, write_record
from training.samples import SAMPLES, write_samples
from training.scalars import Scalars

VALID_CHARS = 100_000  # of the validation text for the curve; the whole file is for `evaluate`
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class RunOptions:
    out: Path
    data: Path
    steps: int | None = None  # instead of the preset's
    resume: bool = False
    compile: bool | None = None  # None: as the preset says
    progress: bool = True
    threads: int | None = None  # None: torch's choice
    device: str | None = None  # None: a GPU where there is one
    init_from: Path | None = None  # weights to begin from; a run that is resumed has begun already


def train(preset: Preset, options: RunOptions) -> None:
    """Train from scratch, or on from the last checkpoint in `options.out`; with torchrun, as one of its processes.

    Raises:
        RunError: nothing to resume, a run in the way, data that was prepared for another preset, no such device, a
            batch that the processes cannot share, a model that torch cannot compile, or a loss that is no number.
    """
    torch.manual_seed(preset.train.seed)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.steps is not None:
        preset = replace(preset, train=replace(preset.train, steps=options.steps))
    processes = join_processes(options.device)
    try:
        run_steps(preset, options, processes)
    except torch.OutOfMemoryError as error:
        raise RunError("The GPU has too little memory for a step; set a smaller micro_batch_size.") from error
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"torch.compile failed ({reason}); leave it out with --no-compile.") from error
    finally:
        processes.end()


def run_steps(preset: Preset, options: RunOptions, processes: Processes) -> None:
    settings, out = preset.train, options.out
    checkpoint, samples = out / "checkpoint.pt", out / SAMPLES
    if checkpoint.exists() and not options.resume:
        raise RunError(f"{out} holds a run already; add --resume to go on with it or name another folder.")
    compiled = settings.compile if options.compile is None else options.compile
    state = begin(preset, options, processes, compiled)
    valid = validation_sample(options.data / "valid.txt")
    if options.resume:
        load_checkpoint(checkpoint, state)
    computed = cast(nn.Module, torch.compile(state.model, dynamic=False)) if compiled else state.model
    loss_of = processes.wrap(computed)
    if not processes.first:
        while state.step < settings.steps:
            take_step(loss_of, state, preset, processes)
        return

    out.mkdir(parents=True, exist_ok=True)
    tokenizer = state.mixture.tokenizer
    tokenizer.save(out)  # so that a run's folder is all that `export` needs
    keep_rows(samples, state.step)
    size = f"{state.model.parameter_count():,} parameters, vocabulary {tokenizer.vocab_size}"
    done = "; all steps are done, name more with --steps" if state.step >= settings.steps else ""
    print(f"{preset.name}: {size}, {processes.device.type}{done}", flush=True)
    log = Log(out / "log.jsonl", state.step, settings.steps, options.progress)
    with closing(log), closing(Scalars(out / "tensorboard", state.step)) as scalars:
        log.begin(state.step, state.tokens)
        while state.step < settings.steps:
            row = take_step(loss_of, state, preset, processes)
            last = state.step == settings.steps
            if state.step % settings.valid_every == 0 or last:
                autocast = settings.autocast != "off"
                row |= bits_per_byte(state.best, tokenizer, valid, autocast=autocast).as_row()
                write_samples(samples, state.step, state.best, tokenizer)
            log.write(row)
            scalars.write(row)
            if state.step % settings.save_every == 0 or last:
                log.sync()  # a resumed run trusts the rows up to its checkpoint
                update_record(state, processes)
                save_checkpoint(checkpoint, state, preset)
                write_record(out, state.record)


def take_step(loss_of: nn.Module, state: State, preset: Preset, processes: Processes) -> dict[str, Any]:
    """One optimizer step on the next batch of the mixture; returns its row of the log.

    Raises:
        RunError: the loss, or without fp16 a gradient, is no number; the weights are as before.
    """
    settings, model, scaler, began = preset.train, state.model, state.scaler, time.monotonic()
    rate = schedule(state.step, settings)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate
    idx, targets = state.mixture.batch(*batch_shape(preset, state.step))  # (B, T)
    loss = processes.mean(add_gradients(loss_of, idx, targets, settings, state, processes))
    for optimizer in state.optimizers:
        scaler.unscale_(optimizer)
    norm = clip_gradients(model.parameters(), settings.grad_clip)
    overflow = not math.isfinite(norm)  # in fp16 the scaler then leaves out the step, and lowers its scale
    state.step, state.tokens = state.step + 1, state.tokens + idx.numel()
    if not math.isfinite(loss) or (overflow and settings.autocast != "fp16"):
        raise RunError(f"At step {state.step} the loss is no number; lower lr or grad_clip, then --resume.")
    for optimizer in state.optimizers:
        scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
    scaler.update()
    if state.average is not None:
        state.average.update(model, state.step)
    state.seconds += time.monotonic() - began
    row = {
        "step": state.step, "loss": round(loss, 6), "norm": round(norm, 4), "rate": round(rate, 5),
        "lr": float(f"{settings.lr * rate:.4g}"), "tokens": state.tokens, "seconds": round(state.seconds, 1),
    }  # fmt: skip
    if overflow:
        del row["norm"]  # JSON has no word for it
    return row


def begin(preset: Preset, options: RunOptions, processes: Processes, compiled: bool) -> State:
    """Data, model and optimizers as they are before the first step."""
    settings = preset.train
    mixture = Mixture(options.data, settings.seed)
    check_mixture(preset, mixture, options.data)
    if settings.final_share and not mixture.manifest.get("own_text"):
        before = range(round(settings.steps * (1 - settings.final_share)))
        mixture.finish_with(final_weights(preset), sum(math.prod(batch_shape(preset, step)) for step in before))
    model = GPT(model_config(preset, mixture.tokenizer.vocab_size))
    model.initialize()
    model.gradient_checkpointing = settings.gradient_checkpointing
    record = describe_run(preset, model, processes, compiled)
    if options.init_from is not None and not options.resume:
        record["begun_from"] = load_initial(model, options.init_from, options.data, told=processes.first)
        require_unmixed([*mixture.manifest["sources"], *corpora_of(record["begun_from"])])
    model.to(processes.device)
    scaler = torch.amp.GradScaler(processes.device.type, enabled=settings.autocast == "fp16")
    average = Average(model, settings.ema) if settings.ema is not None else None
    return State(model, make_optimizers(model, settings), mixture, scaler, average, record)


def add_gradients(
    loss_of: nn.Module, idx: Tensor, targets: Tensor, settings: TrainPreset, state: State, processes: Processes
) -> Tensor:
    """Read this process's share of a batch (B, T) piece by piece and add up the gradients.

    Returns a number, (): the mean of it over all processes is the loss of the batch in nats per counted target.
    """
    counted = max(1, int((targets >= 0).sum()))  # in all processes
    idx, targets = processes.rows(idx), processes.rows(targets)  # (B, T) -> (B / processes, T)
    size = settings.micro_batch_size or idx.size(0)
    total = torch.zeros((), device=processes.device)
    for start in range(0, idx.size(0), size):
        part, wanted = idx[start : start + size], targets[start : start + size]  # (b, T)
        share = int((wanted >= 0).sum()) / counted * processes.count
        if share == 0:  # the mean over no target is no number, and 0 times that is none either
            wanted = wanted.clone()
            wanted[0, 0] = 0
        more: dict[str, Tensor] = {}
        if settings.document_masking and (end := state.mixture.tokenizer.end_of_text) is not None:
            more["documents"] = document_numbers(part, end).to(processes.device)  # (b, T)
        dtype, device = AUTOCAST.get(settings.autocast), processes.device
        with processes.apart(loss_of, last=start + size >= idx.size(0)):
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                loss: Tensor = loss_of(part.to(device), wanted.to(device), **more)
            state.scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
        total += loss.detach() * share
    return total


def model_config(preset: Preset, vocab_size: int) -> GPTConfig:
    shape = asdict(preset.model)
    return GPTConfig(vocab_size=vocab_size, **shape)


def check_mixture(preset: Preset, mixture: Mixture, folder: Path) -> None:
    """Refuse data that was packed for another mixture: its shares, not the preset's, would be trained."""
    if mixture.manifest.get("own_text"):  # of a folder that was named to `prepare` in place of the preset's corpora
        return
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
