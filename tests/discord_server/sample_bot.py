"""A small discord.py bot, run as a child process by the tests of the loopback itself."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

import discord
from discord import app_commands

KIND = discord.AutoShardedClient if os.environ.get("SAMPLE_SHARDED") else discord.Client


Pages = app_commands.Range[int, 1, 9]
Where = discord.TextChannel | None


if TYPE_CHECKING:
    Button = discord.ui.Button[discord.ui.View]
    Modal = discord.ui.Modal


class Buttons(discord.ui.View):
    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="More", custom_id="sample:more")
    async def more(self, interaction: discord.Interaction, button: Button) -> None:
        assert interaction.message is not None
        await interaction.response.edit_message(content=interaction.message.content + " and more")

    @discord.ui.button(label="Ask", custom_id="sample:ask")
    async def ask(self, interaction: discord.Interaction, button: Button) -> None:
        await interaction.response.send_modal(Lesson())


class Lesson(discord.ui.Modal, title="Teach"):
    prompt: discord.ui.TextInput[Modal] = discord.ui.TextInput(label="Prompt", max_length=100)
    answer: discord.ui.Label[Modal] = discord.ui.Label(
        text="Answer", component=discord.ui.TextInput(style=discord.TextStyle.paragraph)
    )
    consent: discord.ui.Label[Modal] = discord.ui.Label(
        text="Consent", component=discord.ui.Select(options=[discord.SelectOption(label="I agree", value="yes")])
    )

    async def on_submit(self, interaction: discord.Interaction) -> None:
        answer, consent = self.answer.component, self.consent.component
        assert isinstance(answer, discord.ui.TextInput)
        assert isinstance(consent, discord.ui.Select)
        text = f"{self.prompt.value} => {answer.value} ({consent.values[0]})"
        await interaction.response.send_message(text, ephemeral=True)


class Story(app_commands.Group):
    @app_commands.command(description="Starts a story")
    async def start(self, interaction: discord.Interaction, title: str, pages: Pages = 1) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content=f"{title}, {pages}", view=Buttons())

    @app_commands.command(description="Writes into the channel")
    async def write(self, interaction: discord.Interaction, text: str, channel: Where = None) -> None:
        await interaction.response.defer(ephemeral=True)
        where = channel or interaction.channel
        assert isinstance(where, discord.abc.Messageable)
        message = await where.send(text, allowed_mentions=discord.AllowedMentions.none())
        await message.edit(content=text + "!")
        await interaction.delete_original_response()

    @app_commands.command(description="A file comes back")
    async def echo(self, interaction: discord.Interaction, file: discord.Attachment) -> None:
        data = await file.read()
        await interaction.response.send_message(file=discord.File(io.BytesIO(data[::-1]), "echo.txt"))

    @app_commands.command(description="Keepers only")
    async def keep(self, interaction: discord.Interaction) -> None:
        assert isinstance(interaction.user, discord.Member)
        allowed = any(role.name == "keeper" for role in interaction.user.roles)
        await interaction.response.send_message("kept" if allowed else "refused", ephemeral=True)

    @app_commands.command(description="A thread")
    async def thread(self, interaction: discord.Interaction, name: str) -> None:
        assert isinstance(interaction.channel, discord.TextChannel)
        thread = await interaction.channel.create_thread(name=name, type=discord.ChannelType.public_thread)
        await thread.send("Here")
        await interaction.response.send_message(thread.mention)

    @app_commands.command(description="Completes")
    async def pick(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.send_message(name)

    @pick.autocomplete("name")
    async def complete(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=n, value=n) for n in ("fox", "hare", "frog") if n.startswith(current)]

    @app_commands.command(description="Breaks the limits")
    async def wrong(self, interaction: discord.Interaction) -> None:
        try:
            await interaction.response.send_message("x" * 2001)
        except discord.HTTPException as error:
            await interaction.response.send_message(f"{error.status} {error.code}")


class SampleBot(KIND):  # type: ignore[misc, valid-type]
    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True))
        self.tree = app_commands.CommandTree(self)

    async def setup_hook(self) -> None:
        self.tree.add_command(Story(name="story", description="Stories"))
        self.add_view(Buttons())
        await self.tree.sync()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(self.close()))

    async def on_ready(self) -> None:
        print("ready", flush=True)

    async def on_message(self, message: discord.Message) -> None:
        if not message.author.bot:
            await message.reply(f"heard {message.content!r}", mention_author=False)


async def main() -> int:
    try:
        async with SampleBot() as bot:
            await bot.start(os.environ["MINIATURE_DISCORD_TOKEN"])
    except discord.LoginFailure as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    discord.utils.setup_logging()
    sys.exit(asyncio.run(main()))
