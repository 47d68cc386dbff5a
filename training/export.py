"""python -m training export --run RUN --out weights/NAME [--text FILE] [--data CORPORA]

Turns a run's checkpoint into a weights folder that the bot and `transformers` load, with a card that says what the
weights were made of, by which steps, and how well they predict a text that training never saw. Where the run averaged
its weights, it is the average that is written.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint import save_weights
from engine.model import GPT, GPTConfig
from engine.tokenizer import Tokenizer
from training.card import make_card, read_curve
from training.checkpoint import read_checkpoint
from training.errors import CorpusError, RunError
from training.evaluate import evaluate
from training.initial import describe_initial

CREDITS = "CREDITS.tsv"


@dataclass(frozen=True)
class ExportOptions:
    run: Path
    out: Path
    name: str | None = None  # instead of the folder's
    text: Path | None = None  # to evaluate on
    generate: int = 0  # stories of that text to continue, for figures of generated text
    data: Path | None = None  # folder that holds the corpora, for the credits of their authors
    replace: bool = False  # write over weights that are there
    init_from: Path | None = None  # what the run began from, where its checkpoint does not know


def export(options: ExportOptions) -> dict[str, Any]:
    """Write the folder; returns its card.

    Raises:
        RunError: the run has no readable checkpoint or no tokenizer, or `out` holds weights already.
        CorpusError: the evaluation text or the credits cannot be read.
    """
    if (options.out / "model.safetensors").exists() and not options.replace:
        raise RunError(f"{options.out} holds weights already; add --replace to write over them or name another folder.")
    saved = read_checkpoint(options.run / "checkpoint.pt")
    if options.init_from is not None:
        saved["record"] = {"begun_from": describe_initial(options.init_from)} | saved.get("record", {})
    tokenizer = Tokenizer.load(tokenizer_folder(options.run))
    config = GPTConfig(**saved["config"])
    if tokenizer.vocab_size != config.vocab_size:
        raise RunError(
            f"{options.run}: the tokenizer has {tokenizer.vocab_size} tokens but the model {config.vocab_size};"
            " put back the tokenizer.json of its prepared data."
        )
    model = GPT(config)
    model.load_state_dict(saved.get("average") or saved["model"])
    curve = read_curve(options.run / "log.jsonl", saved["step"])
    card = make_card(options.name or options.out.resolve().name, model.parameter_count(), saved, curve)
    credited = read_credits(card, options.data) if options.data is not None else []
    if credited:
        card["credits"] = f"{len(credited)} texts by named authors, listed in {CREDITS}"
    save_weights(options.out, model, tokenizer, card)
    if credited:
        lines = ["\t".join(row) for row in ([*credited[0]], *(row.values() for row in credited))]
        (options.out / CREDITS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.text is not None:  # what is measured is the folder as it lies there, FP16 weights and all
        figures = evaluate(options.out, options.text, generate=options.generate)
        named = f"--weights {options.out.name} --text {options.text.name} --generate {options.generate}"
        command = f"python -m training evaluate {named}"
        measured = {key: value for key, value in figures.items() if key not in ("weights", "seconds")}
        card["evaluation"] = {**measured, "command": command}
        save_weights(options.out, model, tokenizer, card)
    return card


def read_credits(card: dict[str, Any], data: Path) -> list[dict[str, str]]:
    """Who wrote what: of each corpus of a card, and of the weights it began from, beside which a `.credits.tsv` lies.

    Columns are those of the files.

    Raises:
        CorpusError: a licence asks for credits and there are none, neither there nor in the card.
    """
    earlier = [card.get(origin, {}).get("corpora", []) for origin in ("begun_from", "grown_from")]
    corpora = {corpus["file"]: corpus for corpus in [*earlier[0], *earlier[1], *card["corpora"]]}
    credited: list[dict[str, str]] = []
    for corpus in corpora.values():
        name = corpus["file"].split(".")[0]
        path = data / f"{name}.credits.tsv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                credited += [{"corpus": name, **row} for row in rows]
        elif "CC BY" in corpus["licence"] and not corpus.get("credit"):
            raise CorpusError(f"{path} is missing, but the licence asks for credits; put it beside its corpus.")
    columns = list(dict.fromkeys(key for row in credited for key in row))
    return [{column: row.get(column) or "" for column in columns} for row in credited]


def tokenizer_folder(run: Path) -> Path:
    """Where the run's tokenizer lies: with its checkpoint, or with the data that was prepared inside of it."""
    for folder in (run, run / "data"):
        if (folder / "tokenizer.json").is_file():
            return folder
    raise RunError(f"{run} holds no tokenizer.json; copy the one of the data it was trained on there.")
