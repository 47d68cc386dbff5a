"""The commands of /story for writing it together: how it is shared, who sits at its table, and whose turn it is."""

import asyncio
import logging
from collections.abc import Collection

from discord import app_commands

from bot.access import Role
from bot.errors import InputError
from bot.gate import KNOWN_ERRORS, Interaction, author, command
from bot.output import line
from bot.places import UNDELIVERED, describe
from bot.session import ChannelSession
from bot.story_front import AFTER_MOVE, STORY, StoryFront
from bot.turns import LONGEST
from memory import Mode

log = logging.getLogger(__name__)

MINUTES = "Round robin: how long a turn may take; 0 for any time, without it 15"
Minutes = app_commands.Range[float, 0.0, LONGEST / 60]


class TableCommands(StoryFront):
    _clocks: dict[int, asyncio.Task[None]]  # by channel: what hands a turn on when its time is over

    @command("story.mode", "mode", "Changes how those who write the story share it", STORY)
    @app_commands.describe(mode="How you write it together", minutes=MINUTES)
    async def mode(self, interaction: Interaction, mode: Mode, minutes: Minutes | None = None) -> None:
        place, session, who = self.gate.place(interaction), self._session(interaction), author(interaction)
        await session.set_mode(mode, minutes, who, keeps=await self._keeps(interaction))
        say = self._say(session)
        told = say("mode", name=line(who.name, 60), mode=say(f"mode_{mode.replace(' ', '_')}"))
        await self._post(session, place, [f"-# {told}"], "", AFTER_MOVE)

    @command("story.join", "join", "Gives you a seat at the story's table, behind all others", STORY)
    async def join(self, interaction: Interaction) -> None:
        session = self._session(interaction)
        await session.join(author(interaction))
        await self._told_next(interaction, session, "You sit at the table, and have your turn when it comes to you.")

    @command("story.leave", "leave", "Gives your seat at the story's table up", STORY)
    async def leave(self, interaction: Interaction) -> None:
        session = self._session(interaction)
        await session.leave(interaction.user.id)
        await self._told_next(interaction, session, "You have left the table; what you wrote stays in the story.")

    @command("story.skip", "skip", "Hands your turn on; who started the story, or a keeper, anybody's", STORY)
    async def skip(self, interaction: Interaction) -> None:
        session, who = self._session(interaction), author(interaction)
        skipped = await session.skip(who, keeps=await self._keeps(interaction))
        whose = "Your turn" if skipped.id == who.id else f"The turn of {line(skipped.name, 60)}"
        await self._told_next(interaction, session, f"{whose} is handed on.")

    async def _told_next(self, interaction: Interaction, session: ChannelSession, done: str) -> None:
        """Who acted reads what came of it, and all see it in the line under the story's end."""
        await self.gate.say(interaction, f"{done}\n{await self._restate(session)}")

    async def _keeps(self, interaction: Interaction) -> bool:
        return await self.gate.role(interaction) >= Role.KEEPER

    # The time of turns

    async def _watch_all(self) -> None:
        """When the process begins: those who were at turn before have all of their time again."""
        for channel, guild in await self.gate.services.store.tables_taken():
            session = self.gate.services.session(channel, guild)
            await session.settle()
            standing = await session.standing()
            if standing is not None:
                self._watch(session, standing.wait)

    def _watch(self, session: ChannelSession, wait: float | None) -> None:
        old = self._clocks.pop(session.channel, None)
        if old is not None and old is not asyncio.current_task():
            old.cancel()
        if wait is not None:
            self._clocks[session.channel] = asyncio.create_task(self._hand_on_later(session, wait))

    async def _hand_on_later(self, session: ChannelSession, wait: float) -> None:
        await asyncio.sleep(wait)
        try:
            with self.gate.working():
                await session.settle()
                await self._restate(session)
        except InputError:
            log.info("a turn was not handed on: the process is ending")
        except KNOWN_ERRORS as error:
            log.warning("a turn was not handed on: %s", type(error).__name__)
        except UNDELIVERED as error:
            log.warning("a turn was not handed on: %s", describe(error))
        except Exception:
            log.exception("a turn was not handed on")

    def _end_clocks(self, channels: Collection[int] | None = None) -> None:
        """Of these channels; of all when the cog goes. Whose turn it is stays."""
        for channel in list(self._clocks) if channels is None else channels:
            if (clock := self._clocks.pop(channel, None)) is not None:
                clock.cancel()
