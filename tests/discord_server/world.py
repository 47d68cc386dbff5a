"""The places and people of the loopback Discord: users, guilds, roles, channels."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .actors import Actor

if TYPE_CHECKING:
    from .messages import Message
    from .server import DiscordServer

Json = dict[str, Any]

ADMINISTRATOR, MANAGE_CHANNELS, MANAGE_GUILD, MANAGE_MESSAGES = 1 << 3, 1 << 4, 1 << 5, 1 << 13
VIEW_CHANNEL, SEND_MESSAGES, READ_HISTORY, ATTACH_FILES = 1 << 10, 1 << 11, 1 << 16, 1 << 15
EMBED_LINKS, MENTION_EVERYONE, USE_COMMANDS = 1 << 14, 1 << 17, 1 << 31
PUBLIC_THREADS, PRIVATE_THREADS, SEND_IN_THREADS = 1 << 35, 1 << 36, 1 << 38
ALL_PERMISSIONS = (1 << 53) - 1
EVERYONE_PERMISSIONS = (
    VIEW_CHANNEL | SEND_MESSAGES | READ_HISTORY | ATTACH_FILES | EMBED_LINKS | USE_COMMANDS
    | PUBLIC_THREADS | PRIVATE_THREADS | SEND_IN_THREADS
)  # fmt: skip
TEXT, DM, PUBLIC_THREAD, PRIVATE_THREAD = 0, 1, 11, 12
SUPPRESS_EMBEDS, EPHEMERAL, LOADING, SILENT, COMPONENTS_V2 = 1 << 2, 1 << 6, 1 << 7, 1 << 12, 1 << 15
GUILDS, MEMBERS, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = 1, 1 << 1, 1 << 9, 1 << 12, 1 << 15
_EPOCH_MS = 1420070400000


class Snowflakes:
    """Ids that only grow, as the platform's do; the time of creation is in the upper bits."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last = max(self._last + 1, int(time.time() * 1000 - _EPOCH_MS) << 22)
        return self._last


@dataclass(eq=False)
class User(Actor):
    """An account. As an actor it works in its direct messages with the bot."""

    server: DiscordServer
    id: int
    name: str
    bot: bool = False
    _dm: Channel | None = None

    @property
    def user(self) -> User:
        return self

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    @property
    def dm(self) -> Channel:
        """The direct message channel with the bot, made at first use."""
        if self._dm is None:
            self._dm = Channel(self.server, self.server.new_id(), DM, self.name, recipient=self)
            self.server.channels[self._dm.id] = self._dm
        return self._dm

    def home(self) -> Channel:
        return self.dm

    def json(self) -> Json:
        return {"id": str(self.id), "username": self.name.lower(), "global_name": self.name, "discriminator": "0",
                "avatar": None, "bot": self.bot, "public_flags": 0, "flags": 0}  # fmt: skip


@dataclass(eq=False)
class Role:
    id: int
    guild: Guild
    name: str
    permissions: int = 0

    @property
    def mention(self) -> str:
        return f"<@&{self.id}>"

    def json(self) -> Json:
        colors = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
        return {"id": str(self.id), "name": self.name, "color": 0, "colors": colors, "hoist": False,
                "position": self.guild.roles.index(self), "permissions": str(self.permissions), "managed": False,
                "mentionable": True, "flags": 0}  # fmt: skip


@dataclass(eq=False)
class Member(Actor):
    """A user in one guild. As an actor it works in the guild's first channel unless told otherwise."""

    server: DiscordServer
    user: User
    guild: Guild
    roles: list[Role] = field(default_factory=list)

    @property
    def id(self) -> int:
        return self.user.id

    @property
    def mention(self) -> str:
        return self.user.mention

    def home(self) -> Channel:
        return self.guild.channels[0]

    def permissions(self, channel: Channel | None = None) -> int:
        """What the member may do in the guild, or in a channel with its overwrites."""
        total = self.guild.everyone.permissions
        for role in self.roles:
            total |= role.permissions
        if self.guild.owner is self.user or total & ADMINISTRATOR:
            return ALL_PERMISSIONS
        source = channel and (channel.parent or channel)
        if source:
            for ids in ([self.guild.id], [role.id for role in self.roles], [self.id]):
                pairs = [source.overwrites[i] for i in ids if i in source.overwrites]
                for _, deny in pairs:
                    total &= ~deny
                for allow, _ in pairs:
                    total |= allow
        return total

    def add_role(self, role: Role) -> None:
        self.roles.append(role)
        self._changed()

    def remove_role(self, role: Role) -> None:
        self.roles.remove(role)
        self._changed()

    def leave(self) -> None:
        """The member leaves the guild."""
        del self.guild.members[self.id]
        data = {"guild_id": str(self.guild.id), "user": self.user.json()}
        self.server.dispatch("GUILD_MEMBER_REMOVE", data, guild=self.guild, intents=MEMBERS)

    def _changed(self) -> None:
        needed = 0 if self.user is self.server.bot_user else MEMBERS
        self.server.dispatch("GUILD_MEMBER_UPDATE", self.json() | {"guild_id": str(self.guild.id)},
                             guild=self.guild, intents=needed)  # fmt: skip

    def json(self, *, with_user: bool = True) -> Json:
        data: Json = {"roles": [str(role.id) for role in self.roles], "joined_at": "2024-01-01T00:00:00+00:00",
                      "deaf": False, "mute": False, "flags": 0, "nick": None, "avatar": None, "pending": False,
                      "premium_since": None, "communication_disabled_until": None}  # fmt: skip
        return data | {"user": self.user.json()} if with_user else data


@dataclass(eq=False)
class Guild:
    server: DiscordServer
    id: int
    name: str
    owner: User
    locale: str = "en-US"
    roles: list[Role] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    members: dict[int, Member] = field(default_factory=dict)

    @property
    def everyone(self) -> Role:
        return self.roles[0]

    @property
    def me(self) -> Member:
        """The bot's member."""
        return self.members[self.server.bot_user.id]

    def add_role(self, name: str, permissions: int = 0) -> Role:
        role = Role(self.server.new_id(), self, name, permissions)
        self.roles.append(role)
        self.server.dispatch("GUILD_ROLE_CREATE", {"guild_id": str(self.id), "role": role.json()}, guild=self)
        return role

    def delete_role(self, role: Role) -> None:
        self.roles.remove(role)
        for member in self.members.values():
            if role in member.roles:
                member.roles.remove(role)
        self.server.dispatch("GUILD_ROLE_DELETE", {"guild_id": str(self.id), "role_id": str(role.id)}, guild=self)

    def add_member(self, who: User | str, *roles: Role) -> Member:
        user = self.server.add_user(who) if isinstance(who, str) else who
        member = Member(self.server, user, self, list(roles))
        self.members[user.id] = member
        self.server.dispatch("GUILD_MEMBER_ADD", member.json() | {"guild_id": str(self.id)}, guild=self,
                             intents=MEMBERS)  # fmt: skip
        return member

    def add_channel(self, name: str, *, nsfw: bool = False) -> Channel:
        channel = Channel(self.server, self.server.new_id(), TEXT, name, guild=self, nsfw=nsfw)
        self.channels.append(channel)
        self.server.channels[channel.id] = channel
        self.server.dispatch("CHANNEL_CREATE", channel.json(), guild=self)
        return channel

    def remove_bot(self) -> None:
        """The bot is thrown out of the guild."""
        del self.server.guilds[self.id]
        self.server.dispatch("GUILD_DELETE", {"id": str(self.id)}, guild=self)

    def fall_silent(self) -> None:
        """An outage of Discord's: the guild is still the bot's, and not to be had for a while."""
        self.server.dispatch("GUILD_DELETE", {"id": str(self.id), "unavailable": True}, guild=self)

    def threads(self) -> list[Channel]:
        return [c for c in self.server.channels.values() if c.guild is self and c.is_thread and not c.archived]

    def partial(self) -> Json:
        return {"id": str(self.id), "locale": self.locale, "features": []}

    def json(self) -> Json:
        return {"id": str(self.id), "name": self.name, "icon": None, "splash": None, "discovery_splash": None,
                "description": None, "banner": None, "owner_id": str(self.owner.id), "features": [], "emojis": [],
                "stickers": [], "verification_level": 0, "default_message_notifications": 1, "mfa_level": 0,
                "explicit_content_filter": 0, "nsfw_level": 0, "premium_tier": 0, "preferred_locale": self.locale,
                "afk_timeout": 300, "afk_channel_id": None, "system_channel_id": None, "system_channel_flags": 0,
                "joined_at": "2024-01-01T00:00:00+00:00", "large": False, "unavailable": False,
                "member_count": len(self.members), "roles": [role.json() for role in self.roles],
                "channels": [channel.json() for channel in self.channels],
                "threads": [thread.json() for thread in self.threads()], "members": [self.me.json()],
                "voice_states": [], "presences": [], "stage_instances": [], "guild_scheduled_events": [],
                "soundboard_sounds": []}  # fmt: skip


@dataclass(eq=False)
class Channel:
    """A text channel, a thread of one, or the direct messages of one user with the bot."""

    server: DiscordServer
    id: int
    type: int
    name: str
    guild: Guild | None = None
    parent: Channel | None = None
    recipient: User | None = None
    nsfw: bool = False
    owner: User | None = None
    archived: bool = False
    locked: bool = False
    deleted: bool = False
    overwrites: dict[int, tuple[int, int]] = field(default_factory=dict)
    history: list[Message] = field(default_factory=list)
    typing: int = 0

    @property
    def is_thread(self) -> bool:
        return self.type in (PUBLIC_THREAD, PRIVATE_THREAD)

    @property
    def mention(self) -> str:
        return f"<#{self.id}>"

    @property
    def messages(self) -> list[Message]:
        """What everybody in the channel sees now: nothing deleted, nothing ephemeral, no "is thinking"."""
        return [m for m in self.history if not m.deleted and not m.ephemeral and not m.loading]

    @property
    def last_message(self) -> Message | None:
        messages = self.messages
        return messages[-1] if messages else None

    @property
    def bot_messages(self) -> list[Message]:
        return [m for m in self.messages if m.author is self.server.bot_user]

    def overwrite(self, target: Role | Member, *, allow: int = 0, deny: int = 0) -> None:
        """Sets a permission overwrite of a role (the guild's `everyone` too) or a member."""
        self.overwrites[target.id] = (allow, deny)
        self.changed()

    def set_nsfw(self, nsfw: bool) -> None:
        self.nsfw = nsfw
        self.changed()

    def add_thread(self, name: str, owner: User | None = None, *, kind: int = PUBLIC_THREAD,
                   thread_id: int | None = None) -> Channel:  # fmt: skip
        assert self.guild is not None, "threads stand in guild channels"
        assert not self.is_thread, "a thread holds no threads"
        thread = Channel(self.server, thread_id or self.server.new_id(), kind, name, guild=self.guild, parent=self,
                         owner=owner or self.server.bot_user)  # fmt: skip
        self.server.channels[thread.id] = thread
        self.server.dispatch("THREAD_CREATE", thread.json() | {"newly_created": True}, guild=self.guild)
        return thread

    def delete(self) -> None:
        """The channel or thread goes away; every request about it is answered 404 (10003) from now on."""
        self.deleted = True
        del self.server.channels[self.id]
        if self.guild and not self.is_thread:
            self.guild.channels.remove(self)
        if self.guild:
            self.server.dispatch("THREAD_DELETE" if self.is_thread else "CHANNEL_DELETE", self.json(), guild=self.guild)

    def changed(self) -> None:
        if self.guild:
            self.server.dispatch("THREAD_UPDATE" if self.is_thread else "CHANNEL_UPDATE", self.json(), guild=self.guild)

    def json(self, permissions: int | None = None) -> Json:
        data: Json = {"id": str(self.id), "type": self.type, "flags": 0,
                      "last_message_id": str(self.history[-1].id) if self.history else None}  # fmt: skip
        if self.recipient is not None:
            return data | {"recipients": [self.recipient.json()]}
        assert self.guild is not None
        data |= {"guild_id": str(self.guild.id), "name": self.name, "rate_limit_per_user": 0}
        if permissions is not None:
            data["permissions"] = str(permissions)
        if self.is_thread:
            assert self.parent is not None
            stamp = "2024-01-01T00:00:00+00:00"
            meta = {"archived": self.archived, "locked": self.locked, "auto_archive_duration": 1440,
                    "archive_timestamp": stamp, "create_timestamp": stamp}  # fmt: skip
            owner = self.owner or self.server.bot_user
            me = {"id": str(self.id), "user_id": str(self.server.bot_user.id), "join_timestamp": stamp, "flags": 0}
            count = len(self.history)
            return data | {"parent_id": str(self.parent.id), "owner_id": str(owner.id), "thread_metadata": meta,
                           "message_count": count, "total_message_sent": count, "member_count": 1, "member": me,
                           "applied_tags": []}  # fmt: skip
        overwrites = [
            {"id": str(i), "type": int(i in self.guild.members), "allow": str(allow), "deny": str(deny)}
            for i, (allow, deny) in self.overwrites.items()
        ]
        position = self.guild.channels.index(self) if self in self.guild.channels else 0
        return data | {"position": position, "nsfw": self.nsfw, "topic": None, "parent_id": None,
                       "permission_overwrites": overwrites}  # fmt: skip
