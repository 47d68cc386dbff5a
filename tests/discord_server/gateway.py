"""The gateway of the loopback Discord: HELLO, IDENTIFY, RESUME, heartbeats and events, several shards if asked."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from .world import GUILDS, MEMBERS, MESSAGE_CONTENT, Guild, Json

if TYPE_CHECKING:
    from .server import DiscordServer

PRIVILEGED = MEMBERS | 1 << 8 | MESSAGE_CONTENT
Data = Json | Callable[[int], Json]  # a function gets the session's intents


@dataclass(eq=False)
class Session:
    """One identified shard. It outlives its connections, and keeps every event for a RESUME."""

    id: str
    intents: int
    shard: tuple[int, int]
    log: list[Json] = field(default_factory=list)
    connection: Connection | None = None

    def push(self, event: str, data: Json) -> None:
        frame = {"op": 0, "t": event, "s": len(self.log) + 1, "d": data}
        self.log.append(frame)
        if self.connection:
            self.connection.queue.put_nowait(frame)

    def covers(self, guild: Guild | None) -> bool:
        return (guild.id >> 22 if guild else 0) % self.shard[1] == self.shard[0]


class Connection:
    """One websocket, with the compression that the client asked for."""

    def __init__(self, ws: web.WebSocketResponse, compress: str | None) -> None:
        self.ws = ws
        self.queue: asyncio.Queue[Json | None] = asyncio.Queue()
        self.session: Session | None = None
        self._compress: Callable[[bytes], bytes] | None = None
        if compress == "zlib-stream":
            deflate = zlib.compressobj()
            self._compress = lambda raw: deflate.compress(raw) + deflate.flush(zlib.Z_SYNC_FLUSH)
        elif compress == "zstd-stream":
            self._compress = _zstd()

    async def write(self) -> None:
        while (frame := await self.queue.get()) is not None:
            raw = json.dumps(frame)
            with contextlib.suppress(ConnectionError):
                await (self.ws.send_bytes(self._compress(raw.encode())) if self._compress else self.ws.send_str(raw))

    async def close(self, code: int) -> None:
        if self.session and self.session.connection is self:
            self.session.connection = None
        with contextlib.suppress(ConnectionError):
            await self.ws.close(code=code, message=b"loopback")


class Gateway:
    def __init__(self, server: DiscordServer) -> None:
        self.server = server
        self.sessions: dict[str, Session] = {}
        self.connections: set[Connection] = set()
        self.identified = 0  # counters of what clients did
        self.resumed = 0
        self.heartbeats = 0
        self.refused = 0
        self._refuse = 0
        self._open = asyncio.Event()
        self._open.set()

    def dispatch(self, event: str, data: Data, *, guild: Guild | None = None, intents: int = 0) -> int:
        """Sends an event to the sessions of that guild's shard (shard 0 without guild) with one of the intents."""
        reached = 0
        for session in self.sessions.values():
            if session.covers(guild) and (not intents or session.intents & intents):
                session.push(event, data(session.intents) if callable(data) else data)
                reached += 1
        return reached

    async def connect(self, request: web.Request) -> web.StreamResponse:
        if self._refuse:
            self._refuse -= 1
            self.refused += 1
            self.server.touch()
            raise web.HTTPServiceUnavailable
        ws = web.WebSocketResponse(timeout=2, max_msg_size=0)
        await ws.prepare(request)
        await self._open.wait()
        connection = Connection(ws, request.query.get("compress"))
        self.connections.add(connection)
        writer = asyncio.create_task(connection.write())
        connection.queue.put_nowait({"op": 10, "d": {"heartbeat_interval": 41250}})
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    await self._receive(connection, json.loads(message.data))
        finally:
            self.connections.discard(connection)
            connection.queue.put_nowait(None)
            if connection.session and connection.session.connection is connection:
                connection.session.connection = None
            await writer
            self.server.touch()
        return ws

    async def _receive(self, connection: Connection, frame: Json) -> None:
        op, data = frame["op"], frame.get("d")
        if op == 1:
            self.heartbeats += 1
            connection.queue.put_nowait({"op": 11})
        elif op == 2 and isinstance(data, dict):
            await self._identify(connection, data)
        elif op == 6 and isinstance(data, dict):
            await self._resume(connection, data)
        elif op == 8 and isinstance(data, dict) and connection.session:
            guild = self.server.guilds[int(data["guild_id"])]
            members = [member.json() for member in guild.members.values()]
            chunk = {"guild_id": str(guild.id), "members": members, "chunk_index": 0, "chunk_count": 1,
                     "not_found": [], "presences": [], "nonce": data.get("nonce")}  # fmt: skip
            connection.session.push("GUILD_MEMBERS_CHUNK", chunk)
        elif op not in (3, 4):
            await connection.close(4001)

    async def _identify(self, connection: Connection, data: Json) -> None:
        intents = int(data["intents"])
        if data["token"] != self.server.token:
            await connection.close(4004)
            return
        if intents & PRIVILEGED & ~self.server.privileged_intents:
            await connection.close(4014)
            return
        index, count = data.get("shard") or (0, 1)
        session = Session(f"session-{self.server.new_id()}", intents, (index, count), connection=connection)
        self.sessions[session.id] = session
        connection.session = session
        guilds = [g for g in self.server.guilds.values() if session.covers(g)] if intents & GUILDS else []
        application = {"id": str(self.server.application_id), "flags": 0}
        session.push("READY", {
            "v": 10, "user": self.server.bot_user.json(), "session_id": session.id, "shard": [index, count],
            "resume_gateway_url": self.server.gateway_url, "application": application,
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
        })  # fmt: skip
        for guild in guilds:
            session.push("GUILD_CREATE", guild.json())
        self.identified += 1
        self.server.touch()

    async def _resume(self, connection: Connection, data: Json) -> None:
        if data["token"] != self.server.token:
            await connection.close(4004)
            return
        session = self.sessions.get(data["session_id"])
        if session is None:
            connection.queue.put_nowait({"op": 9, "d": False})
            return
        session.connection, connection.session = connection, session
        for frame in session.log[int(data["seq"] or 0) :]:
            connection.queue.put_nowait(frame)
        session.push("RESUMED", {})
        self.resumed += 1
        self.server.touch()

    async def drop(self, code: int = 4000) -> None:
        """Closes every connection; sessions stay, so that clients resume."""
        await asyncio.gather(*(connection.close(code) for connection in list(self.connections)))

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Op 9: the sessions end (unless resumable), clients identify anew."""
        for connection in self.connections:
            if not resumable and connection.session:
                self.sessions.pop(connection.session.id, None)
            connection.queue.put_nowait({"op": 9, "d": resumable})

    async def reconnect(self) -> None:
        """Op 7: clients are asked to reconnect and resume."""
        for connection in self.connections:
            connection.queue.put_nowait({"op": 7, "d": None})

    def refuse(self, times: int) -> None:
        """The next connections fail with status 503."""
        self._refuse += times

    @contextlib.asynccontextmanager
    async def outage(self, code: int = 4000) -> AsyncIterator[None]:
        """Connections are closed, and new ones hang until the end of the block."""
        self._open.clear()
        try:
            await self.drop(code)
            yield
        finally:
            self._open.set()

    async def close(self) -> None:
        self._open.set()
        await self.drop(1001)


def _zstd() -> Callable[[bytes], bytes]:
    """For clients on a Python or with a package that has zstd; it is then here as well."""
    try:
        module: Any = importlib.import_module("compression.zstd")
        stream = module.ZstdCompressor()
        return lambda raw: bytes(stream.compress(raw, mode=stream.FLUSH_BLOCK))
    except ImportError:
        module = importlib.import_module("zstandard")
        old = module.ZstdCompressor().compressobj()
        return lambda raw: bytes(old.compress(raw) + old.flush(module.COMPRESSOBJ_FLUSH_BLOCK))
