"""What the bot does without any privileged intent, and what the one for what messages say adds where it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.__main__ import EX_CONFIG
from tests.bot.staff import nothing_out_of_place
from tests.discord_server import BotProcess, Channel, DiscordServer, Member, Message
from tests.discord_server.reading import told
from tests.discord_server.world import DIRECT_MESSAGES, GUILD_MESSAGES, GUILDS, MESSAGE_CONTENT

pytestmark = pytest.mark.slow

UNPRIVILEGED = GUILDS | GUILD_MESSAGES | DIRECT_MESSAGES


def process(server: DiscordServer, folder: Path, weights: Path, **more: str) -> BotProcess:
    env: Mapping[str, str] = {
        "MINIATURE_DATA_DIR": str(folder),
        "MINIATURE_WEIGHTS": str(weights),
        "MINIATURE_MAX_NEW_TOKENS": "8",
    }
    return BotProcess(server, env={**env, **more}, cwd=folder)


async def begun(member: Member, channel: Channel) -> Message:
    """The first message of a new story in there."""
    await member.command("story start", channel=channel, title="Dax", premise="Dax ran.").answer()
    return await crowned(member.server, channel)


async def crowned(server: DiscordServer, channel: Channel, after: Message | None = None) -> Message:
    def look() -> Message | None:
        last = channel.bot_messages[-1] if channel.bot_messages else None
        return last if last is not None and last is not after and "Continue" in str(last.buttons) else None

    message = await server.wait_for(look, None, "a finished reply")
    assert message is not None
    return message


async def text_of(member: Member, channel: Channel) -> str:
    return (await member.command("story export", channel=channel).answer()).attachments[0].data.decode()


@pytest.mark.parametrize("wanted", [False, True])
async def test_plain_messages_are_additions_where_the_intent_is_wanted(
    tmp_path: Path, tiny_weights: Path, wanted: bool
) -> None:
    async with DiscordServer(timeout=60) as server:
        server.privileged_intents = MESSAGE_CONTENT
        anna, stan = (server.guild.add_member(name) for name in ("Anna", "Stan"))
        owner, writers = server.guild.members[server.owner.id], server.guild.add_role("writers")
        anna.add_role(writers)
        thread, other = server.channel.add_thread("tale"), server.channel.add_thread("talk")
        more = {"MINIATURE_MESSAGE_CONTENT": "true"} if wanted else {}
        async with process(server, tmp_path, tiny_weights, **more) as bot:
            await bot.wait_ready()
            assert server.intents == UNPRIVILEGED | (MESSAGE_CONTENT if wanted else 0)
            await told(owner.command("access set", role="writer", discord_role=writers))
            first = {place: await begun(anna, place) for place in (thread, server.channel)}
            for place in (server.channel, other, thread):
                for who in (anna, stan):
                    who.say(place, f"The blicket of {who.user.name} opened.")
            anna.say(thread, "That was good.", reply_to=thread.history[-1])
            last = first[thread]
            if wanted:
                last = await crowned(server, thread, last)
            anna.say(thread, "Then a dax came.", reply_to=last)  # pings, and so is heard with any intents
            await crowned(server, thread, last)
            text = await text_of(anna, thread)
            assert "Then a dax came." in text
            assert ("The blicket of Anna opened." in text) == wanted
            assert "Stan" not in text, "who may not write is talking to others"
            assert "good" not in text, "an answer to somebody is for them"
            assert "blicket" not in await text_of(anna, server.channel), "an ordinary channel is for everybody's talk"
            assert other.bot_messages == []
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output
            assert "blicket" not in bot.output
        nothing_out_of_place(server)


async def test_an_intent_that_is_refused_is_one_sentence(tmp_path: Path, tiny_weights: Path) -> None:
    async with DiscordServer(timeout=60) as server:
        async with process(server, tmp_path, tiny_weights, MINIATURE_MESSAGE_CONTENT="1") as bot:
            assert await asyncio.wait_for(bot.wait(), 60) == EX_CONFIG
        last = bot.stderr.rstrip().splitlines()[-1]
        assert last.startswith("! Discord does not let the bot read what messages say: ")
        assert "MINIATURE_MESSAGE_CONTENT" in last
        assert "Traceback" not in bot.output
        assert server.gateway.identified == 0
