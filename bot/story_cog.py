"""/story and the buttons under a reply: a channel's story, written as messages of the channel."""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Sequence

import discord
from discord import app_commands
from discord.ext import commands

from bot.errors import InputError
from bot.gate import Gate, Interaction, author, command, group
from bot.output import harmless, line, quote
from bot.session import ChannelSession, Reply, Sink
from bot.streaming import ChannelPlace, MessageStream, describe
from bot.views import STORY_COG, VERBS, StoryButton, controls, stop_button

log = logging.getLogger(__name__)

SHOWN = 3500  # characters of the story that /story show shows
CONTROLS = "controls"  # a channel's setting: the message that has the buttons
_OLD = "The story has moved on since: use the buttons under its latest reply, or /story {verb}."
_TWICE = "Somebody has just pressed that: wait for the reply."


class StoryCog(commands.Cog, name=STORY_COG):
    story = group("story", "Write a story together with the model")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._pressed: set[tuple[int, int]] = set()  # channel and head of the buttons in work

    async def cog_load(self) -> None:
        self.gate.bot.add_dynamic_items(StoryButton)

    async def cog_unload(self) -> None:
        await self.gate.close()
        self.gate.bot.remove_dynamic_items(StoryButton)

    # Commands

    @command("story.start", "start", "Starts a new story in this channel", story)
    @app_commands.describe(title="What it is called", premise="How it begins")
    async def start(self, interaction: Interaction, title: app_commands.Range[str, 1, 100], premise: str = "") -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        who = author(interaction)
        story = await session.start(title, premise, who)
        lead = [f"**{line(title, 200)}**", *quote(who.name, story.premise or "")]
        await self._post(interaction, place, lead, "", ("continue",))

    @command("story.add", "add", "Adds your text to the story; the model goes on", story)
    @app_commands.describe(text="What happens next")
    async def add(self, interaction: Interaction, text: str) -> None:
        who = author(interaction)
        await self._write(interaction, quote(who.name, text), lambda session, sink: session.write(text, who, sink))

    @command("story.continue", "continue", "Lets the model go on", story)
    async def go_on(self, interaction: Interaction) -> None:
        await self._continue(interaction)

    @command("story.retry", "retry", "Lets the model try its last part again", story)
    async def retry(self, interaction: Interaction) -> None:
        await self._retry(interaction)

    @command("story.undo", "undo", "Takes the last step back", story)
    async def undo(self, interaction: Interaction) -> None:
        await self._undo(interaction)

    @command("story.redo", "redo", "Brings back what was undone", story)
    async def redo(self, interaction: Interaction) -> None:
        await self._redo(interaction)

    @command("story.stop", "stop", "Stops what the model is writing", story)
    async def stop(self, interaction: Interaction) -> None:
        await self._stop(interaction)

    @command("story.show", "show", "Shows you the end of the story", story)
    async def show(self, interaction: Interaction) -> None:
        turns = await self._session(interaction).tail(SHOWN)
        text = "".join(turn.text for turn in turns)
        await self.gate.say(interaction, harmless(text) or "The story has no text yet: begin with /story add.")

    @command("story.export", "export", "Gives you the whole story as a file", story)
    async def export(self, interaction: Interaction) -> None:
        text = await self._session(interaction).export()
        file = discord.File(io.BytesIO(text.encode()), "story.md")
        await self.gate.say(interaction, "The story so far:", file=file)

    # Buttons

    async def press(self, interaction: Interaction, verb: str, turn: int) -> None:
        await self.gate.perform(interaction, VERBS[verb][0], lambda: self._pressed_once(interaction, verb, turn))

    async def _pressed_once(self, interaction: Interaction, verb: str, turn: int) -> None:
        if verb == "stop":
            await self._stop(interaction)
            return
        channel = _channel(interaction)
        story = await self.gate.services.store.story(channel)
        if (channel, turn) in self._pressed:
            raise InputError(_TWICE)
        if story is None or (story.head or 0) != turn:
            raise InputError(_OLD.format(verb=verb))
        self._pressed.add((channel, turn))
        try:
            works = {"continue": self._continue, "retry": self._retry, "undo": self._undo, "redo": self._redo}
            await works[verb](interaction)
        finally:
            self._pressed.discard((channel, turn))

    # What they do

    async def _continue(self, interaction: Interaction) -> None:
        who = author(interaction)
        await self._write(interaction, [], lambda session, sink: session.write(None, who, sink))

    async def _retry(self, interaction: Interaction) -> None:
        who = author(interaction)
        lead = [f"-# Another try, for {line(who.name, 60)}"]
        await self._write(interaction, lead, lambda session, sink: session.retry(who, sink))

    async def _undo(self, interaction: Interaction) -> None:
        place = self.gate.place(interaction)
        gone = await self._session(interaction).undo()
        words = line("".join(turn.text for turn in gone), 120)
        lead = [f"-# {line(author(interaction).name, 60)} took back: {words}"]
        await self._post(interaction, place, lead, "", ("continue", "undo", "redo"))

    async def _redo(self, interaction: Interaction) -> None:
        place = self.gate.place(interaction)
        turns = await self._session(interaction).redo()
        lead = [f"-# {line(author(interaction).name, 60)} brought back:"]
        await self._post(interaction, place, lead, "".join(turn.text for turn in turns), ("continue", "undo", "redo"))

    async def _stop(self, interaction: Interaction) -> None:
        if not self._session(interaction).stop():
            raise InputError("Nothing is being written here at the moment.")

    async def _write(
        self,
        interaction: Interaction,
        lead: Sequence[str],
        run: Callable[[ChannelSession, Sink], Awaitable[Reply]],
    ) -> None:
        """Streams a reply into the channel; where it fails, nothing of it stays."""
        session = self._session(interaction)
        stream = MessageStream(self.gate.place(interaction), lead, writing=stop_button, lost=session.stop)
        with self.gate.writing(session):
            try:
                await stream.queued(0, 0.0)
                reply = await run(session, stream)
            except BaseException:
                await asyncio.shield(asyncio.ensure_future(stream.abandon()))
                raise
        head = reply.turns[-1].id if reply.turns else None
        await self._crown(interaction, stream, ("continue", "retry", "undo"), head)
        if reply.notice:
            await self.gate.say(interaction, reply.notice)

    async def _post(
        self, interaction: Interaction, place: ChannelPlace, lead: Sequence[str], text: str, verbs: Sequence[str]
    ) -> None:
        stream = MessageStream(place, lead)
        await stream.finish(text)
        await self._crown(interaction, stream, verbs)

    async def _crown(
        self, interaction: Interaction, stream: MessageStream, verbs: Sequence[str], head: int | None = None
    ) -> None:
        """Buttons under the story's end, and no longer under what was its end before."""
        channel, store = _channel(interaction), self.gate.services.store
        story = await store.story(channel)
        if story is None or stream.last is None or (head is not None and head != story.head):
            return
        before = await store.setting(f"channel:{channel}", CONTROLS)
        await store.set_setting(f"channel:{channel}", CONTROLS, str(stream.last.id))
        await stream.crown(controls(story.head or 0, *verbs))
        if before is not None and before != str(stream.last.id):
            await self._strip(interaction, int(before))

    async def _strip(self, interaction: Interaction, message: int) -> None:
        channel = self.gate.bot.get_partial_messageable(_channel(interaction), guild_id=interaction.guild_id)
        try:
            await channel.get_partial_message(message).edit(view=None)
        except (discord.HTTPException, OSError) as error:
            log.info("old buttons stay: %s", describe(error))

    def _session(self, interaction: Interaction) -> ChannelSession:
        return self.gate.services.session(_channel(interaction), interaction.guild_id)


def _channel(interaction: Interaction) -> int:
    assert interaction.channel_id is not None
    return interaction.channel_id
