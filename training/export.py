"""python -m training export --run RUN --out weights/NAME [--text FILE] [--data CORPORA]

Turns a run's checkpoint into a weights folder that the bot and `transformers` load, with a card that says what the
weights were made of, by which steps, and how well they predict a text that training never saw.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint import save_weights
from engine.model import GPT, GPTConfig
from engine.tokenizer import Tokenizer
from training.errors import CorpusError, RunError
from training.evaluate import evaluate
from training.train import read_checkpoint

CREDITS = "CREDITS.tsv"


@dataclass(frozen=True)
class ExportOptions:
    run: Path
    out: Path
    name: str | None = None  # instead of the folder's
    text: Path | None = None  # to evaluate on
    data: Path | None = None  # folder that holds the corpora, for the credits of their authors
    replace: bool = False  # write over weights that are there


def export(options: ExportOptions) -> dict[str, Any]:
    """Write the folder; returns its card.

    Raises:
        RunError: the run has no readable checkpoint or no tokenizer, or `out` holds weights already.
        CorpusError: the evaluation text or the credits cannot be read.
    """
    if (options.out / "model.safetensors").exists() and not options.replace:
        raise RunError(f"{options.out} holds weights already; add --replace to write over them or name another folder.")
    state = read_checkpoint(options.run / "checkpoint.pt")
    tokenizer = Tokenizer.load(tokenizer_folder(options.run))
    config = GPTConfig(**state["config"])
    if tokenizer.vocab_size != config.vocab_size:
        raise RunError(
            f"{options.run}: the tokenizer has {tokenizer.vocab_size} tokens but the model {config.vocab_size};"
            " put back the tokenizer.json of its prepared data."
        )
    model = GPT(config)
    model.load_state_dict(state["model"])
    credited = read_credits(state["manifest"], options.data) if options.data is not None else []
    card = make_card(options.name or options.out.resolve().name, model, state)
    if credited:
        card["credits"] = f"{len(credited)} texts by named authors, listed in {CREDITS}"
    save_weights(options.out, model, tokenizer, card)
    if credited:
        lines = ["\t".join(row) for row in ([*credited[0]], *(row.values() for row in credited))]
        (options.out / CREDITS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.text is not None:  # what is measured is the folder as it lies there, FP16 weights and all
        figures = evaluate(options.out, options.text)
        command = f"python -m training evaluate --weights {options.out.name} --text {options.text.name}"
        measured = {key: value for key, value in figures.items() if key not in ("weights", "seconds")}
        card["evaluation"] = {**measured, "command": command}
        save_weights(options.out, model, tokenizer, card)
    return card


def make_card(name: str, model: GPT, state: dict[str, Any]) -> dict[str, Any]:
    """What the weights say of themselves, from what their checkpoint recorded."""
    sources, preset = state["manifest"]["sources"], state["preset"]
    return {
        "name": name,
        "rating": "mature" if any(source["rating"] == "mature" for source in sources) else "general",
        "parameters": model.parameter_count(),
        "about": preset["about"],
        "corpora": [describe(source) for source in sources],
        "training": {
            "preset": preset["name"], "steps": state["step"], "planned_steps": preset["train"]["steps"],
            "tokens": state["tokens"], "seconds": round(state["seconds"]), "optimizer": preset["train"]["optimizer"],
            "arithmetic": "CPU, bfloat16 autocast over float32 weights, stored as float16",
        },
    }  # fmt: skip


def describe(source: dict[str, Any]) -> dict[str, Any]:
    """A corpus as the card lists it; one whose file name says `synthetic` is marked as written by a model."""
    corpus = {key: source[key] for key in ("file", "licence", "rating", "sha256", "documents", "bytes", "weight")}
    if "synthetic" in source["file"]:
        corpus["note"] = "synthetic: written by another language model, not by people"
    return corpus


def read_credits(manifest: dict[str, Any], data: Path) -> list[dict[str, str]]:
    """Who wrote what, for each corpus beside which a `.credits.tsv` lies; columns as in those files."""
    credited: list[dict[str, str]] = []
    for source in manifest["sources"]:
        path = data / f"{source['file'].split('.')[0]}.credits.tsv"
        if not path.is_file():
            if "CC BY" in source["licence"]:
                raise CorpusError(f"{path} is missing, but the licence asks for credits; put it beside its corpus.")
            continue
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            credited += [{"corpus": source["file"].split(".")[0], **row} for row in rows]
    columns = list(dict.fromkeys(key for row in credited for key in row))
    return [{column: row.get(column) or "" for column in columns} for row in credited]


def tokenizer_folder(run: Path) -> Path:
    """Where the run's tokenizer lies: with its checkpoint, or with the data that was prepared inside of it."""
    for folder in (run, run / "data"):
        if (folder / "tokenizer.json").is_file():
            return folder
    raise RunError(f"{run} holds no tokenizer.json; copy the one of the data it was trained on there.")
