"""Buttons under a reply, and the form for teaching. A button's custom_id says all, so that it survives a restart."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, Self, cast

import discord

from bot.gate import Interaction
from bot.session import MAX_LESSON

STORY_COG = "StoryCog"
VERBS = {  # on a button: the action it needs, its label
    "continue": ("story.continue", "Continue"),
    "retry": ("story.retry", "Retry"),
    "undo": ("story.undo", "Undo"),
    "redo": ("story.redo", "Redo"),
    "stop": ("story.stop", "Stop"),
}
_STYLES = {"continue": discord.ButtonStyle.primary, "stop": discord.ButtonStyle.danger}
_UNLOADED = "I do not tell stories at the moment."
CONSENT = "In this channel alone; stored with my name until /lessons forget or /memory reset."


class Presses(Protocol):
    """The cog that hears of buttons."""

    async def press(self, interaction: Interaction, verb: str, turn: int) -> None: ...


class StoryButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=re.compile(rf"miniature:(?P<verb>{'|'.join(VERBS)}):(?P<turn>\d{{1,20}})"),
):
    """`turn` is the story's head that the button was made for."""

    def __init__(self, verb: str, turn: int) -> None:
        self.verb, self.turn = verb, turn
        style = _STYLES.get(verb, discord.ButtonStyle.secondary)
        super().__init__(discord.ui.Button(label=VERBS[verb][1], style=style, custom_id=f"miniature:{verb}:{turn}"))

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["verb"], int(match["turn"]))

    async def callback(self, interaction: Interaction) -> None:
        cog = interaction.client.get_cog(STORY_COG)
        if cog is None:
            await interaction.response.send_message(_UNLOADED, ephemeral=True)
        else:
            await cast("Presses", cog).press(interaction, self.verb, self.turn)


def controls(turn: int, *verbs: str) -> discord.ui.View:
    """Buttons for the story as it stands at that head."""
    view = discord.ui.View(timeout=None)
    for verb in verbs:
        view.add_item(StoryButton(verb, turn))
    return view


def stop_button() -> discord.ui.View:
    return controls(0, "stop")


class LessonModal(discord.ui.Modal):
    """A prompt, the ideal answer, and the consent without which nothing is learnt."""

    def __init__(self, submitted: Callable[[Interaction, str, str, bool], Awaitable[None]]) -> None:
        super().__init__(title="Teach the model", timeout=3600)
        self._submitted = submitted
        long = discord.TextStyle.paragraph
        self.prompt: discord.ui.TextInput[Self] = discord.ui.TextInput(style=long, max_length=MAX_LESSON)
        self.answer: discord.ui.TextInput[Self] = discord.ui.TextInput(style=long, max_length=MAX_LESSON)
        self.consent: discord.ui.Checkbox[Self] = discord.ui.Checkbox()
        for text, description, field in (
            ("Prompt", "What stands in the story before it", self.prompt),
            ("Ideal answer", "How the model is to go on", self.answer),
            ("I wrote this, and the model may learn it", CONSENT, self.consent),
        ):
            self.add_item(discord.ui.Label(text=text, description=description, component=field))

    async def on_submit(self, interaction: Interaction) -> None:
        await self._submitted(interaction, self.prompt.value, self.answer.value, self.consent.value)
