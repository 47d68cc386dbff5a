"""Several processes that share one bot, each with shards and a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.services import Services
from config.settings import SettingsError, load_settings
from memory import Store
from memory.moving import move
from tests.bot.conftest import ANN
from tests.discord_server import BotProcess, DiscordServer, Guild
from tests.discord_server.reading import told
from tests.discord_server.world import ADMINISTRATOR


@pytest.mark.parametrize(
    ("given", "ids"),
    [("0", (0,)), ("0,2", (0, 2)), ("3 1-2", (1, 2, 3)), ("2-2", (2,)), ("", ())],
)
def test_shards_are_numbers_and_ranges(monkeypatch: pytest.MonkeyPatch, given: str, ids: tuple[int, ...]) -> None:
    monkeypatch.setenv("MINIATURE_SHARD_COUNT", "4")
    monkeypatch.setenv("MINIATURE_SHARD_IDS", given)
    assert load_settings().shard_ids == ids


@pytest.mark.parametrize(
    ("count", "ids"), [("", "0"), ("2", "2"), ("2", "-1"), ("2", "1-0"), ("2", "a"), ("0", "0"), ("9", "0-999999999")]
)
def test_shards_that_there_are_not_are_one_sentence(monkeypatch: pytest.MonkeyPatch, count: str, ids: str) -> None:
    monkeypatch.setenv("MINIATURE_SHARD_COUNT", count)
    monkeypatch.setenv("MINIATURE_SHARD_IDS", ids)
    with pytest.raises(SettingsError, match=r"MINIATURE_SHARD_(IDS|COUNT) \("):
        load_settings()


def guild_of(server: DiscordServer, shard: int) -> Guild:
    """A server that is that one of two shards' business."""
    while True:
        while (server.new_id() >> 22) % 2 != shard:
            pass
        guild = server.add_guild(f"On shard {shard}")
        if (guild.id >> 22) % 2 == shard:
            guild.add_channel("stories")
            return guild


async def test_a_channel_that_holds_a_pin_alone_moves_too(services: Services, tmp_path: Path) -> None:
    await services.session(5, 7).pin("Mira is a fox.", ANN)
    await services.session(6, 8).pin("Tom is a bear.", ANN)
    await services.idle()
    await services.close()
    await move(services.store.file, tmp_path / "other", 7)
    async with await Store.open(tmp_path / "other") as store:
        assert [pin.text for pin in await store.pins(5)] == ["Mira is a fox."]
        assert await store.pins(6) == []


@pytest.mark.slow
async def test_two_processes_share_the_servers(tmp_path: Path, tiny_weights: Path) -> None:
    async with DiscordServer(timeout=60) as server:
        server.recommended_shards = 2
        guilds = [guild_of(server, shard) for shard in (0, 1)]
        members = [guild.add_member("Anna") for guild in guilds]

        def process(shard: int) -> BotProcess:
            env = {"MINIATURE_DATA_DIR": str(tmp_path / str(shard)), "MINIATURE_WEIGHTS": str(tiny_weights),
                   "MINIATURE_SHARD_COUNT": "2", "MINIATURE_SHARD_IDS": str(shard)}  # fmt: skip
            return BotProcess(server, env=env, cwd=tmp_path)

        async with process(0) as first, process(1) as second:
            await server.wait_for(
                lambda: len(server.gateway.sessions) == 2 and server.registrations, None, "two shards"
            )
            assert sorted(session.shard for session in server.gateway.sessions.values()) == [(0, 2), (1, 2)]
            assert server.registrations == 1, "one of them is enough"
            for member in members:
                assert (await member.command("story start", title="Fox", premise="A fox ran.").answer()).deleted
            assert "no story" in await told(members[0].user.command("story continue")), "direct messages are shard 0's"
            for shard, guild in enumerate(guilds):
                owner = guild.members[server.owner.id]
                assert f"shards {shard} of 2, " in await told(owner.command("status"))
                admin = guild.add_member("Ada", guild.add_role("admins", ADMINISTRATOR))
                assert "role owner" in await told(admin.command("weights rollback")), "there may be more servers"
            assert [await bot.terminate() for bot in (first, second)] == [0, 0]
            assert "Traceback" not in first.output + second.output
        for shard, guild in enumerate(guilds):
            async with await Store.open(tmp_path / str(shard) / "memory.sqlite3") as store:
                assert [story.title for story in await store.stories(guild.channels[0].id)] == ["Fox"]
                assert await store.stories(guilds[1 - shard].channels[0].id) == []
        assert server.unexpected == []
        assert server.violations == []


@pytest.mark.slow
async def test_one_process_serves_as_many_shards_as_discord_recommends(tmp_path: Path, tiny_weights: Path) -> None:
    async with DiscordServer(timeout=60) as server:
        server.recommended_shards = 2
        members = [guild_of(server, shard).add_member("Anna") for shard in (0, 1)]
        env = {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(tiny_weights)}
        async with BotProcess(server, env=env, cwd=tmp_path) as bot:
            await bot.wait_ready(shards=2)
            for member in members:
                assert (await member.command("story start", title="Fox").answer()).deleted
            async with server.resuming():
                await server.drop()
            await server.wait_for(lambda: server.gateway.resumed == 2, None, "both shards")
            for member in members:
                assert "Fox" in (await member.command("story export").answer()).attachments[0].data.decode()
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output
