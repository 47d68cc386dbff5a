"""What the tests of /story on the loopback share: a bot of short replies, and its messages as people see them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.bot.staff import World
from tests.conftest import write_tiny_weights
from tests.discord_server import Channel, Member, Message

NOBODY = 999_999
BUTTONS = ["Continue", "Retry", "Undo"]
TIME = re.compile(r", until <t:\d+:t>")


def short_replies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a bot with tiny weights that says something else each time."""
    data = tmp_path_factory.mktemp("data")
    weights = write_tiny_weights(data / "weights" / "tiny", 1)
    return {"MINIATURE_DATA_DIR": str(data), "MINIATURE_WEIGHTS": str(weights),
            "MINIATURE_TEMPERATURE": "5", "MINIATURE_MAX_NEW_TOKENS": "12"}  # fmt: skip


async def begun(member: Member, channel: Channel) -> Message:
    """The reply to the first turn of a new story."""
    world = member.server
    await member.command("story start", channel=channel, title="Fox", premise="A fox named Mira ran.").answer()
    message = channel.last_message
    await member.command("story add", channel=channel, text="She saw a key.").answer()
    reply = await world.wait_for(lambda: next((m for m in channel.messages if labels(m) == BUTTONS), None), None, "it")
    assert reply is not None
    assert reply is not message
    return reply


async def crowned(world: World, channel: Channel, after: Message | None) -> Message:
    """The next message with the story's buttons."""

    def look() -> Message | None:
        last = channel.last_message
        return last if last is not None and last is not after and labels(last)[:1] == ["Continue"] else None

    message = await world.server.wait_for(look, None, "a finished message")
    assert message is not None
    return message


async def asked(world: World, member: Member, channel: Channel, **options: Any) -> Message:
    """A new vote with its buttons."""
    before = channel.last_message
    member.command("story vote", channel=channel, options=options)

    def look() -> Message | None:
        last = channel.last_message
        return last if last is not None and last is not before and labels(last)[-1:] == ["Count now"] else None

    message = await world.server.wait_for(look, None, "a vote")
    assert message is not None
    return message


def choice_of(message: Message, choice: int) -> str:
    """The id of its button."""
    return str(message.buttons[choice - 1]["custom_id"])


def shown_votes(message: Message) -> list[int]:
    """What the buttons say."""
    return [int(label[3:-1] or 0) if "(" in label else 0 for label in labels(message)[:3]]


async def turned(world: World, member: Member, message: Message, label: str, shown: str) -> None:
    member.click(message, label)
    await world.server.wait_for(lambda: shown in labels(message), None, shown)


def labels(message: Message) -> list[str]:
    return [button["label"] for button in message.buttons]


def reply_of(message: Message) -> str:
    """What the model wrote, without the lines above it."""
    return "\n".join(line for line in message.content.split("\n") if not line.startswith(("> ", "-# ")))


def next_of(message: Message) -> str:
    """The line under it that says who is next, without the time."""
    last = message.content.rsplit("\n", 1)[-1]
    return TIME.sub("", last) if last.startswith("-# Next: ") else ""


async def says(channel: Channel, who: str) -> Message:
    """The story's last message, as soon as that line says this."""

    def look() -> Message | None:
        last = channel.last_message
        return last if last is not None and next_of(last) == f"-# Next: {who}" and last.buttons else None

    message = await channel.server.wait_for(look, None, f"{who} to be next")
    assert message is not None
    return message
