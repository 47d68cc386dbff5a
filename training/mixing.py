"""Mature text is never trained on together with text about, for or by children, not even where it comes in passing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from config.presets import mixes_children
from training.errors import CorpusError


def require_unmixed(corpora: Iterable[Mapping[str, Any]]) -> None:
    """`corpora`: entries of a manifest, or of a card, with `file`, `rating` and `children`.

    Raises:
        CorpusError: one of them is mature, and of one nobody has said that it has nothing to do with children.
    """
    listed = [(str(each["file"]), each.get("rating"), each.get("children")) for each in corpora]
    if (sentence := mixes_children(listed)) is not None:
        raise CorpusError(f"{sentence}.")


def corpora_of(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every corpus that weights have learnt from, by their card: of themselves, and of what they began from."""
    found = list(card.get("corpora", []))
    for origin in ("begun_from", "grown_from", "adapted_from"):
        if isinstance(earlier := card.get(origin), Mapping):
            found += corpora_of(earlier)
    if card.get("rating") == "mature" and not any(each.get("rating") == "mature" for each in found):
        found.append({"file": card.get("name", "the weights"), "rating": "mature", "children": "no"})
    return found
