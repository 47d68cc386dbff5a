"""How much one member, one channel and one server may ask for, so that nobody has the engine for himself.

Each limit is a bucket of so many requests that fills again evenly, and holds no more than its fill: the generic cell
rate algorithm (ITU-T I.371), which keeps one number of each, the moment when the bucket is full again. Nothing is
written down for it. Lessons, whose buckets take a day, are counted again after a restart from the audit's rows.

The rule has no exceptions by role: keepers and owners too have their share, as the engine serves everybody. The
terminal, where one person has a process of their own, has no limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from bot.errors import QuotaSpentError
from config.settings import Settings
from memory import GUILD, Store

What = Literal["requests", "lessons"]
Whose = Literal["member", "channel", "server"]
Limits = Callable[[What, Whose, int | None], int]  # of a server, None: direct messages; 0: no limit

SECONDS: dict[What, float] = {"requests": 60.0, "lessons": 86_400.0}  # in which a bucket fills
TERMINAL = 0  # the channel
LEAST_SWEEP = 1024  # buckets before those that are full again are thrown away
MOST_ACTS = 5_000  # of the audit, that are read for the lessons of a day


@dataclass(frozen=True)
class Asker:
    """Who asks, and where; a server is None in direct messages."""

    member: int | None  # None: nobody in particular
    channel: int
    server: int | None

    @property
    def owners(self) -> list[tuple[Whose, int]]:
        """Those whose share it takes, the smallest first."""
        found: list[tuple[Whose, int | None]] = [
            ("member", self.member), ("channel", self.channel), ("server", self.server)
        ]  # fmt: skip
        return [(whose, one) for whose, one in found if one is not None]


class Quotas:
    """Of all channels of the process."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds, which never go back."""
        self._limits, self._clock = limits, clock
        # By what and whose, and of a member in which server: each server has its own limits.
        self._full_at: dict[tuple[What, Whose, int, int | None], float] = {}  # buckets that are full need not be in it
        self._sweep_at = LEAST_SWEEP

    def __len__(self) -> int:
        """Buckets that are kept."""
        return len(self._full_at)

    def take(self, what: What, asker: Asker, count: int = 1) -> None:
        """Takes so many from all whose share it is, or from none.

        Raises `QuotaSpentError`, which says when one is free again; a share that is smaller than `count` gives all.
        """
        if asker.channel == TERMINAL:
            return
        now, taken = self._clock(), {}
        for whose, one in asker.owners:
            limit = self._limits(what, whose, asker.server)
            if not limit:
                continue
            each = SECONDS[what] / limit
            key = (what, whose, one, asker.server)
            full_at = max(now, self._full_at.get(key, now)) + each * min(count, limit)
            if (free_in := full_at - now - SECONDS[what]) > 1e-6:  # what rounding may do
                raise QuotaSpentError(what, whose, limit, free_in)
            taken[key] = full_at
        self._full_at |= taken
        self._sweep(now)

    def restore(self, what: What, taken: Iterable[tuple[float, Asker]]) -> None:
        """Counts what was taken before this process started: seconds ago, and by whom; the oldest first."""
        now = self._clock()
        for ago, asker in taken:
            for whose, one in asker.owners:
                if limit := self._limits(what, whose, asker.server):
                    key, at = (what, whose, one, asker.server), now - ago
                    self._full_at[key] = max(at, self._full_at.get(key, at)) + SECONDS[what] / limit
        self._sweep(now)

    def _sweep(self, now: float) -> None:
        if len(self._full_at) >= self._sweep_at:
            self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
            self._sweep_at = max(LEAST_SWEEP, 2 * len(self._full_at))


def limits_of(settings: Settings, chosen: Callable[[int, str], int | None] = lambda server, name: None) -> Limits:
    """The operator's limits; a server may have chosen lower ones for itself, by their names."""

    def limit(what: What, whose: Whose, server: int | None) -> int:
        name = f"{what}_per_{whose}" if what == "requests" else f"daily_lessons_per_{whose}"
        own: int = getattr(settings, name)
        lower = None if server is None else chosen(server, name)
        return own if lower is None or (own and lower > own) else lower

    return limit


async def taught_today(store: Store, now: float) -> list[tuple[float, Asker]]:
    """The lessons of the last day, by the audit: seconds ago, and by whom; the oldest first. `now` in Unix seconds."""
    acts = [act for act in await store.audit_rows(MOST_ACTS) if act.action == "teach.add" and act.channel is not None]
    recent = [act for act in reversed(acts) if 0 <= now - act.at < SECONDS["lessons"]]
    servers = {act.channel: await store.setting(f"channel:{act.channel}", GUILD) for act in recent}
    found = []
    for act in recent:
        server = servers[act.channel]
        assert act.channel is not None
        found.append((now - act.at, Asker(act.actor_id, act.channel, None if server is None else int(server))))
    return found
