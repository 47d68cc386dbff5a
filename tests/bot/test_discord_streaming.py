"""The growing reply: what stands in the channel at the end, whatever the platform did meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.output import LIMIT, units
from bot.pace import FASTEST, Budget, pause
from bot.phrases import Phrases
from bot.places import TOO_OLD, UNKNOWN_MESSAGE
from bot.streaming import MessageStream, PlaceLostError

STOP = discord.ui.View


def http(kind: type[discord.HTTPException], status: int, code: int) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="")
    return kind(response, {"code": code, "message": "no"})


class FakeChannel:
    """A `Place` that keeps what it shows and can be told to fail; `changed` is set at each request."""

    def __init__(self) -> None:
        self.shown: dict[int, tuple[str, bool]] = {}
        self.history: list[str] = []
        self.failures: list[Exception] = []
        self.requests = 0
        self.changed = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.typed = 0
        self.untypable: Exception | None = None

    def pause(self, fixed: float) -> float:
        return fixed

    async def typing(self) -> None:
        self.typed += 1
        self.changed.set()
        if self.untypable is not None:
            raise self.untypable

    async def request(self) -> None:
        self.requests += 1
        self.changed.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)

    async def send(self, content: str, view: discord.ui.View | None) -> "FakeMessage":
        await self.request()
        message = FakeMessage(self, len(self.history))
        self.put(message.id, content, view)
        return message

    def put(self, number: int, content: str, view: object) -> None:
        assert 0 < units(content) <= LIMIT
        self.history.append(content)
        self.shown[number] = (content, view is not None)

    @property
    def texts(self) -> list[str]:
        return [content for content, _ in self.shown.values()]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                self.changed.clear()
                await self.changed.wait()
                await asyncio.sleep(0)


class FakeMessage:
    def __init__(self, channel: FakeChannel, number: int) -> None:
        self.channel, self.id = channel, number

    async def edit(self, *, content: str, view: discord.ui.View | None) -> None:
        await self.channel.request()
        self.channel.put(self.id, content, view)

    async def delete(self) -> None:
        await self.channel.request()
        self.channel.shown.pop(self.id, None)


@pytest.fixture
async def channel() -> FakeChannel:
    return FakeChannel()


def stream_to(channel: FakeChannel, **options: Any) -> MessageStream:
    return MessageStream(channel, **{"interval": 0.001, "writing": STOP, **options})


async def test_the_place_in_the_queue_then_the_text_then_the_end(channel: FakeChannel) -> None:
    stream = stream_to(channel, lead=["> **Anna**\n> Hello."])
    await stream.queued(2, 4.6)
    await channel.until(lambda: bool(channel.shown))
    assert channel.shown == {0: ("> **Anna**\n> Hello.\n-# In the queue: place 2, about 5 s", True)}
    await stream.queued(0, 0)
    await channel.until(lambda: "Writing" in channel.texts[0])
    await stream.show("The fox")
    await channel.until(lambda: "fox" in channel.texts[0])
    assert channel.shown == {0: ("> **Anna**\n> Hello.\nThe fox", True)}
    await stream.finish("The fox ran.")
    assert channel.shown == {0: ("> **Anna**\n> Hello.\nThe fox ran.", False)}
    assert await stream.crown(discord.ui.View())
    assert channel.shown == {0: ("> **Anna**\n> Hello.\nThe fox ran.", True)}


async def test_unchanged_text_is_not_sent_again(channel: FakeChannel) -> None:
    stream = stream_to(channel, writing=None)
    await stream.show("The fox")
    await channel.until(lambda: bool(channel.shown))
    for _ in range(5):
        await stream.show("The fox")
        await asyncio.sleep(0.002)
    await stream.finish("The fox")
    assert channel.requests == 1


async def test_a_slow_place_gets_fewer_edits(channel: FakeChannel) -> None:
    stream = stream_to(channel)
    channel.gate = asyncio.Event()
    await stream.show("0")
    await channel.until(lambda: channel.requests == 1)
    for number in range(1, 50):
        await stream.show(str(number))
    channel.gate.set()
    await stream.finish("50")
    assert channel.history == ["0", "50"]


async def test_long_text_goes_on_in_further_messages(channel: FakeChannel) -> None:
    text = "The fox ran. " * 400
    stream = stream_to(channel, lead=["> **Anna**\n> " + "x" * 900])
    await stream.show(text[:2500])
    await channel.until(lambda: len(channel.shown) == 2)
    await stream.finish(text)
    assert len(channel.shown) == 4
    assert "".join(channel.texts[i].replace("\n", "") for i in range(4)).count("The fox ran.") == 400
    assert not any(stoppable for _, stoppable in channel.shown.values())
    await stream.abandon()
    assert channel.shown == {}


@pytest.mark.parametrize(
    ("kind", "status", "code"), [(discord.NotFound, 404, UNKNOWN_MESSAGE), (discord.HTTPException, 400, TOO_OLD)]
)
async def test_a_message_that_cannot_be_edited_is_replaced(
    channel: FakeChannel, kind: type[discord.HTTPException], status: int, code: int
) -> None:
    stream = stream_to(channel)
    await stream.show("The fox")
    await channel.until(lambda: bool(channel.shown))
    channel.failures = [http(kind, status, code)]
    await stream.finish("The fox ran.")
    assert channel.texts[-1] == "The fox ran."
    assert len(channel.shown) == (1 if code == TOO_OLD else 2)  # the deleted one is none of the bot's doing


@pytest.mark.parametrize(("kind", "status", "code"), [(discord.Forbidden, 403, 50013), (discord.NotFound, 404, 10003)])
async def test_a_lost_channel_stops_the_writing(
    channel: FakeChannel, kind: type[discord.HTTPException], status: int, code: int
) -> None:
    lost: list[str] = []
    stream = stream_to(channel, lost=lambda: lost.append("lost"))
    channel.failures = [http(kind, status, code)]
    await stream.show("The fox")
    await channel.until(lambda: bool(lost))
    with pytest.raises(PlaceLostError, match="no longer"):
        await stream.finish("The fox ran.")
    assert lost == ["lost"]
    assert channel.requests == 1, "nothing is asked of a platform that forbade it"


async def test_a_failing_edit_is_made_up_for(channel: FakeChannel) -> None:
    stream = stream_to(channel)
    channel.failures = [http(discord.DiscordServerError, 503, 0), OSError("reset")]
    await stream.show("The fox")
    await channel.until(lambda: bool(channel.shown))
    await stream.finish("The fox ran.")
    assert channel.texts == ["The fox ran."]


async def interrupted(channel: FakeChannel, stream: MessageStream) -> None:
    try:
        await stream.finish("The fox ran.")
    except asyncio.CancelledError:
        await stream.abandon()
        raise


@pytest.mark.parametrize("with_text", [False, True])
async def test_cancelled_in_the_middle_of_a_request_it_leaves_nothing(channel: FakeChannel, with_text: bool) -> None:
    stream = stream_to(channel)
    channel.gate = asyncio.Event()
    if with_text:
        await stream.show("The fox")
        await channel.until(lambda: channel.requests == 1)
    work: Coroutine[Any, Any, None] = interrupted(channel, stream)
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    if not with_text:
        await channel.until(lambda: channel.requests == 1)
    task.cancel()
    await asyncio.sleep(0)
    channel.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert channel.shown == {}


@pytest.mark.parametrize("failing", [False, True])
async def test_typing_is_shown_until_there_is_text(channel: FakeChannel, failing: bool) -> None:
    stream = stream_to(channel, lead=["> **Anna**\n> Hello."])
    if failing:
        channel.untypable = http(discord.Forbidden, 403, 50013)
    await stream.queued(1, 3.0)
    await channel.until(lambda: bool(channel.shown))
    assert channel.typed == 0, "its place in the queue says more"
    await stream.queued(0, 0.0)
    await channel.until(lambda: channel.typed == 1)
    await stream.show("The fox")
    await channel.until(lambda: "fox" in channel.texts[0])
    await stream.finish("The fox ran.")
    assert channel.texts == ["> **Anna**\n> Hello.\nThe fox ran."]
    assert channel.typed == 1


async def test_the_lines_around_a_reply_are_in_the_channels_language(channel: FakeChannel) -> None:
    stream = stream_to(channel, say=Phrases.of("German"))
    await stream.queued(2, 4.6)
    await channel.until(lambda: channel.texts == ["-# In der Warteschlange: Platz 2, etwa 5 s"])
    await stream.queued(0, 0.0)
    await channel.until(lambda: channel.texts == ["-# Schreibt…"])
    await stream.finish("")
    assert channel.texts == ["-# Mir ist nichts eingefallen. Versucht es noch einmal, oder fügt einen Satz hinzu."]


async def test_typing_comes_again_when_a_message_hid_it(channel: FakeChannel) -> None:
    stream = stream_to(channel, interval=10.0)  # the message comes after the first sign of typing
    await stream.queued(0, 0.0)
    await channel.until(lambda: bool(channel.shown) and channel.typed == 2)
    await stream.abandon()


@pytest.mark.parametrize(
    ("budget", "wait"),
    [
        (None, 1.1),
        (Budget(4, 5.0), 5 / 3),  # five in five seconds: three more, and two are kept for the end
        (Budget(2, 1.7), 1.7),
        (Budget(0, 3.0), 3.0),
        (Budget(999, 1.0), FASTEST),
        (Budget(5, 0.0), FASTEST),  # the window is over
    ],
)
def test_the_pause_spends_what_is_left_but_for_the_end(budget: Budget | None, wait: float) -> None:
    assert pause(budget, 1.1) == pytest.approx(wait)


async def test_nothing_written_says_so(channel: FakeChannel) -> None:
    stream = stream_to(channel)
    await stream.finish("  ")
    assert "Nothing came to mind" in channel.texts[0]
