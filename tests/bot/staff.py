"""A server with somebody in each role, and the real bot in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bot.access import Role
from tests.discord_server import BotProcess, DiscordServer, Member
from tests.discord_server.payloads import SUPPRESS_EMBEDS, pointing_outwards
from tests.discord_server.reading import told
from tests.discord_server.world import MANAGE_GUILD


class World:
    """A server with somebody in each role, and a bot in it."""

    def __init__(self, server: DiscordServer) -> None:
        guild = server.guild
        self.server = server
        self.writers, self.teachers = guild.add_role("writers"), guild.add_role("teachers")
        self.people = {
            Role.STRANGER: guild.add_member("Stan"),
            Role.WRITER: guild.add_member("Will", self.writers),
            Role.TEACHER: guild.add_member("Tess", self.teachers),
            Role.KEEPER: guild.add_member("Kim", guild.add_role("mods", MANAGE_GUILD)),
            Role.OWNER: guild.members[server.owner.id],
        }

    def __getitem__(self, role: Role) -> Member:
        return self.people[role]


@asynccontextmanager
async def staffed(env: Mapping[str, str]) -> AsyncIterator[World]:
    """The bot with these settings; when it has ended, nothing that it sent was out of place."""
    cwd = Path(env["MINIATURE_DATA_DIR"])
    async with DiscordServer(timeout=60) as server, BotProcess(server, env=env, cwd=cwd) as bot:
        await bot.wait_ready()
        world = World(server)
        for name, role in (("writer", world.writers), ("teacher", world.teachers)):
            await told(world[Role.OWNER].command("access set", role=name, discord_role=role))
        yield world
        assert await bot.terminate() == 0
        assert "Traceback" not in bot.output, bot.output
        assert "Mira" not in bot.output, "the log holds no text of members"
        nothing_out_of_place(server)


def nothing_out_of_place(server: DiscordServer) -> None:
    """All that was asked of the server was as Discord wants it, and no message could ping anybody."""
    assert server.unexpected == []
    assert server.violations == []
    for payload in server.payloads:
        if payload.message.get("content") is not None:
            assert payload.message["allowed_mentions"] == {"parse": []}, payload
            assert not pointing_outwards(payload.message["content"]), payload
            if payload.method == "POST" and "/messages" in payload.path:
                assert payload.message.get("flags", 0) & SUPPRESS_EMBEDS, payload
