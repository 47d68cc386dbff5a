"""Cancelling at any await, in short; `python -m benchmarks.reliability.cancellation` is the long form."""

from __future__ import annotations

from benchmarks.reliability.cancellation import at_every_await, cancellations


def test_cancelling_loses_and_doubles_nothing() -> None:
    count = cancellations(40)
    assert count["sequences"] >= 40
    assert count["cancelled"] > 0


def test_whoever_is_cancelled_in_the_line_leaves_the_channel_free() -> None:
    """With one that writes and two behind: also while those are told that the line has moved."""
    count = at_every_await("add", company=3)
    assert count["cancelled"] > 10
