"""Requests that Discord refuses, kept far from the 10,000 in ten minutes for which it bans an address.

Whatever was answered 401, 403, 404, or 429 for reasons of our own counts. Where a channel or a message was refused,
nobody asks for it again for a while, and ever longer; when so many were refused within ten minutes, nobody asks for
anything until the oldest of them is that long ago. What is under way counts as refused until it is answered, so that
no crowd runs past the limit. The first 401 to the bot's own token ends it all: it was revoked.

This is arithmetic with a clock: `bot.http_trace` asks it for each request of a bot of our own, and `asking` for ours
alone in somebody else's.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.errors import HeldBackError

WINDOW = 600.0  # seconds, as the platform counts
MOST_REFUSED = 100  # within them: a hundredth of what brings the ban
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0  # seconds in which a place is not asked again
LEAST_SWEEP = 1024  # places before those are forgotten that may be asked again

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 401, 403, 404, 429
REFUSALS = {UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY}

_SAYING = re.compile(r"/channels/(\d+)/(?:messages|typing)")
_TOKEN = re.compile(r"(/webhooks/\d+/[^/?]+)")


@dataclass
class _Pause:
    until: float
    seconds: float


class Breaker:
    """Of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds, which never go back."""
        self.revoked = asyncio.Event()  # the token is no longer taken
        self.traced = False  # whether each request of the process is asked for already
        self._clock = clock
        self._refused: deque[float] = deque()  # when, the oldest first; none before the window
        self._under_way = 0
        self._answered = asyncio.Event()  # since somebody last looked
        self._pauses: dict[str, _Pause] = {}
        self._sweep_at = LEAST_SWEEP

    @property
    def refused(self) -> int:
        """Requests that were refused within the last ten minutes."""
        self._forget_old()
        return len(self._refused)

    async def admit(self, method: str, path: str) -> None:
        """Lets a request begin, of which `answered` or `broke_off` must tell the end; waits while too many are under
        way. Raises `HeldBackError`."""
        while True:
            if self.revoked.is_set():
                raise HeldBackError(None)
            self._require_time(method, path)
            if self._under_way < MOST_REFUSED - self.refused:
                break
            self._answered.clear()
            await self._answered.wait()
        self._under_way += 1

    def answered(self, method: str, path: str, status: int, *, own_token: bool, shared: bool = False) -> None:
        """`own_token`: it was sent in the bot's name, not in that of an interaction; `shared`: others used up the limit
        that it ran into."""
        self.broke_off()
        place = _place(method, path)
        if status < 400:
            self._pauses.pop(place, None)
            return
        if status not in REFUSALS or (status == TOO_MANY and shared):
            return
        now = self._clock()
        self._refused.append(now)
        if status == UNAUTHORIZED and own_token:
            self.revoked.set()
        if status != TOO_MANY:  # how long that lasts is in its headers, which discord.py obeys
            before = self._pauses.get(place)
            seconds = FIRST_PAUSE if before is None else min(2 * before.seconds, LONGEST_PAUSE)
            self._pauses[place] = _Pause(now + seconds, seconds)
            self._sweep(now)

    def broke_off(self) -> None:
        """A request has ended, in whatever way."""
        self._under_way -= 1
        self._answered.set()

    def _require_time(self, method: str, path: str) -> None:
        now = self._clock()
        pause = self._pauses.get(_place(method, path))
        if pause is not None and now < pause.until:
            raise HeldBackError(pause.until - now)
        if self.refused >= MOST_REFUSED:
            raise HeldBackError(self._refused[0] + WINDOW - now, everywhere=True)

    def _forget_old(self) -> None:
        old = self._clock() - WINDOW
        while self._refused and self._refused[0] <= old:
            self._refused.popleft()

    def _sweep(self, now: float) -> None:
        if len(self._pauses) >= self._sweep_at:
            # One that could be asked again long ago begins anew with the shortest pause.
            self._pauses = {place: one for place, one in self._pauses.items() if now < one.until + LONGEST_PAUSE}
            self._sweep_at = max(LEAST_SWEEP, 2 * len(self._pauses))


@asynccontextmanager
async def asking(breaker: Breaker | None, method: str, path: str) -> AsyncIterator[None]:
    """A request of ours in somebody else's bot; nothing more where the process asks for each one, or has no breaker."""
    if breaker is None or breaker.traced:
        yield
        return
    await breaker.admit(method, path)
    try:
        yield
    except BaseException as error:
        status = getattr(error, "status", None)  # discord.HTTPException's
        if isinstance(status, int):
            breaker.answered(method, path, status, own_token=False)
        else:
            breaker.broke_off()
        raise
    breaker.answered(method, path, 200, own_token=False)


def _place(method: str, path: str) -> str:
    """What is refused as one: saying something in a channel, the answers to one interaction, else the very request."""
    if method == "POST" and (found := _SAYING.fullmatch(path)):
        return found[1]
    if found := _TOKEN.match(path):
        return found[1]
    return f"{method} {path}"
