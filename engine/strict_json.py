"""JSON that somebody brings, read strictly: what two programs could read in two ways is refused.

Names come once, numbers are finite and of a size that arithmetic bears, text is whole Unicode, and nothing nests deeper
or holds more parts than the files of a model do. So whatever is built of it stays small, and whatever is shown can be.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 32
MAX_PARTS = 1 << 20  # lists and objects; a vocabulary of 150,000 has as many merges
MAX_DIGITS = 18  # of a whole number: below 2**63
FIRST = b"{"


def parse_object(text: bytes) -> dict[str, Any]:
    """The object that stands there.

    Raises:
        ValueError: there is none, or one that could be misread; the message is a clause.
    """
    if text.count(b"[") + text.count(b"{") > MAX_PARTS:
        raise ValueError("it has too many parts")
    try:
        value = json.loads(
            text.decode("utf-8"), object_pairs_hook=_unique, parse_int=_whole, parse_float=_finite,
            parse_constant=_no_number,
        )  # fmt: skip
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON from character {error.pos:,} on") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 from byte {error.start:,} on") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    _check_parts(value)
    return value


def _check_parts(value: Any) -> None:
    """Depth, and text that no encoding can carry: half of a surrogate pair."""
    layer: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for parts in layer:
            values = [*parts, *parts.values()] if isinstance(parts, dict) else parts
            try:
                "".join([part for part in values if isinstance(part, str)]).encode()
            except UnicodeEncodeError:
                raise ValueError("it holds text that is no Unicode") from None
            deeper += [part for part in values if isinstance(part, dict | list)]
        if not deeper:
            return
        layer = deeper
    raise ValueError("it nests too deeply")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name comes twice in it")
    return values


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("it holds a number that is too large")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("it holds a number that is too large")
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")
