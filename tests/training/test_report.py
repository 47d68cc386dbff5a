"""The page about a run: what a reader finds on it, whatever state the run is in and whatever its files hold."""

from __future__ import annotations

import json
import math
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import Ground
from training.__main__ import main
from training.charts import Chart, Curve, draw, linear_axis, log_axis, value_axis
from training.curves import Point, points_of, smooth, speed, thin

NO_END = {"meta"}  # tags that are never closed
NEVER = {"script", "link", "iframe", "img", "object", "embed"}  # what runs, or loads something

values = st.floats(-1e6, 1e6)
curves = st.lists(values, min_size=1, max_size=300).map(lambda ys: [Point(i + 1, y) for i, y in enumerate(ys)])


class Page(HTMLParser):
    """The page's text, and a check that it is whole, still, and loads nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.tags: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []
        assert not NEVER.intersection(self.tags)
        assert "url(" not in self.source
        assert "@import" not in self.source

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href", "srcset"}.intersection(dict(attrs))
        assert not any(name.startswith("on") for name, _ in attrs)
        self.tags.append(tag)
        if tag not in NO_END:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(run: Path, out: Path, *more: object) -> Page:
    assert main(["report", str(run), "--out", str(out), *map(str, more)]) == 0
    return Page(out)


def test_a_finished_run(ground: Ground, tmp_path: Path) -> None:
    page = page_of(ground.run, tmp_path / "deep" / "page.html")
    for said in (
        "30 of 30", "Training loss", "Validation", "Learning rate", "Gradient norm", "Speed", "bits per byte", "muon",
        "stories.txt.xz", "notes_synthetic.txt", "synthetic: written by another language model", "public domain", "75%",
    ):  # fmt: skip
        assert said in page.text
    assert page.tags.count("svg") == 5
    assert page.tags.count("title") > 30  # one for the page, the others tell what is under the pointer
    assert str(tmp_path) not in page.source


def test_the_page_lies_in_the_run_unless_told_otherwise(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(ground.run, tmp_path / "run")
    capsys.readouterr()
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    assert (run / "report.html").is_file()


def test_a_run_that_was_cut_off_before_its_first_checkpoint(tmp_path: Path) -> None:
    whole = {"step": 1, "loss": 5.5, "norm": 1.0, "rate": 0.1, "tokens": 64, "seconds": 0.1}
    rows = [whole, {"step": 2, "loss": math.nan, "norm": math.inf}, {"step": 3, "loss": "x"}, ["step"], 7]
    log = "\n".join(map(json.dumps, rows)) + '\n{"step": 4, "lo'
    (tmp_path / "log.jsonl").write_text(log)
    page = page_of(tmp_path, tmp_path / "page.html")
    assert "no readable checkpoint" in page.text
    assert "5.500 nats per token" in page.text
    (tmp_path / "checkpoint.pt").write_bytes(b"half a checkpoint")
    assert "no readable checkpoint" in page_of(tmp_path, tmp_path / "page.html").text


def test_samples_are_shown_by_prompt_and_step_and_as_text(ground: Ground, tmp_path: Path) -> None:
    run = shutil.copytree(ground.run, tmp_path / "run")
    texts = {step: f" told at {step} <script>alert(1)</script> & more" for step in range(1, 31)}
    rows = [json.dumps({"step": s, "prompt": "Once <b>upon</b>", "text": t}) for s, t in texts.items()]
    rows += ['{"step": 30, "prompt": "\\ud800 $title ${body}", "text": "\\u0007\\u202e\\udfff"}', '{"step": 31, "pro']
    (run / "samples.jsonl").write_text("\n".join(rows))
    page = page_of(run, tmp_path / "page.html")
    assert "Once <b>upon</b>" in page.text
    assert "told at 1 <script>alert(1)</script> & more" in page.text
    assert "told at 30 " in page.text
    assert "told at 29 " not in page.text  # some of the steps
    assert "$title ${body}" in page.text
    assert "\u202e" not in page.source


def test_an_evaluation_is_shown_as_a_table(
    ground: Ground, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    text = ground.corpora / "valid.txt"
    assert main(["evaluate", "--weights", str(tiny_weights), "--text", str(text), "--generate", "2", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(figures | {"text": "<i>valid</i>.txt"}))
    page = page_of(ground.run, tmp_path / "page.html", "--evaluation", path)
    assert str(figures["bits_per_byte"]) in page.text
    assert "sentence_order" in page.text
    assert "<i>valid</i>.txt" in page.text
    assert "repetition penalty 1.15" in page.text


def test_exported_weights_bring_their_card_and_write_the_samples(ground: Ground, tmp_path: Path) -> None:
    run = shutil.copytree(ground.run, tmp_path / "run")
    (run / "samples.jsonl").unlink(missing_ok=True)
    weights = tmp_path / "spark"
    arguments = ["--run", run, "--out", weights, "--text", ground.corpora / "valid.txt"]
    assert main(["export", *map(str, arguments)]) == 0
    card = json.loads((weights / "card.json").read_text(encoding="utf-8"))
    page = page_of(run, tmp_path / "page.html", "--weights", weights)
    for said in ("spark", str(card["evaluation"]["bits_per_byte"]), "a fox named Mira", f"{card['parameters']:,}"):
        assert said in page.text
    strange = {"name": "x", "training": 7, "corpora": [{"weight": "much"}, {}], "evaluation": {"train": 3, "text": 4}}
    (weights / "card.json").write_text(json.dumps(strange))
    page_of(run, tmp_path / "page.html", "--weights", weights)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "name the folder that `train` writes to"),
        ({"log.jsonl": ""}, "has no row yet"),
        ({"log.jsonl": '{"step": 1}', "e.json": "{"}, "cannot be read as JSON"),
        ({"log.jsonl": '{"step": 1}', "e.json": "[]"}, "holds no figures"),
        ({"log.jsonl": '{"step": 1}'}, "cannot be read as JSON"),
    ],
)
def test_what_is_no_run_or_no_evaluation_is_refused(
    files: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert main(["report", str(tmp_path), "--evaluation", str(tmp_path / "e.json")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@given(curves)
def test_thinning_keeps_what_sticks_out_and_means_stay_within(points: list[Point]) -> None:
    thinned = thin(points, 20)
    assert len(thinned) <= 20 + 2
    assert set(thinned) <= set(points)
    assert [p.step for p in thinned] == sorted({p.step for p in thinned})
    for extreme in (min, max):
        assert extreme(p.value for p in thinned) == extreme(p.value for p in points)
    low, high = min(p.value for p in points), max(p.value for p in points)
    assert [p.step for p in smooth(points)] == [p.step for p in points]
    assert all(low - 1 <= p.value <= high + 1 for p in smooth(points))


@given(st.lists(st.floats(1e-6, 1e6), min_size=1), st.sampled_from(["auto", "from zero"]))
def test_axes_hold_all_values_and_few_marks(shown: list[float], scale: str) -> None:
    axis = value_axis(shown, scale)
    assert axis.low <= min(shown) * (1 + 1e-9)
    assert axis.high >= max(shown) * (1 - 1e-9)
    assert axis.low < axis.high
    assert len(axis.ticks) <= 12
    assert all(0 <= axis.place(value) <= 1 for value in (*shown, *axis.ticks))


def test_marks_are_round_numbers() -> None:
    assert linear_axis(0, 0.97, 5).ticks == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert linear_axis(5, 5, 5).low <= 5 < linear_axis(5, 5, 5).high
    assert log_axis(1.7, 8).ticks == [2, 3, 4, 5, 6, 8]


def test_of_a_resumed_run_the_later_row_counts_and_speed_is_by_its_own_clock() -> None:
    rows = [
        {"step": step, "loss": loss, "tokens": 100 * step, "seconds": 2.0 * step}
        for step, loss in ((1, 9.0), (2, 8.0), (2, 7.0), (3, 6.0))
    ]
    assert points_of(rows, "loss") == [(1, 9.0), (2, 7.0), (3, 6.0)]
    assert speed(rows) == [(2, 50.0), (3, 50.0)]


def test_a_chart_without_points_is_left_out() -> None:
    assert draw(Chart("Speed", "tokens", [Curve([])], 10)) == ""
    assert "<svg" in draw(Chart("Speed", "tokens", [Curve([Point(10, 1.0)])], 10))
