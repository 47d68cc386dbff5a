"""Where messages go: a channel, or the answer to an interaction; and what comes back from there when it fails."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiohttp
import discord
from discord.utils import MISSING

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
        return ChannelMessage(message, self._breaker)

    async def typing(self) -> None:
        async with asking(self._breaker, "POST", f"{self._path}/typing"):
            await self.channel.typing()

    def pause(self, fixed: float) -> float:
        http, channel = self.channel._state.http, getattr(self.channel, "id", 0)
        return pace.pause(pace.edits_left(http, channel), fixed)


class ChannelMessage:
    """A message of a channel, whether or not it has been seen."""

    def __init__(self, message: discord.PartialMessage | discord.Message, breaker: Breaker | None = None) -> None:
        self.message, self._breaker = message, breaker

    @property
    def id(self) -> int:
        return self.message.id

    @property
    def _path(self) -> str:
        return f"/channels/{self.message.channel.id}/messages/{self.message.id}"

    async def edit(self, *, content: str = MISSING, view: discord.ui.View | None = MISSING) -> object:
        """What is not given stays as it is."""
        async with asking(self._breaker, "PATCH", self._path):
            return await self.message.edit(content=content, view=view, allowed_mentions=NO_MENTIONS)

    async def delete(self) -> None:
        async with asking(self._breaker, "DELETE", self._path):
            await self.message.delete()

    async def content(self) -> str:
        """As it stands there now."""
        async with asking(self._breaker, "GET", self._path):
            return (await self.message.fetch()).content

    async def reply(self, content: str) -> None:
        async with asking(self._breaker, "POST", f"/channels/{self.message.channel.id}/messages"):
            await self.message.reply(content, mention_author=False, allowed_mentions=NO_MENTIONS)


class AnswerPlace:
    """The deferred answer to an interaction; what comes later stands in further answers to it."""

    def __init__(self, interaction: discord.Interaction, breaker: Breaker | None = None) -> None:
        self.interaction, self._breaker = interaction, breaker
        self._first = True

    async def send(self, content: str, view: discord.ui.View | None) -> Posted:
        if self._first:
            self._first = False
            first = _Answer(self.interaction, self._breaker)
            await first.edit(content=content, view=None)
            return first
        async with answering(self._breaker, self.interaction):
            message = await self.interaction.followup.send(
                content, ephemeral=True, suppress_embeds=True, allowed_mentions=NO_MENTIONS, wait=True
            )
        return ChannelMessage(message, self._breaker)

    async def typing(self) -> None:
        """The deferred answer itself says that something is coming."""

    def pause(self, fixed: float) -> float:
        return fixed


class _Answer:
    def __init__(self, interaction: discord.Interaction, breaker: Breaker | None) -> None:
        self.interaction, self._breaker = interaction, breaker
        self.id = interaction.id

    async def edit(self, *, content: str, view: discord.ui.View | None) -> object:
        async with answering(self._breaker, self.interaction):
            return await self.interaction.edit_original_response(content=content, allowed_mentions=NO_MENTIONS)

    async def delete(self) -> None:
        async with answering(self._breaker, self.interaction):
            await self.interaction.delete_original_response()


def answering(breaker: Breaker | None, interaction: discord.Interaction[Any]) -> AbstractAsyncContextManager[None]:
    """Around a request in the name of an interaction, all of which are refused as one."""
    return asking(breaker, "POST", f"/webhooks/{interaction.application_id}/{interaction.token}")


def describe(error: BaseException) -> str:
    """An error for the log: what it is, without any text of a message."""
    if isinstance(error, discord.HTTPException):
        return f"{type(error).__name__} {error.status} {error.code}"
    return type(error).__name__
