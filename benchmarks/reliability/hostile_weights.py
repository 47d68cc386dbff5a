"""python -m benchmarks.reliability.hostile_weights [--mutants N] [--seed N] [--guided N] [--json]

Named cases of folders that are no weights, brought to the shelf as an operator brings them; then mutants of every kind
of file that can be brought (weights, config, vocabulary, card, drafts, style packs, adapters, memory vectors), each
given to the engine's own check. They run in a child process under `RLIMIT_AS` of 2 GiB, so that whatever ends or stops
it is seen. Counted are
- accepted: let in, while an oracle that shares no code with the engine (`file_oracle`) says that the file is not sound,
- crashes: an error that is not the engine's, or the end of the process,
- hangs: no answer within 20 seconds;
and apart from these mutants that are refused, and those that are still sound files. Where `atheris` is installed,
`--guided` adds so many runs for each kind that it steers by which lines of the engine they reach. The exit status is 1
unless all three are 0.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.reliability.command_line import parser, tell

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds for one mutant, on a machine that does other things too
LIMIT = 2 << 30  # bytes of address space
TOLD = 8  # bytes of the counter that tells which mutant is at work
SHOWN = 20


class Child(NamedTuple):
    """What a child is to do: mutants first..last of a seed."""

    seed: int
    first: int
    last: int
    counter: Path


def place() -> str | None:
    """A file system in memory, where there is one: each mutant is a file."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def work(child: Child) -> None:
    """Prints a line for each mutant that is worth one, and at the end the counts."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    from benchmarks.reliability.brought_files import Unused, brought_files
    from benchmarks.reliability.mutants import mutate
    from engine.errors import EngineError
    from tests.conftest import write_tiny_weights

    logging.disable(logging.CRITICAL)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=place()) as folder, child.counter.open("r+b") as file:
        told = mmap.mmap(file.fileno(), TOLD)
        kinds = brought_files(write_tiny_weights(Path(folder) / "tiny", 1, n_layer=1, n_embd=8, block_size=16))
        names, shares = list(kinds), [kind.share for kind in kinds.values()]
        for number in range(child.first, child.last):
            told[:] = number.to_bytes(TOLD, "little")
            rng = random.Random(child.seed << 40 | number)
            name = rng.choices(names, shares)[0]
            original, check, sound, _ = kinds[name]
            mutant = mutate(original, rng)
            try:
                check(mutant)
            except EngineError as error:
                counts["refused"] += 1
                if len(str(error)) > 1000 or not str(error).isprintable():
                    print(
                        json.dumps({"crash": number, "kind": name, "error": "a message that is no sentence"}),
                        flush=True,
                    )
            except Unused:
                counts["refused"] += 1
            except Exception as error:
                print(json.dumps({"crash": number, "kind": name, "error": repr(error)[:200]}), flush=True)
            else:
                if mutant == original:
                    counts["unchanged"] += 1
                elif sound(mutant):
                    counts["still sound"] += 1
                else:
                    print(json.dumps({"accepted": number, "kind": name}), flush=True)
            counts[name] += 1
        told[:] = child.last.to_bytes(TOLD, "little")
    print(json.dumps({"counts": counts}), flush=True)


def attend(child: Child) -> tuple[int, list[dict[str, Any]]]:
    """Runs a child to its end, or until it stops: how far it came, and what it told."""
    child.counter.write_bytes(child.first.to_bytes(TOLD, "little"))
    command = [sys.executable, "-m", __spec__.name if __spec__ else "benchmarks.reliability.hostile_weights", "--child"]
    words = [str(child.seed), str(child.first), str(child.last), str(child.counter)]
    told: list[dict[str, Any]] = []
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen([*command, *words], cwd=ROOT, stdout=out) as process:
        reached, since = -1, time.monotonic()
        while process.poll() is None:
            time.sleep(0.05)
            now = int.from_bytes(child.counter.read_bytes(), "little")
            if now != reached:
                reached, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE * (10 if reached == child.first else 1):  # the imports take time
                process.kill()
                told.append({"hang": reached})
        out.seek(0)
        told += [json.loads(line) for line in out.read().splitlines() if line.startswith("{")]
    reached = int.from_bytes(child.counter.read_bytes(), "little")
    if process.returncode and not any("hang" in one for one in told):
        told.append({"crash": reached, "error": f"the process ended with {process.returncode}"})
    return reached, told


def run_mutants(mutants: int, seed: int, chunk: int = 50_000) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        first = 0
        while first < mutants:
            last = min(first + chunk, mutants)
            reached, told = attend(Child(seed, first, last, Path(folder) / "counter"))
            for one in told:
                counts.update(one.pop("counts", {}))
                if one:
                    found.append(one)
            print(f"hostile_weights: {reached:,} of {mutants:,}, {len(found)} found", file=sys.stderr, flush=True)
            first = last if reached >= last else reached + 1
    kinds = {name: counts[name] for name in counts if name not in ("refused", "unchanged", "still sound")}
    return {
        "mutants": mutants, "seed": seed,
        **{name: sum(key in one for one in found) for name, key in
           (("accepted", "accepted"), ("crashes", "crash"), ("hangs", "hang"))},
        "refused": counts["refused"], "still_sound": counts["still sound"], "unchanged": counts["unchanged"],
        "kinds": kinds, "found": found[:SHOWN],
    }  # fmt: skip


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        seed, first, last = map(int, sys.argv[2:5])
        work(Child(seed, first, last, Path(sys.argv[5])))
        return 0
    reading = parser(__doc__, mutants=1_000_000, seed=1)
    reading.add_argument("--guided", type=int, default=0, metavar="N", help="runs of atheris for each kind of file")
    args = reading.parse_args()
    from benchmarks.reliability.hostile_folders import run_cases

    cases = run_cases()
    figures = {"cases": len(cases), "cases_let_in": [name for name, ok in cases.items() if not ok]}
    figures |= run_mutants(args.mutants, args.seed)
    if args.guided:
        from benchmarks.reliability.guided import run_guided

        guided = run_guided(args.guided, args.seed)
        figures["guided"] = guided
        figures["crashes"] += sum(not ended_well for ended_well in guided.values())
    tell(figures, as_json=args.json)
    bad = figures["cases_let_in"] or figures["accepted"] or figures["crashes"] or figures["hangs"]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
