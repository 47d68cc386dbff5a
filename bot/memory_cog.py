"""/memory: what the model remembers of a channel: shown, pinned, edited, paused, restored, reset."""

import io
import logging

import discord
from discord import app_commands
from discord.ext import commands

from bot.errors import InputError
from bot.gate import KNOWN_ERRORS, MAX_CHOICES, Gate, Interaction, Options, author, command, group
from bot.memory_page import as_message, page_of
from bot.output import line
from bot.session import MAX_KEY, MAX_KEYS
from bot.views import MAX_INPUT, MEMORY_COG, SummaryModal, confirm, require_asker
from bot.wording import (
    ASK_RESET,
    HISTORY,
    NO_VERSIONS,
    PAUSED,
    RESET,
    RESUMED,
    first_words,
    keys_of,
    pin_line,
    version_by,
)

log = logging.getLogger(__name__)

KEYS = MAX_KEYS * (MAX_KEY + 2)  # characters of the option that holds them, with commas between


class MemoryCog(commands.Cog, name=MEMORY_COG):
    memory = group("memory", "What the model remembers of this channel")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @command("memory.show", "show", "Shows what the model sees next, and how much room that leaves", memory)
    async def show(self, interaction: Interaction) -> None:
        page = page_of(await self.gate.session(interaction).memory())
        text, cut = as_message(page)
        await self.gate.say(interaction, text, file=_file("memory.txt", page.text) if cut else None)

    # Pins

    @command("memory.pin", "pin", "Keeps a fact before the model's eyes", memory)
    @app_commands.describe(
        text="The fact, in one sentence",
        keys="Words, commas between: the fact is seen only where one of them is in the text. None: always",
    )
    async def pin(
        self, interaction: Interaction, text: str, keys: app_commands.Range[str, 1, KEYS] | None = None
    ) -> None:
        pin = await self.gate.session(interaction).pin(text, author(interaction), keys_of(keys or ""))
        await self.gate.say(interaction, f"Pinned as number {line(pin_line(pin), 600)}")

    @command("memory.unpin", "unpin", "Lets a pinned fact go", memory)
    @app_commands.describe(pin="Its number in /memory show")
    async def unpin(self, interaction: Interaction, pin: int) -> None:
        gone = await self.gate.session(interaction).unpin(pin, author(interaction))
        await self.gate.say(interaction, f"No longer pinned: {line(gone.text, 300)}")

    @unpin.autocomplete("pin")
    async def complete_pin(self, interaction: Interaction, current: str) -> list[app_commands.Choice[int]]:
        async def pins() -> Options[int]:
            found = await self.gate.services.store.pins(self.gate.session(interaction).channel)
            return [(pin_line(pin), pin.id) for pin in found]

        return await self.gate.choices(interaction, "memory.unpin", current, pins)

    # The summary

    @command("memory.edit", "edit", "Lets you change the summary that the model sees", memory, opens_modal=True)
    async def edit(self, interaction: Interaction) -> None:
        summary = (await self.gate.session(interaction).memory()).summary
        text = "\n".join(summary.lines()) if summary else ""
        if len(text) > MAX_INPUT:
            raise InputError(
                f"The summary has {len(text):,} characters, and a form holds {MAX_INPUT:,}: pin what matters instead."
            )
        await self.gate.open_form(interaction, SummaryModal(text, self._edited))

    async def _edited(self, interaction: Interaction, text: str) -> None:
        await self.gate.perform(interaction, "memory.edit", lambda: self._save(interaction, text))

    async def _save(self, interaction: Interaction, text: str) -> None:
        """What cannot be saved is given back: a form forgets what was typed into it."""
        try:
            row = await self.gate.session(interaction).edit_summary(text, author(interaction))
        except KNOWN_ERRORS as error:
            log.info("memory.edit refused: %s", type(error).__name__)
            await self.gate.say(interaction, str(error), file=_file("summary.txt", text) if text.strip() else None)
        else:
            await self.gate.say(interaction, f"Saved as version {row.id}; /memory history lists the ones before it.")

    @command("memory.pause", "pause", "Stops what is remembered by itself: the summary stays as it is", memory)
    async def pause(self, interaction: Interaction) -> None:
        await self.gate.session(interaction).pause(author(interaction))
        await self.gate.say(interaction, PAUSED)

    @command("memory.resume", "resume", "Lets the model remember by itself again", memory)
    async def resume(self, interaction: Interaction) -> None:
        await self.gate.session(interaction).resume(author(interaction))
        await self.gate.say(interaction, RESUMED)

    @command("memory.history", "history", "Lists the versions of the summary, the newest first", memory)
    async def history(self, interaction: Interaction) -> None:
        rows = await self.gate.session(interaction).summary_versions(HISTORY)
        lines = [f"**{row.id}** <t:{int(row.created_at)}:f>, {line(version_by(row), 80)}: {line(first_words(row), 200)}"
                 for row in rows]  # fmt: skip
        await self.gate.say(interaction, "\n".join(lines) or NO_VERSIONS)

    @command("memory.restore", "restore", "Brings an earlier version of the summary back, as a new one", memory)
    @app_commands.describe(version="Its number in /memory history")
    async def restore(self, interaction: Interaction, version: int) -> None:
        row = await self.gate.session(interaction).restore_summary(version, author(interaction))
        text = f"Version {version} is back, as version {row.id}: {line(first_words(row), 200)}"
        await self.gate.say(interaction, text)

    @restore.autocomplete("version")
    async def complete_version(self, interaction: Interaction, current: str) -> list[app_commands.Choice[int]]:
        async def versions() -> Options[int]:
            rows = await self.gate.session(interaction).summary_versions(MAX_CHOICES)
            return [(f"{row.id}, {version_by(row)}: {first_words(row)}", row.id) for row in rows]

        return await self.gate.choices(interaction, "memory.restore", current, versions)

    # The end of it all

    @command("memory.reset", "reset", "Forgets pins, lessons and summaries of this channel; the story stays", memory)
    async def reset(self, interaction: Interaction) -> None:
        await self.gate.say(interaction, ASK_RESET, view=confirm("reset", interaction.user.id))

    async def confirmed(self, interaction: Interaction, asker: int) -> None:
        """The button under the question was pressed."""
        await self.gate.perform(interaction, "memory.reset", lambda: self._reset(interaction, asker))

    async def _reset(self, interaction: Interaction, asker: int) -> None:
        require_asker(interaction, asker, "memory reset")
        await self.gate.session(interaction).reset(author(interaction))
        await self.gate.replace(interaction, RESET)


def _file(name: str, text: str) -> discord.File:
    return discord.File(io.BytesIO(text.encode("utf-8", "replace")), name)
