"""What people read of a bot's answers, and what they fill in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .interactions import Interaction, Modal
from .messages import Message


async def told(interaction: Interaction) -> str:
    """What only the asker read."""
    message = await interaction.answer()
    assert message.ephemeral
    return message.content


async def told_by_button(interaction: Interaction) -> str:
    """What only the asker read after the press of a button that leaves its message as it is."""
    await interaction.server.wait_for(lambda: interaction.followups, None, "an answer to a button")
    assert interaction.followups[0].ephemeral
    return interaction.followups[0].content


async def reported(interaction: Interaction, pattern: str) -> Message:
    """Waits through progress for the report."""

    def found() -> Message | None:
        message = interaction.message
        return message if message is not None and re.fullmatch(pattern, message.content, re.DOTALL) else None

    message = await interaction.server.wait_for(found, None, pattern)
    assert message is not None
    return message


def filled(modal: Modal, *values: object) -> Mapping[str, object]:
    """The fields of a modal, in their order, with these values."""
    return dict(zip((field["custom_id"] for field in modal.inputs), values, strict=True))
