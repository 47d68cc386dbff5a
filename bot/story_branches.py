"""The commands of /story that go through its tree: other tries, edits, branches, and the channel's earlier stories."""

import asyncio
import io

import discord
from discord import app_commands

from bot.branch_picture import picture
from bot.branch_tree import tree_lines
from bot.branching import Tries
from bot.errors import InputError
from bot.gate import Interaction, Options, author, command
from bot.modes import LAST_LINE
from bot.output import line
from bot.places import ChannelPlace
from bot.session import ChannelSession
from bot.story_front import AFTER_MOVE, AFTER_REPLY, STORY, StoryFront
from bot.views import MAX_INPUT, TurnModal, controls
from bot.wording import NO_STORIES, short, story_about, twig_line, written_by
from memory import Story, Turn

LISTED = 25  # stories
ENDS = 8  # of branches, in words
ALT = 1000  # characters of a picture's description
KEY = (
    "Green is the premise, blue is members' text, grey is the model's; the bright way is the story as it stands."
    " /story branch goes to a turn by its number. Where the branches end:"
)


class BranchCommands(StoryFront):
    # Other tries

    @command("story.pick", "pick", "Chooses among the tries of the story's last part", STORY)
    @app_commands.rename(number="try")
    @app_commands.describe(number="Which one; the oldest is 1")
    async def pick(self, interaction: Interaction, number: int) -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        tries = await session.pick(number, by=author(interaction))
        await self._show_try(interaction, session, place, tries)

    async def _show_try(
        self, interaction: Interaction, session: ChannelSession, place: ChannelPlace, tries: Tries
    ) -> None:
        told = self._say(session)(
            "chose", name=line(author(interaction).name, 60), number=tries.number, count=len(tries.turns)
        )
        await self._post(session, place, [f"-# {told}"], tries.turn.text, AFTER_REPLY, tries=True)

    @pick.autocomplete("number")
    async def complete_try(self, interaction: Interaction, current: str) -> list[app_commands.Choice[int]]:
        async def tries() -> Options[int]:
            found = await self._session(interaction).tries()
            turns = found.turns if found is not None else []
            return [(f"{number}: {turn.text.strip()}", number) for number, turn in enumerate(turns, start=1)]

        return await self.gate.choices(interaction, "story.pick", current, tries)

    async def _step(self, interaction: Interaction, *, by: int, of: int) -> None:
        """An arrow: the next try in its direction, in the place of the one that the message shows."""
        session = self._session(interaction)
        before = await session.tries()
        if before is None or before.turn.id != of:
            raise InputError("The story has moved on since: use the buttons under its latest reply.")
        if not 0 <= before.index + by < len(before.turns):
            raise InputError("There is no further try on that side: /story retry writes another.")
        tries = await session.pick(before.number + by, of=of, by=author(interaction))
        shown = (tries.number, len(tries.turns))
        buttons = controls(tries.turn.id, *AFTER_REPLY, tries=shown, say=self._say(session))
        if not await self._swap(interaction, before.turn.text, tries.turn.text, buttons):
            await self._show_try(interaction, session, self.gate.place(interaction), tries)

    # Edits and branches

    @command("story.edit", "edit", "Opens a part of the story in a form, to change it", STORY, opens_modal=True)
    @app_commands.describe(turn="Its number in /story tree; without it the last part")
    async def edit(self, interaction: Interaction, turn: int | None = None) -> None:
        old = await self._session(interaction).to_edit(turn, author(interaction))
        text = old.text.strip()
        if len(text) > MAX_INPUT:
            raise InputError(
                f"That part has {len(text):,} characters, and a form holds {MAX_INPUT:,}: undo it instead."
            )

        async def submitted(interaction: Interaction, text: str) -> None:
            async def work() -> None:
                await self._keep_typed(interaction, text, lambda: self._edit(interaction, old, text))

            await self.gate.perform(interaction, "story.edit", work)

        await self.gate.open_form(interaction, TurnModal("Edit the story", text, submitted))

    async def _edit(self, interaction: Interaction, old: Turn, text: str) -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        edited = await session.edit(old, text, author(interaction))
        story = await session.story()
        last = story is not None and story.head == edited.id
        key = "changed_last" if last else "changed_earlier"
        told = self._say(session)(key, name=line(author(interaction).name, 60))
        shown = edited.text if last or not await session.sealed() else ""
        await self._post(session, place, [f"-# {told}"], shown, AFTER_MOVE, tries=last)

    @command("story.branch", "branch", "Goes to a turn of the story; what stood behind it stays in the tree", STORY)
    @app_commands.describe(turn="Its number in /story tree, or words of it")
    async def branch(self, interaction: Interaction, turn: int) -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        found = await session.branch(turn, author(interaction))
        told = self._say(session)("went", name=line(author(interaction).name, 60), turn=turn)
        await self._post(session, place, [f"-# {told}"], found.text, AFTER_MOVE, tries=True)

    @command("story.tree", "tree", "Shows the branches of the story as a picture", STORY)
    async def tree(self, interaction: Interaction) -> None:
        tree = await self._session(interaction).tree()
        if not tree.roots:
            raise InputError("The story has no text yet, and so no branches: begin with /story add.")
        image = await asyncio.to_thread(picture, tree)
        about = short(" / ".join(tree_lines(tree)), ALT)
        ends = [f"**{node.twig.number}** {line(node.twig.words, 80)} ({line(written_by(node.twig), 60)})"
                for node in sorted(tree.ends, key=lambda node: -node.twig.number)[:ENDS]]  # fmt: skip
        hidden = [f"-# {tree.hidden:,} older turns are not in the picture."] if tree.hidden else []
        file = discord.File(io.BytesIO(image), "tree.png", description=about)
        await self.gate.say(interaction, "\n".join([KEY, *ends, *hidden]), file=file)

    @edit.autocomplete("turn")
    async def complete_edit(self, interaction: Interaction, current: str) -> list[app_commands.Choice[int]]:
        return await self._turns(interaction, "story.edit", current)

    @branch.autocomplete("turn")
    async def complete_branch(self, interaction: Interaction, current: str) -> list[app_commands.Choice[int]]:
        return await self._turns(interaction, "story.branch", current)

    async def _turns(self, interaction: Interaction, action: str, current: str) -> list[app_commands.Choice[int]]:
        async def turns() -> Options[int]:
            found = await self._session(interaction).outline()
            return [(twig_line(twig), twig.number) for twig in reversed(found)]

        return await self.gate.choices(interaction, action, current, turns)

    # The channel's stories

    @command("story.finish", "finish", "Ends the story; /story resume takes it up again", STORY)
    async def finish(self, interaction: Interaction) -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        before = await self._segments(session)
        story = await session.finish()
        say = self._say(session)
        told = say("ends", title=f"**{line(story.title, 200)}**", size=say.size(story.chars, story.turns))
        told += f"\n-# {say('after_the_end')}"
        if story.mode == LAST_LINE:
            await self._reveal(interaction, session, story, told)
        else:
            await place.send(told, None)
        if before:
            await self._strip(session, before[0])

    async def _reveal(self, interaction: Interaction, session: ChannelSession, story: Story, told: str) -> None:
        """What nobody has seen as a whole, for everybody in the channel."""
        place = self.gate.place(interaction)
        if interaction.guild_id is not None and not interaction.app_permissions.attach_files:
            await place.send(told, None)
            return
        name, content = await session.export("markdown", story.id)
        await place.send(told, None, discord.File(io.BytesIO(content), name))

    @command("story.resume", "resume", "Takes up an earlier story of this channel where it stood", STORY)
    @app_commands.describe(story="Its number in /story list, or words of its title")
    async def resume(self, interaction: Interaction, story: int) -> None:
        place, session = self.gate.place(interaction), self._session(interaction)
        found = await session.resume_story(story)
        turns = await session.tail(1)
        lead = [f"**{line(found.title, 200)}**", f"-# {self._say(session)('resumed')}"]
        text = "".join(turn.text for turn in turns)
        await self._post(session, place, lead, text, AFTER_MOVE, tries=True, begins=True)

    @resume.autocomplete("story")
    async def complete_story(self, interaction: Interaction, current: str) -> list[app_commands.Choice[int]]:
        async def stories() -> Options[int]:
            found = await self._session(interaction).stories()
            return [(f"{story.id}: {story.title} ({story_about(story)})", story.id) for story in found]

        return await self.gate.choices(interaction, "story.resume", current, stories)

    @command("story.list", "list", "Lists the stories of this channel", STORY)
    async def stories(self, interaction: Interaction) -> None:
        found = await self._session(interaction).stories()
        lines = [
            f"**{story.id}** {line(story.title, 120)} ({story_about(story)}{'' if story.finished else ', under way'})"
            for story in found[:LISTED]
        ]
        if len(found) > LISTED:
            lines.append(f"-# and {len(found) - LISTED:,} earlier ones")
        await self.gate.say(interaction, "\n".join(lines) or NO_STORIES)
