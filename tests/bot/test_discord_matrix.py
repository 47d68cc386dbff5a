"""Who may do what, seen from outside: every command, button and form of the real process, tried by somebody in each
role, in a text channel, a thread and direct messages, and held against each cell of the table in CONTRIBUTING.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from bot.access import ACTIONS, Role, managers_only
from tests.bot import ways
from tests.bot.staff import World, staffed
from tests.bot.test_access import CONTRIBUTING, parse_table
from tests.bot.ways import NO, YES, Seen, Way, cell, go, heard, tried
from tests.conftest import write_tiny_weights
from tests.discord_server import Channel, Member, Modal, User
from tests.discord_server.reading import told
from tests.discord_server.world import ADMINISTRATOR, MANAGE_GUILD

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    data = tmp_path_factory.mktemp("data")
    weights = write_tiny_weights(data / "weights" / "tiny", 1)
    env = {"MINIATURE_DATA_DIR": str(data), "MINIATURE_WEIGHTS": str(weights), "MINIATURE_MAX_NEW_TOKENS": "8"}
    async with staffed(env) as world:
        await told(world[Role.OWNER].command("teach switch", state="on"))
        yield world


@pytest.fixture(scope="module")
def table() -> dict[str, list[str]]:
    return parse_table(CONTRIBUTING.read_text(encoding="utf-8"))


def columns(table: Mapping[str, list[str]], way: Way, role: Role) -> str:
    shown = table[way.action][role]
    return YES if shown == YES else NO


@pytest.mark.parametrize("place", ["channel", "thread"])
async def test_in_a_server_each_cell_is_as_the_table_says(
    world: World, table: dict[str, list[str]], place: str
) -> None:
    def room(role: Role) -> Channel:
        channel = world.server.guild.add_channel(f"{place}-{role.name.lower()}")
        return channel.add_thread("tales") if place == "thread" else channel

    rooms = {role: room(role) for role in Role}
    seen: Seen = {}
    for found in await asyncio.gather(*(tried(world, role, room) for role, room in rooms.items())):
        seen |= found
    every = ways.every()
    assert {way.action for way in every} == set(table), "no row without a way to it, no way without a row"
    assert seen == {(way.name, role): columns(table, way, role) for way in every for role in Role}
    strangers = rooms[Role.STRANGER].bot_messages
    assert {message.content for message in strangers} <= {ways.PRESSED}, "a refusal leaves nothing in the channel"


async def test_in_direct_messages_everybody_is_a_keeper(world: World, table: dict[str, list[str]]) -> None:
    rooms = {role: world[role].user.dm for role in Role}
    seen: Seen = {}
    for found in await asyncio.gather(*(tried(world, role, room) for role, room in rooms.items())):
        seen |= found
    there = [way for way in ways.every() if not way.path.startswith(ways.IN_SERVERS_ONLY)]
    here = {role: max(role, Role.KEEPER) for role in Role}
    assert seen == {(way.name, role): columns(table, way, here[role]) for way in there for role in Role}


async def test_a_form_is_refused_to_whoever_lost_the_role_meanwhile(world: World, table: dict[str, list[str]]) -> None:
    guild = world.server.guild
    held = {Role.STRANGER: [], Role.WRITER: [world.writers], Role.TEACHER: [world.teachers]}
    mods = next(role for role in guild.roles if role.permissions & MANAGE_GUILD)
    channel = guild.add_channel("forms")
    shifter = guild.add_member("Sam", mods)
    await told(shifter.command("story add", channel=channel, text="Dax ran."))
    forms = 0
    for way in ways.commands():
        for role, roles in held.items():
            shifter.roles = [mods]
            form = await heard(ways.run(world, shifter, shifter, channel, way.path))
            if not isinstance(form, Modal):
                break
            shifter.roles = list(roles)
            answer = await heard(ways.submit(shifter, form))
            assert isinstance(answer, str)
            assert cell(way.action, answer) == columns(table, way, role), (way, role)
            forms += 1
    assert forms >= 3 * len(held), "a lesson's, a summary's, a part of the story's"


async def test_discord_offers_what_the_declaration_says(world: World) -> None:
    offered = {command["name"]: command["default_member_permissions"] for command in world.server.commands}
    assert set(offered) == {action.split(".")[0] for action in ACTIONS}
    for name, permissions in offered.items():
        assert permissions == (MANAGE_GUILD if managers_only(name) else None), name
    assert not world[Role.WRITER].offered("status")
    assert world[Role.KEEPER].offered("status")
    assert world[Role.OWNER].user.offered("status"), "in direct messages no default applies"


async def test_administrators_of_the_only_server_change_the_weights(world: World, table: dict[str, list[str]]) -> None:
    server, guild = world.server, world.server.guild
    ada = guild.add_member("Ada", guild.add_role("admins", ADMINISTRATOR))
    channel = guild.add_channel("weights")
    alone = [way for way in ways.commands() if table[way.action][Role.KEEPER] == "alone"]
    assert len(alone) == 4

    async def may(who: Member | User, where: Channel) -> set[str]:
        return {await go(world, who, ada, where, way) for way in alone}

    assert await may(ada, channel) == {YES}
    assert "may change the weights" in await told(ada.command("access show", channel=channel))
    assert "weights" not in await told(world[Role.KEEPER].command("access show", channel=channel))
    assert await may(world[Role.KEEPER], channel) == {NO}, "who may Manage Server is no administrator"
    assert await may(ada.user, ada.user.dm) == {NO}, "anybody could write to it"
    second = server.add_guild("Another circle")
    await told(second.members[server.owner.id].command("settings show", channel=second.add_channel("there")))
    assert await may(ada, channel) == {NO}
    second.remove_bot()
    await told(ada.command("settings show", channel=channel))
    assert await may(ada, channel) == {YES}
