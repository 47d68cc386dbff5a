"""Somebody else's bot, run as a child process: it loads and unloads the extension, and has commands of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import Any, Literal

import discord
from discord import app_commands
from discord.ext import commands

KIND = commands.AutoShardedBot if os.environ.get("FOREIGN_SHARDED") else commands.Bot
EXTENSION = "bot.extension"


class Bell(discord.ui.View):
    """A button of the host's own, which survives a restart as ours do."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Ring", custom_id="host:ring")
    async def ring(self, interaction: discord.Interaction[Any], button: discord.ui.Button[Any]) -> None:
        await interaction.response.send_message("the host's bell")


class Tree(app_commands.CommandTree[Any]):
    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        await interaction.response.send_message(f"the host's handler: {type(error).__name__}")


class Host(KIND):  # type: ignore[misc, valid-type]
    def __init__(self) -> None:
        members = bool(os.environ.get("FOREIGN_MEMBERS"))
        intents = discord.Intents(guilds=True, members=members)
        super().__init__(commands.when_mentioned, intents=intents, tree_cls=Tree, chunk_guilds_at_startup=False)

        self.heard = 0  # interactions, by a listener of its own

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        self.heard += 1

    async def setup_hook(self) -> None:
        self.tree.add_command(host)
        self.add_view(Bell())
        if name := os.environ.get("FOREIGN_COMMAND"):
            self.tree.add_command(app_commands.Group(name=name, description="The host's"))
        await self.tree.sync()

    def state(self) -> str:
        """What a guest may have changed, and what it may have left behind."""
        tree = self.tree
        names = " ".join(sorted(command.name for command in tree.get_commands()))
        threads = sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio"))
        tasks = sum(task.get_name() == "memory writer" for task in asyncio.all_tasks())
        items = len(self._connection._view_store._dynamic_items)
        views = sum("miniature:" in key for views in self._connection._view_store._views.values() for _, key in views)
        listeners = sum(map(len, self.extra_events.values()))
        return (f"{names} | cogs {len(self.cogs)} | views {views} | threads {len(threads)} | writers {tasks}"
                f" | buttons {items} | listeners {listeners} | {self.intents.value} {type(tree).__name__}"
                f" {tree.interaction_check.__qualname__} {tree.on_error.__qualname__} {tree.translator}"
                f" {self.allowed_mentions} {self.command_prefix.__qualname__} {sorted(map(str, self.commands))}"
                f" {self.status} {self.activity}")  # fmt: skip


bot = Host()
host = app_commands.Group(name="host", description="What the host does itself")


@host.command(description="Loads, reloads or unloads the guest")
async def guest(interaction: discord.Interaction[Any], do: Literal["load", "reload", "unload"]) -> None:
    await interaction.response.defer()
    work = {"load": bot.load_extension, "reload": bot.reload_extension, "unload": bot.unload_extension}[do]
    try:
        await work(EXTENSION)
        said = "done"
    except commands.ExtensionFailed as error:
        said = f"failed: {type(error.original).__name__}"
    await bot.tree.sync()
    await interaction.followup.send(said)


@host.command(description="Tells how the host is")
async def state(interaction: discord.Interaction[Any]) -> None:
    await interaction.response.send_message(bot.state())


@host.command(description="Shows the bell")
async def bell(interaction: discord.Interaction[Any]) -> None:
    await interaction.response.send_message(f"heard {bot.heard}", view=Bell())


@host.command(description="Fails")
async def fail(interaction: discord.Interaction[Any]) -> None:
    raise ValueError


async def main() -> None:
    async with bot:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        running = asyncio.create_task(bot.start(os.environ["MINIATURE_DISCORD_TOKEN"]))
        await asyncio.wait([running, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)


sys.exit(asyncio.run(main()))
