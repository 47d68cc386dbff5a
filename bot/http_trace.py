"""Each request of a bot of our own, shown to the breaker: aiohttp's tracing, which discord.py takes as `http_trace`."""

from __future__ import annotations

from types import SimpleNamespace

import aiohttp

from bot.breaker import Breaker

_API = "/api/v"  # begins the path of what counts; the gateway and downloads lie elsewhere


def http_trace(breaker: Breaker) -> aiohttp.TraceConfig:
    """For the `http_trace` of a client; the breaker is asked from now on."""

    async def begins(
        session: aiohttp.ClientSession, request: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        if params.url.path.startswith(_API):
            await breaker.admit(params.method, _path(params.url.path))
            request.counted = True

    async def ended(
        session: aiohttp.ClientSession, request: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if getattr(request, "counted", False):
            answer = params.response
            breaker.answered(
                params.method,
                _path(params.url.path),
                answer.status,
                own_token="Authorization" in params.headers,
                shared=answer.headers.get("X-RateLimit-Scope") == "shared",
            )

    async def broke_off(
        session: aiohttp.ClientSession, request: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if getattr(request, "counted", False):
            breaker.broke_off()

    breaker.traced = True
    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begins)
    trace.on_request_end.append(ended)
    trace.on_request_exception.append(broke_off)
    return trace


def _path(path: str) -> str:
    """Without what stands before it in each: /api/v10."""
    return "/" + path.split("/", 3)[3]
