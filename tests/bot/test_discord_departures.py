"""Who goes, by what the gateway tells: a member from a server, and the bot from one, which an outage is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.staff import World
from tests.bot.storytelling import asked, begun, crowned, says
from tests.discord_server import BotProcess, DiscordServer, Guild, Message
from tests.discord_server.reading import told
from tests.discord_server.world import MEMBERS

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "discord_server" / "foreign_bot.py"
ROUND = {"title": "Fox", "premise": "A fox ran.", "mode": "round robin"}


async def test_a_member_who_leaves_the_server_leaves_its_tables(tmp_path: Path, tiny_weights: Path) -> None:
    """At once, in a bot that has the intent for members."""
    env = {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(tiny_weights), "FOREIGN_MEMBERS": "1"}
    async with DiscordServer(timeout=60) as server:
        server.privileged_intents = MEMBERS
        ann, ben, cleo = (server.guild.add_member(name) for name in ("Ann", "Ben", "Cleo"))
        other = server.guild.add_channel("other")
        async with BotProcess(server, (PROGRAM,), env=env, cwd=tmp_path) as bot:
            await bot.wait_ready()
            await ann.command("host guest", do="load").answer()
            for channel, members in ((server.channel, (ann, ben, cleo)), (other, (cleo, ben))):
                await ann.command("story start", channel=channel, options=ROUND).answer()
                for member in members:
                    await told(member.command("story join", channel=channel))
            await says(server.channel, "Ann; then Ben, Cleo.")
            ann.leave()
            await says(server.channel, "Ben; then Cleo.")
            ben.leave()
            await says(server.channel, "Cleo.")
            await says(other, "Cleo.")
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output, bot.output
        assert server.unexpected == []
        assert server.violations == []


async def voting(world: World, guild: Guild) -> Message:
    """In a new channel of the server, for five seconds."""
    ann, channel = guild.add_member("Ann"), guild.add_channel("tales")
    await begun(ann, channel)
    return await asked(world, ann, channel, seconds=5)


async def test_nothing_more_is_written_for_a_server_that_is_gone(tmp_path: Path, tiny_weights: Path) -> None:
    env = {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(tiny_weights), "MINIATURE_TEMPERATURE": "5"}
    async with DiscordServer(timeout=60) as server, BotProcess(server, env=env, cwd=tmp_path) as bot:
        await bot.wait_ready()
        gone, dark, home = server.add_guild("gone"), server.add_guild("dark"), server.guild
        world = World(server)
        ballots = [await voting(world, guild) for guild in (gone, dark, home)]  # which end one after the other
        gone.remove_bot()
        dark.fall_silent()
        for ballot in ballots[1:]:
            assert (await crowned(world, ballot.channel, ballot)).content.startswith("-# Nobody voted")
        assert [payload.path for payload in server.payloads if payload.status == 403] == []
        assert await bot.terminate() == 0
        assert "Traceback" not in bot.output, bot.output
