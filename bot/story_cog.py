"""/story and the buttons under a reply: a channel's story, written as messages of the channel."""

import functools
from collections.abc import Awaitable, Callable

from discord import app_commands
from discord.ext import commands

from bot.errors import InputError
from bot.gate import Gate, Interaction, author, command
from bot.memories import MAX_NOTE, MAX_NOTE_DEPTH, NOTE_DEPTH
from bot.output import harmless, line, quote
from bot.ping_reply import PingReplies
from bot.session import Length
from bot.story_branches import BranchCommands
from bot.story_files import FileCommands
from bot.story_front import AFTER_MOVE, STORY
from bot.story_votes import VoteButton, VoteCommands
from bot.views import STORY_COG, VERBS, StoryButton, TurnModal
from bot.wording import NOTED

SHOWN = 3500  # characters of the story that /story show shows
_OLD = "The story has moved on since: use the buttons under its latest reply, or /story {command}."
_TWICE = "Somebody has just pressed that: wait for the reply."


class StoryCog(BranchCommands, FileCommands, VoteCommands, PingReplies, commands.Cog, name=STORY_COG):
    story = STORY

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._pressed: set[tuple[int, int]] = set()  # channel and head of the buttons in work
        self._votes = {}

    async def cog_load(self) -> None:
        self.gate.bot.add_dynamic_items(StoryButton, VoteButton)

    async def cog_unload(self) -> None:
        self._end_votes()
        await self.gate.close()
        self.gate.bot.remove_dynamic_items(StoryButton, VoteButton)

    # Commands

    @command("story.start", "start", "Starts a new story in this channel", STORY)
    @app_commands.describe(title="What it is called", premise="How it begins")
    async def start(self, interaction: Interaction, title: app_commands.Range[str, 1, 100], premise: str = "") -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        who = author(interaction)
        story = await session.start(title, premise, who)
        lead = [f"**{line(title, 200)}**", *quote(who.name, story.premise or "")]
        await self._post(session, place, lead, "", ("continue",))

    @command("story.add", "add", "Adds your text to the story; the model goes on", STORY, form_without="text")
    @app_commands.describe(text="What happens next; without it a form opens, for longer text")
    async def add(self, interaction: Interaction, text: str | None = None) -> None:
        if text is None:
            await interaction.response.send_modal(TurnModal("Add to the story", "", self._typed))
        else:
            await self._add(interaction, text)

    @command("story.continue", "continue", "Lets the model go on", STORY)
    @app_commands.describe(length="Of the reply, for this once; medium is this channel's own")
    async def go_on(self, interaction: Interaction, length: Length = "medium") -> None:
        await self._continue(interaction, length)

    @command("story.retry", "retry", "Lets the model try its last part again", STORY)
    async def retry(self, interaction: Interaction) -> None:
        await self._retry(interaction)

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
    async def show(self, interaction: Interaction) -> None:
        turns = await self._session(interaction).tail(SHOWN)
        text = "".join(turn.text for turn in turns)
        await self.gate.say(interaction, harmless(text) or "The story has no text yet: begin with /story add.")

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
        await self.gate.perform(interaction, VERBS[verb][0], lambda: self._pressed_once(interaction, verb, turn))

    async def _pressed_once(self, interaction: Interaction, verb: str, turn: int) -> None:
        if verb == "stop":
            await self._stop(interaction)
            return
        session = self._session(interaction)
        story = await session.story()
        if (session.channel, turn) in self._pressed:
            raise InputError(_TWICE)
        if story is None or (story.head or 0) != turn:
            raise InputError(_OLD.format(command=VERBS[verb][0].removeprefix("story.")))
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

    async def _typed(self, interaction: Interaction, text: str) -> None:
        async def work() -> None:
            await self._keep_typed(interaction, text, lambda: self._add(interaction, text))

        await self.gate.perform(interaction, "story.add", work)

    async def _add(self, interaction: Interaction, text: str) -> None:
        who = author(interaction)
        await self._write(interaction, quote(who.name, text), lambda session, sink: session.write(text, who, sink))

    async def _continue(self, interaction: Interaction, length: Length = "medium") -> None:
        who = author(interaction)
        await self._write(interaction, [], lambda session, sink: session.write(None, who, sink, length))

    async def _retry(self, interaction: Interaction) -> None:
        who = author(interaction)
        lead = [f"-# Another try, for {line(who.name, 60)}"]
        await self._write(interaction, lead, lambda session, sink: session.retry(who, sink))

    async def _undo(self, interaction: Interaction) -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        gone = await session.undo()
        words = line("".join(turn.text for turn in gone), 120)
        lead = [f"-# {line(author(interaction).name, 60)} took back: {words}"]
        await self._post(session, place, lead, "", AFTER_MOVE)

    async def _redo(self, interaction: Interaction) -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        turns = await session.redo()
        lead = [f"-# {line(author(interaction).name, 60)} brought back:"]
        await self._post(session, place, lead, "".join(turn.text for turn in turns), AFTER_MOVE, tries=True)

    async def _stop(self, interaction: Interaction) -> None:
        if not self._session(interaction).stop():
            raise InputError("Nothing is being written here at the moment.")
