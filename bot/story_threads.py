"""A thread for a story of its own."""

import logging

import discord

from bot.breaker import Breaker, asking
from bot.errors import InputError
from bot.gate import Interaction
from bot.output import label
from bot.places import UNDELIVERED, describe

log = logging.getLogger(__name__)

NAME = 100  # characters, the platform's limit


async def new_thread(interaction: Interaction, title: str, breaker: Breaker) -> discord.Thread:
    """A public thread of the channel. Raises `InputError` where there can be none."""
    channel = interaction.channel
    if not isinstance(channel, discord.TextChannel):
        raise InputError("A thread can only be opened in a server's text channel: start the story without one here.")
    may = interaction.app_permissions
    needed = (
        ("Create Public Threads", may.create_public_threads),
        ("Send Messages in Threads", may.send_messages_in_threads),
    )
    if missing := [name for name, has in needed if not has]:
        raise InputError(
            f"I may not open a thread here: someone who manages the server must give me {' and '.join(missing)}."
        )
    try:
        async with asking(breaker, "POST", f"/channels/{channel.id}/threads"):
            return await channel.create_thread(name=label(title, NAME), type=discord.ChannelType.public_thread)
    except UNDELIVERED as error:
        log.info("no thread was opened: %s", describe(error))
        raise InputError("Discord opened no thread here: start the story without one, or try again later.") from error
