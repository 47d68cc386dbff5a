"""/teach: what a channel's model was taught, by whom, and what has become of it."""

import functools
from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.errors import InputError
from bot.gate import TEACHING, Gate, Interaction, Options, author, command, group, scope, server_of
from bot.output import line
from bot.progress import Progress
from bot.views import LessonModal
from bot.wording import ALWAYS, NOTHING_TAUGHT, learnt, lesson_line, lesson_state, recall_lines

NUMBER = "Its number in /teach list"


class TeachCog(commands.Cog):
    teach = group("teach", "What this channel's model was taught")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @command("teach.add", "add", "Teaches this channel's model an answer", teach, opens_modal=True)
    async def add(self, interaction: Interaction) -> None:
        await self.gate.open_form(interaction, LessonModal(self._submitted))

    async def _submitted(self, interaction: Interaction, prompt: str, answer: str, consent: bool) -> None:
        work = functools.partial(self._teach, interaction, prompt, answer, consent)
        await self.gate.perform(interaction, "teach.add", work)

    async def _teach(self, interaction: Interaction, prompt: str, answer: str, consent: bool) -> None:
        if not consent:
            raise InputError("Nothing was taught: tick the box that says that the model may learn it.")
        session = self.gate.session(interaction)
        progress = Progress(self.gate, interaction, "Learning: ")
        try:
            with self.gate.writing(session):
                taught = await session.teach(prompt, answer, author(interaction), progress)
        finally:
            await progress.close()
        await progress.report(learnt(taught))

    @command("teach.list", "list", "Lists what was taught here", teach)
    async def list_lessons(self, interaction: Interaction) -> None:
        view = await self.gate.session(interaction).memory()
        lines = [
            f"**{row.id}** {line(lesson_line(row), 450)} ({line(row.author_name, 60)}, {lesson_state(view, row)})"
            for row in view.lessons
        ]
        await self.gate.say(interaction, "\n".join(lines) or NOTHING_TAUGHT)

    @command("teach.forget", "forget", "Makes the model forget a lesson, as if it had never been taught", teach)
    @app_commands.describe(lesson=NUMBER)
    async def forget(self, interaction: Interaction, lesson: int) -> None:
        row = await self.gate.session(interaction).forget(lesson, author(interaction))
        await self.gate.say(interaction, f"Lesson {row.id} is forgotten: {line(row.prompt, 200)}")

    @forget.autocomplete("lesson")
    async def complete_lesson(self, interaction: Interaction, current: str) -> list[app_commands.Choice[int]]:
        async def lessons() -> Options[int]:
            rows = await self.gate.session(interaction).lessons()
            return [(f"{row.id}: {lesson_line(row)}", row.id) for row in rows]

        return await self.gate.choices(interaction, "teach.forget", current, lessons)

    @command("teach.forget_member", "forget-member", "Makes the model forget all that somebody taught it here", teach)
    @app_commands.describe(member="Who taught it; may have left the server")
    async def forget_member(self, interaction: Interaction, member: discord.User) -> None:
        gone = await self.gate.session(interaction).forget_member(member.id, author(interaction))
        name = line(member.display_name, 60)
        if not gone:
            raise InputError(f"{name} has taught nothing here, so nothing was forgotten.")
        what = "One lesson" if len(gone) == 1 else f"{len(gone)} lessons"
        await self.gate.say(interaction, f"{what} of {name} forgotten: {', '.join(str(row.id) for row in gone)}.")

    @command("teach.test", "test", "Asks the model each of its lessons, and shows what it says", teach)
    async def test(self, interaction: Interaction) -> None:
        session = self.gate.session(interaction)
        progress = Progress(self.gate, interaction, "Asking: ")
        try:
            with self.gate.writing(session):
                results = await session.test_lessons(progress, author(interaction))
        finally:
            await progress.close()
        await progress.report("\n".join(recall_lines(results)))

    @command("teach.always", "always", "Says whether lessons take part in all that is written here", teach)
    @app_commands.describe(state="off: only in text that has to do with them")
    async def always(self, interaction: Interaction, state: Literal["on", "off"]) -> None:
        on = state == "on"
        await self.gate.session(interaction).set_always_on(on, author(interaction))
        await self.gate.say(interaction, ALWAYS[on])

    @command("teach.switch", "switch", "Switches teaching on or off in this server", teach)
    @app_commands.describe(state="Whether teachers may teach the model")
    async def switch(self, interaction: Interaction, state: Literal["on", "off"]) -> None:
        guild, store = server_of(interaction), self.gate.services.store
        act = (interaction.user.id, interaction.channel_id, "teach.switch", f"guild {guild}: {state}")
        await store.noting(*act).set_setting(scope(guild), TEACHING, "on" if state == "on" else None)
        await self.gate.say(interaction, f"Teaching is {state} in this server.")
