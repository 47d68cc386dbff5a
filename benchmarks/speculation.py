"""python -m benchmarks.speculation [--weights DIR] [--openings FILE] [--isa avx512,avx2] [--identity 100x500]
[--chi-squared 100000] [--json]: what do drafts gain, and do they change nothing?

Stories behind openings, drawn as the bot draws, with drafts and without, by the same engine. The same seed writes the
same text either way, so times compare: each opening is written once so and once so, in turns, and the gain is the
median of the ratios. Acceptance is counted by a second drafter, which reads along, and needs no quiet machine; neither
does the gain that follows from it where a further position costs what `engine.draft` says it does.
The table of drafts is the one in the weights folder (`python -m training drafts`); without one, guesses come from the
text alone. --rounds 0 takes no times.

--identity writes N x M tokens greedily both ways and counts the texts that differ. --chi-squared draws at least so many
tokens each way, behind a few openings, and gives the probability that two samples of one distribution differ as much.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.decoder import choose
from engine.draft import Drafter
from engine.draft_table import DraftTable
from engine.folder import default_weights, open_weights
from engine.generation import Engine
from engine.kernel import available, isas
from engine.sampling import Sampler, SamplingParams
from engine.window import Window

ISA = "MINIATURE_KERNEL_ISA"
OPENINGS = (
    "Once upon a time, there was a little fox named Mira. She lived in a forest near the river. One day,",
    "Ben and his sister Lily wanted to build a boat. They took some wood, a rope and",
    "Tom had a red ball. He loved to play with it in the park. But one day the ball was gone.",
    '"I am not afraid of the dark," said the small owl. Her mother smiled and',
    "In the middle of the village stood an old clock that nobody could repair.",
    "Grandma opened the box and looked inside. There she saw",
)
CONTEXTS = 4  # openings behind which --chi-squared draws
DRAWN = 5  # tokens of a draw: few enough that outcomes come again
EXPECTED = 5  # rarer outcomes are counted as one: the distribution of the statistic is known for large counts alone


def read_openings(path: Path) -> list[str]:
    """The strings of a YAML file that is a list of literal blocks, or the lines of any other file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if not any(line.startswith("- |") for line in lines):
        return [line for line in lines if line.strip()]
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("- "):
            blocks.append([])
        elif blocks:
            blocks[-1].append(line.removeprefix("  "))
    return ["\n".join(block).strip() for block in blocks]


def race(engine: Engine, openings: Sequence[str], tokens: int, rounds: int) -> dict[str, Any]:
    """Times with drafts and without, in turns: tokens/s of all texts, and the median of the texts' ratios."""
    seconds, written, ratios = {True: 0.0, False: 0.0}, 0, list[float]()
    for round_, opening in ((r, o) for r in range(rounds) for o in openings):
        params = SamplingParams(max_new_tokens=tokens, min_new_tokens=tokens, seed=round_)
        taken = {}
        for drafts in random.sample([True, False], 2):
            engine.drafts = drafts
            engine.generate(opening, SamplingParams(max_new_tokens=1, seed=0))  # the prompt is read outside of the time
            done = engine.generate(opening, params)
            taken[drafts] = done.seconds
            seconds[drafts] += done.seconds
        written += done.tokens
        ratios.append(taken[False] / taken[True])
    return {
        "plain_tokens_per_second": round(written / seconds[False], 1),
        "drafts_tokens_per_second": round(written / seconds[True], 1),
        "gain_median": round(statistics.median(ratios), 3), "gain_of_all": round(seconds[False] / seconds[True], 3),
    }  # fmt: skip


def texts(folder: Path, openings: Sequence[str], tokens: int) -> Iterator[tuple[list[int], int]]:
    """Ids of stories drawn as the bot draws, and how many of them are the opening's."""
    stored = open_weights(folder)
    decoder, tokenizer = choose(stored, threads=1).decoder, stored.tokenizer
    start = [tokenizer.start_of_text] if tokenizer.start_of_text is not None else []
    never = [i for i in tokenizer.control.values() if i is not None]  # the end of the text too: it would end the count
    for seed, opening in enumerate(openings):
        window = Window(decoder)
        sampler = Sampler(SamplingParams(seed=seed), never, tokenizer.word_beginnings() or None)
        window.forget()
        ids = [*start, *tokenizer.encode(opening)]
        opened, row = len(ids), window.read(ids)  # (V,)
        for _ in range(min(tokens, window.left)):
            ids.append(sampler.next(row, ids))
            row = window.follow(ids[-1:])[0]
        yield ids, opened
    decoder.close()


def accept(drafter: Drafter, written: Sequence[tuple[Sequence[int], int]]) -> dict[str, Any]:
    """What would become of the drafter's guesses of texts that are known."""
    tried, held, passes, tokens, read, cost = [0] * drafter.most, [0] * drafter.most, 0, 0, 0, 0.0
    for ids, opened in written:
        at = opened + 1  # the first id behind the prompt is drawn from the prompt's own pass
        drafter.begin(ids[:at])
        tokens += len(ids) - at
        while at < len(ids):
            guesses = drafter.guess(len(ids) - at)
            right = 0
            while right < len(guesses) and guesses[right] == ids[at + right]:
                right += 1
            drafter.wrote(ids[at : at + right + 1])
            for i in range(min(right + 1, len(guesses))):
                tried[i], held[i] = tried[i] + 1, held[i] + (i < right)
            at, passes, read = at + right + 1, passes + 1, read + len(guesses)
            cost += 1 + sum(drafter.costs[: len(guesses)])
    by_position = [round(h / t, 3) for h, t in zip(held, tried, strict=True) if t >= 20]
    return {
        "tokens": tokens, "tokens_per_pass": round(tokens / passes, 3), "guesses_per_pass": round(read / passes, 2),
        "accepted_by_position": by_position, "gain_expected": round(tokens / cost, 3),
    }  # fmt: skip


def identity(engine: Engine, openings: Sequence[str], count: int, tokens: int) -> dict[str, int]:
    """How many greedy texts differ; where there are fewer openings than that, they are also asked by halves, ..."""
    differ = 0
    for i in range(count):
        opening = openings[i % len(openings)]
        opening = opening[: max(1, len(opening) // (1 + i // len(openings)))]
        params = SamplingParams(max_new_tokens=tokens, min_new_tokens=tokens, temperature=0)
        both = []
        for engine.drafts in (True, False):
            both.append(engine.generate(opening, params).text)
        differ += both[0] != both[1]
    return {"texts": count, "tokens_of_each": tokens, "different": differ}


def chi_squared(engine: Engine, openings: Sequence[str], tokens: int, top_k: int | None = None) -> dict[str, Any]:
    """Pearson's test that draws of a few tokens, with drafts and without, come from one distribution; each draw has a
    seed of its own. Statistics and degrees of freedom of several openings add up."""
    draws, statistic, freedom = math.ceil(tokens / (CONTEXTS * DRAWN)), 0.0, 0
    for number, opening in enumerate(openings[:CONTEXTS]):
        counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        for i in range(2 * draws):
            engine.drafts = i % 2 == 0
            seed = 2 * draws * number + i
            params = SamplingParams(max_new_tokens=DRAWN, min_new_tokens=DRAWN, top_k=top_k, seed=seed)
            counts[engine.drafts][engine.generate(opening, params).text] += 1
        added, more = two_samples(counts[True], counts[False])
        statistic, freedom = statistic + added, freedom + more
    half = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    p = float(torch.special.gammaincc(half[0], half[1])) if freedom else 1.0
    return {
        "tokens_each_way": CONTEXTS * draws * DRAWN, "statistic": round(statistic, 1), "degrees_of_freedom": freedom,
        "p": round(p, 4),
    }  # fmt: skip


def two_samples(first: Counter[str], second: Counter[str]) -> tuple[float, int]:
    """The chi-squared statistic of two samples of equal size and its degrees of freedom."""
    rows, rare = [], [0, 0]
    for outcome in first | second:
        row = [first[outcome], second[outcome]]
        if sum(row) < 2 * EXPECTED:
            rare = [rare[0] + row[0], rare[1] + row[1]]
        else:
            rows.append(row)
    if sum(rare) >= 2 * EXPECTED:
        rows.append(rare)
    return sum((a - b) ** 2 / (a + b) for a, b in rows), max(0, len(rows) - 1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    parser.add_argument("--openings", type=Path, help="a YAML list of blocks, or lines; default: a few built in")
    parser.add_argument("--isa", help="avx512,avx2 for example; default: all that run here but plain")
    parser.add_argument("--tokens", type=int, default=200, help="of each story")
    parser.add_argument("--rounds", type=int, default=3, help="of timing, each with other seeds")
    parser.add_argument("--identity", metavar="NxM", help="for example 100x500")
    parser.add_argument("--chi-squared", type=int, metavar="TOKENS", help="for example 100000")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    if not available()[0]:
        parser.error(f"drafts gain nothing where the native kernel does not run ({available()[1]})")
    openings = read_openings(args.openings) if args.openings else list(OPENINGS)
    folder = args.weights or default_weights()
    written = list(texts(folder, openings, args.tokens))
    rows: list[dict[str, Any]] = []
    for isa in args.isa.split(",") if args.isa else [name for name in isas() if name != "plain"]:
        os.environ[ISA] = isa
        engine = Engine.load(folder, threads=1)
        table = DraftTable.load(folder, engine.config.vocab_size)
        drafter = Drafter(table)
        row: dict[str, Any] = {"weights": folder.name, "isa": isa, "table": table is not None}
        row |= accept(drafter, written)
        if args.rounds:
            row |= race(engine, openings, args.tokens, args.rounds)
        if args.identity:
            row["identity"] = identity(engine, openings, *map(int, args.identity.split("x")))
        if args.chi_squared:
            row["chi_squared"] = chi_squared(engine, openings, args.chi_squared)
        rows.append(row)
        engine.close()
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for name in rows[0]:
        print(f"{name:26}" + "".join(f"{row[name]!s:>30}  " for row in rows))


if __name__ == "__main__":
    main()
