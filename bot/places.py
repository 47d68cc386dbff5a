"""Where messages go: a channel, or the answer to an interaction; and what comes back from there when it fails."""

from __future__ import annotations

from typing import Any, Protocol

import aiohttp
import discord

from bot import pace
from bot.breaker import Breaker, asking

# A connection that is lost is none of the first two.
UNDELIVERED = (discord.HTTPException, OSError, aiohttp.ClientError)
UNKNOWN_MESSAGE, TOO_OLD, INVALID_TOKEN, UNKNOWN_WEBHOOK = 10008, 30046, 50027, 10015
NO_MENTIONS = discord.AllowedMentions.none()


class Posted(Protocol):
    """A message that can be changed."""

    @property
    def id(self) -> int: ...
    async def edit(self, *, content: str, view: discord.ui.View | None) -> object: ...
    async def delete(self) -> None: ...


class Place(Protocol):
    """Where messages go."""

    async def send(self, content: str, view: discord.ui.View | None) -> Posted: ...

    async def typing(self) -> None:
        """Shows for some seconds that something is being written, until the next message."""

    def pause(self, fixed: float) -> float:
        """Seconds until the next edit, by the platform's limits as far as they are known, else `fixed`."""


class ChannelPlace:
    """Ordinary messages of a channel."""

    def __init__(self, channel: discord.abc.Messageable, breaker: Breaker | None = None) -> None:
        self.channel, self._breaker = channel, breaker
        self._path = f"/channels/{getattr(channel, 'id', 0)}"

    async def send(self, content: str, view: discord.ui.View | None, file: discord.File | None = None) -> Posted:
        parts = {"view": view, "file": file}
        shown: dict[str, Any] = {name: part for name, part in parts.items() if part is not None}
        async with asking(self._breaker, "POST", f"{self._path}/messages"):
            message = await self.channel.send(content, suppress_embeds=True, allowed_mentions=NO_MENTIONS, **shown)
        return _ChannelMessage(message, self._breaker)

    async def typing(self) -> None:
        async with asking(self._breaker, "POST", f"{self._path}/typing"):
            await self.channel.typing()

    def pause(self, fixed: float) -> float:
        http, channel = self.channel._state.http, getattr(self.channel, "id", 0)
        return pace.pause(pace.edits_left(http, channel), fixed)


class _ChannelMessage:
    def __init__(self, message: discord.Message, breaker: Breaker | None = None) -> None:
        self.message, self._breaker = message, breaker

    @property
    def id(self) -> int:
        return self.message.id

    @property
    def _path(self) -> str:
        return f"/channels/{self.message.channel.id}/messages/{self.message.id}"

    async def edit(self, *, content: str, view: discord.ui.View | None) -> object:
        async with asking(self._breaker, "PATCH", self._path):
            return await self.message.edit(content=content, view=view, allowed_mentions=NO_MENTIONS)

    async def delete(self) -> None:
        async with asking(self._breaker, "DELETE", self._path):
            await self.message.delete()


class AnswerPlace:
    """The deferred answer to an interaction; what comes later stands in further answers to it."""

    def __init__(self, interaction: discord.Interaction) -> None:
        self.interaction = interaction
        self._first = True

    async def send(self, content: str, view: discord.ui.View | None) -> Posted:
        if self._first:
            self._first = False
            await self.interaction.edit_original_response(content=content, allowed_mentions=NO_MENTIONS)
            return _Answer(self.interaction)
        message = await self.interaction.followup.send(
            content, ephemeral=True, suppress_embeds=True, allowed_mentions=NO_MENTIONS, wait=True
        )
        return _ChannelMessage(message)

    async def typing(self) -> None:
        """The deferred answer itself says that something is coming."""

    def pause(self, fixed: float) -> float:
        return fixed


class _Answer:
    def __init__(self, interaction: discord.Interaction) -> None:
        self.interaction = interaction
        self.id = interaction.id

    async def edit(self, *, content: str, view: discord.ui.View | None) -> object:
        return await self.interaction.edit_original_response(content=content, allowed_mentions=NO_MENTIONS)

    async def delete(self) -> None:
        await self.interaction.delete_original_response()


def describe(error: BaseException) -> str:
    """An error for the log: what it is, without any text of a message."""
    if isinstance(error, discord.HTTPException):
        return f"{type(error).__name__} {error.status} {error.code}"
    return type(error).__name__
