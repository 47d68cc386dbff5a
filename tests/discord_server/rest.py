"""The entry of every REST request: faults on order, rate limits, authorization, recording, then the route."""
# ruff: noqa: ASYNC109  (a timeout is part of what a test says it waits for)

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import application_routes, channel_routes, interaction_routes  # noqa: F401  (they register their routes)
from .commands import Upload
from .routes import ROUTES, ApiError, Call, Payload, Route

if TYPE_CHECKING:
    from .server import DiscordServer

PREFIX = "/api/v10"


@dataclass(eq=False)
class Fault:
    """What shall happen to the next requests that match; `hits` counts those it met."""

    server: DiscordServer
    method: str
    pattern: re.Pattern[str]
    times: int
    status: int = 0  # 0: the request is held, and then goes on as usual
    code: int = 0
    retry_after: float = 0.0
    everywhere: bool = False  # a 429 for all routes
    hits: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def meets(self, method: str, path: str) -> bool:
        return self.hits < self.times and self.method == method and bool(self.pattern.search(path))

    async def reached(self, hits: int = 1, timeout: float | None = None) -> None:
        """Waits until so many requests were met."""
        await self.server.wait_for(lambda: self.hits >= hits, timeout, f"{hits} {self.method} {self.pattern.pattern}")

    def release(self) -> None:
        """Lets held requests go on, and holds no more."""
        self.times = self.hits
        self.released.set()


class Rest:
    def __init__(self, server: DiscordServer) -> None:
        self.server = server
        self.faults: list[Fault] = []
        self._windows: dict[str, tuple[float, int]] = {}  # bucket: end of the window, requests in it

    async def entry(self, request: web.Request) -> web.StreamResponse:
        server, method, path = self.server, request.method, request.path.removeprefix(PREFIX)
        body, files = await _read(request)
        payload = Payload(method, path, body, files, at=asyncio.get_running_loop().time())
        if method != "GET":
            server.payloads.append(payload)
        try:
            answer = await self._answer(request, payload)
        except ApiError as error:
            answer = self._json(error.json(), error.status)
        for name, value in self._limit_headers(method, path, count=answer.status != 429).items():
            answer.headers.setdefault(name, value)
        payload.status = answer.status
        if answer.status in (401, 403, 429):
            server.invalid_requests += 1
        server.touch()
        return answer

    async def _answer(self, request: web.Request, payload: Payload) -> web.Response:
        method, path = payload.method, payload.path
        for fault in [f for f in self.faults if f.meets(method, path)][:1]:
            fault.hits += 1
            self.server.touch()
            if fault.status == 429:
                return self._limited(payload, fault.retry_after, everywhere=fault.everywhere)
            if fault.status:
                raise ApiError(fault.status, fault.code, "a fault on order")
            await fault.released.wait()
        route, ids, authorized = self._find(method, path)
        token = request.headers.get("Authorization")
        if token != f"Bot {self.server.token}" and (authorized or token is not None):
            raise ApiError(401, 0, "401: Unauthorized")
        end, used = self._window(method, path)
        if self.server.channel_limit and path.startswith("/channels/") and used >= self.server.channel_limit[0]:
            return self._limited(payload, max(0.001, end - asyncio.get_running_loop().time()))
        call = Call(self.server, method, path, ids, request.query, payload.json, payload.files)
        result = route(call)
        if isawaitable(result):
            result = await result
        return web.Response(status=204) if result is None else self._json(result)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str], bool]:
        for known, pattern, function, authorized in ROUTES:
            if known == method and (match := pattern.match(path)):
                return function, match.groupdict(), authorized
        self.server.unexpected.append(f"{method} {path}")
        raise ApiError(404, 0, "404: Not Found")

    def _limited(self, payload: Payload, retry_after: float, *, everywhere: bool = False) -> web.Response:
        self.server.rate_limited.append(payload)
        data = {"message": "You are being rate limited.", "retry_after": retry_after, "global": everywhere}
        headers = {"Retry-After": str(max(1, round(retry_after))), "Via": "1.1 loopback",
                   "X-RateLimit-Scope": "global" if everywhere else "user"}  # fmt: skip
        if everywhere:
            headers["X-RateLimit-Global"] = "true"
        else:
            headers |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": f"{retry_after:.3f}"}
        return self._json(data, 429, headers)

    def _window(self, method: str, path: str) -> tuple[float, int]:
        now = asyncio.get_running_loop().time()
        limit = self.server.channel_limit
        end, used = self._windows.get(_bucket(method, path), (0.0, 0))
        if now >= end:
            end, used = now + (limit[1] if limit else 1.0), 0
        return end, used

    def _limit_headers(self, method: str, path: str, *, count: bool) -> dict[str, str]:
        limit = self.server.channel_limit
        if not limit or not path.startswith("/channels/"):
            return {}
        end, used = self._window(method, path)
        used += count
        self._windows[_bucket(method, path)] = (end, used)
        left = max(0.0, end - asyncio.get_running_loop().time())
        return {"X-RateLimit-Limit": str(limit[0]), "X-RateLimit-Remaining": str(max(0, limit[0] - used)),
                "X-RateLimit-Reset-After": f"{left:.3f}", "X-RateLimit-Bucket": _bucket(method, path, anonymous=True),
                "Via": "1.1 loopback"}  # fmt: skip

    @staticmethod
    def _json(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        raw = json.dumps(data).encode()
        return web.Response(body=raw, status=status, headers={"Content-Type": "application/json", **(headers or {})})


def _bucket(method: str, path: str, *, anonymous: bool = False) -> str:
    """One bucket per channel, method and kind of route; anonymous: without the channel."""
    parts = path.split("/")
    kind = re.sub(r"\d+", "0", "/".join(parts[3:]))
    return f"{method}-{'' if anonymous else parts[2]}-{kind.replace('/', '-')}"


async def _read(request: web.Request) -> tuple[Any, list[Upload]]:
    if request.content_type == "multipart/form-data":
        body, files = None, []
        async for part in await request.multipart():
            data = await part.read()  # type: ignore[union-attr]
            if part.name == "payload_json":  # type: ignore[union-attr]
                body = json.loads(data)
            else:
                kind = part.headers.get("Content-Type", "application/octet-stream")  # type: ignore[union-attr]
                files.append(Upload(part.filename or "file", bytes(data), kind))  # type: ignore[union-attr]
        return body, files
    raw = await request.read()
    return (json.loads(raw) if raw else None), []
