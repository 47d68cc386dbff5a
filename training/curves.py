"""From the rows of a run's log to what its report draws: few points, in which nothing that matters is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, TypeGuard

RAW_POINTS = 600
SMOOTH_SHARE = 1 / 50  # of all steps: the width of the running mean
SPEED_SPANS = 80
FAR = 1e100  # what lies beyond is no measurement


class Point(NamedTuple):
    step: int
    value: float


def points_of(rows: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    """The rows' values under this key, where they are numbers, by step; of two rows of one step the later counts."""
    values = {row["step"]: row[key] for row in rows if is_number(row.get(key))}
    return [Point(step, float(value)) for step, value in sorted(values.items())]


def is_number(value: object) -> TypeGuard[float]:
    """Whether it can be drawn: a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -FAR < value < FAR


def smooth(points: Sequence[Point]) -> list[Point]:
    """Running mean over `SMOOTH_SHARE` of the points, half of them on each side of a step.

    The first steps, where a loss falls fast, are averaged over ever more of them; the last ones over those before.
    """
    sums = [0.0, *accumulate(point.value for point in points)]
    reach = max(1, int(len(points) * SMOOTH_SHARE / 2))
    means = []
    for i, point in enumerate(points):
        begin, end = max(0, i - reach), min(len(points), i + min(reach, i) + 1)
        means.append(Point(point.step, (sums[end] - sums[begin]) / (end - begin)))
    return means


def thin(points: Sequence[Point], most: int = RAW_POINTS) -> list[Point]:
    """At most about `most` points: of each stretch the lowest and the highest, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / (most // 2))
    kept = []
    for begin in range(0, len(points), size):
        stretch = points[begin : begin + size]
        low, high = min(stretch, key=lambda p: p.value), max(stretch, key=lambda p: p.value)
        kept += [low] if low is high else sorted((low, high))
    return kept


def speed(rows: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Tokens per second over stretches of the run, by the clock of its steps alone."""
    told = {row["step"]: row for row in rows if is_number(row.get("tokens")) and is_number(row.get("seconds"))}
    steps = sorted(told)
    size = max(1, math.ceil(len(steps) / SPEED_SPANS))
    ends = [told[step] for step in steps[::size]]
    return [
        Point(after["step"], (after["tokens"] - before["tokens"]) / (after["seconds"] - before["seconds"]))
        for before, after in pairwise(ends)
        if after["seconds"] > before["seconds"]
    ]
