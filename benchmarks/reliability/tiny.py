"""Weights small enough that thousands of replies take seconds, for what counts instead of reading."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import write_tiny_weights


def two_weights(place: Path) -> tuple[Path, Path]:
    """Two folders of random weights, over the same vocabulary, that continue a text differently."""
    one, other = (write_tiny_weights(place / name, seed) for name, seed in (("one", 1), ("other", 2)))
    return one, other
