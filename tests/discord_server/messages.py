"""Messages of the loopback Discord, with their files, components and edit history."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .world import EPHEMERAL, LOADING, MESSAGE_CONTENT, Channel, Json, Role, User

if TYPE_CHECKING:
    from .interactions import Interaction


@dataclass(eq=False)
class Attachment:
    """A file of a message, downloadable under `url`."""

    id: int
    filename: str
    data: bytes
    url: str
    content_type: str = "application/octet-stream"
    description: str | None = None

    def json(self) -> Json:
        return {"id": str(self.id), "filename": self.filename, "size": len(self.data), "url": self.url,
                "proxy_url": self.url, "content_type": self.content_type, "description": self.description}  # fmt: skip


@dataclass(frozen=True)
class Version:
    """What a message said after one edit."""

    content: str
    embeds: list[Json]
    components: list[Json]
    at: float  # the event loop's time


@dataclass(eq=False)
class Message:
    id: int
    channel: Channel
    author: User
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    reference: Message | None = None
    interaction: Interaction | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    edited_at: datetime | None = None
    deleted: bool = False
    edits: list[Version] = field(default_factory=list)
    mentions: list[User] = field(default_factory=list)  # as the platform lists them after the latest edit
    mention_roles: list[Role] = field(default_factory=list)
    mention_everyone: bool = False

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        return bool(self.flags & LOADING)

    @property
    def text(self) -> str:
        """All that can be read in the message: content, embeds and text displays, one a line."""
        parts = [self.content]
        for embed in self.embeds:
            parts += [embed.get("title", ""), embed.get("description", "")]
            for item in embed.get("fields", []):
                parts += [item["name"], item["value"]]
            parts.append(embed.get("footer", {}).get("text", ""))
        parts += [c["content"] for c in walk(self.components) if c["type"] == 10]
        return "\n".join(part for part in parts if part)

    @property
    def buttons(self) -> list[Json]:
        return [c for c in walk(self.components) if c["type"] == 2]

    def component(self, wanted: str) -> Json:
        """The button or select with that custom_id or label (else a custom_id or label that contains it)."""
        return find_component(self.components, wanted)

    def backdate(self, seconds: float) -> None:
        """Makes the message older, so that the platform's age limit on edits can be met."""
        self.created_at -= timedelta(seconds=seconds)

    def parse_mentions(self, allowed: Json | None) -> None:
        """Who is pinged by the content under `allowed_mentions`; None lets everything ping, as the platform does."""
        rules: Json = {"parse": ["users", "roles", "everyone"]} if allowed is None else allowed
        parse, server, guild = rules.get("parse", []), self.channel.server, self.channel.guild
        ids = {int(i) for i in re.findall(r"<@!?(\d+)>", self.content)}
        users = {i for i in ids if "users" in parse or str(i) in map(str, rules.get("users", []))}
        if self.reference and rules.get("replied_user", allowed is None):
            users.add(self.reference.author.id)
        self.mentions = [server.users[i] for i in sorted(users) if i in server.users]
        named = set(re.findall(r"<@&(\d+)>", self.content))
        self.mention_roles = [
            role for role in (guild.roles if guild else [])
            if str(role.id) in named and ("roles" in parse or str(role.id) in map(str, rules.get("roles", [])))
        ]  # fmt: skip
        self.mention_everyone = "everyone" in parse and bool(re.search(r"@(everyone|here)", self.content))

    def content_visible(self, intents: int) -> bool:
        """Whether the platform shows the bot this message's text."""
        bot = self.channel.server.bot_user
        mine = self.author is bot or bot in self.mentions
        return mine or self.channel.guild is None or bool(intents & MESSAGE_CONTENT)

    def json(self, intents: int = MESSAGE_CONTENT, *, nested: bool = True) -> Json:
        shown = self.content_visible(intents)
        edited = self.edited_at.isoformat() if self.edited_at else None
        data: Json = {
            "id": str(self.id), "channel_id": str(self.channel.id), "author": self.author.json(),
            "type": 19 if self.reference else 20 if self.interaction else 0, "flags": self.flags,
            "content": self.content if shown else "", "embeds": self.embeds if shown else [],
            "components": self.components if shown else [],
            "attachments": [a.json() for a in self.attachments] if shown else [],
            "timestamp": self.created_at.isoformat(), "edited_timestamp": edited, "tts": False, "pinned": False,
            "mention_everyone": self.mention_everyone, "mentions": [user.json() for user in self.mentions],
            "mention_roles": [str(role.id) for role in self.mention_roles],
        }  # fmt: skip
        if self.author is self.channel.server.bot_user:
            data["application_id"] = str(self.channel.server.application_id)
        if self.interaction and nested:
            data["interaction_metadata"] = self.interaction.metadata()
            data["webhook_id"] = data["application_id"]
        if self.reference and nested:
            target = self.reference
            data["message_reference"] = {"type": 0, "message_id": str(target.id), "channel_id": str(target.channel.id)}
            data["referenced_message"] = None if target.deleted else target.json(intents, nested=False)
        return data


def walk(components: Iterable[Json]) -> list[Json]:
    """Every component, those inside rows, sections, containers and labels included."""
    found: list[Json] = []
    for component in components:
        found.append(component)
        found += walk(component.get("components", []))
        found += walk([component[key] for key in ("accessory", "component") if isinstance(component.get(key), dict)])
    return found


def find_component(components: Iterable[Json], wanted: str) -> Json:
    every = [c for c in walk(components) if "custom_id" in c or c["type"] == 2]

    def names(component: Json) -> list[str]:
        emoji = (component.get("emoji") or {}).get("name")
        keys = [component.get(key) for key in ("custom_id", "label", "placeholder", "_label")]
        return [str(name) for name in (*keys, emoji) if name]

    exact = [c for c in every if wanted in names(c)]
    matches = exact or [c for c in every if any(wanted in name for name in names(c))]
    assert matches, f"no component {wanted!r} among {[names(c) for c in every]}"
    assert len(matches) == 1, f"{wanted!r} is ambiguous among {[names(c) for c in every]}"
    return matches[0]
