"""The figures of `evaluate` as a table: in the terminal, and in a run's report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

HEAD = ("figure", "value", "human", "ratio", "measured on")
MEANINGS = {
    "bits_per_byte": "what it costs to predict the text; less is better",
    "ending_choice": "a story's own last paragraph is likelier behind it than another story's",
    "sentence_order": "a story is likelier than with its sentences shuffled",
    "block_order": "the same, shuffled two by two",
    "rep_4": "runs of four words that stood in the same text before",
    "distinct_3": "different runs of three words for each word",
    "copied_10": "runs of ten words that stand in the training text",
    "entity_persistence": "names of the opening that come again behind it",
    "known_names": "of all later mentions of names, those of names in the opening",
    "closing": "texts that the model ended, with a whole sentence",
}


class Line(NamedTuple):
    """One row, as text; empty where there is nothing to say."""

    figure: str
    value: str
    human: str = ""  # the same figure of the people's text
    ratio: str = ""  # value / human
    measured_on: str = ""


def table_lines(figures: Mapping[str, Any]) -> list[Line]:
    """The rows for those figures that are there, of a JSON that `evaluate` printed or of a card's evaluation."""

    def count(name: str) -> str:
        return shown(figures.get(name))

    pairs = f"{count('continuations')} continuations, {count('compared_words')} words of each"
    heroes = f"{count('introduced_names')} names in {count('continuations')} openings"
    trained = ", ".join(map(str, train)) if isinstance(train := figures.get("train"), list) else "what was trained on"
    places = {
        "bits_per_byte": f"{count('documents')} documents, {count('bytes')} bytes",
        "nats_per_token": f"{count('tokens')} tokens",
        "unknown_characters": "characters that the vocabulary lacks",
        "ending_choice": f"{count('ending_stories')} stories, 0.5 by chance",
        "sentence_order": f"{count('order_stories')} stories, 0.5 by chance",
        "block_order": f"{count('order_stories')} stories, 0.5 by chance",
        "rep_4": pairs,
        "distinct_3": pairs,
        "copied_10": f"in {trained}",
        "entity_persistence": heroes,
        "known_names": heroes,
        "closing": f"{count('continuations')} continuations",
    }
    lines = []
    for name, place in places.items():
        if name in figures and not (name == "unknown_characters" and figures[name] == 0):
            human, ratio = (count(key) if (key := f"{name}_{kind}") in figures else "" for kind in ("human", "ratio"))
            lines.append(Line(name, count(name), human, ratio, place))
    return lines


def sampling_text(sampling: Mapping[str, Any]) -> str:
    """How the text was drawn, in one line."""
    named = {name.replace("_", " "): value for name, value in sampling.items() if value not in (None, False)}
    return ", ".join(f"{name} {value}" for name, value in named.items())


def as_text(figures: Mapping[str, Any]) -> str:
    """The table and, where there are any, the samples, for a terminal."""
    rows = [HEAD, *table_lines(figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, len(HEAD) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines = [f"{figures.get('weights', '')} on {figures.get('text', '')}", "", *lines]
    if sampling := figures.get("sampling"):
        lines += ["", f"Text drawn with {sampling_text(sampling)} counted up from text to text."]
    for sample in figures.get("samples") or ():
        lines += ["", f"[{sample['prompt']}]{sample['text']}"]
    # A control character in a model's text must not command the terminal.
    return "".join(c if c == "\n" or c.isprintable() else " " for c in "\n".join(lines))


def shown(value: object) -> str:
    """A number as people read it; a dash for one that could not be measured."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
