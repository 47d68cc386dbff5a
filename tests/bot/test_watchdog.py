"""Signs of life for the service manager: from the loop, and only while the engine moves."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.watchdog import Watchdog, watched
from engine import Context, Engine, SamplingParams
from engine.outcome import Generated
from engine.worker import Worker

ROOT = Path(__file__).parents[2]
SHORT = SamplingParams(max_new_tokens=4)


class Manager:
    """What systemd is to the process: a socket that is told things."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.socket.settimeout(60)

    def environment(self, usec: int) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(usec)}

    async def hears(self) -> str:
        return (await asyncio.to_thread(self.socket.recv, 4096)).decode()

    async def hears_until(self, word: str) -> list[str]:
        heard = [await self.hears()]
        while heard[-1] != word:
            heard.append(await self.hears())
        return heard

    def waiting(self) -> list[str]:
        """What was said and nobody has heard yet."""
        heard: list[str] = []
        self.socket.setblocking(False)
        try:
            while True:
                heard.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return heard
        finally:
            self.socket.settimeout(60)


@pytest.fixture
def manager() -> Iterator[Manager]:
    with tempfile.TemporaryDirectory() as folder:  # the address of a socket is short
        manager = Manager(Path(folder))
        yield manager
        manager.socket.close()


class StuckEngine(Engine):
    """Begins to write, then does nothing until it is let go."""

    started, going = threading.Event(), threading.Event()

    def generate(self, *args: object, **more: object) -> Generated:
        self.started.set()
        assert self.going.wait(60)
        return Generated("x", 1, 0.1, "length")


class Clock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now, self.count = 1000.0, 0

    def __call__(self) -> float:
        self.count += 1
        return self.now

    async def looked_at(self, times: int) -> None:
        target = self.count + times
        while self.count < target:  # noqa: ASYNC110  (the clock is asked in this very loop)
            await asyncio.sleep(0)


@pytest.fixture
def stuck(tiny_weights: Path) -> Iterator[Worker]:
    engine = StuckEngine.load(tiny_weights)
    StuckEngine.started.clear()
    StuckEngine.going.clear()
    yield Worker(engine)
    StuckEngine.going.set()


async def test_a_stuck_engine_is_not_alive(stuck: Worker) -> None:
    clock = Clock()
    watchdog = Watchdog(stuck, patience=60, clock=clock)
    assert watchdog.alive()
    clock.now += 500
    assert watchdog.alive(), "who has nothing to do is not stuck"
    stuck.start()
    job = stuck.generate(Context(text="Once"), SHORT)
    await asyncio.to_thread(StuckEngine.started.wait, 60)
    assert watchdog.alive()
    clock.now += 59
    assert watchdog.alive(), "it may take its time"
    clock.now += 2
    assert not watchdog.alive()
    job.polled()
    assert watchdog.alive(), "every sign of life counts"
    clock.now += 61
    assert not watchdog.alive()
    StuckEngine.going.set()
    await job.result()
    await stuck.close()
    assert watchdog.alive()


async def test_the_signs_stop_where_the_engine_is_stuck(stuck: Worker, manager: Manager) -> None:
    clock = Clock()
    stuck.start()
    async with watched(stuck, manager.environment(3000), patience=60, clock=clock):
        assert (await manager.hears_until("WATCHDOG=1"))[0] == "READY=1"
        job = stuck.generate(Context(text="Once"), SHORT)
        await asyncio.to_thread(StuckEngine.started.wait, 60)
        await clock.looked_at(2)
        clock.now += 61
        manager.waiting()
        await clock.looked_at(20)
        assert manager.waiting() == []
        StuckEngine.going.set()
        await job.result()
        assert await manager.hears() == "WATCHDOG=1"
    assert (await manager.hears_until("STOPPING=1"))[-1] == "STOPPING=1"
    await stuck.close()


async def test_without_a_manager_nothing_is_said(tiny_weights: Path, manager: Manager) -> None:
    worker = Worker(Engine.load(tiny_weights))
    async with watched(worker, {}):
        pass
    async with watched(worker, {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}):
        pass
    assert manager.waiting() == ["READY=1", "STOPPING=1"], "it waits for the signs of another process"
    async with watched(worker, {"NOTIFY_SOCKET": f"{manager.address}-gone", "WATCHDOG_USEC": "1000"}):
        pass


def test_the_real_process_says_that_it_is_ready_and_lives(tiny_weights: Path, tmp_path: Path, manager: Manager) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINIATURE_")}
    environment |= {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(tiny_weights)}
    process = subprocess.Popen(
        [sys.executable, "-m", "bot"], cwd=ROOT, env=environment | manager.environment(300_000),
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with process:
        assert asyncio.run(manager.hears_until("WATCHDOG=1"))[0] == "READY=1"
        assert process.stdin is not None
        process.stdin.close()
        asyncio.run(manager.hears_until("STOPPING=1"))
    assert process.returncode == 0
