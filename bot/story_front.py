"""What the commands of /story share: how the story is written into its channel, and where its buttons stand."""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Sequence

import discord

from bot.gate import KNOWN_ERRORS, Gate, Interaction, group
from bot.output import LIMIT, harmless, units
from bot.session import ChannelSession, Reply, Sink
from bot.streaming import NO_MENTIONS, ChannelPlace, MessageStream, describe
from bot.views import controls, stop_button

log = logging.getLogger(__name__)

STORY = group("story", "Write a story together with the model")
CONTROLS = "controls"  # a channel's setting: the message that has the buttons, and before it those that had them
REMEMBERED = 20  # of these messages
AFTER_REPLY = ("continue", "retry", "undo")
AFTER_MOVE = ("continue", "undo", "redo")


class StoryFront:
    """The base of what has commands in the group `STORY`."""

    gate: Gate

    def _session(self, interaction: Interaction) -> ChannelSession:
        return self.gate.session(interaction)

    async def _write(
        self,
        interaction: Interaction,
        lead: Sequence[str],
        run: Callable[[ChannelSession, Sink], Awaitable[Reply]],
    ) -> None:
        """Streams a reply into the channel; where it fails, nothing of it stays."""
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
        stream = MessageStream(place, lead, writing=stop_button, lost=session.stop)
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
    ) -> None:
        """A message of the story with its buttons; with `tries`, as it shows the story's last turn, those to choose."""
        stream = MessageStream(place, lead)
        await stream.finish(text)
        await self._crown(session, stream, verbs, tries=tries)

    async def _crown(
        self,
        session: ChannelSession,
        stream: MessageStream,
        verbs: Sequence[str],
        *,
        head: int | None = None,
        tries: bool = True,
    ) -> None:
        """Buttons under the story's end, and no longer under what was its end before."""
        story = await session.story()
        if story is None or stream.last is None or (head is not None and head != story.head):
            return
        choice = await session.tries() if tries else None
        place = None if choice is None else (choice.number, len(choice.turns))
        await self._enthrone(session, stream, controls(story.head or 0, *verbs, tries=place))

    async def _enthrone(self, session: ChannelSession, stream: MessageStream, view: discord.ui.View) -> None:
        """These buttons under a message that is now the story's end, and none any more under the one before."""
        if stream.last is None:
            return
        before = await self._segments(session)
        kept = [str(message) for message in (stream.last.id, *before)][:REMEMBERED]
        await self.gate.services.store.set_setting(f"channel:{session.channel}", CONTROLS, " ".join(kept))
        await stream.crown(view)
        if before and before[0] != stream.last.id:
            await self._strip(session, before[0])

    def _place_of(self, session: ChannelSession) -> ChannelPlace:
        """The channel, for what comes without anybody's asking."""
        return ChannelPlace(self.gate.bot.get_partial_messageable(session.channel, guild_id=session.guild))

    async def _segments(self, session: ChannelSession) -> list[int]:
        """The messages that have had the story's buttons, first the one that has them."""
        stored = await self.gate.services.store.setting(f"channel:{session.channel}", CONTROLS)
        return [int(message) for message in (stored or "").split()]

    async def _strip(self, session: ChannelSession, message: int) -> None:
        channel = self.gate.bot.get_partial_messageable(session.channel, guild_id=session.guild)
        try:
            await channel.get_partial_message(message).edit(view=None)
        except (discord.HTTPException, OSError) as error:
            log.info("old buttons stay: %s", describe(error))

    async def _swap(self, interaction: Interaction, old: str, new: str, view: discord.ui.View) -> bool:
        """Puts a text in the place of the one that the message of the button ends with; False where that cannot be."""
        shown = interaction.message.content if interaction.message is not None else ""
        content = swapped(shown, old, new)
        if content is None:
            return False
        try:
            await interaction.edit_original_response(content=content, view=view, allowed_mentions=NO_MENTIONS)
        except (discord.HTTPException, OSError) as error:
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
            await self.gate.say(interaction, str(error), file=file)


def swapped(shown: str, old: str, new: str) -> str | None:
    """What a message shows, with `new` in the place of the `old` text at its end; None where it does not end so, or
    the new one has no room."""
    end, text = harmless(old).strip(), harmless(new).strip()
    if not end or not text or not shown.endswith(end):
        return None
    content = shown.removesuffix(end) + text
    return content if units(content) <= LIMIT else None
