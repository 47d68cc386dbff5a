"""Turns `"story start", title="…"` into interaction data, by the command tree that the bot registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .messages import Message
from .world import Channel, Json, Member, Role, User

if TYPE_CHECKING:
    from .server import DiscordServer

SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(1, 12)


class NotOffered(AssertionError):
    """The platform would not let this member run this command here."""


@dataclass(frozen=True)
class Upload:
    """A file given to an attachment option or to a message."""

    filename: str
    data: bytes
    content_type: str = "application/octet-stream"


def find_command(server: DiscordServer, name: str, kind: int, guild_id: int | None) -> Json:
    commands = [*server.guild_commands.get(guild_id or 0, []), *server.commands]
    for command in commands:
        if command["name"] == name and command.get("type", 1) == kind:
            return command
    raise AssertionError(f"no command {name!r}; registered: {[c['name'] for c in commands]}")


def offered_here(command: Json, channel: Channel) -> str | None:
    """Why the platform does not offer the command in that channel (context, age restriction), or None."""
    contexts = command.get("contexts")
    if contexts is None:
        contexts = [0] if command.get("dm_permission") is False else [0, 1, 2]
    if (0 if channel.guild else 1) not in contexts:
        return f"{command['name']!r} is not offered in a {'guild' if channel.guild else 'direct message'}"
    if command.get("nsfw") and channel.guild and not (channel.parent or channel).nsfw:
        return f"{command['name']!r} needs an age-restricted channel"
    return None


def offered_to(command: Json, permissions: int) -> bool:
    """Whether the default member permissions let the member see the command (a server's admins can change that)."""
    needed = command.get("default_member_permissions")
    if needed is None:
        return True
    if int(needed) == 0:
        return bool(permissions & 8)
    return permissions & int(needed) == int(needed)


def command_data(server: DiscordServer, path: str, values: Mapping[str, Any], channel: Channel,
                 focused: str | None = None) -> Json:  # fmt: skip
    """The `data` of a slash command's interaction. AssertionError where the tree has no such command or option."""
    root, *rest = path.split()
    command = find_command(server, root, 1, channel.guild.id if channel.guild else None)
    node, nesting = command, []
    for name in rest:
        found = [o for o in node.get("options", []) if o["name"] == name and o["type"] in (SUBCOMMAND, GROUP)]
        subcommands = [o["name"] for o in node.get("options", []) if o["type"] in (SUBCOMMAND, GROUP)]
        assert found, f"{path!r}: {node['name']!r} has no subcommand {name!r}; it has {subcommands}"
        node = found[0]
        nesting.append(node)
    declared = {option["name"]: option for option in node.get("options", [])}
    assert not any(o["type"] in (SUBCOMMAND, GROUP) for o in declared.values()), f"{path!r} needs a subcommand"
    unknown = set(values) - set(declared)
    assert not unknown, f"{path!r} has no option {sorted(unknown)}; it has {sorted(declared)}"
    missing = [n for n, o in declared.items() if o.get("required") and n not in values]
    assert not missing or focused, f"{path!r} requires {missing}"
    resolved: Json = {}
    options: list[Json] = []
    for name, option in declared.items():
        if name in values:
            value = _option_value(server, option, values[name], resolved, partial=name == focused)
            options.append({"name": name, "type": option["type"], "value": value})
            if name == focused:
                options[-1]["focused"] = True
    for outer in reversed(nesting):
        options = [{"name": outer["name"], "type": outer["type"], "options": options}]
    data: Json = {"id": command["id"], "name": root, "type": 1, "options": options}
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    if resolved:
        data["resolved"] = resolved
    return data


def target_data(server: DiscordServer, name: str, target: User | Member | Message, channel: Channel) -> Json:
    """The `data` of a context menu's interaction."""
    kind = 3 if isinstance(target, Message) else 2
    command = find_command(server, name, kind, channel.guild.id if channel.guild else None)
    resolved: Json = {}
    if isinstance(target, Message):
        resolved["messages"] = {str(target.id): target.json()}
    else:
        _resolve_user(target, resolved)
    return {"id": command["id"], "name": name, "type": kind, "target_id": str(target.id), "resolved": resolved}


def _option_value(server: DiscordServer, option: Json, value: Any, resolved: Json, *, partial: bool) -> Any:
    name, kind = option["name"], option["type"]
    if partial:
        return str(value)
    expected: dict[int, tuple[type, ...]] = {
        STRING: (str,), INTEGER: (int,), BOOLEAN: (bool,), NUMBER: (int, float), USER: (User, Member),
        CHANNEL: (Channel,), ROLE: (Role,), MENTIONABLE: (User, Member, Role), ATTACHMENT: (Upload,),
    }  # fmt: skip
    assert isinstance(value, expected[kind]), f"option {name!r} of type {kind} cannot hold {value!r}"
    if option.get("choices"):
        allowed = [choice["value"] for choice in option["choices"]]
        assert value in allowed, f"option {name!r} offers {allowed}, not {value!r}"
    if isinstance(value, str):
        low, high = option.get("min_length") or 0, option.get("max_length") or 6000
        assert low <= len(value) <= high, f"option {name!r} takes {low} to {high} characters, not {len(value)}"
    if kind in (INTEGER, NUMBER):
        least, most = option.get("min_value"), option.get("max_value")
        assert least is None or value >= least, f"option {name!r}: {value} is below min_value {least}"
        assert most is None or value <= most, f"option {name!r}: {value} is above max_value {most}"
    if isinstance(value, User | Member):
        _resolve_user(value, resolved)
    elif isinstance(value, Role):
        resolved.setdefault("roles", {})[str(value.id)] = value.json()
    elif isinstance(value, Channel):
        resolved.setdefault("channels", {})[str(value.id)] = value.json(permissions=0)
    elif isinstance(value, Upload):
        attachment = server.store_file(value.filename, value.data, value.content_type)
        resolved.setdefault("attachments", {})[str(attachment.id)] = attachment.json()
        return str(attachment.id)
    else:
        return value
    return str(value.id)


def _resolve_user(who: User | Member, resolved: Json) -> None:
    resolved.setdefault("users", {})[str(who.id)] = who.user.json()
    if isinstance(who, Member):
        entry = who.json(with_user=False) | {"permissions": str(who.permissions())}
        resolved.setdefault("members", {})[str(who.id)] = entry
