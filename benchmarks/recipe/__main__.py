"""python -m benchmarks.recipe --data PREPARED --variants base,qk-norm,relu2 --seconds 150 --out FILE.jsonl

Which training recipe is best at equal time? Every variant trains from the same seed on the same batches, in one
process, in turns of a hundredth of its time. Its learning rate follows the share of its own time that is spent, so each
ends decayed. Then bits per byte on the validation text are measured. `benchmarks/recipe/variants.py` explains them.

Rows are appended to FILE when all have finished, with `--together N` after every N variants; what FILE holds already
under the same rules is not run again. `--clock cpu` counts processor time, which is fairer on a machine that does other
work; `--steps` compares equal steps. With `--base-seeds 3` the table can tell a difference from what another seed of
`base` does; without, it cannot.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.recipe.variants import VARIANTS, Shape, VariantError, parse
from engine.errors import EngineError
from training.__main__ import keep_memory, positive
from training.errors import TrainingError


def main(arguments: list[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    try:
        compare(args)
    except (EngineError, TrainingError, VariantError) as error:
        print(f"recipe: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"recipe: {error.filename or 'a file'} cannot be used: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recipe", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="what `training prepare` wrote")
    parser.add_argument("--variants", default="all", help="names, joined by commas; all: every one there is")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=positive, default=150, help="time of each variant")
    budget.add_argument("--steps", type=positive, help="equal steps instead of equal time")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what --seconds are")
    parser.add_argument("--shape", default="4,5,160,480", help="n_layer,n_head,n_embd,n_ffn of base")
    parser.add_argument("--block", type=positive, default=256, help="context")
    parser.add_argument("--batch-tokens", type=positive, default=4096, help="tokens of a step")
    parser.add_argument("--seeds", type=positive, default=1, help="each variant runs with seeds 1 to this")
    parser.add_argument("--base-seeds", type=positive, default=1, help="base runs with at least so many")
    parser.add_argument("--together", type=positive, help="so many take turns with each other; default: all")
    parser.add_argument("--valid-chars", type=positive, default=400_000, help="of the validation text")
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--compile", action="store_true", help="torch.compile: a minute or two more for each variant")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one for each variant and seed")
    return parser


def compare(args: argparse.Namespace) -> None:
    from benchmarks.recipe.race import Rules, race

    rules = Rules(
        data=str(args.data), shape=read_shape(args.shape), block=args.block, batch_tokens=args.batch_tokens,
        budget=args.steps or args.seconds, clock="steps" if args.steps else args.clock, valid_chars=args.valid_chars,
        threads=args.threads, compile=args.compile,
    )  # fmt: skip
    if args.batch_tokens < args.block:
        raise VariantError(f"A step of {args.batch_tokens} tokens holds no window of {args.block}; give it more.")
    names = list(VARIANTS) if args.variants == "all" else list(dict.fromkeys(args.variants.split(",")))
    for name in names:
        parse(name)
    wanted = [(name, seed) for seed in range(1, args.seeds + 1) for name in names]
    wanted += [("base", seed) for seed in range(1, args.base_seeds + 1) if ("base", seed) not in wanted]
    done = read_rows(args.out, asdict(rules))
    entries = [entry for entry in wanted if entry not in {(row["variant"], row["seed"]) for row in done}]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    heat = args.together or max(1, len(entries))
    for first in range(0, len(entries), heat):
        for row in race(entries[first : first + heat], rules):
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            done.append(row)
    print(table([row for row in done if (row["variant"], row["seed"]) in wanted]))


def read_shape(text: str) -> Shape:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) for part in parts):
        raise VariantError(f"--shape {text} is not n_layer,n_head,n_embd,n_ffn, for example 4,5,160,480.")
    shape = Shape(*map(int, parts))
    if shape.n_embd % shape.n_head or shape.n_embd // shape.n_head % 2:
        raise VariantError(f"--shape {text}: n_embd {shape.n_embd} is not {shape.n_head} heads of even width.")
    return shape


def read_rows(path: Path, rules: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a file that were run under these rules."""
    if not path.exists():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [row for row in rows if row["rules"] == rules]
    except (ValueError, KeyError, TypeError) as error:
        raise VariantError(f"{path} does not hold rows of this command; name another file for --out.") from error


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each variant: means over its seeds, the difference to `base`, and whether that says anything."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["variant"], []).append(row)
    base = [row["bits_per_byte"] for row in by_name["base"]]
    noise = max(base) - min(base) if len(base) > 1 else None
    lines = [f"{'variant':24} {'bits/byte':>9} {'to base':>9} {'seeds':>5} {'spread':>7} {'parameters':>11}"
             f" {'steps':>6} {'tokens/s':>9}  layers"]  # fmt: skip
    for name, group in sorted(by_name.items(), key=lambda item: mean(item[1], "bits_per_byte")):
        scores = [row["bits_per_byte"] for row in group]
        difference = statistics.mean(scores) - statistics.mean(base)
        spread = f"{max(scores) - min(scores):7.4f}" if len(scores) > 1 else f"{'-':>7}"
        verdict = "" if name == "base" or noise is None or abs(difference) > noise else "  no difference"
        lines.append(
            f"{name:24} {statistics.mean(scores):9.4f} {difference:+9.4f} {len(scores):5} {spread}"
            f" {group[0]['parameters']:11,} {mean(group, 'steps'):6.0f} {mean(group, 'tokens_per_second'):9,.0f}"
            f"  {group[0]['layers']}{verdict}"
        )
    if noise is not None:
        lines.append(f"A difference of at most {noise:.4f}, the spread of base over its {len(base)} seeds, is none.")
    return "\n".join(lines)


def mean(rows: list[dict[str, Any]], key: str) -> float:
    return float(statistics.mean(row[key] for row in rows))


if __name__ == "__main__":
    keep_memory()
    sys.exit(main())
