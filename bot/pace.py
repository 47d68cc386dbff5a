"""How soon a message may be edited again, by what the platform's last answers said of its limits.

discord.py writes down what the headers of an answer say (`X-RateLimit-Remaining`, `-Reset-After`), for one route and
channel at a time, and waits when nothing is left. What it has written down is only read here, so that it is there in
anybody's bot, and nothing of theirs is changed; where a later version keeps it elsewhere, the fixed interval holds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

FASTEST = 0.5  # seconds between edits, however much the platform allows: a reader's eye wants no more
RESERVED = 2  # edits of each window that are kept for the reply's end and its buttons, which then need not wait
_ROUTE = "PATCH /channels/{channel_id}/messages/{message_id}"


@dataclass(frozen=True)
class Budget:
    """What is left of a window: requests, and the seconds until it is over."""

    remaining: int
    resets_in: float


def pause(budget: Budget | None, fixed: float) -> float:
    """Seconds until the next edit: what may be spent is spread over the rest of the window."""
    if budget is None:
        return fixed
    spare = max(0, budget.remaining - RESERVED)
    return max(FASTEST, budget.resets_in / (spare + 1))


def edits_left(http: Any, channel: int) -> Budget | None:
    """What discord.py's HTTP client knows of edits in a channel; None where it knows nothing."""
    hashes, buckets = getattr(http, "_bucket_hashes", {}), getattr(http, "_buckets", {})
    bucket = buckets.get(f"{hashes.get(_ROUTE, _ROUTE)}:{channel}")
    limit, remaining = getattr(bucket, "limit", 1), getattr(bucket, "remaining", 0)
    if limit <= 1:  # none, or one that no header has filled
        return None
    now, expires = asyncio.get_running_loop().time(), getattr(bucket, "expires", None)
    if expires is None or expires <= now:  # the next edit opens a new window
        return Budget(limit, 0.0)
    return Budget(remaining, expires - now)
