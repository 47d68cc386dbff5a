"""/settings: how replies are drawn in a channel, or in all of a server where a channel chose nothing."""

from typing import Literal

from discord import app_commands
from discord.ext import commands

from bot.dials import PRESETS, shown
from bot.errors import InputError
from bot.gate import Gate, Interaction, Options, author, command, group, scope, server_of
from bot.rating import MATURE_ON
from bot.upkeep import scope as channel_scope

Where = Literal["channel", "server"]
Name = Literal["temperature", "top_p", "top_k", "repetition_penalty", "length", "pins_budget", "summary_budget",
               "language", "requests_per_member", "requests_per_channel", "daily_lessons_per_member"]  # fmt: skip
Preset = Literal["steady", "wild", "default"]
UNGUARDED = (
    "Mature stories need a list of the real people whom they may not be about, and the operator of this bot has made"
    " none: ask for the list real-people in MINIATURE_RULES."
)
OFF = "are general in all of this server; what was written as mature rests meanwhile, and nothing of it is lost"
VALUE = "A number, or a language; off for top_k draws from all words"
PLACE = "Where it holds: in this channel, or in the server's channels that chose nothing"
AT = {"channel": "in this channel", "server": "in this server's channels that chose nothing"}


class SettingsCog(commands.Cog):
    settings = group("settings", "How replies are written in this channel")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @command("settings.show", "show", "Shows how replies are written here, and who chose that", settings)
    async def show(self, interaction: Interaction) -> None:
        session = self.gate.session(interaction)
        held = self.gate.services.dials.held(session.channel, session.guild)
        await self.gate.say(interaction, "\n".join(f"`{one.dial.name}` **{shown(one.value)}** ({one.source}): "
                                                   f"{one.dial.about}, {one.dial.range}" for one in held))  # fmt: skip

    @command("settings.set", "set", "Changes how replies are written", settings)
    @app_commands.describe(name="What to change", value=VALUE, where=PLACE)
    async def set_value(
        self, interaction: Interaction, name: Name, value: app_commands.Range[str, 1, 20], where: Where = "channel"
    ) -> None:
        place = self._place(interaction, where)
        chosen = await self.gate.services.dials.set(place, name, value, author(interaction))
        await self.gate.say(interaction, f"From the next reply on {name} is {shown(chosen)} {AT[where]}.")

    @set_value.autocomplete("value")
    async def complete_value(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        async def hints() -> Options[str]:
            dial = self.gate.services.dials.known.get(str(getattr(interaction.namespace, "name", "")))
            return [] if dial is None else [(hint, hint) for hint in dial.hints]

        return await self.gate.choices(interaction, "settings.set", current, hints)

    @command("settings.preset", "preset", "Changes how boldly replies are written, all in one", settings)
    @app_commands.describe(name="default brings the operator's choice back", where=PLACE)
    async def preset(self, interaction: Interaction, name: Preset, where: Where = "channel") -> None:
        await self.gate.services.dials.preset(self._place(interaction, where), name, author(interaction))
        values = ", ".join(f"{dial} {shown(value)}" for dial, value in PRESETS[name].items())
        await self.gate.say(interaction, f"From the next reply on the preset {name} holds {AT[where]}"
                                         f"{f': {values}' if values else ''}.")  # fmt: skip

    @command("settings.clear", "clear", "Forgets what was chosen, so that the server's or the default holds", settings)
    @app_commands.describe(where=PLACE)
    async def clear(self, interaction: Interaction, where: Where = "channel") -> None:
        await self.gate.services.dials.clear(self._place(interaction, where), author(interaction))
        await self.gate.say(interaction, f"What was chosen {AT[where]} is forgotten: /settings show says what holds.")

    @command("settings.mature", "mature", "Whether stories may be mature in age-restricted channels", settings)
    @app_commands.describe(state="Only with weights that are rated mature; everywhere else all stays general")
    async def mature(self, interaction: Interaction, state: Literal["on", "off"]) -> None:
        guild, actor = server_of(interaction), author(interaction)
        if state == "on" and not self.gate.services.rules.guards_mature:
            raise InputError(UNGUARDED)
        noting = self.gate.services.store.noting(actor.id, interaction.channel_id, "settings.mature", state)
        await noting.set_setting(scope(guild), MATURE_ON, "on" if state == "on" else None)
        holds = "may be mature in age-restricted channels, with weights that are rated so" if state == "on" else OFF
        await self.gate.say(interaction, f"From now on stories {holds}.")

    def _place(self, interaction: Interaction, where: Where) -> str:
        if where == "server":
            return scope(server_of(interaction))
        if interaction.channel_id is None:
            raise InputError("This works in a channel only.")
        return channel_scope(interaction.channel_id)
