"""The table of REST routes and what every route gets."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .payloads import Check, error_tree
from .world import Channel, Json, User

if TYPE_CHECKING:
    from .commands import Upload
    from .messages import Message
    from .server import DiscordServer

Answer = Json | list[Json] | None  # None is 204


class ApiError(Exception):
    """An answer of the platform that is no success."""

    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        super().__init__(f"{status} ({code}): {message}")
        self.status, self.code, self.message, self.errors = status, code, message, errors

    def json(self) -> Json:
        data: Json = {"message": self.message, "code": self.code}
        return data | {"errors": self.errors} if self.errors else data


@dataclass
class Payload:
    """One request of the bot that may change something, in the order of arrival."""

    method: str
    path: str  # without /api/v10
    json: Any
    files: list[Upload] = field(default_factory=list)
    status: int | None = None  # of the answer; None while there is none
    at: float = 0.0  # the event loop's time

    @property
    def message(self) -> Json:
        """The message inside, whether the request carries it bare or as an interaction's response."""
        body = self.json if isinstance(self.json, dict) else {}
        inner = body.get("data") if self.path.endswith("/callback") else body
        return inner or {}


@dataclass
class Call:
    server: DiscordServer
    method: str
    path: str
    ids: Mapping[str, str]
    query: Mapping[str, str]
    json: Any
    files: list[Upload]

    @property
    def channel(self) -> Channel:
        channel = self.server.channels.get(int(self.ids["channel"]))
        if channel is None:
            raise ApiError(404, 10003, "Unknown Channel")
        return channel

    @property
    def message(self) -> Message:
        return self.message_of(self.channel, self.ids["message"])

    @staticmethod
    def message_of(channel: Channel, wanted: str) -> Message:
        for message in channel.history:
            if str(message.id) == wanted and not message.deleted:
                return message
        raise ApiError(404, 10008, "Unknown Message")

    @property
    def bot(self) -> User:
        return self.server.bot_user

    def need(self, channel: Channel, permission: int) -> None:
        """403 where the bot lacks the permission in the channel."""
        if channel.guild is None:
            return
        if channel.guild.id not in self.server.guilds or not channel.guild.me.permissions(channel) & 1 << 10:
            raise ApiError(403, 50001, "Missing Access")
        if channel.guild.me.permissions(channel) & permission != permission:
            raise ApiError(403, 50013, "Missing Permissions")

    def check(self, inspect: Callable[[Check], object]) -> None:
        """400 and an entry in `server.violations` where the inspection finds something."""
        check = Check()
        inspect(check)
        if check.errors:
            self.server.violations += [f"{self.method} {self.path}: {path}: {text}" for path, text in check.errors]
            if check.errors == [("", "Cannot send an empty message")]:
                raise ApiError(400, 50006, "Cannot send an empty message")
            raise ApiError(400, 50035, "Invalid Form Body", error_tree(check.errors))


Route = Callable[[Call], Awaitable[Answer] | Answer]
ROUTES: list[tuple[str, re.Pattern[str], Route, bool]] = []


def route(method: str, path: str, *, authorized: bool = True) -> Callable[[Route], Route]:
    """Registers a function; `{name}` in the path is one segment."""
    pattern = re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "$")

    def register(function: Route) -> Route:
        ROUTES.append((method, pattern, function, authorized))
        return function

    return register
