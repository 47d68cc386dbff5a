"""The extension in the bot of somebody else, on the loopback: loaded, used, unloaded, loaded again."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory import Store
from tests.discord_server import BotProcess, DiscordServer, Member
from tests.discord_server.reading import told

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "discord_server" / "foreign_bot.py"


async def say(member: Member, path: str, **options: object) -> str:
    return (await member.command(path, options=options).answer()).content


def process(server: DiscordServer, folder: Path, weights: Path, **more: str) -> BotProcess:
    env = {"MINIATURE_DATA_DIR": str(folder), "MINIATURE_WEIGHTS": str(weights), "MINIATURE_MAX_NEW_TOKENS": "12"}
    return BotProcess(server, (PROGRAM,), env={**env, **more}, cwd=folder)


@pytest.mark.parametrize("sharded", [False, True], ids=["Bot", "AutoShardedBot"])
async def test_a_guest_leaves_its_host_as_it_was(tmp_path: Path, tiny_weights: Path, sharded: bool) -> None:
    async with DiscordServer(timeout=60) as server:
        server.recommended_shards = 2 if sharded else 1
        anna = server.guild.add_member("Anna")
        async with process(server, tmp_path, tiny_weights, FOREIGN_SHARDED="1" if sharded else "") as bot:
            await bot.wait_ready(shards=2 if sharded else 1)
            before = await say(anna, "host state")
            for visit in range(2):
                assert await say(anna, "host guest", present=True) == "done"
                if visit == 0:
                    await anna.command("story start", title="Fox", premise="A fox ran.").answer()
                await anna.command("story continue").answer()
                assert "Anna" not in await told(anna.command("privacy show"))
                assert await say(anna, "host fail") == "the host's handler: CommandInvokeError"
                during = await say(anna, "host state")
                assert during.split(" | ")[6:] == before.split(" | ")[6:], "nothing of the host's own has changed"
                assert await say(anna, "host guest", present=False) == "done"
                assert await say(anna, "host state") == before, "nothing of the guest is left"
                async with await Store.open(tmp_path / "memory.sqlite3") as store:  # nobody has it open any more
                    turns = await store.path(server.channel.id)
                assert [turn.kind for turn in turns][:1] == ["premise"]
                assert len(turns) == 2 + visit
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output.replace("Ignoring exception in command", "")
        assert server.unexpected == []
        assert server.violations == []
        assert server.intents == 1


async def test_a_host_with_a_command_of_the_same_name_keeps_it(tmp_path: Path, tiny_weights: Path) -> None:
    async with DiscordServer(timeout=60) as server:
        anna = server.guild.add_member("Anna")
        async with process(server, tmp_path, tiny_weights, FOREIGN_COMMAND="settings") as bot:
            await bot.wait_ready()
            before = await say(anna, "host state")
            assert await say(anna, "host guest", present=True) == "failed: CommandAlreadyRegistered"
            assert await say(anna, "host state") == before
            assert await bot.terminate() == 0
