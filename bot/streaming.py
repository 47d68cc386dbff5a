"""A reply that grows by edits: the Discord side of a session's `Sink`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import discord

from bot.errors import BotError, HeldBackError
from bot.output import LIMIT, story_messages, units
from bot.phrases import ENGLISH, Phrases
from bot.places import (
    INVALID_TOKEN,
    TOO_OLD,
    UNDELIVERED,
    UNKNOWN_MESSAGE,
    UNKNOWN_WEBHOOK,
    Place,
    Posted,
    describe,
)

log = logging.getLogger(__name__)

INTERVAL = 1.1  # seconds between edits where the limits are not known: about five in five seconds, for a channel
SLOWEST = 10.0
TYPING_AFTER = 0.1  # seconds: what fails at once, or comes at once, needs no "is typing"
TYPING_LASTS = 8.0  # seconds, of the ten that the platform shows it
FIRST_PAUSE = 0.25  # before the first message: what fails at once, or comes at once, needs none to say "Writing…"
_REPLACEABLE = {UNKNOWN_MESSAGE, TOO_OLD, INVALID_TOKEN, UNKNOWN_WEBHOOK}
_LOST = "I can no longer write here, so this was not kept in the story."
_UNTAKEN = "Discord did not take what I wrote, so it was not kept in the story: try again in a minute."


class PlaceLostError(BotError):
    """The text can no longer be shown where it was to appear."""


class MessageStream:
    """A `Sink` that keeps messages as the session wants them, by as few edits as the platform's limits ask for.

    `lead` stands above the reply; `say` has the words around it. `writing` (a stop button) is under the last message
    until `finish`. `lost` is called once when the place is gone, so that nobody goes on writing for nothing. Until the
    first piece of text is there the place shows that the bot is typing. Edits come as often as the limits let them,
    every `interval` seconds where those are not known; one that took long, as it does when it had to wait, makes the
    following ones rarer.
    """

    def __init__(
        self,
        place: Place,
        lead: Sequence[str] = (),
        *,
        writing: Callable[[], discord.ui.View] | None = None,
        lost: Callable[[], object] | None = None,
        interval: float = INTERVAL,
        say: Phrases = ENGLISH,
    ) -> None:
        self._place, self._lead, self._writing, self._lost = place, list(lead), writing, lost
        self._interval, self._say = interval, say
        self._status, self._text = "", ""
        self._posted: list[Posted] = []
        self._shown: list[tuple[str, bool]] = []
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()
        self._begun, self._said = asyncio.Event(), asyncio.Event()  # text is there; a message hid the "is typing"
        self._pump_task: asyncio.Task[None] | None = None
        self._typing_task: asyncio.Task[None] | None = None
        self._last: asyncio.Task[None] | None = None
        self._failure: PlaceLostError | None = None

    # The sink

    async def queued(self, position: int, expected_wait: float) -> None:
        self._status = self._say("writing")
        if position:
            self._status = self._say("queued", place=position, seconds=max(1, round(expected_wait)))
            self._stop_typing()
        elif self._typing_task is None and not self._hurry.is_set():
            self._typing_task = asyncio.create_task(self._type())
        self._changed()

    async def show(self, text: str) -> None:
        self._text = text
        if text.strip():
            self._begun.set()
        self._changed()

    async def finish(self, text: str) -> None:
        """Returns when all of the text can be read. Raises `PlaceLostError`."""
        await self._stop_pump()
        self._text, self._status = text, ""
        self._last = asyncio.create_task(self._sync(final=True))
        await asyncio.shield(self._last)

    # What the cogs add

    @property
    def last(self) -> Posted | None:
        """The last message of the reply."""
        return self._posted[-1] if self._posted else None

    async def sign(self, foot: str) -> None:
        """A line under the finished reply, for `crown` to show; where it has no room there, a message of its own."""
        if not foot or not self._posted:
            return
        content, stoppable = self._shown[-1]
        if units(content) + units(foot) < LIMIT:
            self._shown[-1] = (f"{content}\n{foot}", stoppable)
            return
        try:
            self._posted.append(await self._place.send(foot, None))
            self._shown.append((foot, False))
        except UNDELIVERED as error:
            log.info("no line under a reply: %s", describe(error))

    async def crown(self, view: discord.ui.View) -> bool:
        """Puts buttons under the finished reply; False where that failed, which costs nothing but them."""
        if not self._posted:
            return False
        try:
            await self._posted[-1].edit(content=self._shown[-1][0], view=view)
        except UNDELIVERED as error:
            log.info("no buttons under a reply: %s", describe(error))
            return False
        return True

    async def abandon(self) -> None:
        """The reply is not to be: takes its messages back, as far as that is possible."""
        await self._stop_pump()
        if self._last is not None:
            await asyncio.wait([self._last])
        for posted in self._posted:
            try:
                await posted.delete()
            except UNDELIVERED as error:
                log.info("an abandoned message stays: %s", describe(error))
        self._posted, self._shown = [], []

    async def close(self) -> None:
        """No more edits; what stands there stays."""
        await self._stop_pump()

    # How

    def _changed(self) -> None:
        self._wake.set()
        if self._pump_task is None and not self._hurry.is_set():
            self._pump_task = asyncio.create_task(self._pump())

    async def _stop_pump(self) -> None:
        """Lets a request that is under way come to its end, so that no message is forgotten."""
        self._hurry.set()
        self._wake.set()
        self._stop_typing()
        if self._pump_task is not None:
            await asyncio.wait([self._pump_task])

    async def _pump(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = min(FIRST_PAUSE, self._interval)
        while not await _set_within(self._hurry, pause):
            await self._wake.wait()
            if self._hurry.is_set():
                return
            self._wake.clear()
            begin = clock()
            try:
                await self._sync(final=False)
            except PlaceLostError:
                return
            except UNDELIVERED as error:
                log.info("an edit failed, the next one may not: %s", describe(error))
                self._wake.set()
            pause = max(self._place.pause(self._interval), min(SLOWEST, 2 * (clock() - begin)))

    async def _type(self) -> None:
        """Shows that the bot is typing until there is text; nothing hangs on it, so that a failure ends it quietly."""
        pause = TYPING_AFTER
        while not await _set_within(self._begun, pause):
            self._said.clear()
            try:
                await self._place.typing()
            except UNDELIVERED as error:
                log.info("no typing shown: %s", describe(error))
                return
            await _set_within(self._said, TYPING_LASTS)
            pause = 0.0

    def _stop_typing(self) -> None:
        if self._typing_task is not None:
            self._typing_task.cancel()
            self._typing_task = None

    def _messages(self) -> list[str]:
        messages = story_messages(self._lead, self._text)
        if self._text.strip() or not self._status:
            return messages or [f"-# {self._say('nothing')}"]
        status = "-# " + self._status
        if messages and units(messages[-1]) + len(status) < LIMIT:
            return [*messages[:-1], messages[-1] + "\n" + status]
        return [*messages, status]

    async def _sync(self, *, final: bool) -> None:
        """Makes the channel show what is wanted."""
        if self._failure is not None:
            raise self._failure
        try:
            messages = self._messages()
            for index, content in enumerate(messages):
                stoppable = not final and self._writing is not None and index == len(messages) - 1
                await self._put(index, content, stoppable)
            for extra in self._posted[len(messages) :]:
                await _discard(extra)
            del self._posted[len(messages) :], self._shown[len(messages) :]
        except (discord.Forbidden, discord.NotFound) as error:
            raise self._fail(error) from error
        except UNDELIVERED as error:
            if final or _is_final(error):
                raise self._fail(error) from error
            raise

    def _fail(self, error: Exception) -> PlaceLostError:
        log.info("a reply has no place any more: %s", describe(error))
        told = str(error) if isinstance(error, HeldBackError) else _LOST if _is_final(error) else _UNTAKEN
        self._failure = PlaceLostError(told)
        if self._lost is not None:
            self._lost()
        return self._failure

    async def _put(self, index: int, content: str, stoppable: bool) -> None:
        wanted = (content, stoppable)
        if index < len(self._shown) and self._shown[index] == wanted:
            return
        view = self._writing() if stoppable and self._writing is not None else None
        if index == len(self._posted):
            self._posted.append(await self._place.send(content, view))
            self._shown.append(wanted)
            self._said.set()
            return
        try:
            await self._posted[index].edit(content=content, view=view)
        except discord.HTTPException as error:
            if error.code not in _REPLACEABLE:
                raise
            old, self._posted[index] = self._posted[index], await self._place.send(content, view)
            if error.code == TOO_OLD:
                await _discard(old)
        self._shown[index] = wanted


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return event.is_set()
    return True


def _is_final(error: Exception) -> bool:
    """Whether asking again is useless: an expired interaction, an archived thread, text that is moderated."""
    if isinstance(error, discord.HTTPException):
        return 400 <= error.status < 500 and error.status != 429
    return isinstance(error, HeldBackError)


async def _discard(posted: Posted) -> None:
    try:
        await posted.delete()
    except UNDELIVERED as error:
        log.info("a message stays: %s", describe(error))
