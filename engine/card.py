"""card.json: what a weights folder says of itself, and what of that people are shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import WeightsError

RATINGS = ("general", "mature", "unknown")
MAX_NAME, MAX_TEXT = 100, 4000  # characters


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_measure(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


def _is_fit(value: Any) -> bool:
    """A measure, or for each of several texts those before and after a training."""
    return _is_measure(value) or (
        isinstance(value, dict)
        and all(isinstance(pair, dict) and all(map(_is_measure, pair.values())) for pair in value.values())
    )


def _are_corpora(value: Any) -> bool:
    """Of each corpus, where it says so, the file, the licence and the rating."""
    return isinstance(value, list) and all(
        isinstance(corpus, dict)
        and all(_is_text(corpus.get(key, "")) for key in ("file", "licence"))
        and corpus.get("rating", "general") in RATINGS
        for corpus in value
    )


# What is shown or reckoned with; all else in a card is kept as it is.
KINDS: dict[str, Callable[[Any], bool]] = {
    "name": _is_name,
    "rating": lambda value: isinstance(value, str) and value in RATINGS,
    "about": _is_text,
    "licence": _is_text,
    "parameters": _is_count,
    "bits_per_byte": _is_fit,
    "evaluation": lambda value: isinstance(value, dict) and _is_measure(value.get("bits_per_byte", 0)),
    "corpora": _are_corpora,
    "sha256": _is_name,
}


def check_card(card: dict[str, Any], path: Path) -> dict[str, Any]:
    """The card itself.

    Raises:
        WeightsError: something that people are shown is of another kind than it should be.
    """
    for key, fits in KINDS.items():
        if key in card and not fits(card[key]):
            raise WeightsError(f"{path}: {key} is of another kind than a card has; mend it or remove the file.")
    return card
