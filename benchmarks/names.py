"""python -m benchmarks.names [--penalty 1.15] [--all-tokens] [--json]: does a hero keep his name?

Continues openings about heroes with eight names, three times each, and counts how often the name comes again, how often
another word with its first letter stands where a name would (from Bolt to Boot), and repeated runs of four words.
`--all-tokens` lets the repetition penalty turn down every token, not only those that begin a word.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from engine.generation import Engine
from engine.sampling import SamplingParams

NAMES = ("Bolt", "Mira", "Grendel", "Pippa", "Osric", "Tavish", "Juniper", "Quill")
COMMON = frozenset(
    "But Bye Mom Mommy The They Then That Today This Just On One Once Oh Please Mr Miss Grandma Good Great".split()
)
OPENING = "Once upon a time, a robot named {name} lived on a farm. One day, {name} went to the river."


def measure(engine: Engine, penalty: float, seeds: int) -> dict[str, float]:
    kept = slipped = repeated = runs = 0
    for name in NAMES:
        for seed in range(seeds):
            params = SamplingParams(max_new_tokens=120, seed=seed, repetition_penalty=penalty)
            text = engine.generate(OPENING.format(name=name), params).text
            capitalised = re.findall(r"[A-Z][a-z]+", text)
            kept += capitalised.count(name)
            slipped += sum(word[0] == name[0] and word != name and word not in COMMON for word in capitalised)
            words = text.lower().split()
            fours = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
            repeated, runs = repeated + len(fours) - len(set(fours)), runs + len(fours)
    return {"kept": kept, "slipped": slipped, "repeated_percent": round(100 * repeated / max(runs, 1), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--penalty", type=float, default=1.15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--all-tokens", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = Engine.load(args.weights, threads=1)
    if args.all_tokens:
        engine.penalized = None
    figures = measure(engine, args.penalty, args.seeds)
    print(json.dumps(figures) if args.json else "  ".join(f"{k} {v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
