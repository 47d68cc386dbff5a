"""Buttons and forms. A button's custom_id says all that it needs, so that it survives a restart."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, Self, cast

import discord

from bot.errors import InputError
from bot.gate import Interaction
from bot.phrases import ENGLISH, Phrases
from bot.session import MAX_LESSON

STORY_COG, MEMORY_COG, PRIVACY_COG = "StoryCog", "MemoryCog", "PrivacyCog"
VERBS = {  # on a button: the action it needs
    "continue": "story.continue",
    "retry": "story.retry",
    "undo": "story.undo",
    "redo": "story.redo",
    "earlier": "story.pick",
    "later": "story.pick",
    "stop": "story.stop",
}
ARROWS = {"earlier": "\u25c0", "later": "\u25b6"}
_STYLES = {"continue": discord.ButtonStyle.primary, "stop": discord.ButtonStyle.danger}
CONFIRMED = {  # by what a button confirms: its label, and the cog that does it
    "reset": ("Forget it all", MEMORY_COG),
    "delete-me": ("Remove all of it", PRIVACY_COG),
}
UNLOADED = "I do not tell stories at the moment: try again later."
CONSENT = "In this channel alone; stored with my name until /teach forget or /memory reset."
FORM = "A line for each kind, as they stand here; /memory history keeps the version before."
MAX_INPUT = 4000  # characters that a form's field holds


class Presses(Protocol):
    """The cog that hears of buttons."""

    async def press(self, interaction: Interaction, verb: str, turn: int) -> None: ...


class Confirms(Protocol):
    """The cog that hears that something was confirmed."""

    async def confirmed(self, interaction: Interaction, asker: int) -> None: ...


class StoryButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=re.compile(rf"miniature:(?P<verb>{'|'.join(VERBS)}):(?P<turn>\d{{1,20}})"),
):
    """`turn` is the story's head that the button was made for."""

    def __init__(self, verb: str, turn: int, *, disabled: bool = False, say: Phrases = ENGLISH) -> None:
        self.verb, self.turn = verb, turn
        style = _STYLES.get(verb, discord.ButtonStyle.secondary)
        id_, row = f"miniature:{verb}:{turn}", 1 if verb in ARROWS else 0
        label = ARROWS.get(verb) or say(verb)
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=id_, disabled=disabled), row=row)

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["verb"], int(match["turn"]))

    async def callback(self, interaction: Interaction) -> None:
        cog = interaction.client.get_cog(STORY_COG)
        if cog is None:
            await interaction.response.send_message(UNLOADED, ephemeral=True)
        else:
            await cast("Presses", cog).press(interaction, self.verb, self.turn)


def controls(turn: int, *verbs: str, tries: tuple[int, int] | None = None, say: Phrases = ENGLISH) -> discord.ui.View:
    """Buttons for the story as it stands at that head; `tries`: which one of how many is shown."""
    view = discord.ui.View(timeout=None)
    for verb in verbs:
        view.add_item(StoryButton(verb, turn, say=say))
    if tries is not None and tries[1] > 1:
        number, count = tries
        view.add_item(StoryButton("earlier", turn, disabled=number == 1))
        place = say("place", number=number, count=count)
        view.add_item(discord.ui.Button(label=place, custom_id="miniature:tries", disabled=True, row=1))
        view.add_item(StoryButton("later", turn, disabled=number == count))
    view.stop()  # its buttons find us by what they say: discord.py, or a host, need not keep each message's
    return view


def stop_button(say: Phrases = ENGLISH) -> discord.ui.View:
    return controls(0, "stop", say=say)


class ConfirmButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=re.compile(rf"miniature:(?P<what>{'|'.join(CONFIRMED)}):(?P<asker>\d{{1,20}})"),
):
    """Confirms what `asker` asked for."""

    def __init__(self, what: str, asker: int) -> None:
        self.what, self.asker = what, asker
        label, _ = CONFIRMED[what]
        danger = discord.ButtonStyle.danger
        super().__init__(discord.ui.Button(label=label, style=danger, custom_id=f"miniature:{what}:{asker}"))

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["what"], int(match["asker"]))

    async def callback(self, interaction: Interaction) -> None:
        cog = interaction.client.get_cog(CONFIRMED[self.what][1])
        if cog is None:
            await interaction.response.send_message(UNLOADED, ephemeral=True)
        else:
            await cast("Confirms", cog).confirmed(interaction, self.asker)


def confirm(what: str, asker: int) -> discord.ui.View:
    """Under a question; `what` is one of `CONFIRMED`."""
    view = discord.ui.View(timeout=None).add_item(ConfirmButton(what, asker))
    view.stop()
    return view


def require_asker(interaction: Interaction, asker: int, path: str) -> None:
    """Raises `InputError` where somebody else presses it than who asked for it, with the command of this path."""
    if interaction.user.id != asker:
        raise InputError(f"Only who asked for it can confirm it: ask for yourself with /{path}.")


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


class SummaryModal(discord.ui.Modal):
    """The summary as text, at most `MAX_INPUT` characters, to be changed."""

    def __init__(self, text: str, submitted: Callable[[Interaction, str], Awaitable[None]]) -> None:
        super().__init__(title="Edit the summary", timeout=3600)
        self._submitted = submitted
        self.text: discord.ui.TextInput[Self] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph, default=text, max_length=MAX_INPUT, required=False
        )
        self.add_item(discord.ui.Label(text="Summary", description=FORM, component=self.text))

    async def on_submit(self, interaction: Interaction) -> None:
        await self._submitted(interaction, self.text.value)


class TurnModal(discord.ui.Modal):
    """A part of the story, at most `MAX_INPUT` characters, to be written or changed."""

    def __init__(self, title: str, text: str, submitted: Callable[[Interaction, str], Awaitable[None]]) -> None:
        super().__init__(title=title, timeout=3600)
        self._submitted = submitted
        self.text: discord.ui.TextInput[Self] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph, default=text or None, max_length=MAX_INPUT
        )
        self.add_item(discord.ui.Label(text="Text", component=self.text))

    async def on_submit(self, interaction: Interaction) -> None:
        await self._submitted(interaction, self.text.value)
