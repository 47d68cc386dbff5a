"""Line charts as HTML with inline SVG: nothing to load, no script.

Curves are SVG that is stretched to the width there is; numbers and names are HTML beside it, so that they keep their
size on any screen and on paper. What is under the pointer is told by `<title>`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Literal, NamedTuple

from training.curves import Point

WIDTH, HEIGHT = 1000, 400  # of the drawing's own coordinates
LOG_FROM = 3.0  # a curve that spans such a factor is drawn on a logarithmic scale
X_TICKS, Y_TICKS = 6, 5
LEAST_SPAN = 1e-3  # of the values: less is noise of the last digits
ROUND = (1, 2, 5, 10)
LOG_ROUND = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 3), (1,))  # finest first


class Curve(NamedTuple):
    points: Sequence[Point]
    look: Literal["line", "faint", "dots"] = "line"


@dataclass(frozen=True)
class Chart:
    title: str
    unit: str
    curves: Sequence[Curve]
    last_step: int  # where the axis ends, so that all charts of a run lie above each other
    tips: Sequence[tuple[int, str]] = field(default_factory=list)  # what is told at a step
    scale: Literal["auto", "from zero"] = "auto"  # auto: as the values lie, logarithmic where they span much


class Axis(NamedTuple):
    """Where values lie between the ends of an axis."""

    low: float
    high: float
    ticks: list[float]
    log: bool = False

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = math.log(max(value, self.low)) if self.log else value
        return min(max((value - low) / (high - low), 0.0), 1.0)


def draw(chart: Chart) -> str:
    """The chart as a `<figure>`; of a chart without any point, nothing."""
    points = [point for curve in chart.curves for point in curve.points]
    if not points:
        return ""
    x = step_axis(chart.last_step)
    y = value_axis([point.value for point in points], chart.scale)
    unit = f"{chart.unit}, log scale" if y.log else chart.unit
    shapes = [f'<path class="grid" d="M0 {down(y, tick)}H{WIDTH}"/>' for tick in y.ticks]
    shapes += [f'<path class="{curve.look}" d="{path(curve, x, y)}"/>' for curve in chart.curves if curve.points]
    labels = [
        f'<span class="y" style="top:{100 * (1 - y.place(tick)):.2f}%">{name}</span>'
        for tick, name in zip(y.ticks, numbers(y.ticks), strict=True)
    ]
    labels += [f'<span class="x" style="left:{100 * x.place(tick):.2f}%">{tick:,.0f}</span>' for tick in x.ticks]
    return (
        f'<figure class="chart"><figcaption><b>{escape(chart.title)}</b> {escape(unit)}</figcaption><div class="plot">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(chart.title)}">'
        f'{"".join([*shapes, *strips(chart.tips, x)])}</svg>{"".join(labels)}</div><p class="axis">step</p></figure>'
    )


def path(curve: Curve, x: Axis, y: Axis) -> str:
    """The `d` of an SVG path; dots are lines of no length, which keep their shape when the drawing is stretched."""
    places = [f"{x.place(step) * WIDTH:.1f} {down(y, value)}" for step, value in curve.points]
    if curve.look == "dots" or len(places) == 1:
        return "".join(f"M{place}h0" for place in places)
    return "M" + "L".join(places)


def down(y: Axis, value: float) -> str:
    return f"{(1 - y.place(value)) * HEIGHT:.1f}"


def strips(tips: Sequence[tuple[int, str]], x: Axis) -> list[str]:
    """Invisible strips, each as wide as the way to its neighbours, that tell their text under the pointer."""
    middles = [x.place(step) * WIDTH for step, _ in tips]
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(middles)), float(WIDTH)]
    return [
        f'<rect x="{edges[i]:.1f}" width="{max(edges[i + 1] - edges[i], 0.1):.1f}" height="{HEIGHT}">'
        f"<title>{escape(text)}</title></rect>"
        for i, (_, text) in enumerate(tips)
    ]


def value_axis(values: Sequence[float], scale: str) -> Axis:
    low, high = min(values), max(values)
    if scale == "from zero":
        return linear_axis(min(low, 0.0), high, Y_TICKS)
    if low > 0 and high / low > LOG_FROM:
        return log_axis(low, high)
    return linear_axis(low, high, Y_TICKS)


def step_axis(last: int) -> Axis:
    """From 0 to the last step; the marks are round numbers, the end is not."""
    apart = max(1, linear_axis(0, last, X_TICKS).ticks[1])
    return Axis(0, max(last, 1), [i * apart for i in range(int(max(last, 1) // apart) + 1)])


def linear_axis(low: float, high: float, most: int) -> Axis:
    """An axis between round numbers, with at most about `most` of them marked."""
    span = max(high - low, abs(high) * LEAST_SPAN) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    apart = next(nice * power for nice in ROUND if nice * power >= span / most)
    first, last = math.floor(low / apart + 1e-9), math.ceil(high / apart - 1e-9)
    last = max(last, first + 1)
    return Axis(first * apart, last * apart, [i * apart for i in range(first, last + 1)])


def log_axis(low: float, high: float) -> Axis:
    """A logarithmic axis that ends a little outside of the values, with few round numbers marked."""
    low, high = low / 1.05, high * 1.05
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for mantissas in LOG_ROUND:
        ticks = [tick for p in powers for m in mantissas if low <= (tick := m * 10.0**p) <= high]
        if len(ticks) <= Y_TICKS + 1:
            break
    apart = max(1, math.ceil(len(ticks) / (Y_TICKS + 1)))  # over many powers of ten not each of them is marked
    return Axis(low, high, ticks[::apart], log=True)


def numbers(ticks: Sequence[float]) -> list[str]:
    """All with as many decimals as the one that needs most."""
    needed = (len(f"{tick:.6f}".rstrip("0").split(".")[1]) for tick in ticks)
    decimals = max(needed, default=0)
    return [f"{tick:,.{decimals}f}" for tick in ticks]
