"""What the gateway tells of who has gone: members from a server, and the bot itself."""

from __future__ import annotations

import logging
from contextlib import suppress

import discord
from discord.ext import commands

from bot.errors import InputError
from bot.gate import KNOWN_ERRORS
from bot.story_table import TableCommands
from bot.story_votes import VoteCommands
from memory import StoreError

log = logging.getLogger(__name__)


class Departures(VoteCommands, TableCommands):
    @commands.Cog.listener()
    async def on_raw_member_remove(self, event: discord.RawMemberRemoveEvent) -> None:
        """Who leaves a server leaves its tables at once. That is told only to a bot with the intent for members, which
        ours does without: there it is found out when somebody acts, or when their time is over."""
        store, services = self.gate.services.store, self.gate.services
        try:
            with self.gate.working():
                for channel, guild in await store.tables_taken():
                    if guild == event.guild_id:
                        session = services.session(channel, guild)
                        with suppress(InputError):  # no seat at this one
                            await session.leave(event.user.id)
                            await self._restate(session)
        except KNOWN_ERRORS as error:
            log.warning("a member who left may still have a seat: %s", type(error).__name__)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot was thrown out, or the server is gone, which an outage is not: nothing more is written for it, and
        no vote or turn there comes to its end. What was written is kept."""
        self.gate.stop_writing(guild.id)
        self._end_votes(guild.id)
        with suppress(StoreError):
            taken = await self.gate.services.store.tables_taken()
            self._end_clocks([channel for channel, where in taken if where == guild.id])
