"""What the commands of /story share: how the story is written into its channel, and where its buttons stand."""

import asyncio
import functools
import io
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import discord

from bot.breaker import asking
from bot.errors import InputError
from bot.gate import KNOWN_ERRORS, Gate, Interaction, group
from bot.host_paths import without_paths
from bot.next_line import parted, says_next, with_foot
from bot.output import LIMIT, harmless, units
from bot.phrases import Phrases
from bot.places import UNDELIVERED, ChannelMessage, ChannelPlace, describe
from bot.session import ChannelSession, Reply, Sink
from bot.sharing import Standing
from bot.streaming import MessageStream, PlaceLostError
from bot.turns import at_turn
from bot.views import controls, stop_button

log = logging.getLogger(__name__)

STORY = group("story", "Write a story together with the model")
CONTROLS = "controls"  # a channel's setting: the message that has the buttons, and before it those that had them
REMEMBERED = 20  # of these messages
AFTER_REPLY = ("continue", "retry", "undo")
AFTER_MOVE = ("continue", "undo", "redo")
UNKNOWN_MEMBER = 10007


class StoryFront:
    """The base of what has commands in the group `STORY`."""

    gate: Gate

    def _session(self, interaction: Interaction) -> ChannelSession:
        return self.gate.session(interaction)

    def _say(self, session: ChannelSession) -> Phrases:
        """The words for everybody in the session's channel, in its language."""
        return Phrases.of(self.gate.services.dials.language(session.channel, session.guild))

    def _streaming(self, session: ChannelSession, place: ChannelPlace, lead: Sequence[str]) -> MessageStream:
        """For what is now to be written, with a button that stops it."""
        say = self._say(session)
        return MessageStream(place, lead, writing=functools.partial(stop_button, say), lost=session.stop, say=say)

    async def _write(
        self,
        interaction: Interaction,
        lead: Sequence[str],
        run: Callable[[ChannelSession, Sink], Awaitable[Reply]],
    ) -> None:
        """Streams a reply into the channel; where it fails, nothing of it stays."""
        await self._standing(self._session(interaction), asking=interaction.user.id)
        notice = await self._stream(self._session(interaction), self.gate.place(interaction), lead, run)
        if notice:
            await self.gate.say(interaction, notice)

    async def _stream(
        self,
        session: ChannelSession,
        place: ChannelPlace,
        lead: Sequence[str],
        run: Callable[[ChannelSession, Sink], Awaitable[Reply]],
    ) -> str | None:
        """The same, for whoever asked in whatever way; gives the notice for them."""
        stream = self._streaming(session, place, lead)
        with self.gate.writing(session):
            try:
                await stream.queued(0, 0.0)
                reply = await run(session, stream)
            except BaseException:
                await asyncio.shield(asyncio.ensure_future(stream.abandon()))
                raise
        head = reply.turns[-1].id if reply.turns else None
        await self._crown(session, stream, AFTER_REPLY, head=head)
        return reply.notice

    async def _post(
        self,
        session: ChannelSession,
        place: ChannelPlace,
        lead: Sequence[str],
        text: str,
        verbs: Sequence[str],
        *,
        tries: bool = False,
        begins: bool = False,
    ) -> None:
        """A message of the story with its buttons; with `tries`, as it shows the story's last turn, those to choose.

        `begins`: what stood before it in the channel is no part of this story.
        """
        stream = MessageStream(place, lead, say=self._say(session))
        await stream.finish(text)
        await self._crown(session, stream, verbs, tries=tries, begins=begins)

    async def _crown(
        self,
        session: ChannelSession,
        stream: MessageStream,
        verbs: Sequence[str],
        *,
        head: int | None = None,
        tries: bool = True,
        begins: bool = False,
    ) -> None:
        """Buttons under the story's end, and no longer under what was its end before."""
        story = await session.story()
        if story is None or stream.last is None or (head is not None and head != story.head):
            return
        choice = await session.tries() if tries else None
        place = None if choice is None else (choice.number, len(choice.turns))
        view = controls(story.head or 0, *verbs, tries=place, say=self._say(session))
        await self._enthrone(session, stream, view, begins=begins)

    async def _enthrone(
        self, session: ChannelSession, stream: MessageStream, view: discord.ui.View, *, begins: bool = False
    ) -> None:
        """These buttons under a message that is now the story's end, and none any more under the one before."""
        await stream.sign(says_next(await self._standing(session), time.time(), self._say(session)))
        if stream.last is None:
            return
        before = await self._segments(session)
        kept = [str(message) for message in (stream.last.id, *before)][:REMEMBERED]
        await self.gate.services.store.set_setting(f"channel:{session.channel}", CONTROLS, " ".join(kept))
        await stream.crown(view)
        if before and before[0] != stream.last.id:
            await self._strip(session, before[0], cover=not begins and await session.sealed())

    def _place_of(self, session: ChannelSession) -> ChannelPlace:
        """The channel, for what comes without anybody's asking."""
        channel = self.gate.bot.get_partial_messageable(session.channel, guild_id=session.guild)
        return ChannelPlace(channel, self.gate.services.breaker)

    async def _segments(self, session: ChannelSession) -> list[int]:
        """The messages that have had the story's buttons, first the one that has them."""
        stored = await self.gate.services.store.setting(f"channel:{session.channel}", CONTROLS)
        return [int(message) for message in (stored or "").split()]

    async def _strip(self, session: ChannelSession, message: int, *, cover: bool = False) -> None:
        """Takes its buttons from what was the story's end; with `cover`, its text too."""
        old = self._message(session, message)
        try:
            if cover:
                covered = f"-# {self._say(session)('covered')}"
                await old.edit(content=covered, view=None)
            else:
                await old.edit(view=None)
        except UNDELIVERED as error:
            log.info("old buttons stay: %s", describe(error))
            if cover:
                await self._remove(old)

    async def _remove(self, message: ChannelMessage) -> None:
        try:
            await message.delete()
        except UNDELIVERED as error:
            log.info("nor did the message go: %s", describe(error))

    def _message(self, session: ChannelSession, message: int) -> ChannelMessage:
        channel = self.gate.bot.get_partial_messageable(session.channel, guild_id=session.guild)
        return ChannelMessage(channel.get_partial_message(message), self.gate.services.breaker)

    # Who is next

    async def _standing(self, session: ChannelSession, asking: int | None = None) -> Standing | None:
        """How the story is shared now, after whoever was at turn and has left the server has left the table too."""
        standing = await session.standing()
        while standing is not None and (first := at_turn(standing.table)) is not None:
            if first.id == asking or await self._is_here(session, first.id):
                break
            with suppress(InputError):  # somebody else has seen it too
                await session.leave(first.id)
            standing = await session.standing()
        if standing is not None:
            self._watch(session, standing.wait)
        return standing

    async def _is_here(self, session: ChannelSession, member: int) -> bool:
        """Whether somebody is in the session's server, as far as that can be known; without the intent for members
        nobody says when they leave, so that it is asked."""
        guild = None if session.guild is None else self.gate.bot.get_guild(session.guild)
        if guild is None:
            return True
        try:
            async with asking(self.gate.services.breaker, "GET", f"/guilds/{guild.id}/members/{member}"):
                await guild.fetch_member(member)
        except discord.NotFound as error:
            return error.code != UNKNOWN_MEMBER
        except UNDELIVERED as error:
            log.info("a member was not looked for: %s", describe(error))
        return True

    def _watch(self, session: ChannelSession, wait: float | None) -> None:
        """Hears when a turn will be handed on by itself, in so many seconds."""

    async def _restate(self, session: ChannelSession) -> str:
        """The line under the story's end says anew who is next; gives that line."""
        foot = says_next(await self._standing(session), time.time(), self._say(session))
        segments = await self._segments(session)
        if not segments:
            return foot
        message = self._message(session, segments[0])
        try:
            shown = await message.content()
            content = with_foot(shown, foot)
            if content == shown:
                return foot
            if content is not None:
                await message.edit(content=content)
                return foot
        except UNDELIVERED as error:
            log.info("a line under a reply stays: %s", describe(error))
        # That message has gone, is full, or may be changed no more: another one says it.
        with suppress(PlaceLostError):
            lead = [f"-# {self._say(session)('goes_on')}"]
            await self._post(session, self._place_of(session), lead, "", AFTER_MOVE)
        return foot

    async def _swap(self, interaction: Interaction, old: str, new: str, view: discord.ui.View) -> bool:
        """Puts a text in the place of the one that the message of the button ends with; False where that cannot be."""
        shown, foot = parted(interaction.message.content if interaction.message is not None else "")
        text = swapped(shown, old, new)
        content = None if text is None else with_foot(text, foot)
        if content is None:
            return False
        try:
            await self.gate.rewrite(interaction, content=content, view=view)
        except UNDELIVERED as error:
            log.info("a text was not swapped: %s", describe(error))
            return False
        return True

    async def _keep_typed(self, interaction: Interaction, text: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does what a form asks for; where that is refused the text is given back, as a form forgets it."""
        try:
            await work()
        except KNOWN_ERRORS as error:
            log.info("a form was refused: %s", type(error).__name__)
            file = discord.File(io.BytesIO(text.encode("utf-8", "replace")), "text.txt") if text.strip() else None
            await self.gate.say(interaction, without_paths(str(error)), file=file)


def swapped(shown: str, old: str, new: str) -> str | None:
    """What a message shows, with `new` in the place of the `old` text at its end; None where it does not end so, or
    the new one has no room."""
    end, text = harmless(old).strip(), harmless(new).strip()
    if not end or not text or not shown.endswith(end):
        return None
    content = shown.removesuffix(end) + text
    return content if units(content) <= LIMIT else None
