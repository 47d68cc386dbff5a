"""python -m benchmarks.decode [--weights DIR | --shape NAME] [--engines LIST] [--check] [--json]: who decodes fastest?

Our native and torch paths against llama.cpp, with the same weights and the same ids. Each engine is a process of its
own; they take turns, round by round, so that whatever else the machine does falls on all of them, and a figure is the
median of its rounds. Compare within a block of the table (the same threads and instructions), not between runs.

The floor is reading the FP16 weights once, so int8 and Q8_0 may pass it. Characters a second are those at a nearly
empty context; peaks hold the interpreter, and torch where the engine needs it. llama.cpp runs where
`pip install -e '.[benchmark]'` put it (compiled for this CPU, which takes minutes); --llama-avx2 names a folder of its
libraries that were built without AVX512, as docs/experiments.md shows.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from safetensors.torch import save_file

from benchmarks.contestants import Spec
from benchmarks.gguf import write_gguf
from engine.bench import PROMPT
from engine.checkpoint import to_hugging_face
from engine.errors import EngineError
from engine.folder import default_weights, document_tokens, read_config
from engine.hugging_face import write_shape
from engine.kernel import available, isas
from engine.model import GPT, GPTConfig
from engine.tokenizer import Tokenizer

ENGINES = (
    "native-fp16", "native-int8", "torch-fp32", "torch-fp16",
    "llama-f16", "llama-q8", "llama-f16-noflash", "llama-q8-noflash",  # with flash attention, its default, and without
)  # fmt: skip
SHAPES = {  # random weights; a vocabulary of 100 is one of characters
    "ember": GPTConfig(vocab_size=100, block_size=512, n_layer=7, n_head=4, n_embd=256, n_ffn=688),
    "hearth": GPTConfig(vocab_size=100, block_size=1024, n_layer=12, n_head=6, n_embd=384, n_ffn=1024),
    "190m": GPTConfig(
        vocab_size=50_257, block_size=2048, n_layer=12, n_head=12, n_embd=768, n_ffn=3072, tie_embeddings=False
    ),
}
CHARACTERS = 300  # a vocabulary of no more tokens counts as one of characters
STD = 0.04  # of random weights: twice the usual, so that no two tokens are nearly as likely
TOKENS = 34  # of a measurement, two of them untimed
TIMED = TOKENS - 2
GREEDY = 50  # tokens that --check compares
SAME = 0.01  # of the largest logit: two engines with the same FP16 weights differ by less
NO_AVX512 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


class Material(NamedTuple):
    """What all engines read."""

    folder: Path
    ids: list[int]  # as many as the context has positions
    prompt: list[int]
    characters: float | None  # to a token, where that is known


class Engine:
    """One contestant's process."""

    def __init__(self, spec: Spec, env: dict[str, str]) -> None:
        self.name = spec.engine
        self.seconds: dict[str, list[float]] = {"first": [], "empty": [], "full": []}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contestants", json.dumps(asdict(spec))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
            env={**os.environ, **env, "OMP_NUM_THREADS": str(spec.threads)},
        )  # fmt: skip
        self.about: str = self._answer()["about"]

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with code {self._process.wait()}; what it said stands above.")
        told: dict[str, Any] = json.loads(line)
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()  # the end of its input is its end

    def median(self, what: str) -> float:
        return statistics.median(self.seconds[what])


@contextlib.contextmanager
def trained(folder: Path) -> Iterator[Material]:
    """A weights folder, and a story's opening over and over."""
    config = read_config(folder)
    tokenizer = Tokenizer.load(folder, **document_tokens(folder, config.vocab_size))
    prompt = tokenizer.encode(PROMPT)
    ids = (prompt * config.block_size)[: config.block_size]
    yield Material(folder.resolve(), ids, prompt, len(PROMPT) / len(prompt))


@contextlib.contextmanager
def random(config: GPTConfig) -> Iterator[Material]:
    """A folder of random weights without a tokenizer, and random ids."""
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as place:
        model = GPT(config)
        model.initialize()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter.normal_(std=STD)
        save_file(to_hugging_face(model), Path(place) / "model.safetensors")
        (Path(place) / "config.json").write_text(json.dumps(write_shape(config, None, None)), encoding="utf-8")
        del model
        ids = torch.randint(config.vocab_size, (config.block_size,)).tolist()
        characters = config.vocab_size <= CHARACTERS
        yield Material(Path(place), ids, ids[: len(PROMPT) if characters else 24], 1.0 if characters else None)


def race(given: Material, names: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of all engines, for each instruction set and number of threads."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        files = {name: Path(place) / f"{name.split('-')[1]}.gguf" for name in names if name.startswith("llama")}
        for path in set(files.values()):
            write_gguf(given.folder, path, q8=path.stem == "q8")
        for isa in args.isa:
            env, here = {"MINIATURE_KERNEL_ISA": isa}, names
            if isa == "avx2" and "avx512" in instruction_sets():  # then it is forced on each engine by its own means
                env |= NO_AVX512 | ({"LLAMA_CPP_LIB_PATH": str(args.llama_avx2)} if args.llama_avx2 else {})
                here = [name for name in names if args.llama_avx2 or name not in files]
                if len(here) < len(names):
                    print("Left out: llama.cpp without AVX512, as --llama-avx2 does not name it.", file=sys.stderr)
            for threads in args.threads:
                sources = {"floor": given.folder} | {name: files.get(name, given.folder) for name in here}
                with contextlib.ExitStack() as stack:
                    floor, *engines = [
                        stack.enter_context(Engine(Spec(name, str(source), threads, len(given.ids)), env))
                        for name, source in sources.items()
                    ]
                    same = check(engines, given.prompt) if args.check else {}
                    take_turns([floor, *engines], given, args.rounds)
                    shared = {"isa": isa, "threads": threads, "floor": round(TIMED / floor.median("empty"), 1),
                              "floor_is": floor.about}  # fmt: skip
                    block = [{**shared, **row_of(e, floor, given.characters), **same.get(e.name, {})} for e in engines]
                if not args.json:
                    print_block(block)
                rows += block
    return rows


def take_turns(engines: list[Engine], given: Material, rounds: int) -> None:
    """Times all engines: with a context that holds the prompt alone, then with a full one."""
    full = len(given.ids) - TOKENS
    for _ in range(rounds):
        for engine in engines:
            engine.seconds["first"].append(engine.ask("first", ids=given.prompt)["seconds"])
            told = engine.ask("write", ids=given.ids[:TOKENS], position=len(given.prompt))
            engine.seconds["empty"].append(told["seconds"])
    for engine in engines:
        engine.ask("fill", ids=given.ids[:full])
    for _ in range(rounds):
        for engine in engines:
            engine.seconds["full"].append(engine.ask("write", ids=given.ids[full:], position=full)["seconds"])


def check(engines: list[Engine], prompt: list[int]) -> dict[str, dict[str, Any]]:
    """How far each engine's logits behind the prompt, and its greedy tokens, are those of torch in FP32."""
    told = {engine.name: engine.ask("greedy", ids=prompt, count=GREEDY) for engine in engines}
    reference, found = told["torch-fp32"], {}
    largest = max(map(abs, reference["logits"]))
    for name, one in told.items():
        difference = max(abs(a - b) for a, b in zip(one["logits"], reference["logits"], strict=True)) / largest
        if "16" in name and difference > SAME:
            raise SystemExit(f"{name} differs from torch-fp32 by {difference:.1%} of the largest logit: another model.")
        pairs = enumerate(zip(one["ids"], reference["ids"], strict=True))
        same = next((n for n, (a, b) in pairs if a != b), GREEDY)
        found[name] = {"logits_differ": round(difference, 6), "same_greedy_tokens": same}
    return found


def row_of(engine: Engine, floor: Engine, characters: float | None) -> dict[str, Any]:
    empty, full = TIMED / engine.median("empty"), TIMED / engine.median("full")
    return {
        "engine": engine.name,
        "tokens_per_second": round(empty, 1),
        "tokens_per_second_full": round(full, 1),
        "characters_per_second": None if characters is None else round(empty * characters),
        "first_token_ms": round(engine.median("first") * 1000, 2),
        "share_of_read_floor": round(floor.median("empty") / engine.median("empty"), 3),
        "peak_rss_mb": engine.ask("peak")["peak_rss_mb"],
        "about": engine.about,
    }


def print_block(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    threads = f"{first['threads']} thread{'s' * (first['threads'] > 1)}"
    print(f"\n{first['isa']}, {threads}; floor {first['floor']:,} tokens/s ({first['floor_is']})")
    print(f"{'':18}{'tokens/s':>10}{'full':>10}{'chars/s':>9}{'first ms':>10}{'of floor':>10}{'peak MB':>9}")
    for row in rows:
        characters = "-" if row["characters_per_second"] is None else f"{row['characters_per_second']:,}"
        line = (
            f"{row['engine']:18}{row['tokens_per_second']:10,.1f}{row['tokens_per_second_full']:10,.1f}"
            f"{characters:>9}{row['first_token_ms']:10.2f}{row['share_of_read_floor']:10.1%}{row['peak_rss_mb']:9.1f}"
        )
        if "logits_differ" in row:
            line += f"   logits within {row['logits_differ']:.1e}, {row['same_greedy_tokens']} of {GREEDY} tokens"
        print(line, flush=True)


def instruction_sets() -> list[str]:
    """What this CPU has, best first, by the kernel, or without one by torch."""
    if available()[0]:
        return [name for name in isas() if name != "plain"]
    return [torch.backends.cpu.get_cpu_capability().lower()]


def present(wanted: str) -> list[str]:
    """The engines that were asked for and can run; of the others a line says why not."""
    names = [name for name in ENGINES if any(name.startswith(start) for start in wanted.split(",") if start)]
    missing = {}
    if not available()[0]:
        missing["native"] = f"the native kernel does not run here ({available()[1]})"
    if importlib.util.find_spec("llama_cpp") is None:
        missing["llama"] = "llama.cpp is not installed; pip install -e '.[benchmark]' compiles it"
    for kind, reason in missing.items():
        if any(name.startswith(kind) for name in names):
            names = [name for name in names if not name.startswith(kind)]
            print(f"Left out: {reason}.", file=sys.stderr)
    if not names:
        raise SystemExit(f"No engine is left of --engines {wanted}; there are {', '.join(ENGINES)}.")
    return names


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=default_weights())
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this shape instead of a folder")
    parser.add_argument("--vocab", type=int, metavar="N", help="another vocabulary for --shape")
    parser.add_argument("--engines", default="native,torch,llama", metavar="LIST", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--isa", nargs="+", metavar="NAME", help="avx512, avx2 or neon; all of this CPU if left out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--llama-avx2", type=Path, metavar="DIR", help="llama.cpp's libraries without AVX512")
    parser.add_argument("--check", action="store_true", help="compare logits and greedy tokens with torch in FP32")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    args.isa = args.isa or instruction_sets()
    names = present(args.engines)
    if args.check and "torch-fp32" not in names:
        raise SystemExit("--check compares with torch-fp32; name it among --engines.")
    if args.shape is None:
        source = trained(args.weights)
    else:
        shape = SHAPES[args.shape]
        source = random(replace(shape, vocab_size=args.vocab or shape.vocab_size))
    try:
        with source as given:
            rows = race(given, names, args)
    except EngineError as error:
        raise SystemExit(f"benchmarks.decode: {error}") from error
    if args.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
