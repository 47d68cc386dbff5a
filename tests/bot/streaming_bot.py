"""A bot that streams an endless reply into its channel until it is told to stop, without any model behind it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.places import ChannelPlace
from bot.streaming import MessageStream

Interaction = discord.Interaction[Any]


class FixedPlace(ChannelPlace):
    """As if nothing were known of the limits."""

    def pause(self, fixed: float) -> float:
        return fixed


Place = FixedPlace if os.environ.get("STREAMING_FIXED") else ChannelPlace


class StreamingBot(commands.Bot):
    def __init__(self) -> None:
        super().__init__(commands.when_mentioned, intents=discord.Intents(guilds=True), help_command=None)
        self.enough = asyncio.Event()

    async def setup_hook(self) -> None:
        self.tree.add_command(write)
        self.tree.add_command(stop)
        await self.tree.sync()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(self.close()))


@app_commands.command(description="Writes until it is stopped")
async def write(interaction: Interaction) -> None:
    await interaction.response.defer(ephemeral=True)
    assert isinstance(interaction.channel, discord.abc.Messageable)
    stream, text, bot = MessageStream(Place(interaction.channel)), "", interaction.client
    bot.enough.clear()
    await stream.queued(0, 0.0)
    while not bot.enough.is_set():
        text += f"{len(text)} "
        await stream.show(text)
        await asyncio.sleep(0.02)
    await stream.finish(text + "end.")
    await stream.crown(discord.ui.View().add_item(discord.ui.Button(label="Done", custom_id="done")))
    await interaction.delete_original_response()


@app_commands.command(description="Stops it")
async def stop(interaction: Interaction) -> None:
    interaction.client.enough.set()
    await interaction.response.send_message("stopped", ephemeral=True)


if __name__ == "__main__":
    StreamingBot().run(os.environ["MINIATURE_DISCORD_TOKEN"])
