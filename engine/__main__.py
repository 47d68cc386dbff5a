"""python -m engine generate | teach | bench | info: the engine on the command line, without a bot around it."""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from dataclasses import asdict
from pathlib import Path

from engine.errors import AdapterError, EngineError, PromptError

MAX_LESSONS_BYTES = 4 << 20


def main(arguments: list[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    try:
        args.run(args)
    except EngineError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone; Python would complain on exit
        return 141
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--weights", type=Path, metavar="DIR", help="weights folder; the bundled default if left out")
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("--threads", type=int, help="CPU threads; all cores if left out")
    common.add_argument(
        "--backend",
        choices=("auto", "native", "int8", "torch"),
        default="auto",
        help="what decodes; auto: the native kernel where it runs, else torch; int8: the kernel with one byte a weight",
    )
    common.add_argument(
        "--compute-dtype",
        choices=("auto", "float32", "float16", "bfloat16"),
        default="auto",
        help="of the torch path, which naming one asks for; auto: float32 where there is memory for it, else float16",
    )

    generate = commands.add_parser("generate", parents=[common], help="continue a prompt")
    generate.add_argument("--adapter", type=Path, metavar="FILE", help="what `teach` wrote")
    generate.add_argument("--always-on", action="store_true", help="lessons take part in any text")
    generate.add_argument("--pack", type=Path, metavar="FILE", help="a style, as `python -m training adapt` writes it")
    generate.add_argument("--prompt", required=True, metavar="TEXT")
    generate.add_argument("--max-new-tokens", type=int, default=160, metavar="N")
    generate.add_argument("--seed", type=int, metavar="S", help="the same seed writes the same text")
    generate.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0 takes the likeliest token")
    generate.add_argument("--top-k", type=int, metavar="K", help="off if left out")
    generate.add_argument("--top-p", type=float, default=0.9, metavar="P")
    generate.add_argument("--repetition-penalty", type=float, default=1.15, metavar="R")
    generate.set_defaults(run=run_generate)

    teach = commands.add_parser("teach", parents=[common], help="teach lessons into an adapter")
    teach.add_argument("--lessons", type=Path, required=True, metavar="FILE.jsonl", help='{"prompt", "answer"} a line')
    teach.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    teach.set_defaults(run=run_teach)

    bench = commands.add_parser("bench", parents=[common], help="measure speed and memory")
    bench.set_defaults(run=run_bench)
    info = commands.add_parser("info", parents=[common], help="say what the weights are, and what runs them")
    info.set_defaults(run=run_info)
    return parser


def run_generate(args: argparse.Namespace) -> None:
    from engine.sampling import SamplingParams

    sampling = SamplingParams(
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        repetition_penalty=args.repetition_penalty,
        seed=args.seed,
    )
    taught = {"adapters": [read_adapter(args.adapter)] if args.adapter else [], "always_on": args.always_on}
    engine = load_engine(args)
    if args.json:
        done = engine.generate(args.prompt, sampling, **taught)
        figures = {"seconds": round(done.seconds, 4), "tokens_per_second": round(done.tokens_per_second, 1)}
        print_json({"text": done.text, "tokens": done.tokens, **figures, "finish_reason": done.finish_reason})
        return
    show = printable(args.prompt)
    print(show, end="", flush=True)
    engine.generate(args.prompt, sampling, **taught, on_piece=lambda piece: print(printable(piece), end="", flush=True))
    print()


def run_teach(args: argparse.Namespace) -> None:
    from engine.adapter import join_adapters
    from engine.lesson import check_lesson

    lessons = read_lessons(args.lessons)
    engine = load_engine(args)
    for lesson in lessons:
        check_lesson(engine.tokenizer, lesson, engine.config.block_size)  # before any time is spent on the first
    taught = []
    for number, lesson in enumerate(lessons, 1):
        if sys.stderr.isatty():
            print(f"\rlesson {number} of {len(lessons)} ", end="", file=sys.stderr, flush=True)
        taught.append(engine.teach(lesson))
    blob = join_adapters([one.adapter for one in taught], engine.config)
    recalled = sum(engine.recall(lesson, [blob]).exact for lesson in lessons)
    try:
        args.out.write_bytes(blob)
    except OSError as error:
        raise AdapterError(f"{args.out} cannot be written ({error.strerror}); choose another place.") from error
    seconds = sum(one.seconds for one in taught)
    figures = {
        "lessons": len(lessons),
        "recalled": recalled,
        "steps": sum(one.steps for one in taught),
        "seconds": round(seconds, 3),
        "seconds_per_lesson": round(seconds / len(lessons), 3),
        "loss": round(max(one.loss for one in taught), 5),
        "bytes": len(blob),
        "base_id": engine.base_id,
    }
    if args.json:
        print_json(figures)
    else:
        print(
            f"{recalled} of {len(lessons)} lessons recalled word for word after {figures['steps']} steps"
            f" in {seconds:.1f} s; {len(blob):,} bytes in {args.out}"
        )


def run_bench(args: argparse.Namespace) -> None:
    from engine.bench import bench

    figures = bench(load_engine(args))
    if args.json:
        print_json(figures)
    else:
        print("\n".join(f"{name:24} {value}" for name, value in figures.items()))


def run_info(args: argparse.Namespace) -> None:
    engine = load_engine(args)
    info = {**asdict(engine.info), "folder": str(engine.info.folder)}
    if args.json:
        print_json(info)
        return
    card = info.pop("card")
    for name, value in info.items():
        print(f"{name:14} {value:,}" if isinstance(value, int) else f"{name:14} {value}")
    if figures := card.get("evaluation"):
        print(f"{'evaluation':14} {json.dumps(figures)}")


def load_engine(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # Engine; importing it takes a moment that a wrong option need not
    from engine.generation import Engine

    if args.threads is not None and args.threads < 1:
        raise PromptError("--threads must be 1 or more.")
    pack = getattr(args, "pack", None)  # only what writes takes one
    dtype = None if args.compute_dtype == "auto" else args.compute_dtype
    return Engine.load(args.weights, backend=args.backend, compute_dtype=dtype, threads=args.threads, pack=pack)


def read_adapter(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AdapterError(f"{path} cannot be read ({error.strerror}); name a file that `teach` wrote.") from error


def read_lessons(path: Path):  # type: ignore[no-untyped-def]  # list[Lesson]
    """Lessons of a JSON-lines file; empty lines do not count."""
    from engine.lesson import Lesson

    try:
        if path.stat().st_size > MAX_LESSONS_BYTES:
            raise PromptError(f"{path} is larger than any set of lessons; name the right file.")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PromptError(f"{path} cannot be read ({error.strerror}); name a file of lessons.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
    lessons = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row["prompt"], str) or not isinstance(row["answer"], str):
                raise TypeError
            lessons.append(Lesson(row["prompt"], row["answer"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise PromptError(
                f'{path}, line {number}: not a lesson; write {{"prompt": "...", "answer": "..."}} on each line.'
            ) from error
    return lessons


def printable(text: str) -> str:
    """Text that cannot command the terminal: control characters other than line breaks and tabs are left out."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
