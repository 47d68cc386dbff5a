"""/weights: the model that all channels share. /style: packs of style, each channel's own choice."""

from discord import app_commands
from discord.ext import commands

from bot.gate import Gate, Interaction, Options, author, command, group
from bot.output import harmless, line
from bot.progress import Progress
from bot.wording import NO_STYLE, NO_STYLES, style_about, weights_about

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


def _names(names: list[str]) -> Options[str]:
    return [(name, name) for name in names if len(name) <= MAX_NAME]


def _listed(name: str, active: bool, about: str) -> str:
    return f"**{line(name)}**{' (active)' if active else ''}{f': {harmless(about)}' if about else ''}"
