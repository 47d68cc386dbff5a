"""A story in a thread of its own, and what one reply is asked to be, of the real process against the loopback."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
import pytest_asyncio

from bot.access import Role
from tests.bot.staff import World, staffed
from tests.bot.storytelling import begun, crowned, labels, short_replies
from tests.bot.test_styles import write_pack
from tests.conftest import write_tiny_weights
from tests.discord_server import Channel
from tests.discord_server.reading import filled, told
from tests.discord_server.world import PUBLIC_THREADS, SEND_IN_THREADS

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    env = short_replies(tmp_path_factory)
    data, weights = Path(env["MINIATURE_DATA_DIR"]), Path(env["MINIATURE_WEIGHTS"])
    write_pack(data / "styles" / "verse.safetensors", weights)
    write_pack(data / "styles" / "prose.safetensors", write_tiny_weights(data / "others", 2))
    async with staffed(env) as world:
        yield world


def threads(world: World, channel: Channel) -> list[Channel]:
    return [thread for thread in world.server.guild.threads() if thread.parent is channel]


async def test_a_story_begins_in_a_thread_that_is_a_channel_of_its_own(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("hall")
    outside = await begun(will, channel)
    count = len(channel.messages)
    options = {"title": "Hen *two*", "premise": "A hen sang.", "thread": True}
    answer = await told(will.command("story start", channel=channel, options=options))
    (thread,) = threads(world, channel)
    assert answer == f"The story begins in {thread.mention}."
    assert thread.name == "Hen *two*"
    assert len(channel.messages) == count, "the channel's own story goes on there"
    start = thread.last_message
    assert start is not None
    assert labels(start) == ["Continue"]
    will.click(start, "Continue")
    await crowned(world, thread, start)
    assert "A hen sang." in await told(will.command("story show", channel=thread))
    assert "A fox named Mira" in await told(will.command("story show", channel=channel))
    will.click(outside, "Undo")
    await crowned(world, channel, outside)
    again = await told(will.command("story start", channel=thread, options=options))
    assert "only be opened in a server's text channel" in again


@pytest.mark.parametrize(
    ("denied", "name"),
    [
        (PUBLIC_THREADS, "Create Public Threads"),
        (SEND_IN_THREADS, "Send Messages in Threads"),
        (PUBLIC_THREADS | SEND_IN_THREADS, "Create Public Threads and Send Messages in Threads"),
    ],
)
async def test_a_missing_permission_is_named(world: World, denied: int, name: str) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel(f"denied-{denied}")
    channel.overwrite(world.server.guild.everyone, deny=denied)
    answer = await told(will.command("story start", channel=channel, options={"title": "Fox", "thread": True}))
    assert answer == f"I may not open a thread here: someone who manages the server must give me {name}."
    assert threads(world, channel) == []


async def test_discord_may_open_none_all_the_same(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("full")
    world.server.fail_next("POST", r"^/channels/\d+/threads$", 400, code=160006)
    answer = await told(will.command("story start", channel=channel, options={"title": "Fox", "thread": True}))
    assert answer == "Discord opened no thread here: start the story without one, or try again later."
    assert "start one" in await told(will.command("story continue", channel=channel)), "and so no story either"


async def test_nothing_is_opened_for_what_cannot_begin(world: World) -> None:
    will, stan, channel = world[Role.WRITER], world[Role.STRANGER], world.server.guild.add_channel("bad")
    for options in ({"title": " ", "thread": True}, {"title": "Fox", "premise": "x" * 4001, "thread": True},
                    {"title": "Fox", "thread": True, "mode": "round robin", "minutes": 0.05}):  # fmt: skip
        answer = await told(will.command("story start", channel=channel, options=options))
        assert answer.count(".") <= 2, answer
    assert "role writer" in await told(stan.command("story start", channel=channel, title="Fox", thread=True))
    assert threads(world, channel) == []
    user = world.server.add_user("Dora")
    assert "text channel" in await told(user.command("story start", title="Fox", thread=True))


async def test_a_thread_that_is_deleted_or_closed_loses_nothing(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("lost")
    await will.command("story start", channel=channel, title="Fox", premise="A fox.", thread=True).answer()
    (thread,) = threads(world, channel)
    start = thread.last_message
    assert start is not None
    channel.overwrite(world.server.guild.everyone, deny=SEND_IN_THREADS)
    answer = await told(will.command("story continue", channel=thread))
    assert answer == "I may not write here: someone who manages the server must give me Send Messages in Threads."
    channel.overwrite(world.server.guild.everyone)
    assert "A fox." in await told(will.command("story show", channel=thread))
    will.command("story continue", channel=thread)
    await crowned(world, thread, start)
    thread.delete()
    assert "no" in await told(will.command("story retry", channel=channel)), "the channel is still served"


async def test_the_permissions_of_the_invitation_suffice(world: World) -> None:
    page = (Path(__file__).parents[2] / "docs" / "discord.md").read_text(encoding="utf-8")
    asked = discord.Permissions(int(re.findall(r"permissions=(\d+)", page)[0]))
    named = {
        row.lower().replace(" ", "_").replace("channels", "channel")
        for row in re.findall(r"\n   \| ([A-Z][^|]+) \|", page)
    }
    assert {name.replace("read_messages", "view_channel") for name, has in asked if has} == named
    will, guild = world[Role.WRITER], world.server.guild
    before, guild.everyone.permissions = guild.everyone.permissions, asked.value
    channel = guild.add_channel("least")
    options = {"title": "Fox", "premise": "A fox.", "thread": True, "mode": "round robin"}
    await will.command("story start", channel=channel, options=options).answer()
    (thread,) = threads(world, channel)
    start = thread.last_message
    assert start is not None
    await told(will.command("story join", channel=thread))
    await world.server.wait_for(lambda: "Next: Will" in start.content, None, "who is next")
    will.command("story add", channel=thread, text="She ran.")
    await crowned(world, thread, start)
    for path in ("story tree", "story export"):
        assert (await will.command(path, channel=thread).answer()).attachments
    guild.everyone.permissions = before


async def test_a_style_and_a_length_are_of_one_reply(world: World) -> None:
    will, stan, channel = world[Role.WRITER], world[Role.STRANGER], world.server.guild.add_channel("styles")
    message = await begun(will, channel)
    for path in ("story add", "story continue", "story retry"):
        choices = await will.autocomplete(path, "style", channel=channel).choices()
        assert [choice["value"] for choice in choices] == ["verse"], "what fits the weights"
        assert await stan.autocomplete(path, "style", channel=channel).choices() == []
        for name, sentence in (("prose", "other"), ("poem", "There is no style pack of that name")):
            options = {"style": name} | ({"text": "She fell."} if path == "story add" else {})
            assert sentence in await told(will.command(path, channel=channel, options=options))
    assert channel.last_message is message, "nothing of that stays"
    for path, options in (("story add", {"text": "She fell."}), ("story continue", {}), ("story retry", {})):
        will.command(path, channel=channel, options={"style": "verse", "length": "short", **options})
        message = await crowned(world, channel, message)
    form = await will.command("story add", channel=channel, options={"style": "prose"}).modal()
    refused = await will.submit(form, filled(form, "She *sang*.")).answer()
    assert refused.attachments[0].data.decode() == "She *sang*."
    assert "verse" not in await told(will.command("memory show", channel=channel)), "the channel's own stays"


async def test_who_wrote_what_is_shown(world: World) -> None:
    will, tess, channel = world[Role.WRITER], world[Role.TEACHER], world.server.guild.add_channel("writers")
    message = await begun(will, channel)
    tess.command("story add", channel=channel, text="Then *she* ran to @everyone.")
    await crowned(world, channel, message)
    shown = await told(world[Role.STRANGER].command("story show", channel=channel, writers=True))
    parts = shown.split("\n\n")
    assert parts[0] == "**Will**: A fox named Mira ran. She saw a key."
    assert [part.split(":")[0] for part in parts if part.startswith("**")] == [
        "**Will**", "**the model**", "**Tess**", "**the model**",
    ]  # fmt: skip
    assert "**Tess**: Then \\*she\\* ran to @\u200beveryone." in parts
