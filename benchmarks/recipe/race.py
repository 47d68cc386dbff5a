"""Contestants that train in turns, each on its own clock, until all clocks have run out together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks.recipe.model import Trial, fitted
from benchmarks.recipe.variants import Shape, VariantError, parse, reshaped
from config.presets import TrainPreset
from engine.model import GPTConfig
from training.average import Average
from training.corpus import join_documents, read_documents
from training.data import Mixture, document_numbers
from training.errors import RunError
from training.evaluate import bits_per_byte
from training.optimizer import clip_gradients, make_optimizers

TURNS = 100  # of each contestant, so that what else the machine does falls on all alike
WARMUP_SHARE, DECAY_SHARE = 0.03, 0.4  # of the budget


@dataclass(frozen=True)
class Rules:
    """What is the same for all contestants; two rows with equal rules may be compared."""

    data: str  # folder of prepared data
    shape: Shape
    block: int = 256
    batch_tokens: int = 4096
    budget: float = 150.0  # of each contestant, in seconds of `clock` or in steps
    clock: Literal["wall", "cpu", "steps"] = "wall"
    valid_chars: int = 400_000
    threads: int = 1
    compile: bool = False


class Contestant:
    """One variant with one seed: model, optimizers, data and clock."""

    def __init__(self, name: str, seed: int, rules: Rules, parameters: int | None) -> None:
        """`parameters` is what `base` has; None: this is what the others are fitted to."""
        self.name, self.seed, self.rules, self.recipe = name, seed, rules, parse(name)
        self.mixture = Mixture(Path(rules.data), seed)
        torch.manual_seed(seed)
        shape = reshaped(rules.shape, self.recipe.depth)
        config = GPTConfig(
            vocab_size=self.mixture.tokenizer.vocab_size, block_size=rules.block, tie_embeddings=self.recipe.tied,
            model_type=self.recipe.model_type, activation=self.recipe.activation, **asdict(shape),
        )  # fmt: skip
        if parameters is not None and not self.recipe.extra:
            try:
                config = fitted(config, self.recipe.switches, parameters)
            except ValueError as error:
                raise VariantError(f"{name}: {error}.") from error
        self.model = Trial(config, self.recipe.switches)
        self.model.initialize()
        settings = TrainPreset(
            steps=1, optimizer=self.recipe.optimizer, lr=self.recipe.lr, muon_lr=self.recipe.muon_lr, weight_decay=0.05
        )
        self.optimizers = make_optimizers(self.model, settings)
        self.average = Average(self.model, self.recipe.ema) if self.recipe.ema is not None else None
        self.step_loss = torch.compile(self.model, dynamic=False) if rules.compile else self.model
        self.steps, self.tokens, self.wall, self.cpu = 0, 0, 0.0, 0.0
        self.losses: list[float] = []  # nats per token of each step, on what it was about to learn

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        spent = {"wall": self.wall, "cpu": self.cpu, "steps": float(self.steps)}[self.rules.clock]
        return spent / self.rules.budget

    def prepare(self) -> None:
        """What is done once (compiling, memory for activations) is no recipe's cost: it stays off the clock."""
        for length in {self.context(0.0), self.context(1.0)}:
            ids = torch.zeros(self.rules.batch_tokens // length, length, dtype=torch.int64)  # (B, T)
            self.loss(ids, ids.clone()).backward()  # type: ignore[no-untyped-call]  # one tensor twice compiles apart
        self.model.zero_grad(set_to_none=True)

    def context(self, progress: float) -> int:
        """T at this share of the budget."""
        short = self.recipe.short_context and progress < 1 - DECAY_SHARE
        return self.rules.block // 2 if short else self.rules.block

    def loss(self, idx: Tensor, targets: Tensor) -> Tensor:
        end = self.mixture.tokenizer.end_of_text
        documents = document_numbers(idx, end) if self.recipe.document_mask and end is not None else None  # (B, T)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss: Tensor = self.step_loss(idx, targets, documents=documents)
        return loss

    def step(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        length, rate = self.context(self.progress), share_of_rate(self.progress)
        idx, targets = self.mixture.batch(self.rules.batch_tokens // length, length)  # (B, T)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate
        loss = self.loss(idx, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradients(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.losses.append(loss.item())
        self.steps, self.tokens = self.steps + 1, self.tokens + idx.numel()
        if self.average is not None:
            self.average.update(self.model, self.steps)
        self.wall, self.cpu = self.wall + time.perf_counter() - wall, self.cpu + time.process_time() - cpu

    def result(self, valid: list[str]) -> dict[str, Any]:
        """The row of a contestant that has finished."""
        trained = self.model if self.average is None else self.average.model
        fit = bits_per_byte(trained, self.mixture.tokenizer, valid, autocast=True)
        shape, last = self.model.config, self.losses[-max(1, self.steps // 20) :]
        spent = self.cpu if self.rules.clock == "cpu" else self.wall
        return {
            "variant": self.name, "seed": self.seed, "bits_per_byte": round(fit.bits_per_byte, 5),
            "parameters": self.model.parameter_count(), "steps": self.steps, "tokens": self.tokens,
            "tokens_per_second": round(self.tokens / spent), "wall": round(self.wall, 1), "cpu": round(self.cpu, 1),
            "first_loss": round(self.losses[0], 4), "last_loss": round(sum(last) / len(last), 4),
            "layers": f"{shape.n_layer} x {shape.n_embd}, {shape.n_ffn} units", "rules": asdict(self.rules),
        }  # fmt: skip


def share_of_rate(progress: float) -> float:
    """Of the full learning rate: up, constant, then a line to zero, by the share of the budget that is spent; a faster
    recipe so takes more steps on the same curve."""
    return min(1.0, (progress + 0.002) / WARMUP_SHARE, max(0.0, 1 - progress) / DECAY_SHARE)


def race(entries: list[tuple[str, int]], rules: Rules) -> Iterator[dict[str, Any]]:
    """Train all entries (variant, seed) in turns; gives their rows at the end.

    Raises:
        VariantError: a variant is unknown, or the shape too small for it.
        RunError: the folder holds no prepared data.
    """
    torch.set_num_threads(rules.threads)
    parameters = Contestant("base", 1, replace(rules, compile=False), None).model.parameter_count()
    valid = validation(Path(rules.data) / "valid.txt", rules.valid_chars)
    contestants = [Contestant(name, seed, rules, parameters) for name, seed in entries]
    for contestant in contestants:
        contestant.prepare()
    for turn in range(1, TURNS + 1):
        for contestant in contestants:
            while contestant.progress < turn / TURNS:
                contestant.step()
        if turn % 10 == 0:
            ahead = min(contestants, key=lambda c: c.losses[-1])
            print(f"{turn} of {TURNS} turns; lowest training loss {ahead.losses[-1]:.3f}, {ahead.name}", flush=True)
    for contestant in contestants:
        yield contestant.result(valid)


def validation(path: Path, chars: int) -> list[str]:
    """The first whole documents within this many characters, at least one."""
    chosen: list[str] = []
    for document in read_documents(path):
        if chosen and len(join_documents([*chosen, document])) > chars:
            break
        chosen.append(document)
    if not chosen:
        raise RunError(f"{path} holds no text; run `python -m training prepare` again.")
    return chosen
