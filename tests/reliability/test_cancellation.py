"""Cancelling at any await, in short; `python -m benchmarks.reliability.cancellation` is the long form."""

from __future__ import annotations

from benchmarks.reliability.cancellation import cancellations


def test_cancelling_loses_and_doubles_nothing() -> None:
    count = cancellations(40)
    assert count["sequences"] >= 40
    assert count["cancelled"] > 0
