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
        print(f"training: stopped; {args.when_stopped}", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=__doc__,
        epilog="First: python -m training prepare --preset ember --data CORPORA --out runs/ember/data,"
        " then: python -m training train --preset ember --data runs/ember/data --out runs/ember",
    )
    parser.set_defaults(when_stopped="a training run goes on from its last checkpoint with --resume.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    preset_help = f"{', '.join(preset_names())}, or a .toml file"

    prepare = commands.add_parser("prepare", help="read corpora, train the tokenizer, pack tokens")
    prepare.add_argument("--preset", required=True, help=preset_help)
    corpora = prepare.add_mutually_exclusive_group(required=True)
    corpora.add_argument("--data", type=Path, help="folder that holds the preset's corpora")
    corpora.add_argument("--text", type=Path, help="folder of your own .txt files, instead of the preset's corpora")
    prepare.add_argument("--licence", help="under which the text of --text may be used, unless its corpus.toml says so")
    prepare.add_argument("--rating", choices=("general", "mature"), help="of the text of --text; default: general")
    prepare.add_argument("--children", choices=("yes", "no"), help="whether that text has to do with children")
    prepare.add_argument("--out", type=Path, required=True, help="folder for tokenizer, tokens and manifest")
    prepare.add_argument(
        "--tokenizer", type=Path, help="folder whose tokenizer.json, or vocab.json and merges.txt, to use for theirs"
    )
    prepare.set_defaults(run_command=run_prepare)

    train = commands.add_parser("train", help="train on prepared data; checkpoints as it goes")
    train.add_argument("--preset", required=True, help=preset_help)
    train.add_argument("--data", type=Path, required=True, help="what `prepare` wrote")
    train.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log")
    train.add_argument(
        "--init-from", type=Path, help="weights folder, run or state dict to begin from: all of it that fits is taken"
    )
    train.add_argument("--steps", type=positive, help="instead of the preset's")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="torch.compile: slow to start, 1.3 x faster after; default: as the preset says",
    )
    train.add_argument("--threads", type=positive, help="CPU threads; default: one for each core")
    train.add_argument("--device", help="cpu or cuda; default: a GPU where there is one")
    train.set_defaults(run_command=run_train)

    growing = commands.add_parser("grow", help="make a larger model that begins where a smaller one ended")
    growing.add_argument("--from", dest="source", type=Path, required=True, help="weights folder of the smaller one")
    growing.add_argument("--preset", required=True, help=preset_help)
    growing.add_argument("--out", type=Path, required=True, help="weights folder to write")
    growing.set_defaults(run_command=run_grow)

    evaluate = commands.add_parser("evaluate", help="how well weights predict held-out stories, and what they write")
    evaluate.add_argument("--weights", type=Path, help="weights folder; default: the bundled one")
    evaluate.add_argument(
        "--text", type=Path, required=True, help="UTF-8, plain or .xz; documents parted by <|endoftext|> lines"
    )
    evaluate.add_argument(
        "--train", type=Path, nargs="+", default=[], metavar="FILE", help="what was trained on, to look for copies"
    )
    evaluate.add_argument(
        "--stories", type=positive, default=250, metavar="N", help="to choose in between a true and a spoilt one"
    )
    evaluate.add_argument(
        "--generate", type=whole, default=50, metavar="N", help="stories to continue; 0: none, likelihoods alone"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.add_argument("--threads", type=positive, help="CPU threads; default: one for each core")
    evaluate.set_defaults(run_command=run_evaluate)

    reporting = commands.add_parser("report", help="one HTML page about a run: curves, samples, evaluation")
    reporting.add_argument("run", type=Path, help="what `train` wrote; the run may still go on")
    reporting.add_argument("--weights", type=Path, help="what was exported from it, for its card and samples")
    reporting.add_argument("--evaluation", type=Path, help="what `evaluate --json` printed, instead of the card's")
    reporting.add_argument("--out", type=Path, help="the page; default: report.html in the run's folder")
    reporting.set_defaults(run_command=run_report)

    importing = commands.add_parser("import", help="make a weights folder of a Hugging Face Llama, Qwen3 or GPT-2")
    importing.add_argument("source", type=Path, metavar="DIR", help="config.json, safetensors and a tokenizer")
    importing.add_argument("--out", type=Path, required=True, help="the weights folder, for example weights/NAME")
    importing.add_argument("--name", help="instead of the folder's name")
    importing.add_argument("--rating", choices=("general", "mature"), help="what the model may write; default: unknown")
    importing.add_argument("--block-size", type=positive, metavar="N", help="a shorter context, for less memory")
    importing.add_argument("--replace", action="store_true", help="write over weights that are there")
    importing.set_defaults(run_command=run_import, when_stopped="nothing was written.")

    export = commands.add_parser("export", help="make a weights folder of a run's checkpoint")
    export.add_argument("--run", type=Path, required=True, help="what `train` wrote")
    export.add_argument("--out", type=Path, required=True, help="the weights folder, for example weights/ember")
    export.add_argument("--name", help="instead of the folder's name")
    export.add_argument("--text", type=Path, help="held-out text to evaluate on, for the card")
    export.add_argument(
        "--generate", type=whole, default=0, metavar="N", help="stories of it to continue, for the card; default: 0"
    )
    export.add_argument("--data", type=Path, help="folder that holds the corpora, to carry over their authors' credits")
    export.add_argument("--init-from", type=Path, help="what the run began from, where its checkpoint does not tell")
    export.add_argument("--replace", action="store_true", help="write over weights that are there")
    export.set_defaults(run_command=run_export)

    drafts = commands.add_parser("drafts", help="make the table of drafts that lets weights write faster")
    drafts.add_argument("--data", type=Path, required=True, help="what `prepare` wrote, with the weights' vocabulary")
    drafts.add_argument("--weights", type=Path, required=True, help="weights folder that gets drafts.safetensors")
    drafts.add_argument("--max-mb", type=float, default=1.0, help="size of the table; default: 1.0")
    drafts.set_defaults(run_command=run_drafts, when_stopped="nothing was written.")

    keygen = commands.add_parser("keygen", help="make a private key that weights are signed with")
    keygen.add_argument("--out", type=Path, required=True, metavar="FILE", help="that only you can read; keep it")
    keygen.set_defaults(run_command=run_keygen, when_stopped="nothing was written.")

    signing = commands.add_parser("sign", help="vouch for a weights folder as it lies there")
    signing.add_argument("--weights", type=Path, required=True, help="weights folder that gets signature.json")
    signing.add_argument("--key", type=Path, required=True, metavar="FILE", help="what `keygen` wrote")
    signing.set_defaults(run_command=run_sign, when_stopped="nothing was written.")

    adapt = commands.add_parser("adapt", help="train a style on a small corpus, the base's weights untouched")
    adapt.add_argument("--base", type=Path, required=True, help="weights folder that the style is for")
    adapt.add_argument("--corpus", type=Path, required=True, help="text of the style, as for `evaluate`")
    adapt.add_argument("--licence", required=True, help="the corpus's")
    adapt.add_argument("--rating", choices=("general", "mature"), required=True, help="the corpus's")
    adapt.add_argument("--children", choices=("yes", "no"), help="whether it has to do with them")
    adapt.add_argument("--credit", help="that the licence asks for, where no NAME.credits.tsv lies beside the corpus")
    adapt.add_argument("--out", type=Path, required=True, help="style pack to write, .safetensors; with lora a folder")
    adapt.add_argument("--method", choices=("units", "lora"), default="units", help="lora is merged into whole weights")
    adapt.add_argument("--units", type=positive, help="of each block; default: 32, or as many as 1 MB holds")
    adapt.add_argument("--steps", type=positive, help="default: 400")
    adapt.add_argument("--lr", type=not_negative, help="learning rate; default: 0.01")
    adapt.add_argument("--kl-weight", type=not_negative, help="how firmly the base is held; default: 0.3")
    adapt.add_argument("--text", type=Path, help="stories that the style should not cost, measured before and after")
    adapt.add_argument("--name", help="instead of the file's name")
    adapt.add_argument("--seed", type=int, default=1)
    adapt.add_argument("--threads", type=positive, help="CPU threads; default: one for each core")
    adapt.set_defaults(run_command=run_adapt, when_stopped="nothing was written.")
    return parser


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)


def not_negative(text: str) -> float:
    """A number from 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0")
    return value


def whole(text: str) -> int:
    """A whole number from 0."""
    return 0 if text == "0" else positive(text)


def run_prepare(args: argparse.Namespace) -> None:
    from training.own_text import own_text
    from training.prepare import prepare

    preset = load_preset(args.preset)
    if args.text is None:
        prepare(preset, args.data, args.out, args.tokenizer)
        return
    said = {name: value for name in ("licence", "rating", "children") if (value := getattr(args, name)) is not None}
    own = own_text(preset, args.text, said)
    prepare(own, args.text.resolve().parent, args.out, args.tokenizer, own_text=True)


def run_grow(args: argparse.Namespace) -> None:
    from training.grow import grow

    config = grow(args.source, load_preset(args.preset), args.out)
    print(f"{args.out}: {config.n_layer} layers of width {config.n_embd}; train it with --init-from {args.out}")


def run_train(args: argparse.Namespace) -> None:
    from training.train import RunOptions, train

    options = RunOptions(
        out=args.out, data=args.data, steps=args.steps, resume=args.resume, compile=args.compile, threads=args.threads,
        device=args.device, init_from=args.init_from,
    )  # fmt: skip
    train(load_preset(args.preset), options)


def run_evaluate(args: argparse.Namespace) -> None:
    import torch

    from engine.folder import default_weights
    from training.evaluate import evaluate
    from training.figures import as_text

    def progress(told: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{told}\x1b[K", end="", file=sys.stderr, flush=True)

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    figures = evaluate(
        args.weights or default_weights(), args.text, train=args.train, stories=args.stories, generate=args.generate,
        on_progress=progress,
    )  # fmt: skip
    progress("")
    print(json.dumps(figures, ensure_ascii=False) if args.json else as_text(figures))


def run_report(args: argparse.Namespace) -> None:
    from training.report import ReportOptions, report

    print(report(ReportOptions(args.run, weights=args.weights, evaluation=args.evaluation, out=args.out)))


def run_import(args: argparse.Namespace) -> None:
    from training.importing import ImportOptions, import_weights

    options = ImportOptions(args.source, args.out, args.name, args.rating, args.block_size, args.replace)
    done = import_weights(options)
    kind = done.card["imported_from"]["model_type"]
    print(
        f"{args.out}: {kind}, {done.card['parameters']:,} parameters in FP16; logits differ by at most"
        f" {done.difference:.3g} from the source's, whose spread is {done.spread:.3g}; the likeliest token is the same"
        f" at {done.same} of {done.positions} positions"
    )
    if done.card["rating"] == "unknown":
        print(
            "Nobody has rated it: read what it writes, then set rating in card.json to general or mature, or import it"
            " again with --replace --rating."
        )
    if not any(key in done.card for key in ("licence", "corpora")):
        print("Its licence and corpora are not known here: add them to card.json before you pass it on.")


def run_export(args: argparse.Namespace) -> None:
    from training.export import ExportOptions, export

    options = ExportOptions(
        args.run, args.out, name=args.name, text=args.text, generate=args.generate, data=args.data,
        replace=args.replace, init_from=args.init_from,
    )  # fmt: skip
    card = export(options)
    figures = card.get("evaluation")
    told = f", {figures['bits_per_byte']} bits per byte on {figures['text']}" if figures else ""
    print(f"{args.out}: {card['name']}, {card['parameters']:,} parameters, step {card['training']['steps']:,}{told}")


def run_drafts(args: argparse.Namespace) -> None:
    from training.drafts import DraftOptions, make_drafts

    done = make_drafts(DraftOptions(args.data, args.weights, args.max_mb))
    print(f"{args.weights}: drafts.safetensors, {done['bytes']:,} bytes, contexts of {done['orders']} ids")


def run_keygen(args: argparse.Namespace) -> None:
    from training.signing import make_key

    print(f"{args.out}: private key, for `sign`; the public one, for MINIATURE_WEIGHTS_KEYS, is\n{make_key(args.out)}")


def run_sign(args: argparse.Namespace) -> None:
    from training.signing import sign

    print(f"{args.weights}: signed with {sign(args.weights, args.key)}")


def run_adapt(args: argparse.Namespace) -> None:
    from training.adapt import AdaptOptions, adapt

    chosen = {name: value for name in ("steps", "lr", "kl_weight") if (value := getattr(args, name)) is not None}
    options = AdaptOptions(
        args.base, args.corpus, args.out, args.licence, args.rating, method=args.method, units=args.units,
        text=args.text, children=args.children, credit=args.credit, name=args.name, seed=args.seed,
        threads=args.threads, **chosen,
    )  # fmt: skip
    about = adapt(options)
    size = sum(file.stat().st_size for file in (args.out, *args.out.rglob("*")) if file.is_file())
    print(f"{args.out}: {size:,} bytes, rated {about['rating']}")
    for text, figures in about["bits_per_byte"].items():
        told = {"held_out": "held-out text of the style", "stories": "stories"}[text]
        print(f"{told}: {figures['before']:.4f} bits per byte before, {figures['after']:.4f} after")


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
