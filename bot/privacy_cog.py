"""/privacy: what is kept of whoever asks. /report: a message of mine that whoever runs me should look at."""

import asyncio
import io
import re
import time
from typing import Any, Literal, Self, cast

import discord
from discord import app_commands
from discord.ext import commands

from bot.errors import InputError
from bot.gate import Gate, Interaction, author, command, group
from bot.output import line
from bot.privacy import ASK, FOREVER, NOTICE, attached, export, kept, removed
from bot.reports import Reports, report_line, target

PRIVACY_COG = "PrivacyCog"
Reason = Literal[
    "harassment or hate", "sexual content", "cruelty", "private data", "dangerous advice", "something else"
]


class DeleteButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=re.compile(r"miniature:delete-me:(?P<asker>\d{1,20})")
):
    """Confirms what `asker` asked for."""

    def __init__(self, asker: int) -> None:
        self.asker = asker
        super().__init__(
            discord.ui.Button(
                label="Remove all of it", style=discord.ButtonStyle.danger, custom_id=f"miniature:delete-me:{asker}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["asker"]))

    async def callback(self, interaction: Interaction) -> None:
        cog = interaction.client.get_cog(PRIVACY_COG)
        if cog is None:
            await interaction.response.send_message("I tell no stories at the moment: try again later.", ephemeral=True)
        else:
            await cast("PrivacyCog", cog).confirmed(interaction, self.asker)


class PrivacyCog(commands.Cog, name=PRIVACY_COG):
    privacy = group("privacy", "What I keep of you")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._reports = Reports(gate.services)

    async def cog_load(self) -> None:
        self.gate.bot.add_dynamic_items(DeleteButton)

    async def cog_unload(self) -> None:
        self.gate.bot.remove_dynamic_items(DeleteButton)

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
        view = discord.ui.View(timeout=None).add_item(DeleteButton(interaction.user.id))
        await self.gate.say(interaction, f"{ASK} {FOREVER}", view=view)

    async def confirmed(self, interaction: Interaction, asker: int) -> None:
        """The button under the question was pressed."""
        await self.gate.perform(interaction, "privacy.delete", lambda: self._delete(interaction, asker))

    async def _delete(self, interaction: Interaction, asker: int) -> None:
        if interaction.user.id != asker:
            raise InputError("Everybody removes only their own: ask for yourself with /privacy delete.")
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
