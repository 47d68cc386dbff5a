"""The real bot as a child process that talks to the loopback instead of to Discord."""
# ruff: noqa: ASYNC109  (a timeout is part of what a test says it waits for)

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from .server import DiscordServer

SITE = Path(__file__).parent / "site"
ROOT = Path(__file__).parents[2]


class BotProcess:
    """`async with BotProcess(server, env={...}) as bot:` starts `python -m bot`; the end of the block kills it.

    The child inherits this environment without `MINIATURE_*`; the token is the server's unless `env` has another.
    The redirection is a `sitecustomize` on its PYTHONPATH, so the bot itself knows nothing of it.
    """

    def __init__(self, server: DiscordServer, command: Sequence[str | Path] = ("-m", "bot"), *,
                 env: Mapping[str, str | None] | None = None, cwd: Path | None = None) -> None:  # fmt: skip
        self.server, self.command, self.cwd = server, [str(part) for part in command], cwd or ROOT
        self.env = self._environment(env or {})
        self.stdout, self.stderr = "", ""
        self._process: asyncio.subprocess.Process | None = None
        self._readers: asyncio.Task[None] | None = None
        self._asked_to_end = False
        self._before = (0, 0)

    def _environment(self, given: Mapping[str, str | None]) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("MINIATURE_")}
        env |= {"MINIATURE_DISCORD_TOKEN": self.server.token, "PYTHONUNBUFFERED": "1"}
        for name, value in given.items():
            if value is None:
                env.pop(name, None)
            else:
                env[name] = value
        paths = [str(SITE), str(ROOT), *filter(None, [env.get("PYTHONPATH")])]
        return env | {"LOOPBACK_DISCORD": self.server.base_url, "PYTHONPATH": os.pathsep.join(paths)}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.kill()

    async def start(self) -> None:
        gateway = self.server.gateway
        self._before = (gateway.identified, self.server.registrations)
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self.command, cwd=self.cwd, env=self.env, stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe, stderr=pipe, limit=1 << 24,
        )  # fmt: skip
        self.server.processes.append(self)
        self._readers = asyncio.create_task(self._watch(self._process))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        async def read(stream: asyncio.StreamReader | None, name: str) -> None:
            assert stream is not None
            while raw := await stream.readline():
                setattr(self, name, getattr(self, name) + raw.decode(errors="replace"))
                self.server.touch()

        await asyncio.gather(read(process.stdout, "stdout"), read(process.stderr, "stderr"))
        await process.wait()
        if not self._asked_to_end:
            self.server.fail_waiters(f"the bot ended with code {process.returncode}\n{self.output[-4000:]}")
        self.server.touch()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process else None

    @property
    def output(self) -> str:
        """Standard output and standard error."""
        return self.stdout + self.stderr

    async def wait_ready(self, timeout: float | None = None, *, shards: int = 1, commands: bool = True) -> None:
        """Waits until this start has registered its commands and identified that many shards."""
        identified, registered = self._before
        server = self.server

        def ready() -> bool:
            return server.gateway.identified >= identified + shards and (
                not commands or server.registrations > registered
            )

        await server.wait_for(ready, timeout, "the bot's start")

    async def wait_output(self, text: str, timeout: float | None = None) -> None:
        """Waits until the text stands in the output."""
        await self.server.wait_for(lambda: text in self.output, timeout, f"output {text!r}")

    def signal(self, number: int) -> None:
        """Sends a signal; the process may end from now on."""
        self._asked_to_end = True
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)

    async def wait(self, timeout: float | None = None) -> int:
        """Waits for the end, whoever asked for it, and returns the code."""
        assert self._process is not None
        assert self._readers is not None
        self._asked_to_end = True
        limit = self.server.timeout if timeout is None else timeout
        try:
            await asyncio.wait_for(asyncio.shield(self._readers), limit)
        except TimeoutError:
            raise AssertionError(f"the bot did not end within {limit} s\n{self.server.report()}") from None
        code = self._process.returncode
        assert code is not None
        return code

    async def terminate(self, timeout: float | None = None) -> int:
        """SIGTERM, and the return code; AssertionError if it does not end in time."""
        self.signal(signal.SIGTERM)
        return await self.wait(timeout)

    async def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            await self.wait()
