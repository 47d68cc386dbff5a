"""/teach, /lessons, /memory, /weights, /access: what a channel's model knows, and who may change it."""

import functools
import logging
from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot import access
from bot.access import Role
from bot.errors import InputError
from bot.gate import ASSIGNABLE, TEACHING, Gate, Interaction, author, command, group, scope
from bot.output import harmless, line
from bot.session import ChannelSession, MemoryView
from bot.shelf import ShelfEntry
from bot.streaming import AnswerPlace, MessageStream, PlaceLostError
from bot.views import LessonModal
from memory import LessonRow

log = logging.getLogger(__name__)

RoleName = Literal["writer", "teacher", "keeper"]
_DEFAULTS = {Role.WRITER: "every member", Role.TEACHER: "keepers only", Role.KEEPER: "whoever may Manage Server"}

_ADAPTER = {
    "none": "nothing is learnt",
    "ready": "learnt",
    "stale": "to be learnt anew for these weights with the next reply",
    "rebuilding": "being learnt anew for these weights",
}


class Progress:
    """A `Sink` in the answer that only the asker sees. Nothing is lost where it cannot be shown."""

    def __init__(self, gate: Gate, interaction: Interaction, doing: str = "") -> None:
        self._gate, self._interaction, self._doing = gate, interaction, doing
        self._stream = MessageStream(AnswerPlace(interaction))

    async def queued(self, position: int, expected_wait: float) -> None:
        await self._stream.queued(position, expected_wait)

    async def show(self, text: str) -> None:
        await self._stream.show(self._doing + text)

    async def finish(self, text: str) -> None:
        """The result is reported by the command."""

    async def report(self, text: str) -> None:
        self._interaction.extras["said"] = True
        try:
            await self._stream.finish(text)
        except PlaceLostError:
            await self._gate.say(self._interaction, harmless(text))

    async def close(self) -> None:
        await self._stream.close()


class ChannelCog(commands.Cog):
    lessons = group("lessons", "What this channel's model was taught")
    memory = group("memory", "What the model remembers of this channel")
    weights = group("weights", "The model that all channels share")
    access = group("access", "Who may do what in this server", dms=False)

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    # Teaching

    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @command("teach.add", "teach", "Teaches this channel's model an answer", opens_modal=True)
    async def teach(self, interaction: Interaction) -> None:
        await interaction.response.send_modal(LessonModal(self._submitted))

    async def _submitted(self, interaction: Interaction, prompt: str, answer: str, consent: bool) -> None:
        work = functools.partial(self._teach, interaction, prompt, answer, consent)
        await self.gate.perform(interaction, "teach.add", work)

    async def _teach(self, interaction: Interaction, prompt: str, answer: str, consent: bool) -> None:
        if not consent:
            raise InputError("Nothing was taught: tick the box that says that the model may learn it.")
        session = self._session(interaction)
        progress = Progress(self.gate, interaction, "Learning: ")
        try:
            with self.gate.writing(session):
                taught = await session.teach(prompt, answer, author(interaction), progress)
        finally:
            await progress.close()
        await progress.report(
            f"Learnt in {taught.seconds:.1f} seconds: {taught.recalled} of {taught.lessons} "
            f"{'lesson is' if taught.lessons == 1 else 'lessons are'} answered word by word."
        )

    @command("teach.list", "list", "Lists what was taught here", lessons)
    async def list_lessons(self, interaction: Interaction) -> None:
        rows = await self._session(interaction).lessons()
        lines = [f"**{row.id}** {_lesson(row)} ({line(row.author_name, 60)})" for row in rows]
        await self.gate.say(interaction, "\n".join(lines) or "Nothing was taught here yet: /teach does it.")

    @command("teach.forget", "forget", "Makes the model forget a lesson", lessons)
    @app_commands.describe(lesson="Its number in /lessons list")
    async def forget(self, interaction: Interaction, lesson: int) -> None:
        session = self._session(interaction)
        progress = Progress(self.gate, interaction, "Learning the others anew: ")
        try:
            with self.gate.writing(session):
                row = await session.forget(lesson, progress, author(interaction))
        finally:
            await progress.close()
        await progress.report(f"Lesson {row.id} is forgotten.")

    # Memory

    @command("memory.show", "show", "Shows what the model remembers here", memory)
    async def show_memory(self, interaction: Interaction) -> None:
        view = await self._session(interaction).memory()
        await self.gate.say(interaction, _memory(view))

    @command("memory.pin", "pin", "Keeps a fact before the model's eyes", memory)
    @app_commands.describe(text="The fact, in one sentence")
    async def pin(self, interaction: Interaction, text: str) -> None:
        pin = await self._session(interaction).pin(text, author(interaction))
        await self.gate.say(interaction, f"Pinned as number {pin.id}: {line(pin.text, 300)}")

    @command("memory.unpin", "unpin", "Lets a pinned fact go", memory)
    @app_commands.describe(pin="Its number in /memory show")
    async def unpin(self, interaction: Interaction, pin: int) -> None:
        gone = await self._session(interaction).unpin(pin)
        await self.gate.say(interaction, f"No longer pinned: {line(gone.text, 300)}")

    @command("memory.reset", "reset", "Forgets pins, lessons and summaries of this channel; the story stays", memory)
    async def reset(self, interaction: Interaction) -> None:
        await self._session(interaction).reset(author(interaction))
        await self.gate.say(interaction, "Pins, lessons and summaries of this channel are gone; the story stays.")

    # Weights

    @command("weights.list", "list", "Lists the weights that can be used", weights)
    async def list_weights(self, interaction: Interaction) -> None:
        entries = self.gate.services.shelf.list()
        lines = [_entry(entry) for entry in entries]
        await self.gate.say(interaction, "\n".join(lines) or "There are no weights.")

    @command("weights.activate", "activate", "Changes the weights while I run", weights)
    @app_commands.describe(name="Their name in /weights list")
    async def activate(self, interaction: Interaction, name: str) -> None:
        progress = Progress(self.gate, interaction)
        await progress.show(f"Checking, loading and trying {line(name)}…")
        try:
            info = await self.gate.services.shelf.activate(name, author(interaction))
        finally:
            await progress.close()
        await progress.report(f"I now write with {line(info.name)}; /weights rollback brings the old ones back.")

    @activate.autocomplete("name")
    async def complete_name(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        if not access.allowed("weights.list", await self.gate.role(interaction)):
            return []
        names = [entry.name for entry in self.gate.services.shelf.list()]
        fitting = [name for name in names if current.casefold() in name.casefold() and len(name) <= 100]
        return [app_commands.Choice(name=name, value=name) for name in fitting[:25]]

    @command("weights.rollback", "rollback", "Brings the weights before these back", weights)
    async def rollback(self, interaction: Interaction) -> None:
        progress = Progress(self.gate, interaction)
        await progress.show("Bringing the weights before these back…")
        try:
            info = await self.gate.services.shelf.rollback(author(interaction))
        finally:
            await progress.close()
        await progress.report(f"I write with {line(info.name)} again.")

    # Access

    @command("access.show", "show", "Shows who may do what here", access)
    async def show_access(self, interaction: Interaction) -> None:
        guild = _guild(interaction)
        assigned = await self.gate.assigned(guild)
        yours = (await self.gate.role(interaction)).name.lower()
        lines = [f"You are {'an' if yours == 'owner' else 'a'} {yours}."]
        for role in ASSIGNABLE:
            found = interaction.guild.get_role(assigned[role]) if role in assigned and interaction.guild else None
            who = _DEFAULTS[role] if role not in assigned else harmless(found.name) if found else "a role that is gone"
            lines.append(f"{role.name.capitalize()}: {who}")
        lines.append(f"Teaching is {'on' if await self.gate.teaching(guild) else 'off'}.")
        await self.gate.say(interaction, "\n".join(lines))

    @command("access.set", "set", "Says which Discord role makes somebody a writer, teacher or keeper", access)
    @app_commands.describe(role="What they may then do", discord_role="Who; none brings the default back")
    async def set_access(
        self, interaction: Interaction, role: RoleName, discord_role: discord.Role | None = None
    ) -> None:
        guild, store = _guild(interaction), self.gate.services.store
        await store.set_setting(scope(guild), f"access.{role}", str(discord_role.id) if discord_role else None)
        given = str(discord_role.id) if discord_role else "default"
        await store.audit(interaction.user.id, interaction.channel_id, "access.set", f"guild {guild}: {role} = {given}")
        who = harmless(discord_role.name) if discord_role else _DEFAULTS[Role[role.upper()]]
        await self.gate.say(interaction, f"{role.capitalize()}: {who}")

    @command("teach.switch", "teaching", "Switches teaching on or off in this server", access)
    @app_commands.describe(enabled="Whether teachers may teach the model")
    async def teaching(self, interaction: Interaction, enabled: bool) -> None:
        guild, store = _guild(interaction), self.gate.services.store
        await store.set_setting(scope(guild), TEACHING, "on" if enabled else None)
        state = "on" if enabled else "off"
        await store.audit(interaction.user.id, interaction.channel_id, "teach.switch", f"guild {guild}: {state}")
        await self.gate.say(interaction, f"Teaching is {state} in this server.")

    def _session(self, interaction: Interaction) -> ChannelSession:
        assert interaction.channel_id is not None
        return self.gate.services.session(interaction.channel_id, interaction.guild_id)


def _guild(interaction: Interaction) -> int:
    if interaction.guild_id is None:
        raise InputError("This works in a server only.")
    return interaction.guild_id


def _lesson(row: LessonRow) -> str:
    return f"{line(row.prompt, 200)} → {line(row.answer, 200)}"


def _entry(entry: ShelfEntry) -> str:
    name = f"**{line(entry.name)}**{' (active)' if entry.active else ''}"
    if entry.problem:
        return f"{name}: {harmless(entry.problem)}"
    facts = [f"rated {line(str(entry.card['rating']), 20)}"] if "rating" in entry.card else []
    if isinstance(parameters := entry.card.get("parameters"), int):
        facts.append(f"{parameters / 1e6:.1f} million parameters")
    if isinstance(bits := entry.card.get("bits_per_byte"), int | float):
        facts.append(f"{bits:.3f} bits per byte")
    return ": ".join([name, *([", ".join(facts)] if facts else [])])


def _memory(view: MemoryView) -> str:
    """What the model sees next, in the order in which it sees it."""
    lines = [f"**Pins** ({view.pins_tokens} tokens)"]
    lines += [f"{pin.id}: {line(pin.text, 400)}" for pin in view.pins] or ["none: /memory pin keeps a fact"]
    lines.append(f"**Summary** of the first {view.covers:,} characters ({view.summary_tokens} tokens)")
    if view.summary is not None:
        lines += [line(part, 800) for part in view.summary.lines()]
    else:
        lines.append("none yet: nothing has scrolled out of sight")
    lines.append(f"**Text** ({view.text_tokens} tokens): … {line(view.text[-200:], 300)}")
    lines.append(f"**Lessons**: {len(view.lessons)}, {_ADAPTER[view.adapter]}")
    free = view.window - view.pins_tokens - view.summary_tokens - view.text_tokens - view.reply_tokens
    lines.append(
        f"-# The window holds {view.window} tokens; {view.reply_tokens} are kept for the reply, {free} are free."
    )
    return "\n".join(lines)
