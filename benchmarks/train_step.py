"""python benchmarks/train_step.py [--preset ember] [--heads 4,2] [--blocks 256,512] [--allocator kept,default] [--json]

Times optimizer steps on random tokens. Each variant is a process of its own, so that it gets its own allocator; the
variants take turns, round after round, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also where the package is not installed

WARMUP_STEPS = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="ember", help="a preset's name, or a .toml file")
    parser.add_argument("--heads", help="numbers of heads to compare, for example 4,2; default: the preset's")
    parser.add_argument(
        "--blocks", help="lengths of context to compare, at as many tokens a step; default: the preset's"
    )
    parser.add_argument("--allocator", default="kept", help="kept, default, or both: kept,default")
    parser.add_argument("--compile", action="store_true", help="torch.compile: each process begins a minute later")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a process")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each variant")
    parser.add_argument("--threads", type=int, help="CPU threads; default: one for each core")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # a process of one variant: prints its figures
    args = parser.parse_args()
    if args.measure is not None:
        print(json.dumps(measure(args, json.loads(args.measure))))
        return 0

    results = compare(args)
    if args.json:
        print(json.dumps(results, indent=2))
        return 0
    print(
        f"{'heads':>6} {'block':>6} {'allocator':>10} {'tokens/s':>9} {'lowest':>8} {'highest':>8} {'faults/step':>12}"
    )
    for row in results:
        print(
            f"{row['heads']:>6} {row['block']:>6} {row['allocator']:>10} {row['tokens_per_second']:>9,.0f}"
            f" {row['lowest']:>8,.0f} {row['highest']:>8,.0f} {row['page_faults_per_step']:>12,.0f}"
        )
    return 0


def compare(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each variant: the median over its processes of the median step."""
    from config.presets import load_preset

    preset = load_preset(args.preset)
    heads = numbers(args.heads) or [preset.model.n_head]
    blocks = numbers(args.blocks) or [preset.train.short_block_size or preset.model.block_size]
    variants = [
        {"heads": head, "block": block, "allocator": allocator}
        for head, block, allocator in itertools.product(heads, blocks, args.allocator.split(","))
    ]
    measured: list[list[dict[str, float]]] = [[] for _ in variants]
    for round_number in range(args.rounds):
        for index, variant in enumerate(variants):
            print(f"round {round_number + 1}/{args.rounds}: {variant}", file=sys.stderr, flush=True)
            measured[index].append(run(variant))
    return [summary(variant, figures) for variant, figures in zip(variants, measured, strict=True)]


def run(variant: dict[str, Any]) -> dict[str, float]:
    """One process of a variant, with this command line and the variant's allocator."""
    from training.__main__ import ALLOCATOR

    env = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    if variant["allocator"] == "kept":
        env |= ALLOCATOR
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", json.dumps(variant)]
    figures: dict[str, float] = json.loads(subprocess.run(command, env=env, check=True, capture_output=True).stdout)
    return figures


def measure(args: argparse.Namespace, variant: dict[str, Any]) -> dict[str, float]:
    """Tokens a second of the median step, and page faults a step, in this process."""
    import torch

    from config.presets import load_preset
    from engine.model import GPT
    from training.optimizer import make_optimizers
    from training.train import model_config

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    preset = load_preset(args.preset)
    usual = preset.train.short_block_size or preset.model.block_size
    block, batch = variant["block"], max(1, preset.train.batch_size * usual // variant["block"])
    shape = replace(preset.model, n_head=variant["heads"], block_size=max(block, preset.model.block_size))
    torch.manual_seed(1)
    model = GPT(model_config(replace(preset, model=shape), preset.tokenizer.vocab_size))
    model.initialize()
    optimizers = make_optimizers(model, preset.train)
    step_loss = torch.compile(model, dynamic=False) if args.compile else model
    seconds: list[float] = []
    faults = 0
    for step in range(WARMUP_STEPS + args.steps):
        if step == WARMUP_STEPS:
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        ids = torch.randint(preset.tokenizer.vocab_size, (batch, block + 1))  # (B, T + 1)
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = step_loss(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {
        "tokens_per_second": batch * block / statistics.median(seconds[WARMUP_STEPS:]),
        "page_faults_per_step": faults / args.steps,
    }


def summary(variant: dict[str, Any], figures: list[dict[str, float]]) -> dict[str, Any]:
    speeds = [figure["tokens_per_second"] for figure in figures]
    return {
        **variant,
        "tokens_per_second": statistics.median(speeds),
        "lowest": min(speeds),
        "highest": max(speeds),
        "page_faults_per_step": statistics.median(figure["page_faults_per_step"] for figure in figures),
    }


def numbers(text: str | None) -> list[int]:
    return [int(part) for part in text.split(",")] if text else []


if __name__ == "__main__":
    sys.exit(main())
