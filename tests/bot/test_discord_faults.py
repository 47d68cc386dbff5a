"""What the platform and its people do to a reply that is under way, against the real process: limits, dropped and
invalid sessions, expired tokens, old messages, channels that go, permissions that are taken. Each is recovered from, or
told in one sentence to whoever can act."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.access import Role
from tests.bot.staff import World, nothing_out_of_place
from tests.conftest import write_tiny_weights
from tests.discord_server import BotProcess, Channel, DiscordServer, Message, Upload
from tests.discord_server.reading import filled, reported, told
from tests.discord_server.world import SEND_IN_THREADS, SEND_MESSAGES, VIEW_CHANNEL

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

POST, EDIT = r"^/channels/\d+/messages$", r"^/channels/\d+/messages/\d+$"
TOKENS = 300  # of a reply, which takes long enough to be edited


class Stage(World):
    bot: BotProcess

    def room(self, name: str) -> Channel:
        return self.server.guild.add_channel(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    data = tmp_path_factory.mktemp("data")
    weights = write_tiny_weights(data / "weights" / "slow", 1, n_layer=24, n_embd=256, block_size=1024, endless=True)
    env = {"MINIATURE_DATA_DIR": str(data), "MINIATURE_WEIGHTS": str(weights), "MINIATURE_TEMPERATURE": "0",
           "MINIATURE_REPETITION_PENALTY": "1", "MINIATURE_MAX_NEW_TOKENS": str(TOKENS),
           "MINIATURE_REQUESTS_PER_MEMBER": "0"}  # fmt: skip
    async with DiscordServer(timeout=60) as server, BotProcess(server, env=env, cwd=data) as bot:
        await bot.wait_ready()
        world = Stage(server)
        world.bot = bot
        await told(world[Role.OWNER].command("access set", role="teacher", discord_role=world.teachers))
        await told(world[Role.OWNER].command("teach switch", state="on"))
        yield world
        assert await bot.terminate() == 0
        assert "Traceback" not in bot.output, bot.output
        nothing_out_of_place(server)


async def crowned(channel: Channel, after: Message | None = None) -> Message:
    """The next finished reply: its buttons are there."""

    def look() -> Message | None:
        last = channel.last_message
        done = last is not None and last is not after and "Continue" in [b["label"] for b in last.buttons]
        return last if done else None

    message = await channel.server.wait_for(look, None, "a finished reply")
    assert message is not None
    return message


async def begun(world: Stage, channel: Channel, premise: str = "Dax ran.") -> Message:
    await world[Role.WRITER].command("story start", channel=channel, title="Dax", premise=premise).answer()
    return await crowned(channel)


async def length(world: Stage, channel: Channel) -> int:
    """Bytes of the export: a reply that was kept makes it longer."""
    exported = await world[Role.WRITER].command("story export", channel=channel).answer()
    return len(exported.attachments[0].data)


# Limits


@pytest.mark.parametrize("everywhere", [False, True], ids=["route", "global"])
async def test_a_limit_is_waited_for(world: Stage, everywhere: bool) -> None:
    server, channel = world.server, world.room("limits")
    first = await begun(world, channel)
    before = len(server.rate_limited)
    server.rate_limit_next("POST", POST, 1, 0.05, everywhere=everywhere)
    server.rate_limit_next("PATCH", EDIT, 2, 0.05, everywhere=everywhere)
    asked = world[Role.WRITER].command("story continue", channel=channel)
    reply = await crowned(channel, first)
    assert (await asked.answer()).deleted
    assert channel.messages == [first, reply], "one reply, once"
    assert len(server.rate_limited) == before + 3


async def test_a_storm_of_limits_is_told_and_nothing_is_kept(world: Stage) -> None:
    server, channel = world.server, world.room("storm")
    first = await begun(world, channel)
    before = await length(world, channel)
    storm = server.rate_limit_next("POST", POST, 1000, 0.0)
    text = await told(world[Role.WRITER].command("story continue", channel=channel))
    storm.release()
    assert text == "Discord did not take what I wrote, so it was not kept in the story: try again in a minute."
    assert await length(world, channel) == before
    await world[Role.WRITER].command("story continue", channel=channel).answer()
    await crowned(channel, first)


# The gateway


@pytest.mark.parametrize("fault", ["dropped", "asked to reconnect", "session resumable", "session invalid"])
async def test_the_gateway_goes_in_the_middle_of_a_reply(world: Stage, fault: str) -> None:
    server, channel = world.server, world.room(fault.split()[-1])
    first = await begun(world, channel)
    with server.hold("PATCH", EDIT) as edit:
        asked = world[Role.WRITER].command("story continue", channel=channel)
        await edit.reached()
        if fault == "dropped":
            async with server.resuming():
                await server.drop()
        elif fault == "asked to reconnect":
            await server.reconnect()
        else:
            await server.invalidate_session(resumable=fault == "session resumable")
    reply = await crowned(channel, first)
    assert (await asked.answer()).deleted
    assert channel.messages == [first, reply]
    pressed = world[Role.WRITER].click(reply, "Continue")
    assert await pressed.acknowledged() == 6, "and presses are heard again"
    await told(world[Role.WRITER].command("story stop", channel=channel))


# Time


async def test_a_reply_outlives_the_token_of_its_command(world: Stage) -> None:
    server, channel = world.server, world.room("quarter of an hour")
    first = await begun(world, channel)
    with server.hold("PATCH", EDIT) as edit:
        asked = world[Role.WRITER].command("story continue", channel=channel)
        await edit.reached()
        server.expire(asked)
    await crowned(channel, first)


async def test_a_message_of_an_hour_ago_is_replaced_by_a_new_one(world: Stage) -> None:
    server, channel = world.server, world.room("hour")
    first = await begun(world, channel)
    with server.hold("PATCH", EDIT) as edit:
        world[Role.WRITER].command("story continue", channel=channel)
        await edit.reached()
        old = channel.messages[-1]
        old.backdate(3601)
    reply = await crowned(channel, first)
    assert reply is not old
    await server.wait_for(lambda: old.deleted, None, "the end of the old message")
    assert channel.messages == [first, reply], "what cannot be changed any more does not stay"


# Typing


@pytest.mark.parametrize("status", [None, 400, 500])
async def test_typing_is_shown_before_a_reply_and_costs_nothing_where_it_fails(
    world: Stage, status: int | None
) -> None:
    server, channel = world.server, world.room("typing")
    first = await begun(world, channel, "Dax ran to the river. " * 60)  # which the model has to read first
    if status is not None:
        server.fail_next("POST", r"/typing$", status, times=10)
    with server.hold("POST", POST) as posted:  # nothing to read so far
        world[Role.WRITER].command("story continue", channel=channel)
        await posted.reached()
    await crowned(channel, first)
    assert (channel.typing > 0) == (status is None)
    server.rest.faults.clear()


# Places that go


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("channel", "deleted"),
        ("channel", "permission"),
        ("thread", "deleted"),
        ("thread", "permission"),
        ("thread", "locked"),
    ],
)
async def test_a_place_that_is_lost_in_the_middle_of_a_reply(world: Stage, kind: str, loss: str) -> None:
    server, channel = world.server, world.room(f"{kind} {loss}")
    place = channel.add_thread("tale") if kind == "thread" else channel
    await begun(world, place)
    with server.hold("POST", POST) as posted:
        asked = world[Role.WRITER].command("story continue", channel=place)
        await posted.reached()
        if loss == "deleted":
            place.delete()
        elif loss == "locked":
            place.archived = place.locked = True
        else:
            channel.overwrite(server.guild.me, deny=VIEW_CHANNEL | SEND_MESSAGES | SEND_IN_THREADS)
    assert await told(asked) == "I can no longer write here, so this was not kept in the story."
    if loss == "permission":
        needed = "Send Messages in Threads" if kind == "thread" else "Send Messages"
        text = await told(world[Role.WRITER].command("story continue", channel=place))
        assert text == f"I may not write here: someone who manages the server must give me {needed}."


# Files


async def test_a_file_that_discord_does_not_hand_over(world: Stage) -> None:
    server, owner = world.server, world[Role.OWNER]
    files = {name: Upload(f"{name}.json", b"{}") for name in ("model", "config", "tokenizer")}
    asked = owner.command("weights add", options={"name": "gone", **files})
    server.files.clear()
    await reported(asked, r"Discord did not hand .* over: attach it once more\.")


async def test_a_file_that_is_no_weights_file(world: Stage) -> None:
    picture = Upload("picture.png", b"\x89PNG\x00\xff" * 20)
    files = dict.fromkeys(("model", "config", "tokenizer"), picture)
    asked = world[Role.OWNER].command("weights add", options={"name": "picture", **files})
    await reported(asked, r"[^\n]*were not taken in[^\n]*")


# The start, with weights that learn faster


async def test_a_gateway_that_is_down_at_the_start_is_asked_again(tmp_path: Path, tiny_weights: Path) -> None:
    async with DiscordServer(timeout=60) as server:
        server.refuse_gateway(1)
        env = {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(tiny_weights)}
        async with BotProcess(server, env=env, cwd=tmp_path) as bot:
            await bot.wait_ready()
            assert server.gateway.refused == 1
            assert "Discord's gateway cannot be reached for shard 0: next attempt in " in bot.output
            await a_lesson_outlives_the_token_of_its_form(server)
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output
        nothing_out_of_place(server)


async def a_lesson_outlives_the_token_of_its_form(server: DiscordServer) -> None:
    """What only the asker was to read goes into the channel when there is no other way to tell it."""
    owner, channel = server.guild.members[server.owner.id], server.channel
    await told(owner.command("teach switch", state="on"))
    form = await owner.command("teach add").modal()
    with server.hold("PATCH", r"/messages/@original$") as answer:
        asked = owner.submit(form, filled(form, "Dax is called", "blicket.", True))
        await answer.reached()
        server.expire(asked)
    await server.wait_for(lambda: channel.bot_messages, None, "the end of the lesson")
    assert channel.bot_messages[-1].content.startswith("Learnt in ")
