"""/weights: the model that all channels share. /style: packs of style, each channel's own choice."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import discord
from discord import app_commands
from discord.ext import commands

from bot.errors import InputError
from bot.gate import Gate, Interaction, Options, author, command, group
from bot.intake import require_name
from bot.output import harmless, line
from bot.places import UNDELIVERED
from bot.progress import Progress
from bot.weights_page import card_lines
from bot.wording import NO_STYLE, NO_STYLES, style_about, weights_about

NEEDED = {"model.safetensors", "config.json", "tokenizer.json"}
MAX_NAME = 100  # characters of a choice; who has a longer name on the shelf types it


class WeightsCog(commands.Cog):
    weights = group("weights", "The model that all channels share")
    style = group("style", "In which style the model writes in this channel")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    # Weights

    @command("weights.list", "list", "Lists the weights that can be used", weights)
    async def list_weights(self, interaction: Interaction) -> None:
        entries = self.gate.services.shelf.list()
        lines = [_listed(entry.name, entry.active, weights_about(entry)) for entry in entries]
        await self.gate.say(interaction, "\n".join(lines) or "There are no weights.")

    @command("weights.show", "show", "Shows what weights say of themselves: rating, size, licences", weights)
    @app_commands.describe(name="Their name in /weights list")
    async def show_weights(self, interaction: Interaction, name: str) -> None:
        entry = self.gate.services.shelf.entry(name)
        lines = [f"**{title}** {line(text, 400)}" for title, text in card_lines(entry)]
        await self.gate.say(interaction, "\n".join(lines))

    @command("weights.activate", "activate", "Changes the weights while I run", weights)
    @app_commands.describe(name="Their name in /weights list")
    async def activate(self, interaction: Interaction, name: str) -> None:
        progress = Progress(self.gate, interaction)
        await progress.show(f"Checking, loading and trying {name}…")
        try:
            info = await self.gate.services.shelf.activate(name, author(interaction))
        finally:
            await progress.close()
        await progress.report(f"I now write with {info.name}; /weights rollback brings the old ones back.")

    @show_weights.autocomplete("name")
    @activate.autocomplete("name")
    async def complete_weights(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        async def names() -> Options[str]:
            return _names([entry.name for entry in self.gate.services.shelf.list()])

        return await self.gate.choices(interaction, "weights.list", current, names)

    @command("weights.rollback", "rollback", "Brings the weights before these back", weights)
    async def rollback(self, interaction: Interaction) -> None:
        progress = Progress(self.gate, interaction)
        await progress.show("Bringing the weights before these back…")
        try:
            info = await self.gate.services.shelf.rollback(author(interaction))
        finally:
            await progress.close()
        await progress.report(f"I write with {info.name} again.")

    @command("weights.add", "add", "Puts weights on the shelf, from a folder of the host or from files", weights)
    @app_commands.describe(
        name="What they are to be called here",
        folder="A folder that the operator has put into the host's folder for arrivals",
        model="model.safetensors",
        config="config.json",
        tokenizer="tokenizer.json",
        card="card.json",
    )
    async def add(
        self,
        interaction: Interaction,
        name: str,
        folder: str | None = None,
        model: discord.Attachment | None = None,
        config: discord.Attachment | None = None,
        tokenizer: discord.Attachment | None = None,
        card: discord.Attachment | None = None,
    ) -> None:
        given = {"model.safetensors": model, "config.json": config, "tokenizer.json": tokenizer, "card.json": card}
        files = {file: attachment for file, attachment in given.items() if attachment is not None}
        require_name(name)
        progress = Progress(self.gate, interaction)
        try:
            with tempfile.TemporaryDirectory() as place:
                source = await self._source(folder, files, Path(place), interaction.filesize_limit, progress)
                await progress.show(f"Copying and checking {name}…")
                entry = await self.gate.services.shelf.add(name, source, author(interaction))
        finally:
            await progress.close()
        await progress.report(f"{entry.name} is on the shelf; /weights activate lets it write.")

    async def _source(
        self,
        folder: str | None,
        files: Mapping[str, discord.Attachment],
        place: Path,
        limit: int,
        progress: Progress,
    ) -> Path:
        """The folder that the weights come from: the host's own, or `place` with the files in it."""
        if (folder is None) == (not files) or (files and not files.keys() >= NEEDED):
            raise InputError("Give either a folder of the host, or the files model, config and tokenizer.")
        if folder is not None:
            return self.gate.services.shelf.arrival(folder)
        for name, attachment in files.items():
            if attachment.size > limit:
                raise InputError(f"{name} has {attachment.size >> 20:,} MB, over the limit here: use a host's folder.")
            await progress.show(f"Fetching {name}…")
            try:
                content = await attachment.read()
            except UNDELIVERED as error:
                raise InputError(f"Discord did not hand {name} over: attach it once more.") from error
            await asyncio.to_thread((place / name).write_bytes, content)
        return place

    @add.autocomplete("folder")
    async def complete_folder(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        async def folders() -> Options[str]:
            return _names(self.gate.services.shelf.arrivals())

        return await self.gate.choices(interaction, "weights.add", current, folders)

    @command("weights.remove", "remove", "Takes weights off the shelf and off the host's disk", weights)
    @app_commands.describe(name="Their name in /weights list")
    async def remove(self, interaction: Interaction, name: str) -> None:
        await self.gate.services.shelf.remove(name, author(interaction))
        await self.gate.say(interaction, f"{line(name)} is gone.")

    @remove.autocomplete("name")
    async def complete_removable(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        async def names() -> Options[str]:
            return _names([entry.name for entry in self.gate.services.shelf.list() if not entry.active])

        return await self.gate.choices(interaction, "weights.remove", current, names)

    # Styles

    @command("style.list", "list", "Lists the style packs that fit the weights", style)
    async def list_styles(self, interaction: Interaction) -> None:
        chosen = (await self.gate.session(interaction).memory()).style
        styles = self.gate.services.styles.list()
        lines = [_listed(style.name, style.name == chosen, style_about(style)) for style in styles]
        await self.gate.say(interaction, "\n".join(lines) or NO_STYLES)

    @command("style.use", "use", "Lets the model write in a style in this channel", style)
    @app_commands.describe(name="Its name in /style list")
    async def use_style(self, interaction: Interaction, name: str) -> None:
        await self.gate.session(interaction).set_style(name, author(interaction))
        await self.gate.say(interaction, f"From the next reply on I write here in the style {line(name)}.")

    @use_style.autocomplete("name")
    async def complete_style(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        async def names() -> Options[str]:
            return _names([style.name for style in self.gate.services.styles.list()])

        return await self.gate.choices(interaction, "style.list", current, names)

    @command("style.off", "off", "Lets the model write without a style pack again", style)
    async def no_style(self, interaction: Interaction) -> None:
        await self.gate.session(interaction).set_style(None, author(interaction))
        await self.gate.say(interaction, NO_STYLE)


def _names(names: Sequence[str]) -> Options[str]:
    return [(name, name) for name in names if len(name) <= MAX_NAME]


def _listed(name: str, active: bool, about: str) -> str:
    return f"**{line(name)}**{' (active)' if active else ''}{f': {harmless(about)}' if about else ''}"
