"""/status: how the process is, for those who run it."""

import math

from discord import app_commands
from discord.ext import commands

from bot.gate import Gate, Interaction, command
from bot.output import harmless, line


class StatusCog(commands.Cog):
    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @command("status.show", "status", "Shows those who run me how I am")
    async def status(self, interaction: Interaction) -> None:
        health = self.gate.services.health()
        lines = [f"**{title}** {line(text, 300)}" for title, text in [*health.lines, ("Discord", self._connection())]]
        troubles = [harmless(trouble) for trouble in health.trouble_lines]
        lines.append("**Last warnings and errors**" if troubles else "No warnings or errors since the start.")
        await self.gate.say(interaction, "\n".join([*lines, *troubles]))

    def _connection(self) -> str:
        """Servers, shards, and how long an answer of the gateway takes."""
        bot = self.gate.bot
        servers = f"{len(bot.guilds):,} {'server' if len(bot.guilds) == 1 else 'servers'}"
        shards = ""
        if isinstance(bot, commands.AutoShardedBot) and (bot.shard_count or 1) > 1:
            shards = f", shards {', '.join(map(str, sorted(bot.shards)))} of {bot.shard_count}"
        latency = "" if math.isnan(bot.latency) else f", {bot.latency * 1000:.0f} ms to the gateway"
        return f"{servers}{shards}{latency}"
