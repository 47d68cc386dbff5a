"""Builds base weights from text, step by step: prepare, train, export, evaluate."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from config.presets import PresetError, load_preset, preset_names
from engine.errors import EngineError
from training.errors import TrainingError


def main(arguments: list[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    try:
        args.run_command(args)
    except (TrainingError, EngineError, PresetError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"training: {error.filename or 'a file'} cannot be used: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: stopped; a training run goes on from its last checkpoint with --resume.", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=__doc__,
        epilog="First: python -m training prepare --preset ember --data CORPORA --out runs/ember/data,"
        " then: python -m training train --preset ember --data runs/ember/data --out runs/ember",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    preset_help = f"{', '.join(preset_names())}, or a .toml file"

    prepare = commands.add_parser("prepare", help="read corpora, train the tokenizer, pack tokens")
    prepare.add_argument("--preset", required=True, help=preset_help)
    prepare.add_argument("--data", type=Path, required=True, help="folder that holds the corpora")
    prepare.add_argument("--out", type=Path, required=True, help="folder for tokenizer, tokens and manifest")
    prepare.add_argument("--tokenizer", type=Path, help="folder whose tokenizer.json to use instead of training one")
    prepare.set_defaults(run_command=run_prepare)

    train = commands.add_parser("train", help="train on prepared data; checkpoints as it goes")
    train.add_argument("--preset", required=True, help=preset_help)
    train.add_argument("--data", type=Path, required=True, help="what `prepare` wrote")
    train.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log")
    train.add_argument("--init-from", type=Path, help="weights folder to begin from, instead of random numbers")
    train.add_argument("--steps", type=positive, help="instead of the preset's")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--compile", action="store_true", help="torch.compile: slow to start, 1.3 x faster after")
    train.add_argument("--threads", type=positive, help="CPU threads; default: one for each core")
    train.set_defaults(run_command=run_train)

    growing = commands.add_parser("grow", help="make a larger model that begins where a smaller one ended")
    growing.add_argument("--from", dest="source", type=Path, required=True, help="weights folder of the smaller one")
    growing.add_argument("--preset", required=True, help=preset_help)
    growing.add_argument("--out", type=Path, required=True, help="weights folder to write")
    growing.set_defaults(run_command=run_grow)

    evaluate = commands.add_parser("evaluate", help="how well weights predict a text, in bits per byte")
    evaluate.add_argument("--weights", type=Path, help="weights folder; default: the bundled one")
    evaluate.add_argument(
        "--text", type=Path, required=True, help="UTF-8, plain or .xz; documents parted by <|endoftext|> lines"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.add_argument("--threads", type=positive, help="CPU threads; default: one for each core")
    evaluate.set_defaults(run_command=run_evaluate)

    export = commands.add_parser("export", help="make a weights folder of a run's checkpoint")
    export.add_argument("--run", type=Path, required=True, help="what `train` wrote")
    export.add_argument("--out", type=Path, required=True, help="the weights folder, for example weights/ember")
    export.add_argument("--name", help="instead of the folder's name")
    export.add_argument("--text", type=Path, help="held-out text to evaluate on, for the card")
    export.add_argument("--data", type=Path, help="folder that holds the corpora, to carry over their authors' credits")
    export.add_argument("--replace", action="store_true", help="write over weights that are there")
    export.set_defaults(run_command=run_export)
    return parser


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)


def run_prepare(args: argparse.Namespace) -> None:
    from training.prepare import prepare

    prepare(load_preset(args.preset), args.data, args.out, args.tokenizer)


def run_grow(args: argparse.Namespace) -> None:
    from training.grow import grow

    config = grow(args.source, load_preset(args.preset), args.out)
    print(f"{args.out}: {config.n_layer} layers of width {config.n_embd}; train it with --init-from {args.out}")


def run_train(args: argparse.Namespace) -> None:
    from training.train import RunOptions, train

    options = RunOptions(
        out=args.out, data=args.data, steps=args.steps, resume=args.resume, compile=args.compile, threads=args.threads,
        init_from=args.init_from,
    )  # fmt: skip
    train(load_preset(args.preset), options)


def run_evaluate(args: argparse.Namespace) -> None:
    import torch

    from engine.checkpoint import default_weights
    from training.evaluate import evaluate

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    figures = evaluate(args.weights or default_weights(), args.text)
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:20} {value:,}" if isinstance(value, int) else f"{name:20} {value}")


def run_export(args: argparse.Namespace) -> None:
    from training.export import ExportOptions, export

    options = ExportOptions(args.run, args.out, name=args.name, text=args.text, data=args.data, replace=args.replace)
    card = export(options)
    figures = card.get("evaluation")
    told = f", {figures['bits_per_byte']} bits per byte on {figures['text']}" if figures else ""
    print(f"{args.out}: {card['name']}, {card['parameters']:,} parameters, step {card['training']['steps']:,}{told}")


# A training step allocates and frees the same large blocks again and again; by default glibc gives each back to the
# system and half of the time goes into page faults (docs/experiments.md). Read by glibc at start, ignored elsewhere.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def keep_memory() -> None:
    """Start this process anew with an allocator that keeps its memory, unless it already has one."""
    if sys.platform == "linux" and not any(name in os.environ for name in ALLOCATOR):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | ALLOCATOR)


if __name__ == "__main__":
    if "train" in sys.argv[1:2]:  # here alone, so that `main` never replaces the process of whoever calls it
        keep_memory()
    sys.exit(main())
