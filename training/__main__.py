"""python -m training prepare | train | evaluate | export: builds base weights from text, step by step."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from config.presets import PresetError, load_preset, preset_names
from engine.errors import EngineError
from training.errors import TrainingError


def main(arguments: list[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    try:
        args.run(args)
    except (TrainingError, EngineError, PresetError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: stopped; the last checkpoint goes on with --resume.", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    preset_help = f"{', '.join(preset_names())}, or a .toml file"

    prepare = commands.add_parser("prepare", help="read corpora, train the tokenizer, pack tokens")
    prepare.add_argument("--preset", required=True, help=preset_help)
    prepare.add_argument("--data", type=Path, required=True, help="folder that holds the corpora")
    prepare.add_argument("--out", type=Path, required=True, help="folder for tokenizer, tokens and manifest")
    prepare.set_defaults(run=run_prepare)

    train = commands.add_parser("train", help="train on prepared data; checkpoints as it goes")
    train.add_argument("--preset", required=True, help=preset_help)
    train.add_argument("--data", type=Path, required=True, help="what `prepare` wrote")
    train.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log")
    train.add_argument("--steps", type=int, help="instead of the preset's")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--compile", action="store_true", help="torch.compile: slow to start, 1.3 x faster after")
    train.set_defaults(run=run_train)
    return parser


def run_prepare(args: argparse.Namespace) -> None:
    from training.prepare import prepare

    prepare(load_preset(args.preset), args.data, args.out)


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
        os.execve(sys.executable, [sys.executable, "-m", "training", *sys.argv[1:]], os.environ | ALLOCATOR)


def run_train(args: argparse.Namespace) -> None:
    keep_memory()
    from training.train import RunOptions, train

    options = RunOptions(out=args.out, data=args.data, steps=args.steps, resume=args.resume, compile=args.compile)
    train(load_preset(args.preset), options)


if __name__ == "__main__":
    sys.exit(main())
