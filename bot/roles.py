"""Who somebody is to the bot, on Discord: what `bot.access` declares is asked here, of members, servers and shards."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import discord
from discord import app_commands
from discord.ext import commands

from bot import access
from bot.access import Role
from bot.breaker import asking
from bot.errors import BotError, InputError
from bot.output import label
from bot.places import UNDELIVERED, answering, describe
from bot.services import Services
from engine import EngineError
from memory import StoreError

log = logging.getLogger(__name__)

TEACHING = "teaching"
ASSIGNABLE = (Role.WRITER, Role.TEACHER, Role.KEEPER)
KNOWN_ERRORS = (BotError, EngineError, StoreError)
MAX_CHOICES = 25  # that the platform shows

Bot = commands.Bot | commands.AutoShardedBot
Interaction = discord.Interaction[Any]
V = TypeVar("V", int, str)
Options = Sequence[tuple[str, V]]  # what people read and search in, and the option's value


def scope(guild: int) -> str:
    """Where a server's settings are stored."""
    return f"guild:{guild}"


class Roles:
    """The base of the gate."""

    bot: Bot
    services: Services

    async def role(self, interaction: Interaction) -> Role:
        """In direct messages everybody is a keeper: the channel is their own."""
        manages = interaction.permissions.manage_guild or interaction.permissions.administrator
        return await self.role_in(interaction.guild_id, interaction.user, manages)

    async def role_in(self, guild: int | None, user: discord.User | discord.Member, manages: bool) -> Role:
        """The role of somebody who may manage this server or not; no server: direct messages."""
        owns = user.id in self.services.settings.owners or await self._owns_application(user)
        if guild is None:
            return Role.OWNER if owns else Role.KEEPER
        held = {role.id for role in user.roles} if isinstance(user, discord.Member) else set()
        assigned = await self.assigned(guild)
        return access.role_of(owns_process=owns, manages_server=manages, held=held, assigned=assigned)

    async def _owns_application(self, user: discord.User | discord.Member) -> bool:
        """discord.py asks the platform once; where that fails, the next one who asks has it asked again."""
        known = self.bot.owner_id is not None or bool(self.bot.owner_ids)
        breaker = None if known else self.services.breaker
        try:
            async with asking(breaker, "GET", "/oauth2/applications/@me"):
                return await self.bot.is_owner(user)
        except UNDELIVERED as error:
            log.warning("Discord did not say who owns the application: %s", describe(error))
            return False

    def runs_alone(self, interaction: Interaction) -> bool:
        """Whether an administrator asks in the one server that this bot serves, in all of its processes together."""
        bot = self.bot
        servers = [server.id for server in bot.guilds] if bot.is_ready() and _has_all_shards(bot) else []
        return servers == [interaction.guild_id] and interaction.permissions.administrator

    async def assigned(self, guild: int) -> dict[Role, int]:
        """The Discord role that stands for each role of ours, where one was set."""
        stored = await self.services.store.settings(scope(guild))
        found = {role: stored.get(f"access.{role.name.lower()}") for role in ASSIGNABLE}
        return {role: int(value) for role, value in found.items() if value is not None}

    async def teaching(self, guild: int | None) -> bool:
        """Off in a server until a keeper switches it on."""
        return guild is None or await self.services.store.setting(scope(guild), TEACHING) == "on"

    async def check(self, interaction: Interaction, action: str) -> None:
        """Raises `NotAllowedError`, or `InputError` where nobody may do it here."""
        access.require(action, await self.role(interaction), runs_alone=self.runs_alone(interaction))
        if action == "teach.add" and not await self.teaching(interaction.guild_id):
            raise InputError("Teaching is off in this server: a keeper switches it on with /teach switch.")

    async def choices(
        self, interaction: Interaction, action: str, typed: str, find: Callable[[], Awaitable[Options[V]]]
    ) -> list[app_commands.Choice[V]]:
        """For autocompletion: at most 25 of the options found, those with `typed` in them, for who may do `action`."""
        options: Options[V] = []
        try:
            if access.allowed(action, await self.role(interaction), runs_alone=self.runs_alone(interaction)):
                options = await find()
        except (*KNOWN_ERRORS, *UNDELIVERED) as error:
            log.info("no choices for %s: %s", action, describe(error))
        wanted = str(typed).casefold()  # what is typed where a number belongs may come as one
        fitting = [(text, value) for text, value in options if wanted in text.casefold()]
        found = [app_commands.Choice(name=label(text), value=value) for text, value in fitting[:MAX_CHOICES]]
        async with self.answering(interaction):  # discord.py, which would send them, asks no breaker
            await interaction.response.autocomplete(found)
        return found

    def answering(self, interaction: Interaction) -> AbstractAsyncContextManager[None]:
        """Around a request that answers it: the breaker is asked in somebody else's bot too."""
        return answering(self.services.breaker, interaction)


def _has_all_shards(bot: Bot) -> bool:
    """Whether each server of the bot's is one of this process's."""
    if isinstance(bot, commands.AutoShardedBot):
        return bot.shard_ids is None or set(bot.shard_ids) == set(range(bot.shard_count or 0))
    return (bot.shard_count or 1) == 1
