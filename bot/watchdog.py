"""Signs of life for whoever started the process, in the words of systemd's sd_notify(3).

A sign is sent by the event loop, and only while the engine moves: where either is stuck the signs stop, and the service
manager starts the process anew. Without `NOTIFY_SOCKET` nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping

from engine.worker import Worker

# The longest that a sound engine is silent: weights of half a gigabyte come from a slow disk, or read a full context.
PATIENCE = 240.0  # seconds
SIGNS = 3  # in the time after which the manager gives up


class Watchdog:
    """Says whether the process is alive.

    Args:
        patience: seconds that the engine may work without a sign of life.
    """

    def __init__(
        self, worker: Worker, *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._worker, self._patience, self._clock = worker, patience, clock
        self._seen: tuple[object, int] | None = None
        self._since = clock()

    def alive(self) -> bool:
        """Whether the engine has nothing to do, or has done something lately; asked again and again."""
        progress, now = self._worker.progress, self._clock()
        if progress is None or progress != self._seen:
            self._seen, self._since = progress, now
        return now - self._since <= self._patience


class Notifier:
    """Speaks to the service manager. `close`."""

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def say(self, state: str) -> None:
        """A manager that does not listen is no reason to stop."""
        with contextlib.suppress(OSError):
            self._socket.sendto(state.encode(), self._address)

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def watched(
    worker: Worker,
    environment: Mapping[str, str] = os.environ,
    *,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[None]:
    """Tells the manager that the process is ready, then that it lives, and at the end that it is going."""
    address = environment.get("NOTIFY_SOCKET")
    if not address or not hasattr(socket, "AF_UNIX"):
        yield
        return
    notifier = Notifier(address)
    watchdog = Watchdog(worker, patience=patience, clock=clock)
    signs = asyncio.create_task(_give_signs(notifier, watchdog, _every(environment)))
    try:
        notifier.say("READY=1")
        yield
    finally:
        notifier.say("STOPPING=1")
        signs.cancel()
        await asyncio.wait({signs})
        notifier.close()


async def _give_signs(notifier: Notifier, watchdog: Watchdog, every: float | None) -> None:
    while every is not None:
        if watchdog.alive():
            notifier.say("WATCHDOG=1")
        await asyncio.sleep(every)


def _every(environment: Mapping[str, str]) -> float | None:
    """Seconds between two signs; None where the manager waits for none, or for another process's."""
    wanted, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or not int(wanted) or (process and process != str(os.getpid())):
        return None
    return int(wanted) / 1e6 / SIGNS
