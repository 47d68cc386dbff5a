"""One interaction: a command, a click, a submitted modal or an autocomplete, and what the bot answered to it."""
# ruff: noqa: ASYNC109  (a timeout is part of what a test says it waits for)

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .messages import Message, walk
from .world import Channel, Json

if TYPE_CHECKING:
    from .actors import Actor
    from .server import DiscordServer

PONG, MESSAGE, DEFER, DEFER_UPDATE, UPDATE, CHOICES, MODAL = 1, 4, 5, 6, 7, 8, 9
COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5


@dataclass(eq=False)
class Modal:
    """A modal as the member sees it."""

    interaction: Interaction
    title: str
    custom_id: str
    components: list[Json]

    @property
    def inputs(self) -> list[Json]:
        """Its fields; `_label` is the text that the member reads above each, in a row or in a label component."""
        fields: list[Json] = []
        for component in walk(self.components):
            inner = component.get("component")
            if isinstance(inner, dict):
                fields.append(inner | {"_label": component.get("label", "")})
            elif component["type"] == 1:
                fields += [c | {"_label": c.get("label", "")} for c in component["components"]]
        return fields

    @property
    def text(self) -> str:
        """Every text in the modal, one a line: title, labels, descriptions, placeholders, text displays."""
        parts = [self.title]
        for component in walk(self.components):
            parts += [component.get(key) or "" for key in ("label", "description", "content", "placeholder")]
        return "\n".join(part for part in parts if part)


class Interaction:
    """What an actor's command or click led to. `message` is the original response, `followups` the later ones."""

    def __init__(self, server: DiscordServer, actor: Actor, channel: Channel, kind: int, *,
                 source: Message | None = None) -> None:  # fmt: skip
        self.server, self.actor, self.channel, self.kind, self.source = server, actor, channel, kind, source
        self.id = server.new_id()
        self.token = f"interaction-{self.id}"
        self.payload: Json = {}
        self.response_type: int | None = None
        self.response: Json = {}
        self.message: Message | None = None
        self.followups: list[Message] = []
        self.expired = False
        self.answered = False
        self.created = asyncio.get_running_loop().time()
        self.acknowledged_after: float | None = None  # seconds
        self.answered_after: float | None = None

    def __repr__(self) -> str:
        data = self.payload.get("data", {})
        return f"<Interaction {data.get('name') or data.get('custom_id')} response={self.response_type}>"

    @property
    def ephemeral(self) -> bool:
        """Whether only the actor sees the answer."""
        return self.message is not None and self.message.ephemeral

    def metadata(self) -> Json:
        owners = self.payload["authorizing_integration_owners"]
        data: Json = {"id": str(self.id), "type": self.kind, "user": self.actor.user.json(),
                      "authorizing_integration_owners": owners}  # fmt: skip
        if self.kind == COMPONENT and self.source:
            data["interacted_message_id"] = str(self.source.id)
        if self.kind == MODAL_SUBMIT:
            data["triggering_interaction_metadata"] = data | {"type": COMMAND}
        return data

    def mark_answered(self) -> None:
        if not self.answered:
            self.answered = True
            self.answered_after = asyncio.get_running_loop().time() - self.created

    async def acknowledged(self, timeout: float | None = None) -> int:
        """Waits for the first response of whatever type, and returns the type."""
        await self.server.wait_for(lambda: self.response_type is not None, timeout, f"acknowledgement of {self!r}")
        assert self.response_type is not None
        return self.response_type

    async def answer(self, timeout: float | None = None) -> Message:
        """Waits for something to read: an immediate message, a deferred one after its first edit, an updated one.

        A deferred answer that the bot deleted is returned with `deleted` set.
        """
        await self.server.wait_for(lambda: self.answered or self.response_type in (CHOICES, MODAL), timeout,
                                   f"answer to {self!r}")  # fmt: skip
        assert self.answered, f"{self!r} was answered with a modal or choices, not with a message"
        message = self.message or (self.followups[0] if self.followups else None)
        assert message is not None
        return message

    async def modal(self, timeout: float | None = None) -> Modal:
        """Waits for the first response, which must be a modal."""
        kind = await self.acknowledged(timeout)
        assert kind == MODAL, f"{self!r} was answered with {kind}, not a modal: {self.response}"
        await asyncio.sleep(0.05)  # discord.py knows a form only once our answer has reached it, and people type longer
        data = self.response
        return Modal(self, data["title"], data["custom_id"], data["components"])

    async def choices(self, timeout: float | None = None) -> list[Json]:
        """Waits for the choices of an autocomplete."""
        kind = await self.acknowledged(timeout)
        assert kind == CHOICES, f"{self!r} was answered with {kind}, not with choices: {self.response}"
        choices: list[Json] = self.response["choices"]
        return choices
