"""The bot of `benchmarks.reliability.invalid_requests`: asks without end for what Discord refuses, by a fast clock."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time

import discord

from bot.breaker import Breaker
from bot.discord_app import StoryBot
from bot.places import ChannelPlace
from bot.services import Services
from config.settings import load_settings


async def storm(services: Services, channels: list[int], minutes: float, speed: float) -> None:
    """As many requests at once as there are channels, from each of them again and again."""
    bot = StoryBot(services)
    token = services.settings.discord_token
    assert token is not None
    await bot.login(token.get_secret_value())
    end, chance = time.monotonic() + minutes * 60 / speed, random.Random(1)

    async def ask(channel: int) -> None:
        place = ChannelPlace(bot.get_partial_messageable(channel))
        message = bot.get_partial_messageable(channel).get_partial_message(channel)
        while time.monotonic() < end:
            for request in (place.send("x", None), place.typing(), message.edit(content="y")):
                try:
                    await request
                except (discord.HTTPException, OSError):
                    await asyncio.sleep(chance.random() * 10 / speed)

    async with asyncio.timeout(minutes * 60 / speed + 60):
        await asyncio.gather(*(ask(channel) for channel in channels))
    await bot.close()


async def main() -> None:
    channels = [int(channel) for channel in os.environ["STORM_CHANNELS"].split()]
    minutes, speed = float(os.environ["STORM_MINUTES"]), float(os.environ["STORM_SPEED"])
    async with await Services.open(load_settings()) as services:
        services.breaker = Breaker(lambda: time.monotonic() * speed)
        if "without" in sys.argv:  # a breaker that never minds, to see what would be
            services.breaker = Breaker(lambda: time.monotonic() * 1e9)
        await storm(services, channels, minutes, speed)


if __name__ == "__main__":
    asyncio.run(main())
