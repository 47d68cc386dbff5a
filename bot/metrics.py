"""Figures for Prometheus, on this machine alone and only where an operator asked for them.

The text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Self

from bot.errors import StartError
from bot.health import Health

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PATIENCE = 5.0  # seconds for a request to come in
MAX_REQUEST = 8192  # bytes


def render(health: Health) -> str:
    """The figures as text."""
    tally, info = health.tally, health.engine
    figures: list[tuple[str, str, str, float | None]] = [
        ("replies_total", "counter", "Replies that the engine wrote.", tally.replies),
        ("tokens_total", "counter", "Tokens of those replies.", tally.tokens),
        ("writing_seconds_total", "counter", "Seconds in which it wrote them.", tally.seconds),
        ("lessons_total", "counter", "Lessons that it learnt.", tally.lessons),
        ("failures_total", "counter", "Replies and lessons that failed.", tally.failures),
        ("queue_jobs", "gauge", "Jobs that wait for the engine.", health.waiting),
        ("queue_places", "gauge", "Jobs that may wait.", health.queue),
        ("sessions", "gauge", "Channels in memory.", health.sessions),
        ("resident_memory_bytes", "gauge", "Memory of the process.", health.resident),
        ("database_bytes", "gauge", "The database and its journal.", health.database),
        ("uptime_seconds", "gauge", "Time since the start.", health.uptime),
    ]
    lines = []
    for name, kind, about, value in figures:
        if value is not None:
            full = f"miniature_{name}"
            lines += [f"# HELP {full} {about}", f"# TYPE {full} {kind}", f"{full} {value:.15g}"]
    labels = {"name": info.name, "base_id": info.base_id[:12], "backend": info.backend}
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    lines += ["# HELP miniature_weights The weights that write.", "# TYPE miniature_weights gauge",
              f"miniature_weights{{{inside}}} 1"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class Metrics:
    """A server that answers `GET /metrics`."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, health: Callable[[], Health], port: int) -> Self:
        """Raises `StartError`."""
        metrics = cls(health)
        try:
            metrics._server = await asyncio.start_server(metrics._answer, HOST, port, limit=MAX_REQUEST)
        except OSError as error:
            raise StartError(
                f"The metrics cannot be served on {HOST}:{port} ({error.strerror or error}): choose another"
                " MINIATURE_METRICS_PORT, or leave it out."
            ) from error
        return metrics

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Idempotent."""
        if self._server is not None:
            self._server.close()
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("a request for metrics was not answered: %s", type(error).__name__)
        finally:
            self._answering.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _response(self, head: bytes) -> bytes:
        method, path, *_ = [*head.split(b"\r\n", 1)[0].split(b" "), b"", b""]
        if path.split(b"?")[0] != b"/metrics":
            status, body = "404 Not Found", "The figures are at /metrics.\n"
        elif method != b"GET":
            status, body = "405 Method Not Allowed", "Ask with GET.\n"
        else:
            status, body = "200 OK", render(self._health())
        content = body.encode()
        lines = [f"HTTP/1.1 {status}", "Content-Type: text/plain; version=0.0.4; charset=utf-8",
                 f"Content-Length: {len(content)}", "Connection: close", "", ""]  # fmt: skip
        return "\r\n".join(lines).encode() + content
