"""Who may do what, exhaustively: every action, by every role however it came about, in every kind of place, held
against CONTRIBUTING.md. The commands themselves are driven in `test_discord_matrix.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import discord
import pytest

from benchmarks.reliability.script import Script
from bot.access import ACTIONS, Role
from bot.errors import InputError, NotAllowedError
from bot.gate import Gate
from bot.roles import ASSIGNABLE, TEACHING, scope
from bot.rules import ContentRules
from tests.bot.script import scripted
from tests.bot.test_access import CONTRIBUTING, parse_table

GUILD, OTHER, PERSON = 9, 10, 77
DISCORD_ROLES = {Role.WRITER: 101, Role.TEACHER: 102, Role.KEEPER: 103}
PLACES = ("text channel", "thread", "direct messages", "the one server")


@dataclass(frozen=True)
class Case:
    place: str
    owner: bool
    manages: bool
    administrator: bool
    assigned: frozenset[Role]  # by /access set
    held: frozenset[Role]  # of the Discord roles that stand for these

    @property
    def role(self) -> Role:
        """As README, architecture and CONTRIBUTING.md have it in words."""
        if self.owner:
            return Role.OWNER
        if self.place == "direct messages" or self.manages or self.administrator:
            return Role.KEEPER
        least = Role.STRANGER if Role.WRITER in self.assigned else Role.WRITER
        return max({least} | (self.assigned & self.held))


def cases() -> Iterator[Case]:
    sets = [frozenset(chosen) for count in range(4) for chosen in itertools.combinations(ASSIGNABLE, count)]
    switches = (False, True)
    for place, owner, manages, administrator in itertools.product(PLACES, switches, switches, switches):
        for assigned, held in itertools.product(sets, sets):
            if held <= assigned:  # a role that was set to nothing is held by nobody
                yield Case(place, owner, manages, administrator, assigned, held)


class Bot:
    """What the gate asks of discord.py: who owns the application, and which servers there are."""

    shard_count, shard_ids = 1, None
    owner_id, owner_ids = None, frozenset[int]()  # not known before it is asked

    def __init__(self, case: Case) -> None:
        servers = (GUILD,) if case.place == "the one server" else (GUILD, OTHER)
        self.guilds = [SimpleNamespace(id=server) for server in servers]
        self._owns = case.owner

    async def is_owner(self, user: Any) -> bool:
        return self._owns

    def is_ready(self) -> bool:
        return True

    def get_channel(self, channel: int) -> None:
        return None


def asked_by(case: Case) -> Any:
    """An interaction, as far as the gate looks at one."""
    roles = [SimpleNamespace(id=DISCORD_ROLES[role]) for role in case.held]
    user = discord.Object(PERSON) if case.place == "direct messages" else _member(roles)
    permissions = discord.Permissions(manage_guild=case.manages, administrator=case.administrator)
    guild = None if case.place == "direct messages" else GUILD
    return SimpleNamespace(guild_id=guild, channel_id=5, user=user, permissions=permissions)


def _member(roles: list[Any]) -> Any:
    member = Mock(spec=discord.Member)
    member.id, member.roles = PERSON, roles
    return member


@pytest.fixture(scope="module")
def table() -> dict[str, list[str]]:
    return parse_table(CONTRIBUTING.read_text(encoding="utf-8"))


@pytest.mark.parametrize("place", PLACES)
async def test_every_cell_in_every_place_for_everybody(tmp_path: Path, table: dict[str, list[str]], place: str) -> None:
    async with scripted(tmp_path, ContentRules({}), Script(), set()) as services:
        seen = 0
        await services.store.set_setting(scope(GUILD), TEACHING, "on")
        for case in sorted((case for case in cases() if case.place == place), key=lambda case: sorted(case.assigned)):
            for role, number in DISCORD_ROLES.items():
                value = str(number) if role in case.assigned else None
                await services.store.set_setting(scope(GUILD), f"access.{role.name.lower()}", value)
            gate = Gate(Bot(case), services)  # type: ignore[arg-type]
            asked = asked_by(case)
            assert await gate.role(asked) is case.role, case
            alone = place == "the one server" and case.administrator
            for action in ACTIONS:
                cell = table[action][case.role]
                try:
                    await gate.check(asked, action)
                    may = True
                except NotAllowedError:
                    may = False
                assert may == (cell == "yes" or (cell == "alone" and alone)), (case, action)
                seen += 1
        assert seen == len(ACTIONS) * sum(case.place == place for case in cases())


@pytest.mark.parametrize("state", [None, "off", "on"])
async def test_teaching_is_off_in_a_server_for_everybody_until_it_is_switched_on(
    tmp_path: Path, state: str | None
) -> None:
    async with scripted(tmp_path, ContentRules({}), Script(), set()) as services:
        await services.store.set_setting(scope(GUILD), TEACHING, state)
        for place in PLACES:
            case = Case(place, True, True, True, frozenset(), frozenset())
            gate = Gate(Bot(case), services)  # type: ignore[arg-type]
            if state == "on" or place == "direct messages":
                await gate.check(asked_by(case), "teach.add")
            else:
                with pytest.raises(InputError, match="Teaching is off"):
                    await gate.check(asked_by(case), "teach.add")
