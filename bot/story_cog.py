"""/story and the buttons under a reply: a channel's story, written as messages of the channel."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from discord import app_commands
from discord.ext import commands

from bot.departures import Departures
from bot.errors import InputError
from bot.gate import Gate, Interaction, Options, author, command
from bot.memories import MAX_NOTE, MAX_NOTE_DEPTH, NOTE_DEPTH
from bot.modes import FREE, LAST_LINE, last_line
from bot.output import harmless, line, quote
from bot.ping_reply import PingReplies
from bot.places import ChannelPlace
from bot.session import Length
from bot.story_branches import BranchCommands
from bot.story_files import FileCommands
from bot.story_front import AFTER_MOVE, STORY
from bot.story_table import MINUTES, Minutes
from bot.story_threads import new_thread
from bot.story_votes import VoteButton
from bot.views import STORY_COG, VERBS, ConfirmButton, StoryButton, TurnModal
from bot.wording import NOTED, passages
from memory import Mode

MAX_NAME = 100  # characters of an option's choice
SHOWN = 3500  # characters of the story that /story show shows
_OLD = "The story has moved on since: use the buttons under its latest reply, or /story {command}."
_TWICE = "Somebody has just pressed that: wait for the reply."
LENGTH = "Of the reply, for this once; medium is this channel's own"
STYLE = "A style pack for this once; without it the channel's own"


class StoryCog(BranchCommands, FileCommands, Departures, PingReplies, commands.Cog, name=STORY_COG):
    story = STORY

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._pressed: set[tuple[int, int]] = set()  # channel and head of the buttons in work
        self._votes, self._clocks = {}, {}

    async def cog_load(self) -> None:
        self.gate.bot.add_dynamic_items(StoryButton, VoteButton, ConfirmButton)
        await self._watch_all()

    async def cog_unload(self) -> None:
        self._end_votes()
        self._end_clocks()
        await self.gate.close()
        self.gate.bot.remove_dynamic_items(StoryButton, VoteButton, ConfirmButton)

    # Commands

    @command("story.start", "start", "Starts a new story in this channel", STORY)
    @app_commands.describe(
        title="What it is called",
        premise="How it begins",
        mode="How you write it together; free without it",
        minutes=MINUTES,
        thread="In a new thread of this channel",
    )
    async def start(
        self,
        interaction: Interaction,
        title: app_commands.Range[str, 1, 100],
        premise: str = "",
        mode: Mode = FREE,
        minutes: Minutes | None = None,
        thread: bool = False,
    ) -> None:
        place, session, who = None, self._session(interaction), author(interaction)
        if thread:
            await session.require_startable(title, premise, minutes)  # before there is a thread for it
            breaker = self.gate.services.breaker
            opened = await new_thread(interaction, title, breaker)
            place = ChannelPlace(opened, breaker)
            session = self.gate.services.session(opened.id, interaction.guild_id)
        story = await session.start(title, premise, who, mode, minutes)
        premise = story.premise or ""
        lead = [f"**{line(title, 200)}**", *quote(who.name, last_line(premise) if mode == LAST_LINE else premise)]
        await self._post(session, place or self.gate.place(interaction), lead, "", ("continue",), begins=True)
        if thread:
            await self.gate.say(interaction, f"The story begins in <#{session.channel}>.")

    @command("story.add", "add", "Adds your text to the story; the model goes on", STORY, form_without="text")
    @app_commands.describe(
        text="What happens next; without it a form opens, for longer text", length=LENGTH, style=STYLE
    )
    async def add(
        self, interaction: Interaction, text: str | None = None, length: Length = "medium", style: str | None = None
    ) -> None:
        if text is None:
            typed = functools.partial(self._typed, length=length, style=style)
            await self.gate.open_form(interaction, TurnModal("Add to the story", "", typed))
        else:
            await self._write_down(interaction, text, length, style)

    @command("story.continue", "continue", "Lets the model go on", STORY)
    @app_commands.describe(length=LENGTH, style=STYLE)
    async def go_on(self, interaction: Interaction, length: Length = "medium", style: str | None = None) -> None:
        await self._continue(interaction, length, style)

    @command("story.retry", "retry", "Lets the model try its last part again", STORY)
    @app_commands.describe(length=LENGTH, style=STYLE)
    async def retry(self, interaction: Interaction, length: Length = "medium", style: str | None = None) -> None:
        await self._retry(interaction, length, style)

    @add.autocomplete("style")
    @go_on.autocomplete("style")
    @retry.autocomplete("style")
    async def complete_style(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        async def fitting() -> Options[str]:
            styles = await asyncio.to_thread(self.gate.services.styles.list)
            return [(style.name, style.name) for style in styles if not style.problem and len(style.name) <= MAX_NAME]

        return await self.gate.choices(interaction, "story.continue", current, fitting)

    @command("story.undo", "undo", "Takes the last step back", STORY)
    async def undo(self, interaction: Interaction) -> None:
        await self._undo(interaction)

    @command("story.redo", "redo", "Brings back what was undone", STORY)
    async def redo(self, interaction: Interaction) -> None:
        await self._redo(interaction)

    @command("story.stop", "stop", "Stops what the model is writing", STORY)
    async def stop(self, interaction: Interaction) -> None:
        await self._stop(interaction)

    @command("story.show", "show", "Shows you the end of the story", STORY)
    @app_commands.describe(writers="With the name of who wrote each part")
    async def show(self, interaction: Interaction, writers: bool = False) -> None:
        turns = await self._session(interaction).tail(SHOWN)
        text = harmless("".join(turn.text for turn in turns))
        if writers:
            text = "\n\n".join(f"**{line(who, 60)}**: {harmless(words)}" for who, words in passages(turns))
        await self.gate.say(interaction, text or "The story has no text yet: begin with /story add.")

    @command("story.note", "note", "Steers the story by a line that only the model sees", STORY)
    @app_commands.describe(
        text="What holds for what comes next, in the story's own voice; without it the note is taken away",
        depth="How many lines before the end of the text it stands; the closer, the stronger",
    )
    async def note(
        self,
        interaction: Interaction,
        text: app_commands.Range[str, 1, MAX_NOTE] | None = None,
        depth: app_commands.Range[int, 1, MAX_NOTE_DEPTH] = NOTE_DEPTH,
    ) -> None:
        session = self._session(interaction)
        if text is None:
            gone = await session.remove_note()
            await self.gate.say(interaction, f"The note is gone: {line(gone.text, 300)}")
        else:
            note = await session.put_note(text, depth, author(interaction))
            await self.gate.say(interaction, f"{NOTED} It reads: {line(note.text, 600)}")

    # Buttons

    async def press(self, interaction: Interaction, verb: str, turn: int) -> None:
        await self.gate.perform(interaction, VERBS[verb], lambda: self._pressed_once(interaction, verb, turn))

    async def _pressed_once(self, interaction: Interaction, verb: str, turn: int) -> None:
        if verb == "stop":
            await self._stop(interaction)
            return
        session = self._session(interaction)
        story = await session.story()
        if (session.channel, turn) in self._pressed:
            raise InputError(_TWICE)
        if story is None or (story.head or 0) != turn:
            raise InputError(_OLD.format(command=VERBS[verb].removeprefix("story.")))
        self._pressed.add((session.channel, turn))
        works: dict[str, Callable[[Interaction], Awaitable[None]]] = {
            "continue": self._continue,
            "retry": self._retry,
            "undo": self._undo,
            "redo": self._redo,
            "earlier": functools.partial(self._step, by=-1, of=turn),
            "later": functools.partial(self._step, by=1, of=turn),
        }
        try:
            await works[verb](interaction)
        finally:
            self._pressed.discard((session.channel, turn))

    # What they do

    async def _typed(
        self, interaction: Interaction, text: str, length: Length = "medium", style: str | None = None
    ) -> None:
        async def work() -> None:
            await self._keep_typed(interaction, text, lambda: self._write_down(interaction, text, length, style))

        await self.gate.perform(interaction, "story.add", work)

    async def _write_down(
        self, interaction: Interaction, text: str, length: Length = "medium", style: str | None = None
    ) -> None:
        who = author(interaction)
        session = self._session(interaction)
        told = self._say(session)("added", name=line(who.name, 60))
        lead = [f"-# {told}"] if await session.sealed() else quote(who.name, text)
        await self._write(interaction, lead, lambda session, sink: session.write(text, who, sink, length, style))

    async def _continue(self, interaction: Interaction, length: Length = "medium", style: str | None = None) -> None:
        who = author(interaction)
        await self._write(interaction, [], lambda session, sink: session.write(None, who, sink, length, style))

    async def _retry(self, interaction: Interaction, length: Length = "medium", style: str | None = None) -> None:
        who = author(interaction)
        told = self._say(self._session(interaction))("another_try", name=line(who.name, 60))
        await self._write(interaction, [f"-# {told}"], lambda session, sink: session.retry(who, sink, length, style))

    async def _undo(self, interaction: Interaction) -> None:
        place, session, who = self.gate.place(interaction), self._session(interaction), author(interaction)
        gone = await session.undo(who)
        words = line("".join(turn.text for turn in gone), 120)
        told = self._say(session)("took_back", name=line(who.name, 60), words=words)
        await self._post(session, place, [f"-# {told}"], "", AFTER_MOVE)

    async def _redo(self, interaction: Interaction) -> None:
        place, session, who = self.gate.place(interaction), self._session(interaction), author(interaction)
        turns = await session.redo(who)
        told = self._say(session)("brought_back", name=line(who.name, 60))
        text = "".join(turn.text for turn in turns)
        await self._post(session, place, [f"-# {told}"], text, AFTER_MOVE, tries=True)

    async def _stop(self, interaction: Interaction) -> None:
        if not self._session(interaction).stop():
            raise InputError("Nothing is being written here at the moment.")
