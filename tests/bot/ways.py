"""Every way into the bot on Discord, read from what the cogs declare, so that none is forgotten; and how to go it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import discord
from discord import app_commands

from bot.access import ACTIONS, Role
from bot.extension import COGS
from bot.views import VERBS
from tests.bot.staff import World
from tests.discord_server import Channel, DiscordServer, Interaction, Member, Modal, NotOffered, Upload, User
from tests.discord_server.commands import ATTACHMENT, BOOLEAN, INTEGER, NUMBER, ROLE, STRING, USER
from tests.discord_server.interactions import DEFER_UPDATE, MODAL
from tests.discord_server.world import Json

WORD = "dax"
NO, YES = "\N{EN DASH}", "yes"  # cells of the table in CONTRIBUTING.md
IN_SERVERS_ONLY = "access"
PRESSED = "A message of before."
ACTION_OF = dict(VERBS) | {
    "vote": "story.vote", "reset": "memory.reset", "delete-me": "privacy.delete",
}  # fmt: skip
"""What a press needs, by the first word of the button's custom_id. A button of a new kind has to be named here."""


Seen = dict[tuple[str, Role], str]  # a way and a role, and the cell that was seen


@dataclass(frozen=True)
class Way:
    """A command or a button."""

    action: str
    path: str = ""  # of a command
    button: str = ""  # its custom_id

    @property
    def name(self) -> str:
        return f"/{self.path}" if self.path else self.button


def commands() -> list[Way]:
    """All of the cogs, in the order in which they are declared."""
    found: list[Way] = []
    for cog in COGS:
        for top in cog.__cog_app_commands__:
            each = list(top.walk_commands()) if isinstance(top, app_commands.Group) else [top]
            found += [Way(one.extras["action"], path=one.qualified_name) for one in each
                      if isinstance(one, app_commands.Command)]  # fmt: skip
    return found


def buttons() -> list[Way]:
    """One for each thing that a button of ours can say."""
    found: list[Way] = []
    for kind in discord.ui.DynamicItem.__subclasses__():
        if kind.__module__.startswith("bot."):
            ids = sorted(_ids_of(kind.__discord_ui_compiled_template__.pattern))
            found += [Way(ACTION_OF[custom_id.split(":")[1]], button=custom_id) for custom_id in ids]
    return found


def every() -> list[Way]:
    return [*commands(), *buttons()]


def _ids_of(pattern: str) -> Iterator[str]:
    """What fits a template of words and numbers: each of the words that may stand somewhere, and 1 for every number."""
    pieces = re.split(r"\(\?P<\w+>([^()]*)\)", pattern)
    for chosen in itertools.product(
        *(piece.split("|") if index % 2 else [piece] for index, piece in enumerate(pieces))
    ):
        custom_id = re.sub(r"\\d(\{[\d,]+\})?", "1", "".join(chosen)).replace("\\", "")
        assert re.fullmatch(pattern, custom_id), (pattern, custom_id)
        yield custom_id


def options_of(server: DiscordServer, path: str, given: Mapping[str, Any], member: Member) -> dict[str, Any]:
    """Values for the options that a registered command requires; those given first."""
    first, *rest = path.split()
    node = next(command for command in server.commands if command["name"] == first)
    for name in rest:
        node = next(option for option in node["options"] if option["name"] == name)
    required = [option for option in node.get("options", []) if option.get("required") or option["name"] in given]
    return {option["name"]: given.get(option["name"], _value(option, member)) for option in required}


def _value(option: Json, member: Member) -> Any:
    if option.get("choices"):
        return option["choices"][0]["value"]
    return {
        STRING: WORD.ljust(option.get("min_length") or 0, "x"), INTEGER: option.get("min_value", 1), BOOLEAN: True,
        NUMBER: option.get("min_value", 1), USER: member, ROLE: member.guild.everyone,
        ATTACHMENT: Upload("picture.png", b"\x89PNG\x00\xff" * 10),
    }[option["type"]]  # fmt: skip


def run(world: World, who: Member | User, member: Member, where: Channel, path: str) -> Interaction:
    """A command with what it requires; `member` is who asks, as the server knows them."""
    options = options_of(world.server, path, given(world).get(path, {}), member)
    return who.command(path, channel=where, options=options)


def press(who: Member | User, where: Channel, custom_id: str) -> Interaction:
    """Presses such a button under a message of the bot's, wherever it came from."""
    button = {"type": 2, "style": 1, "label": "Press", "custom_id": custom_id}
    data = {"content": PRESSED, "components": [{"type": 1, "components": [button]}]}
    server = where.server
    message = server.add_message(where, server.bot_user, data | {"allowed_mentions": {"parse": []}})
    return who.click(message, custom_id)


async def heard(interaction: Interaction) -> str | Modal:
    """What whoever asked gets to read, "" where the bot's answer is in the channel alone; or the form that opens."""
    kind = await interaction.acknowledged()
    if kind == MODAL:
        return await interaction.modal()
    if kind == DEFER_UPDATE:  # a button's message stays as it is
        await interaction.server.wait_for(lambda: interaction.followups, None, f"an answer to {interaction!r}")
        return interaction.followups[0].content
    answer = await interaction.answer()
    assert answer.ephemeral, "what is for the asker alone"
    return "" if answer.deleted else answer.content


def submit(who: Member | User, form: Modal) -> Interaction:
    """Sends a form with a word in each field, and nothing ticked."""
    values = {field["custom_id"]: _filled(field) for field in form.inputs}
    return who.submit(form, values)


def _filled(field: Json) -> object:
    if field["type"] == 3:
        return field["options"][0]["value"]
    return False if field["type"] == 23 else WORD


def given(world: World) -> Mapping[str, dict[str, Any]]:
    """Options that leave the others' roles as they are."""
    return {"access set": {"role": "writer", "discord_role": world.writers}}


def cell(action: str, text: str) -> str:
    """What an answer says of whether its reader may; a refusal is one sentence, and names the role that would do."""
    assert "went wrong" not in text, (action, text)
    refused = f"You need the role {ACTIONS[action].name.lower()} or a higher one to use {action}."
    assert (text == refused) == ("You need the role" in text), text
    return NO if text == refused else YES


async def go(world: World, who: Member | User, member: Member, where: Channel, way: Way) -> str:
    """One command with what comes of it, or one press."""
    if way.button:
        answer = await heard(press(who, where, way.button))
    else:
        answer = await heard(run(world, who, member, where, way.path))
    if isinstance(answer, Modal):
        answer = await heard(submit(who, answer))
    assert isinstance(answer, str)
    return cell(way.action, answer)


async def tried(world: World, role: Role, where: Channel) -> Seen:
    """All ways, one after the other, by one member in one place."""
    member = world[role]
    who: Member | User = member if where.guild else member.user
    seen: Seen = {}
    for way in every():
        try:
            seen[way.name, role] = await go(world, who, member, where, way)
        except NotOffered:
            assert where.guild is None
            assert way.path.split()[0] == IN_SERVERS_ONLY
    return seen
