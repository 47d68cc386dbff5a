"""What an operator reads of the process: its health, its metrics, its log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import StartError
from bot.health import Health, lasting
from bot.logs import Redacting, configure, log_file
from bot.metrics import MAX_REQUEST, Metrics, render
from bot.redaction import Redactor
from bot.services import Services
from config.settings import Settings, load_settings
from engine.errors import EngineError
from engine.lesson import Lesson
from tests.bot.conftest import ANN, Paper

FIGURE = re.compile(r'miniature_[a-z_]+(\{(\w+="[^"]*",?)+\})? \d+(\.\d+)?(e[+-]\d+)?')


async def ask(port: int, request: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return (await reader.read()).decode()
    except ConnectionResetError:
        return ""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_the_worker_counts_what_it_did(settings: Settings) -> None:
    async with await Services.open(settings) as services:
        before = services.health()
        assert (before.tally.replies, before.waiting, before.sessions) == (0, 0, 0)
        assert "no speed yet" in dict(before.lines)["Done"]
        session = services.session(1)
        await session.start("Fox", "A fox.", ANN)
        written = [(await session.write(None, ANN, Paper())).generated for _ in range(2)]
        with pytest.raises(EngineError):
            await services.worker.teach(Lesson("", "")).result()
        health = services.health()
        assert health.tally.replies == 2
        assert health.tally.tokens == sum(reply.tokens for reply in written if reply)
        assert health.tally.failures == 1
        assert health.sessions == 1
        assert health.database >= services.store.file.stat().st_size > 0
        assert (health.resident or 1) > 0
        assert 0 <= health.uptime < 600
        assert lasting(90061) == "1 d 1 h 1 min"


async def test_warnings_are_told_without_tokens(services: Services) -> None:
    log = logging.getLogger("bot.somewhere")
    log.info("not this")
    log.warning("POST https://discord.com/api/v10/webhooks/12/secret-token/messages/@original\nfailed")
    try:
        raise ValueError("a member's words")
    except ValueError:
        log.exception("%s failed", "story.add")
    lines = services.health().trouble_lines
    assert len(lines) == 2
    assert lines[0].endswith("bot.somewhere: POST https://discord.com/api/v10/webhooks/12/…/messages/@original failed")
    assert lines[1].endswith("ERROR bot.somewhere: story.add failed (ValueError)")
    for number in range(50):
        log.error("%d", number)
    assert len(services.health().troubles) == 8
    services.troubles.detach()
    log.error("after the end")
    assert services.health().troubles[-1].what == "49"


async def test_metrics_are_served_on_this_machine_alone(services: Services) -> None:
    metrics = await Metrics.open(services.health, 0)
    port = metrics.port
    answer = await ask(metrics.port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head, body = answer.split("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert f"Content-Length: {len(body)}" in head
    figures = [line for line in body.splitlines() if not line.startswith("#")]
    assert len(figures) >= 11
    assert all(FIGURE.fullmatch(line) for line in figures), figures
    assert "miniature_queue_places 256" in figures
    assert (await ask(metrics.port, b"GET / HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 404")
    assert (await ask(metrics.port, b"POST /metrics HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 405")
    assert (await ask(metrics.port, b"\r\n\r\n")).startswith("HTTP/1.1 404")
    assert await ask(metrics.port, b"x" * (MAX_REQUEST * 40)) == "", "what never ends is not answered"
    waiting = asyncio.create_task(ask(metrics.port, b"GET"))
    await asyncio.sleep(0)
    await metrics.close()
    await metrics.close()
    await asyncio.wait([waiting], timeout=10)
    assert waiting.done()
    with pytest.raises(OSError, match=r"refused|failed"):
        await ask(port, b"")


async def test_metrics_are_off_unless_asked_for(settings: Settings, tmp_path: Path) -> None:
    async with await Services.open(settings) as services:
        assert services.metrics is None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = load_settings(data_dir=tmp_path / "other", weights=settings.weights, metrics_port=port)
        with pytest.raises(StartError, match=f"127.0.0.1:{port} .*MINIATURE_METRICS_PORT"):
            await Services.open(busy)
    async with await Services.open(busy) as services:
        assert services.metrics is not None
        assert "miniature_uptime_seconds" in await ask(port, b"GET /metrics HTTP/1.0\r\n\r\n")


async def test_labels_are_escaped(services: Services) -> None:
    health: Health = services.health()
    text = render(replace(health, engine=replace(health.engine, name='a"b\\c\nd'), resident=None))
    assert 'name="a\\"b\\\\c\\nd"' in text
    assert "resident_memory" not in text


def test_a_log_line_holds_no_token() -> None:
    record = logging.LogRecord(
        "discord.http", logging.WARNING, "", 1, "%s", ("a-secret /interactions/1/abc/callback",), None
    )
    assert Redacting("%(message)s", Redactor(["a-secret"])).format(record) == "… /interactions/1/…/callback"


def test_the_file_of_the_log_is_redacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    before = root.level
    try:
        settings = load_settings(data_dir=tmp_path, discord_token="very-secret")
        configure(settings, console=False)
        try:
            raise RuntimeError("token very-secret")
        except RuntimeError:
            logging.getLogger("bot").exception("it failed")
        text = log_file(settings).read_text()
        assert "RuntimeError: token …" in text
        assert "very-secret" not in text
    finally:
        for handler in root.handlers:
            handler.close()
        root.setLevel(before)
