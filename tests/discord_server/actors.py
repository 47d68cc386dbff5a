"""What people do on the loopback Discord: run commands, click, submit modals, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .commands import Upload
    from .interactions import Interaction, Modal
    from .messages import Message
    from .server import DiscordServer
    from .world import Channel, Json, Member, User


class Actor:
    """Mixin of `User` and `Member`. Nothing here waits: an action is delivered, the `Interaction` is awaited."""

    if TYPE_CHECKING:
        server: DiscordServer

        @property
        def user(self) -> User: ...

    def home(self) -> Channel:
        """The channel in which the actor works when none is named."""
        raise NotImplementedError

    def command(self, path: str, /, *, channel: Channel | None = None, options: Mapping[str, Any] | None = None,
                locale: str = "en-US", force: bool = False, **values: Any) -> Interaction:  # fmt: skip
        """Runs a slash command, `"story start"` with its subcommands.

        Options are keywords; one whose name clashes (`channel`, `locale`) goes into `options`. A `Role`, `User`,
        `Member`, `Channel` or `Upload` is a fitting value. AssertionError where the registered tree has no such
        command or option or the value breaks its limits; `NotOffered` where the platform offers the command not here
        (contexts, age restriction), unless `force`. Default member permissions are not enforced, since a server's
        admins can loosen them: see `offered`.
        """
        from .commands import NotOffered, command_data, find_command, offered_here
        from .interactions import COMMAND

        where = channel or self.home()
        data = command_data(self.server, path, {**(options or {}), **values}, where)
        reason = offered_here(find_command(self.server, data["name"], 1, _guild_id(where)), where)
        if reason and not force:
            raise NotOffered(reason)
        return self._interact(COMMAND, where, data, locale=locale)

    def offered(self, path: str, /, *, channel: Channel | None = None) -> bool:
        """Whether the platform shows this actor the command there, default member permissions included."""
        from .commands import find_command, offered_here, offered_to

        where = channel or self.home()
        command = find_command(self.server, path.split()[0], 1, _guild_id(where))
        return offered_here(command, where) is None and (
            where.guild is None or offered_to(command, self._permissions(where))
        )

    def autocomplete(self, path: str, focused: str, /, *, channel: Channel | None = None,
                     options: Mapping[str, Any] | None = None, locale: str = "en-US",
                     **values: Any) -> Interaction:  # fmt: skip
        """Types into the option `focused` (its text so far among the values); await `.choices()`."""
        from .commands import command_data
        from .interactions import AUTOCOMPLETE

        where = channel or self.home()
        given = {focused: "", **(options or {}), **values}
        return self._interact(AUTOCOMPLETE, where, command_data(self.server, path, given, where, focused),
                              locale=locale)  # fmt: skip

    def context_menu(self, name: str, target: User | Member | Message, /, *, channel: Channel | None = None,
                     locale: str = "en-US") -> Interaction:  # fmt: skip
        """Runs a context menu command on a message or a user."""
        from .commands import target_data
        from .interactions import COMMAND

        where = channel or getattr(target, "channel", None) or self.home()
        return self._interact(COMMAND, where, target_data(self.server, name, target, where), locale=locale)

    def click(self, message: Message, wanted: str, /, *, locale: str = "en-US") -> Interaction:
        """Presses the button with that custom_id or label."""
        button = self._usable(message, wanted)
        assert button["type"] == 2, f"{wanted!r} is no button"
        assert "custom_id" in button, f"{wanted!r} is a link, the bot does not hear of it"
        data = {"custom_id": button["custom_id"], "component_type": 2}
        return self._interact(3, message.channel, data, source=message, locale=locale)

    def select(self, message: Message, wanted: str, /, *values: str | User | Member | Any,
               locale: str = "en-US") -> Interaction:  # fmt: skip
        """Chooses in the select with that custom_id or placeholder: values or labels, users, roles, channels."""
        component = self._usable(message, wanted)
        data = {"custom_id": component["custom_id"], "component_type": component["type"]}
        return self._interact(3, message.channel, data | self._selection(component, values), source=message,
                              locale=locale)  # fmt: skip

    def submit(self, modal: Modal, values: Mapping[str, Any], /, *, locale: str = "en-US") -> Interaction:
        """Fills in a modal, fields by label or custom_id, and sends it. The limits of the fields are enforced."""
        from .interactions import MODAL_SUBMIT
        from .messages import find_component

        source = modal.interaction
        assert source.actor.user is self.user, "only who got the modal can submit it"
        filled = {find_component(modal.inputs, wanted)["custom_id"]: value for wanted, value in values.items()}
        resolved: Json = {}

        def fill(component: Json) -> Json:
            custom_id = component["custom_id"]
            entry: Json = {"type": component["type"], "custom_id": custom_id, "id": component.get("id", 1)}
            value = filled.get(custom_id)
            if component["type"] == 4:
                text = component.get("value") or "" if value is None else str(value)
                high = component.get("max_length") or 4000
                low = component.get("min_length") or int(component.get("required", True))
                assert not text or low <= len(text) <= high, f"{custom_id}: {len(text)} characters, not {low} to {high}"
                assert text or not component.get("required", True), f"{custom_id}: required"
                return entry | {"value": text}
            if component["type"] == 23:
                return entry | {"value": bool(value)}
            if component["type"] == 21:
                return entry | {"value": value}
            if component["type"] == 19:
                files = [self.server.store_file(f.filename, f.data, f.content_type) for f in value or []]
                resolved.setdefault("attachments", {}).update({str(f.id): f.json() for f in files})
                return entry | {"values": [str(f.id) for f in files]}
            chosen = () if value is None else (value,) if isinstance(value, str) else tuple(value)
            selection = self._selection(component, chosen)
            resolved.update(selection.pop("resolved", {}))
            return entry | selection

        components: list[Json] = []
        for outer in modal.components:
            if outer["type"] == 1:
                components.append({"type": 1, "components": [fill(c) for c in outer["components"]]})
            elif outer["type"] == 18:
                components.append({"type": 18, "id": outer.get("id", 1), "component": fill(outer["component"])})
        data: Json = {"custom_id": modal.custom_id, "components": components}
        if resolved:
            data["resolved"] = resolved
        return self._interact(MODAL_SUBMIT, source.channel, data, source=source.source, locale=locale)

    def say(self, channel: Channel, text: str = "", /, *, reply_to: Message | None = None, ping: bool = True,
            files: Sequence[Upload] = ()) -> Message:  # fmt: skip
        """Writes a message. A reply pings its target's author unless told not to."""
        attachments = [self.server.store_file(f.filename, f.data, f.content_type) for f in files]
        allowed = {"parse": ["users", "roles", "everyone"], "replied_user": ping}
        data = {"content": text, "allowed_mentions": allowed}
        return self.server.add_message(channel, self.user, data, attachments=attachments, reference=reply_to)

    def delete(self, message: Message, /) -> None:
        """Deletes a message."""
        self.server.delete_message(message)

    def _usable(self, message: Message, wanted: str) -> Json:
        assert not message.deleted, "the message was deleted"
        owner = message.interaction.actor.user if message.interaction else None
        assert not message.ephemeral or owner is self.user, "an ephemeral message is seen by one user only"
        component = message.component(wanted)
        assert not component.get("disabled"), f"{wanted!r} is disabled"
        return component

    def _selection(self, component: Json, values: Sequence[Any]) -> Json:
        low, high = component.get("min_values", 1), component.get("max_values", 1)
        optional = component.get("required") is False and not values
        assert optional or low <= len(values) <= high, f"choose {low} to {high}, not {len(values)}"
        if all(isinstance(value, str) for value in values):
            names = {o["value"]: o["value"] for o in component.get("options", [])}
            names |= {o["label"]: o["value"] for o in component.get("options", [])}
            unknown = [value for value in values if value not in names]
            assert not unknown, f"no choice {unknown} among {sorted(names)}"
            return {"values": [names[value] for value in values]}
        resolved: Json = {}
        for value in values:
            kind = {"User": "users", "Member": "users", "Role": "roles", "Channel": "channels"}[type(value).__name__]
            data = value.user.json() if kind == "users" else value.json()
            resolved.setdefault(kind, {})[str(value.id)] = data
            if type(value).__name__ == "Member":
                resolved.setdefault("members", {})[str(value.id)] = value.json(with_user=False)
        return {"values": [str(value.id) for value in values], "resolved": resolved}

    def _permissions(self, channel: Channel) -> int:
        member = channel.guild.members.get(self.user.id) if channel.guild else None
        return member.permissions(channel) if member else 0

    def _interact(self, kind: int, channel: Channel, data: Json, *, source: Message | None = None,
                  locale: str = "en-US") -> Interaction:  # fmt: skip
        from .interactions import Interaction

        guild = channel.guild
        interaction = Interaction(self.server, self, channel, kind, source=source)
        permissions = self._permissions(channel)
        payload: Json = {
            "id": str(interaction.id), "application_id": str(self.server.application_id), "type": kind, "data": data,
            "token": interaction.token, "version": 1, "channel_id": str(channel.id), "locale": locale,
            "channel": channel.json(permissions=permissions if guild else None), "entitlements": [],
            "entitlement_sku_ids": [], "attachment_size_limit": self.server.attachment_size_limit,
            "authorizing_integration_owners": {"0": str(guild.id) if guild else "0"}, "context": 0 if guild else 1,
        }  # fmt: skip
        if guild:
            member = guild.members.get(self.user.id)
            assert member, f"{self.user.name} is no member of {guild.name}"
            payload |= {"guild_id": str(guild.id), "guild": guild.partial(), "guild_locale": guild.locale,
                        "member": member.json() | {"permissions": str(permissions)},
                        "app_permissions": str(guild.me.permissions(channel))}  # fmt: skip
        else:
            payload |= {"user": self.user.json(), "app_permissions": str(1 << 11 | 1 << 15 | 1 << 14)}
        if source:
            payload["message"] = source.json()
        interaction.payload = payload
        self.server.deliver(interaction)
        return interaction


def _guild_id(channel: Channel) -> int | None:
    return channel.guild.id if channel.guild else None
