"""python -m training report RUN [--weights DIR] [--evaluation FILE] [--out FILE]

One HTML page about a run, finished or not: what was trained on what, its curves, what it wrote along the way, and how
it was evaluated. The page loads nothing from anywhere, and everything that comes from a file stands in it as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from engine.folder import read_card
from engine.generation import Engine
from engine.model import GPT, GPTConfig
from training.card import describe_run
from training.charts import Chart, Curve, draw
from training.checkpoint import read_checkpoint
from training.continuations import answer_prompts
from training.curves import Point, is_number, points_of, smooth, speed, thin
from training.errors import RunError
from training.figures import HEAD, MEANINGS, sampling_text, shown, table_lines
from training.progress import read_rows
from training.record import RUN
from training.samples import SAMPLES

TEMPLATE = Path(__file__).with_name("report.html")
SHOWN_STEPS = 6  # of the samples along training: the writing changes fast at first, then ever more slowly
TIPS = 120


@dataclass(frozen=True)
class ReportOptions:
    run: Path
    weights: Path | None = None  # what was exported from it: its card and, where the run kept none, its samples
    evaluation: Path | None = None  # what `evaluate --json` printed, instead of the card's
    out: Path | None = None  # None: report.html in the run's folder


@dataclass
class Told:
    """What the files beside a log say of a run."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)  # of run.json, the card, or the checkpoint
    corpora: list[dict[str, Any]] = field(default_factory=list)
    evaluation: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def report(options: ReportOptions) -> Path:
    """Write the page; returns where.

    Raises:
        RunError: the folder holds no log of a run, or the evaluation is not what `evaluate --json` prints.
        WeightsError: the weights are named but missing or damaged.
    """
    log = options.run / "log.jsonl"
    if not log.is_file():
        raise RunError(f"{log} is missing; name the folder that `train` writes to.")
    rows = read_rows(log)
    if not rows:
        raise RunError(f"{log} has no row yet; wait for the run's first step.")
    told = gather(options)
    parts = [facts_part(told, rows), charts_part(rows)]
    if told.evaluation:
        parts.append(evaluation_part(told.evaluation))
    if samples := read_rows(options.run / SAMPLES):
        parts.append(along_part(samples))
    elif options.weights is not None:
        written = as_objects(told.evaluation.get("samples")) or answer_prompts(Engine.load(options.weights))
        parts.append(final_part(written))
    if told.corpora:
        parts.append(corpora_part(told.corpora))
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=text(told.name), lead=text(told.note), body="\n".join(parts), footer=footer(options)
    )
    out = options.out or options.run / "report.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(page.encode("utf-8", "replace"))  # a lone surrogate in a sample must not cost the page
    return out


def gather(options: ReportOptions) -> Told:
    """From the weights' card where weights are named, else from the checkpoint, else from what the run noted."""
    noted = read_object(options.run / RUN) if (options.run / RUN).is_file() else {}
    evaluation = read_object(options.evaluation) if options.evaluation is not None else {}
    name = str(noted.get("preset") or options.run.resolve().name)
    if options.weights is not None:
        card = read_card(options.weights)
        facts = noted | {"parameters": card.get("parameters")} | as_object(card.get("training"))
        evaluation = evaluation or as_object(card.get("evaluation"))
        about, corpora = str(card.get("about", "")), as_objects(card.get("corpora"))
        return Told(str(card.get("name") or name), facts, corpora, evaluation, about)
    try:
        saved = read_checkpoint(options.run / "checkpoint.pt")
        card = describe_run(saved)
        parameters = noted.get("parameters") or GPT(GPTConfig(**saved["config"])).parameter_count()
        facts = noted | {"parameters": parameters} | card["training"]
        return Told(str(saved["preset"]["name"]), facts, card["corpora"], evaluation, str(saved["preset"]["about"]))
    except (RunError, KeyError, TypeError):
        return Told(name, noted, [], evaluation, "This run has no readable checkpoint yet; the log alone is shown.")


def facts_part(told: Told, rows: Sequence[Mapping[str, Any]]) -> str:
    facts, last = told.facts, rows[-1]
    losses, fits = smooth(points_of(rows, "loss")), points_of(rows, "bits_per_byte")
    seconds = points_of(rows, "seconds")
    planned = f" of {shown(facts['planned_steps'])}" if "planned_steps" in facts else ""
    listed = {
        "Preset": facts.get("preset"),
        "Parameters": facts.get("parameters"),
        "Steps": f"{last['step']:,}{planned}",
        "Tokens read": last.get("tokens"),
        "Training time": duration(seconds[-1].value) if seconds else None,
        "Training loss": f"{losses[-1].value:.3f} nats per token" if losses else None,
        "Validation": f"{fits[-1].value:.4f} bits per byte, step {fits[-1].step:,}" if fits else None,
        "Optimizer": facts.get("optimizer"),
        "Schedule": facts.get("schedule"),
        "Arithmetic": facts.get("arithmetic"),
        "Computed on": facts.get("device"),
        "Threads": facts.get("threads"),
        "Peak memory": f"{shown(facts['peak_memory_mb'])} MB" if "peak_memory_mb" in facts else None,
    }
    items = (
        f"<div><dt>{text(name)}</dt><dd>{text(shown(value))}</dd></div>"
        for name, value in listed.items()
        if value is not None
    )
    return f'<dl class="facts">{"".join(items)}</dl>'


def charts_part(rows: Sequence[Mapping[str, Any]]) -> str:
    losses, fits = points_of(rows, "loss"), points_of(rows, "bits_per_byte")
    rates, norms, speeds = points_of(rows, "lr"), points_of(rows, "norm"), speed(rows)
    rate_unit = "lr of the preset" if rates else "share of the full rate"
    rates = rates or points_of(rows, "rate")
    means, calm = smooth(losses), smooth(norms)
    last = max(row["step"] for row in rows)
    charts = (
        Chart(
            "Training loss", "nats per token, running mean", [Curve(thin(losses), "faint"), Curve(thin(means))], last,
            tips(means, "{:.3f} nats per token"),
        ),
        Chart(
            "Validation", "bits per byte, beginning of the held-out text", [Curve(fits), Curve(fits, "dots")], last,
            tips(fits, "{:.4f} bits per byte"),
        ),
        Chart("Learning rate", rate_unit, [Curve(thin(rates))], last, tips(rates, "{:.4g}"), scale="from zero"),
        Chart(
            "Gradient norm", "before clipping", [Curve(thin(norms), "faint"), Curve(thin(calm))], last,
            tips(calm, "{:.3f}"),
        ),
        Chart("Speed", "tokens per second", [Curve(speeds)], last, tips(speeds, "{:,.0f} tokens/s"), scale="from zero"),
    )  # fmt: skip
    return f'<div class="charts">{"".join(map(draw, charts))}</div>'


def tips(points: Sequence[Point], form: str) -> list[tuple[int, str]]:
    """What is told of some of the points, evenly spread."""
    chosen = points[:: -(-len(points) // TIPS) or 1]
    return [(step, f"step {step:,}: {form.format(value)}") for step, value in chosen]


def along_part(samples: Sequence[Mapping[str, Any]]) -> str:
    """For each prompt what was written at some of the steps."""
    told: dict[str, dict[int, str]] = {}
    for row in samples:
        told.setdefault(str(row.get("prompt", "")), {})[row["step"]] = str(row.get("text", ""))
    parts = []
    for prompt, texts in told.items():
        items = "".join(
            f"<dt>step {step:,}</dt><dd>{text(texts[step].lstrip(' '))}</dd>" for step in some_steps(sorted(texts))
        )
        parts.append(f'<section class="sample"><h3>{text(prompt)} …</h3><dl>{items}</dl></section>')
    left_out = any(len(texts) > SHOWN_STEPS for texts in told.values())
    note = f'<p class="note">At some of the steps; {SAMPLES} holds all.</p>' if left_out else ""
    return f"<h2>Samples along training</h2>{note}{''.join(parts)}"


def some_steps(steps: Sequence[int]) -> list[int]:
    """The first, the last, and some between, early ones closer together: there the writing changes fastest."""
    last = len(steps) - 1
    places = {0, *(round(last ** (i / (SHOWN_STEPS - 1))) for i in range(1, SHOWN_STEPS))}
    return [steps[place] for place in sorted(places)]


def final_part(samples: Sequence[Mapping[str, Any]]) -> str:
    """What the finished weights write, the prompt in bold."""
    parts = (f"<p><b>{text(sample.get('prompt', ''))}</b>{text(sample.get('text', ''))}</p>" for sample in samples)
    return f'<h2>Samples</h2><div class="sample">{"".join(parts)}</div>'


def evaluation_part(figures: Mapping[str, Any]) -> str:
    head = "".join(f"<th{number_class(column)}>{text(name)}</th>" for column, name in enumerate(HEAD))
    rows = []
    for line in table_lines(figures):
        meaning = f"<small>{text(MEANINGS[line.figure])}</small>" if line.figure in MEANINGS else ""
        cells = "".join(f"<td{number_class(column)}>{text(cell)}</td>" for column, cell in enumerate(line[1:], 1))
        rows.append(f"<tr><th>{text(line.figure)}{meaning}</th>{cells}</tr>")
    sampling = sampling_text(as_object(figures.get("sampling")))
    note = f"Of the exported weights on {figures.get('text', 'held-out text')}."
    note += f" Text was drawn with {sampling}." if sampling else ""
    return f'<h2>Evaluation</h2><p class="note">{text(note)}</p>{table(head, rows)}'


def corpora_part(corpora: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for corpus in corpora:
        notes = "".join(f"<small>{text(corpus[key])}</small>" for key in ("credit", "note") if corpus.get(key))
        share, size = corpus.get("weight"), corpus.get("bytes")
        numbers = (
            f"{share:.0%}" if is_number(share) else "", shown(corpus.get("documents")),
            f"{size / 1e6:,.1f}" if is_number(size) else "",
        )  # fmt: skip
        cells = "".join(f'<td class="n">{text(cell)}</td>' for cell in numbers)
        name, licence = text(corpus.get("file", "")), text(corpus.get("licence", ""))
        rows.append(f"<tr><th>{name}{notes}</th>{cells}<td>{licence}</td></tr>")
    head = '<th>file</th><th class="n">share</th><th class="n">documents</th><th class="n">MB</th><th>licence</th>'
    return f"<h2>Corpora</h2>{table(head, rows)}"


def table(head: str, rows: Sequence[str]) -> str:
    body = "".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def footer(options: ReportOptions) -> str:
    weights = f" --weights {options.weights.name}" if options.weights is not None else ""
    return f"<code>{text(f'python -m training report {options.run.resolve().name}{weights}')}</code>"


def duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else "under 1 min"


def number_class(column: int) -> str:
    return ' class="n"' if 0 < column < len(HEAD) - 1 else ""


def text(value: object) -> str:
    """Anything as text of the page: markup is shown, not obeyed."""
    return escape("".join(c if c in "\n\t" or c.isprintable() else " " for c in str(value)))


def read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read as JSON; name a file that `evaluate --json` printed.") from error
    if not isinstance(found, dict):
        raise RunError(f"{path} holds no figures; name a file that `evaluate --json` printed.")
    return found


def as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
