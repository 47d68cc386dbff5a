"""The commands of /story that give its text as a file, or take one in."""

import io
from pathlib import PurePath

import discord
from discord import app_commands

from bot.errors import InputError
from bot.exports import Form
from bot.gate import Interaction, author, command
from bot.manuscript import MAX_BROUGHT, MAX_TITLE
from bot.output import line
from bot.places import UNDELIVERED
from bot.story_front import AFTER_MOVE, STORY, StoryFront

MAX_BYTES = 4 * MAX_BROUGHT + 3  # of a file: four a character, and a mark at its beginning
TAIL = 300  # characters of its end that are shown


class FileCommands(StoryFront):
    @command("story.export", "export", "Gives you the whole story as a file", STORY)
    @app_commands.describe(
        form="A page in a colour for each writer, a book for an e-reader, or plain Markdown",
        story="Its number in /story list; without it the story under way",
    )
    @app_commands.rename(form="format")
    async def export(self, interaction: Interaction, form: Form = "markdown", story: int | None = None) -> None:
        name, content = await self._session(interaction).export(form, story)
        limit = interaction.filesize_limit
        if len(content) > limit:
            raise InputError(
                f"The file has {len(content) >> 10:,} kB, and {limit >> 10:,} can be sent here: take another format."
            )
        await self.gate.say(interaction, "The story so far:", file=discord.File(io.BytesIO(content), name))

    @command("story.import", "import", "Makes a story of a text file, which the model then goes on with", STORY)
    @app_commands.describe(file="Plain text in UTF-8, at most 200,000 characters", title="Else the file's own")
    async def bring(
        self,
        interaction: Interaction,
        file: discord.Attachment,
        title: app_commands.Range[str, 1, MAX_TITLE] | None = None,
    ) -> None:
        place, session, who = self.gate.place(interaction), self._session(interaction), author(interaction)
        text = await _read(file)
        story = await session.bring(text, who, title=title, file=PurePath(file.filename).stem)
        end = "".join(turn.text for turn in await session.tail(TAIL))[-TAIL:].strip()
        say = self._say(session)
        told = say("brought", name=line(who.name, 60), size=say.size(story.chars, story.turns))
        lead = [f"**{line(story.title, 200)}**", f"-# {told}"]
        await self._post(session, place, lead, f"\u2026 {end}", AFTER_MOVE, begins=True)


async def _read(file: discord.Attachment) -> str:
    """Raises `InputError`."""
    if file.size > MAX_BYTES:
        raise InputError(f"The file has {file.size >> 10:,} kB: a story takes {MAX_BROUGHT:,} characters at most.")
    try:
        return (await file.read()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("The file is no text in UTF-8: save it as plain text and try again.") from error
    except UNDELIVERED as error:
        raise InputError("Discord did not hand the file over: attach it once more.") from error
