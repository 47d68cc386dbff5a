"""The bot of `benchmarks.channels`: the real one, with a probe that writes down how late its event loop is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from bot import discord_app
from bot.logs import configure
from bot.services import Services
from config.settings import load_settings

EVERY = 0.01  # seconds


Late = list[tuple[float, float, float]]


async def probe(late: Late) -> None:
    """When, in seconds of the monotonic clock; how much later than asked for it ran; and how long the thread of the
    loop computed meanwhile, which is how late it would have been on a machine that does nothing else."""
    while True:
        asked, computed = time.monotonic() + EVERY, time.thread_time()
        await asyncio.sleep(EVERY)
        now = time.monotonic()
        late.append((now, max(0.0, now - asked), time.thread_time() - computed))


async def run() -> int:
    late: Late = []
    settings = load_settings()
    configure(settings, console=True)
    async with await Services.open(settings) as services:
        probing = asyncio.create_task(probe(late))
        try:
            return await discord_app.run_bot(services)
        finally:
            probing.cancel()
            write_down(late)


def write_down(late: Late) -> None:
    Path(os.environ["PROBE_FILE"]).write_text(json.dumps(late))


async def idle() -> int:
    """A loop that has nothing to do but to be on time: how late the machine alone makes it."""
    late: Late = []
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    probing = asyncio.create_task(probe(late))
    await over.wait()
    probing.cancel()
    write_down(late)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(idle() if "idle" in sys.argv else run()))
