"""A Discord on 127.0.0.1: REST, gateway and file downloads in the test's own event loop."""
# ruff: noqa: ASYNC109  (a timeout is part of what a test says it waits for)

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypeVar, cast
from urllib.parse import quote

from aiohttp import web

from .gateway import Data, Gateway
from .messages import Attachment, Message, Version
from .rest import PREFIX, Fault, Rest
from .world import (
    COMPONENTS_V2,
    DIRECT_MESSAGES,
    EVERYONE_PERMISSIONS,
    GUILD_MESSAGES,
    LOADING,
    SILENT,
    SUPPRESS_EMBEDS,
    Channel,
    Guild,
    Json,
    Role,
    Snowflakes,
    User,
)

if TYPE_CHECKING:
    from .commands import Upload
    from .interactions import Interaction
    from .process import BotProcess
    from .routes import Payload

T = TypeVar("T")


class DiscordServer:
    """The whole loopback. `async with DiscordServer() as server:`, then `server.base_url` is served.

    A world to start from: `guild` (its owner is `owner`, the application's owner too) with the channel `channel`, and
    the bot in it. Assert at the end of a test that `unexpected` (unknown routes) and `violations` (payloads that the
    platform refuses) are empty; `payloads` holds every changing request in order.
    """

    def __init__(self, token: str = "loopback-token", *, timeout: float = 30.0) -> None:
        self.token, self.timeout = token, timeout
        self._ids = Snowflakes()
        self.application_id = self.new_id()
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.commands: list[Json] = []  # as registered
        self.guild_commands: dict[int, list[Json]] = {}
        self.interactions: dict[str, Interaction] = {}  # by token
        self.files: dict[int, Attachment] = {}
        self.blocked: set[User | None] = set()  # users who take no direct messages
        # what the bot did
        self.payloads: list[Payload] = []
        self.rate_limited: list[Payload] = []  # those answered 429
        self.unexpected: list[str] = []
        self.violations: list[str] = []
        self.invalid_requests = 0  # answers 401, 403, 429
        self.registrations = 0
        self.processes: list[BotProcess] = []
        # how the platform behaves
        self.privileged_intents = 0  # those switched on for the application
        self.channel_limit: tuple[int, float] | None = (1000, 1.0)  # requests per seconds, method and channel
        self.edit_age_limit: float | None = 3600.0  # seconds; older messages refuse edits (30046)
        self.acknowledge_within: float | None = None  # seconds; the platform's 3.0 on a quiet machine
        self.attachment_size_limit = 10 * 1024 * 1024
        self.recommended_shards = 1
        self.gateway = Gateway(self)
        self.rest = Rest(self)
        self._waiters: list[tuple[Callable[[], object], asyncio.Future[object]]] = []
        self._runner: web.AppRunner | None = None
        self.base_url = ""
        self.bot_user = User(self, self.application_id, "Storyteller", bot=True)
        self.users[self.bot_user.id] = self.bot_user
        self.owner = self.add_user("Owner")
        self.guild = self.add_guild("Story circle")
        self.channel = self.guild.add_channel("stories")

    # ---- life

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/gateway", self.gateway.connect)
        app.router.add_get("/gateway/", self.gateway.connect)
        app.router.add_get("/cdn/{id}/{name}", self._download)
        app.router.add_route("*", PREFIX + "/{tail:.*}", self.rest.entry)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        for fault in self.rest.faults:
            fault.release()
        await self.gateway.close()
        if self._runner:
            await self._runner.cleanup()

    @property
    def gateway_url(self) -> str:
        return self.base_url.replace("http", "ws", 1) + "/gateway"

    @property
    def intents(self) -> int:
        """The intents of the latest session."""
        return next((session.intents for session in reversed(self.gateway.sessions.values())), 0)

    # ---- the world

    def new_id(self) -> int:
        return self._ids.next()

    def add_user(self, name: str) -> User:
        user = User(self, self.new_id(), name)
        self.users[user.id] = user
        return user

    def add_guild(self, name: str, *, owner: User | None = None, bot: bool = True) -> Guild:
        """A guild with its owner and the bot in it; the bot hears of it at once if it is connected."""
        guild = Guild(self, self.new_id(), name, owner or self.owner)
        guild.roles.append(Role(guild.id, guild, "@everyone", EVERYONE_PERMISSIONS))
        guild.add_member(guild.owner)
        guild.add_member(self.bot_user)
        self.guilds[guild.id] = guild
        self.dispatch("GUILD_CREATE", guild.json(), guild=guild, intents=1)
        return guild

    def add_message(self, channel: Channel, author: User, data: Json, *, attachments: Sequence[Attachment] = (),
                    reference: Message | None = None, flags: int = 0,
                    interaction: Interaction | None = None) -> Message:  # fmt: skip
        """Puts a message into a channel and tells the sessions that may hear of it."""
        flags |= (data.get("flags") or 0) & (COMPONENTS_V2 | SUPPRESS_EMBEDS | SILENT)
        message = Message(self.new_id(), channel, author, data.get("content") or "", data.get("embeds") or [],
                          data.get("components") or [], list(attachments), flags, reference, interaction)  # fmt: skip
        message.parse_mentions(data.get("allowed_mentions"))
        channel.history.append(message)
        if not message.ephemeral and not message.loading:
            self._tell("MESSAGE_CREATE", message)
        self.touch()
        return message

    def edit_message(self, message: Message, data: Json, *, attachments: list[Attachment] | None = None) -> None:
        message.content = data.get("content", message.content) or ""
        message.embeds = data.get("embeds", message.embeds) or []
        message.components = data.get("components", message.components) or []
        message.attachments = message.attachments if attachments is None else attachments
        if data.get("flags") is not None:
            message.flags = message.flags & ~SUPPRESS_EMBEDS | data["flags"] & (COMPONENTS_V2 | SUPPRESS_EMBEDS)
        first = message.loading
        message.flags &= ~LOADING
        if "content" in data or "allowed_mentions" in data:
            message.parse_mentions(data.get("allowed_mentions"))
        message.edited_at = datetime.now(UTC)
        at = asyncio.get_running_loop().time()
        message.edits.append(Version(message.content, message.embeds, message.components, at))
        if not message.ephemeral:
            self._tell("MESSAGE_CREATE" if first else "MESSAGE_UPDATE", message)
        self.touch()

    def delete_message(self, message: Message) -> None:
        message.deleted = True
        if not message.ephemeral:
            data = {"id": str(message.id), "channel_id": str(message.channel.id)}
            self._dispatch_message("MESSAGE_DELETE", message.channel, data)
        self.touch()

    def _tell(self, event: str, message: Message) -> None:
        extra: Json = {}
        member = message.channel.guild.members.get(message.author.id) if message.channel.guild else None
        if member:
            extra["member"] = member.json(with_user=False)
        self._dispatch_message(event, message.channel, lambda intents: message.json(intents) | extra)

    def _dispatch_message(self, event: str, channel: Channel, data: Data) -> None:
        guild = channel.guild
        own: Json = {"guild_id": str(guild.id)} if guild else {}

        def build(intents: int) -> Json:
            return (data(intents) if callable(data) else data) | own

        self.dispatch(event, build, guild=guild, intents=GUILD_MESSAGES if guild else DIRECT_MESSAGES)

    def store_file(self, filename: str, data: bytes, content_type: str, description: str | None = None) -> Attachment:
        file_id = self.new_id()
        url = f"{self.base_url}/cdn/{file_id}/{quote(filename, safe='')}"
        self.files[file_id] = Attachment(file_id, filename, data, url, content_type, description)
        return self.files[file_id]

    def store_uploads(self, files: Sequence[Upload], data: Json) -> list[Attachment]:
        entries = {str(entry["id"]): entry for entry in data.get("attachments") or []}
        return [
            self.store_file(f.filename, f.data, f.content_type, entries.get(str(i), {}).get("description"))
            for i, f in enumerate(files)
        ]

    async def _download(self, request: web.Request) -> web.Response:
        attachment = self.files.get(int(request.match_info["id"]))
        if attachment is None:
            raise web.HTTPNotFound
        return web.Response(body=attachment.data, headers={"Content-Type": attachment.content_type})

    # ---- events and waiting

    def dispatch(self, event: str, data: Data, *, guild: Guild | None = None, intents: int = 0) -> int:
        """Sends any gateway event; returns how many sessions got it."""
        reached = self.gateway.dispatch(event, data, guild=guild, intents=intents)
        self.touch()
        return reached

    def deliver(self, interaction: Interaction) -> None:
        self.interactions[interaction.token] = interaction
        reached = self.dispatch("INTERACTION_CREATE", interaction.payload, guild=interaction.channel.guild)
        assert reached, f"{interaction!r}: the bot has no gateway session, the platform would show a failure"

    def expire(self, interaction: Interaction) -> None:
        """The 15 minutes of the interaction's token are over."""
        interaction.expired = True

    def touch(self) -> None:
        """Something changed: looks who was waiting for it."""
        for waiter in list(self._waiters):
            predicate, future = waiter
            if future.done():
                continue
            try:
                if value := predicate():
                    future.set_result(value)
            except Exception as error:
                future.set_exception(error)

    def fail_waiters(self, reason: str) -> None:
        """Ends every wait that is not fulfilled, as the bot is gone."""
        self.touch()
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(AssertionError(reason))

    async def wait_for(self, predicate: Callable[[], T], timeout: float | None = None, what: str = "") -> T:
        """Waits until the predicate is true after some change, and returns its value; AssertionError after `timeout`.

        A bot process that ends without being asked to ends the wait as well.
        """
        if value := predicate():
            return value
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        waiter = (predicate, future)
        self._waiters.append(waiter)
        try:
            return cast("T", await asyncio.wait_for(future, self.timeout if timeout is None else timeout))
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what or 'a change'}\n{self.report()}") from None
        finally:
            self._waiters.remove(waiter)

    def report(self) -> str:
        """What a failed test wants to know."""
        requests = [f"{p.method} {p.path} -> {p.status} {str(p.json)[:300]}" for p in self.payloads[-10:]]
        outputs = [f"--- bot {p.pid}, code {p.returncode}\n{p.output[-3000:]}" for p in self.processes]
        lines = [f"unexpected: {self.unexpected}", f"violations: {self.violations}", "last requests:", *requests]
        return "\n".join([*lines, *outputs])

    # ---- faults

    def rate_limit_next(self, method: str, path_pattern: str, times: int = 1, retry_after: float = 0.2, *,
                        everywhere: bool = False) -> Fault:  # fmt: skip
        """The next `times` requests whose path (without /api/v10) matches are answered 429; `everywhere`: globally."""
        pattern = re.compile(path_pattern)
        return self._fault(Fault(self, method, pattern, times, 429, retry_after=retry_after, everywhere=everywhere))

    def fail_next(self, method: str, path_pattern: str, status: int, times: int = 1, code: int = 0) -> Fault:
        """The next `times` matching requests are answered with that status and error code, and do nothing."""
        return self._fault(Fault(self, method, re.compile(path_pattern), times, status, code))

    @contextlib.contextmanager
    def hold(self, method: str, path_pattern: str) -> Iterator[Fault]:
        """Matching requests hang until the end of the block; `await fault.reached()` waits for the first."""
        fault = self._fault(Fault(self, method, re.compile(path_pattern), 1 << 30))
        try:
            yield fault
        finally:
            fault.release()

    def _fault(self, fault: Fault) -> Fault:
        self.rest.faults.append(fault)
        return fault

    async def drop(self, code: int = 4000) -> None:
        """Closes the gateway's sockets; clients resume."""
        await self.gateway.drop(code)

    def outage(self, code: int = 4000) -> AbstractAsyncContextManager[None]:
        """`async with server.outage():` the gateway is cut off; events meanwhile are replayed by the RESUME."""
        return self.gateway.outage(code)

    @contextlib.asynccontextmanager
    async def resuming(self) -> AsyncIterator[None]:
        """Waits at the end of the block until a client has resumed."""
        before = self.gateway.resumed
        yield
        await self.wait_for(lambda: self.gateway.resumed > before, None, "a RESUME")

    async def invalidate_session(self, *, resumable: bool = False) -> None:
        """Op 9; waits until clients have identified anew (or resumed)."""
        gateway = self.gateway
        before = gateway.identified + gateway.resumed
        await gateway.invalidate(resumable=resumable)
        await self.wait_for(lambda: gateway.identified + gateway.resumed > before, None, "a new session")

    async def reconnect(self) -> None:
        """Op 7; waits until a client has resumed."""
        async with self.resuming():
            await self.gateway.reconnect()

    def refuse_gateway(self, times: int = 1) -> None:
        """The next connections to the gateway fail with 503."""
        self.gateway.refuse(times)
