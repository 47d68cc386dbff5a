"""/privacy: what is kept of whoever asks. /report: a message of mine that whoever runs me should look at."""

import asyncio
import io
import time
from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.gate import Gate, Interaction, author, command, group
from bot.output import line
from bot.privacy import ASK, FOREVER, NOTICE, attached, export, kept, removed
from bot.reports import Reports, report_line, target
from bot.views import PRIVACY_COG, confirm, require_asker

Reason = Literal[
    "harassment or hate", "sexual content", "cruelty", "private data", "dangerous advice", "something else"
]


class PrivacyCog(commands.Cog, name=PRIVACY_COG):
    privacy = group("privacy", "What I keep of you")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._reports = Reports(gate.services)

    @command("privacy.show", "show", "Says what I keep, how long and where", privacy)
    async def show(self, interaction: Interaction) -> None:
        found = await self.gate.services.store.belongings(interaction.user.id)
        await self.gate.say(interaction, f"{NOTICE}\n\n{kept(found)}")

    @command("privacy.export", "export", "Gives you all that I keep of you, as a file", privacy)
    async def export(self, interaction: Interaction) -> None:
        person = author(interaction)
        found = await self.gate.services.store.belongings(person.id)
        data = await asyncio.to_thread(export, found, person=person.id, name=person.name, now=time.time())
        content, name = await asyncio.to_thread(attached, data, interaction.filesize_limit)
        await self.gate.say(interaction, kept(found), file=discord.File(io.BytesIO(content), name))

    @command("privacy.delete", "delete", "Removes all that I keep of you, in every channel", privacy)
    async def delete(self, interaction: Interaction) -> None:
        await self.gate.say(interaction, f"{ASK} {FOREVER}", view=confirm("delete-me", interaction.user.id))

    async def confirmed(self, interaction: Interaction, asker: int) -> None:
        """The button under the question was pressed."""
        await self.gate.perform(interaction, "privacy.delete", lambda: self._delete(interaction, asker))

    async def _delete(self, interaction: Interaction, asker: int) -> None:
        require_asker(interaction, asker, "privacy delete")
        gone = await self.gate.services.forget_person(author(interaction))
        await self.gate.replace(interaction, removed(gone))

    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @command("report.send", "report", "Tells whoever runs me of a message of mine")
    @app_commands.describe(message="Its link: Copy Message Link in the message's menu", reason="What is wrong with it")
    async def report(self, interaction: Interaction, message: app_commands.Range[str, 1, 200], reason: Reason) -> None:
        link = target(message, guild=interaction.guild_id, channel=interaction.channel_id)
        await self._reports.note(interaction.user.id, interaction.channel_id, link, reason)
        told = await self._post(report_line(author(interaction), link, reason))
        heard = "Whoever runs me has been told" if told else "It stands in the log of whoever runs me"
        await self.gate.say(interaction, f"{heard}, with the link and “{line(reason)}”. Thank you.")

    async def _post(self, text: str) -> bool:
        """Whether there is a channel for reports, and it took this one."""
        channel = self.gate.services.settings.report_channel
        if channel is None:
            return False
        return await self.gate.post(channel, text)
