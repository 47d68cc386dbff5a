"""Adding to the story by answering its last message: what a bot hears of messages without the privileged intent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import write_tiny_weights
from tests.discord_server import BotProcess, Channel, DiscordServer, Message
from tests.discord_server.reading import told
from tests.discord_server.world import MESSAGE_CONTENT

pytestmark = pytest.mark.slow


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DiscordServer]:
    weights = write_tiny_weights(tmp_path / "tiny", 1)
    env = {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(weights),
           "MINIATURE_TEMPERATURE": "0", "MINIATURE_MAX_NEW_TOKENS": "12"}  # fmt: skip
    async with (
        DiscordServer(timeout=60) as server,
        BotProcess(server, ("-m", "tests.bot.answering_bot"), env=env, cwd=tmp_path) as bot,
    ):
        await bot.wait_ready()
        assert not server.intents & MESSAGE_CONTENT
        yield server
        assert await bot.terminate() == 0
        assert "Traceback" not in bot.output, bot.output
        assert server.unexpected == []
        assert server.violations == []


async def test_an_answer_that_pings_goes_into_the_story(server: DiscordServer) -> None:
    channel, anna = server.channel, server.guild.add_member("Anna")
    bert = server.guild.add_member("Bert")
    await anna.command("story start", title="Fox", premise="A fox ran.").answer()
    first = await story_end(server, channel, None)
    anna.say(channel, f"Then {bert.mention} came, {server.bot_user.mention}", reply_to=first)
    reply = await story_end(server, channel, first)
    assert not reply.content.startswith(">"), "their words stand above it as they wrote them"
    assert first.buttons == []
    assert "A fox ran. Then @\u200bBert came," in await told(anna.command("story show"))
    # What is no answer to the story, or does not ping, is none of its business.
    count = len(channel.messages)
    chat = anna.say(channel, "Nice!", reply_to=reply, ping=False)
    anna.say(channel, "Hello, @everyone")
    anna.say(channel, "And you?", reply_to=chat)
    anna.say(channel, "Then it rained.", reply_to=first)
    refused = await said(server, channel, count + 5)
    assert "moved on" in refused.content
    assert refused.reference is channel.messages[-2]
    assert not refused.mentions
    anna.say(channel, "", reply_to=reply)
    assert "is empty" in (await said(server, channel, count + 7)).content
    shown = await told(anna.command("story show"))
    assert "Nice" not in shown
    assert "rained" not in shown


async def test_who_may_not_write_is_told_so(server: DiscordServer) -> None:
    channel, anna = server.channel, server.guild.add_member("Anna")
    owner, writers = server.guild.members[server.owner.id], server.guild.add_role("writers")
    await told(owner.command("access set", role="writer", discord_role=writers))
    await owner.command("story start", title="Fox", premise="A fox ran.").answer()
    end = await story_end(server, channel, None)
    anna.say(channel, "Then Anna came.", reply_to=end)
    assert "role writer" in (await said(server, channel, 3)).content
    anna.add_role(writers)
    anna.say(channel, "Then Anna came.", reply_to=end)
    end = await story_end(server, channel, end)
    owner.say(channel, "And the owner.", reply_to=end)
    await story_end(server, channel, end)


async def test_in_direct_messages_too(server: DiscordServer) -> None:
    anna = server.add_user("Anna")
    await anna.command("story start", title="Ours", premise="A hen sat.").answer()
    end = await story_end(server, anna.dm, None)
    anna.say(anna.dm, "She slept.", reply_to=end)
    await story_end(server, anna.dm, end)
    assert "A hen sat. She slept." in await told(anna.command("story show"))


async def story_end(server: DiscordServer, channel: Channel, after: Message | None) -> Message:
    """The next message with the story's buttons."""

    def look() -> Message | None:
        found = [m for m in channel.messages if [b["label"] for b in m.buttons][:1] == ["Continue"] and m is not after]
        return found[-1] if found else None

    message = await server.wait_for(look, None, "the end of the story")
    assert message is not None
    if after is not None:
        await server.wait_for(lambda: not after.buttons, None, "one set of buttons")
    return message


async def said(server: DiscordServer, channel: Channel, count: int) -> Message:
    await server.wait_for(lambda: len(channel.messages) >= count, None, f"{count} messages")
    return channel.messages[-1]
