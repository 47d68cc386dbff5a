"""The extension in the bot of somebody else, on the loopback: loaded, used, unloaded, loaded again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.access import Role
from bot.breaker import MOST_REFUSED
from memory import Store
from tests.bot.staff import World
from tests.bot.ways import YES, tried
from tests.discord_server import BotProcess, DiscordServer, Member
from tests.discord_server.reading import told
from tests.discord_server.world import GUILDS

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "discord_server" / "foreign_bot.py"


async def say(member: Member, path: str, **options: object) -> str:
    return (await member.command(path, options=options).answer()).content


def process(server: DiscordServer, folder: Path, weights: Path, **more: str) -> BotProcess:
    env = {"MINIATURE_DATA_DIR": str(folder), "MINIATURE_WEIGHTS": str(weights), "MINIATURE_MAX_NEW_TOKENS": "12"}
    return BotProcess(server, (PROGRAM,), env={**env, **more}, cwd=folder)


async def the_host_answers(anna: Member) -> None:
    """Its commands, its button, its listener and its way with errors are its own, whoever is its guest."""
    shown = anna.command("host bell")
    message = await shown.answer()
    heard = int(message.content.removeprefix("heard "))
    ring = anna.click(message, "Ring")
    assert (await ring.answer()).content == "the host's bell"
    assert await say(anna, "host fail") == "the host's handler: CommandInvokeError"
    assert await say(anna, "host bell") == f"heard {heard + 3}"


@pytest.mark.parametrize("sharded", [False, True], ids=["Bot", "AutoShardedBot"])
async def test_a_guest_leaves_its_host_as_it_was(tmp_path: Path, tiny_weights: Path, sharded: bool) -> None:
    async with DiscordServer(timeout=60) as server:
        server.recommended_shards = 2 if sharded else 1
        anna = server.guild.add_member("Anna")
        async with process(server, tmp_path, tiny_weights, FOREIGN_SHARDED="1" if sharded else "") as bot:
            await bot.wait_ready(shards=2 if sharded else 1)
            before = await say(anna, "host state")
            await the_host_answers(anna)
            for visit in range(2):
                assert await say(anna, "host guest", do="load") == "done"
                if visit == 0:
                    await anna.command("story start", title="Fox", premise="A fox ran.").answer()
                else:
                    assert await say(anna, "host guest", do="reload") == "done"
                await anna.command("story continue").answer()
                await anna.command("story retry").answer()  # two tries, which have buttons of their own
                assert "Anna" not in await told(anna.command("privacy show"))
                await the_host_answers(anna)
                during = await say(anna, "host state")
                assert during.split(" | ")[7:] == before.split(" | ")[7:], "nothing of the host's own has changed"
                text = (await anna.command("story export").answer()).attachments[0].data.decode()
                assert "A fox ran." in text, "what was written before the guest went and came again"
                assert await say(anna, "host guest", do="unload") == "done"
                assert await say(anna, "host state") == before, "nothing of the guest is left"
                await the_host_answers(anna)
                async with await Store.open(tmp_path / "memory.sqlite3") as store:  # nobody has it open any more
                    turns = await store.path(server.channel.id)
                assert [turn.kind for turn in turns][:1] == ["premise"]
                assert len(turns) == 2 + visit, "a try stands beside the other"
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output.replace("Ignoring exception in command", "")
        assert server.unexpected == []
        assert server.violations == []
        assert server.intents == GUILDS


async def test_what_discord_refuses_is_asked_for_no_more_than_a_hundred_times(
    tmp_path: Path, tiny_weights: Path
) -> None:
    """In somebody else's bot too: acknowledgements, forms and choices that come too late, and an owner nobody tells."""
    async with DiscordServer(timeout=60) as server:
        anna = server.guild.add_member("Anna")
        async with process(server, tmp_path, tiny_weights) as bot:
            await bot.wait_ready()
            assert await say(anna, "host guest", do="load") == "done"
            late = server.fail_next("POST", r"^/interactions/", 404, times=1 << 30, code=10062)
            unsaid = server.fail_next("GET", r"^/oauth2/applications/@me$", 403, times=1 << 30)
            for _ in range(MOST_REFUSED // 2):
                anna.command("story continue")
                anna.command("story add")
                anna.autocomplete("story pick", "try")
            await server.wait_for(lambda: late.hits + unsaid.hits >= MOST_REFUSED, None, "refusals")
            heard = anna.command("host bell")  # behind all of them
            await server.wait_for(lambda: any(str(heard.id) in payload.path for payload in server.payloads))
            assert await bot.terminate() == 0
        assert late.hits + unsaid.hits == MOST_REFUSED + 2, "two are the host's: its bell, and its error"


async def test_every_way_works_without_any_intent_but_that_for_guilds(tmp_path: Path, tiny_weights: Path) -> None:
    async with DiscordServer(timeout=60) as server:
        world = World(server)
        owner = world[Role.OWNER]
        async with process(server, tmp_path, tiny_weights) as bot:
            await bot.wait_ready()
            assert await say(owner, "host guest", do="load") == "done"
            for place in (server.channel, server.channel.add_thread("tales"), owner.user.dm):
                seen = await tried(world, Role.OWNER, place)
                assert set(seen.values()) == {YES}
            assert server.intents == GUILDS
            assert await bot.terminate() == 0
        assert server.unexpected == []
        assert server.violations == []


async def test_a_host_with_a_command_of_the_same_name_keeps_it(tmp_path: Path, tiny_weights: Path) -> None:
    async with DiscordServer(timeout=60) as server:
        anna = server.guild.add_member("Anna")
        async with process(server, tmp_path, tiny_weights, FOREIGN_COMMAND="settings") as bot:
            await bot.wait_ready()
            before = await say(anna, "host state")
            assert await say(anna, "host guest", do="load") == "failed: CommandAlreadyRegistered"
            assert await say(anna, "host state") == before
            assert await bot.terminate() == 0
