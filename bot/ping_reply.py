"""Adding to a story by answering its last message: Discord shows a bot the text of a message that pings it."""

import logging
from collections.abc import Awaitable, Callable

import discord
from discord.ext import commands

from bot import access
from bot.access import Role
from bot.errors import InputError
from bot.gate import FAILED, KNOWN_ERRORS
from bot.output import harmless
from bot.places import UNDELIVERED, ChannelMessage, ChannelPlace, describe
from bot.session import ChannelSession
from bot.story_front import StoryFront
from memory import Author

log = logging.getLogger(__name__)

_SEALED = "Only the last line of this story is to be seen, and all can read a message: /story add takes your text."
_OLDER = "The story has moved on since that: answer its latest message, the one with the buttons."


class PingReplies(StoryFront):
    """Hears of messages only where the bot has the intent for them; not the privileged one for what they say."""

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        me, reference = self.gate.bot.user, message.reference
        if me is None or message.author.bot or reference is None or me not in message.mentions:
            return
        session = self.gate.services.session(message.channel.id, message.guild.id if message.guild else None)
        segments = await self._segments(session)
        if reference.message_id not in segments:
            return

        async def add() -> None:
            access.require("story.add", await self._role_of(message))
            if reference.message_id != segments[0]:
                raise InputError(_OLDER)
            await self._take_up(message, session)

        await self._answering(message, add)

    async def _role_of(self, message: discord.Message) -> Role:
        guild = message.guild.id if message.guild else None
        return await self.gate.role_in(guild, message.author, _manages(message))

    async def _take_up(self, message: discord.Message, session: ChannelSession) -> None:
        """What the message says becomes a part of the story, and the model goes on."""
        me = 0 if self.gate.bot.user is None else self.gate.bot.user.id
        if await session.sealed():
            raise InputError(_SEALED)
        who, text = Author(message.author.id, message.author.display_name), spoken(message, me)
        await self._standing(session, asking=who.id)
        place = ChannelPlace(message.channel, self.gate.services.breaker)
        notice = await self._stream(session, place, [], lambda session, sink: session.write(text, who, sink))
        if notice:
            await self._reply(message, notice)

    async def _answering(self, message: discord.Message, work: Callable[[], Awaitable[None]]) -> None:
        """As `Gate.perform` does it; there is no answer that only one sees, so what fails is told in the channel."""
        try:
            with self.gate.working():
                await work()
        except KNOWN_ERRORS as error:
            log.info("story.add refused: %s", type(error).__name__)
            await self._reply(message, str(error))
        except UNDELIVERED as error:
            log.warning("story.add failed: %s", describe(error))
            await self._reply(message, FAILED)
        except Exception:
            log.exception("story.add failed")
            await self._reply(message, FAILED)

    async def _reply(self, message: discord.Message, text: str) -> None:
        try:
            await ChannelMessage(message, self.gate.services.breaker).reply(harmless(text))
        except UNDELIVERED as error:
            log.info("an answer did not arrive: %s", describe(error))


def _manages(message: discord.Message) -> bool:
    if not isinstance(message.author, discord.Member):
        return False
    may = message.author.guild_permissions
    return may.manage_guild or may.administrator


def spoken(message: discord.Message, me: int) -> str:
    """What was written, without the bot's mention, and with names in the place of other ones."""
    text = message.content
    names = {user.id: f"@{user.display_name}" for user in message.mentions} | {me: ""}
    for user, name in names.items():
        for mention in (f"<@{user}>", f"<@!{user}>"):
            text = text.replace(mention, name)
    return text
