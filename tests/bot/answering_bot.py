"""Somebody's bot that has the extension and hears of messages, without the privileged intent for what they say."""

from __future__ import annotations

import asyncio
import os
import signal

import discord
from discord.ext import commands


class AnsweringBot(commands.Bot):
    def __init__(self) -> None:
        intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)
        super().__init__(commands.when_mentioned, intents=intents, help_command=None)

    async def setup_hook(self) -> None:
        await self.load_extension("bot.extension")
        await self.tree.sync()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(self.close()))


if __name__ == "__main__":
    AnsweringBot().run(os.environ["MINIATURE_DISCORD_TOKEN"])
