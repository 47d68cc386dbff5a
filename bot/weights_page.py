"""What a folder of weights says of itself, in plain lines for both fronts.

Its card comes from anywhere, so that nothing in it is taken to be of any type.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from bot.health import megabytes
from bot.shelf import ShelfEntry
from bot.wording import short

SHOWN = 6  # licences that are named


def card_lines(entry: ShelfEntry) -> list[tuple[str, str]]:
    """What is told, and it."""
    card = entry.card
    size = sum(file.stat().st_size for file in entry.folder.iterdir() if file.is_file())
    lines = [("Weights", f"{entry.name}{' (active)' if entry.active else ''}")]
    if entry.problem:
        lines.append(("Not usable", entry.problem))
    lines.append(("About", short(str(card["about"]), 300)) if "about" in card else ("About", "nothing is said"))
    lines.append(("Rating", short(str(card.get("rating", "not said")), 40)))
    lines.append(("Size", f"{_parameters(card)}, {megabytes(size)}"))
    lines.append(("Evaluation", _evaluation(card)))
    lines.append(("Licences of the corpora", _licences(card)))
    if "credits" in card:
        lines.append(("Credits", short(str(card["credits"]), 200)))
    return lines


def _parameters(card: dict[str, Any]) -> str:
    count = card.get("parameters")
    return f"{count / 1e6:.1f} million parameters" if isinstance(count, int) else "parameters not counted"


def _evaluation(card: dict[str, Any]) -> str:
    found = card.get("evaluation")
    scores = found if isinstance(found, dict) else card
    bits = scores.get("bits_per_byte")
    if not isinstance(bits, int | float):
        return "none"
    text = f" on {short(str(scores['text']), 80)}" if "text" in scores else ""
    return f"{bits:.3f} bits per byte{text}"


def _licences(card: dict[str, Any]) -> str:
    corpora = card.get("corpora")
    rows = [row for row in corpora if isinstance(row, dict)] if isinstance(corpora, list) else []
    counts = Counter(short(str(row.get("licence", "not said")), 80) for row in rows)
    if not counts:
        return "not said"
    named = [f"{licence} ({count})" if count > 1 else licence for licence, count in counts.most_common(SHOWN)]
    return "; ".join(named + ["…"] * (len(counts) > SHOWN))
