"""The Discord bot as a process: it connects, and goes away in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from bot.errors import StartError
from bot.http_trace import http_trace
from bot.languages import Languages
from bot.places import NO_MENTIONS, UNDELIVERED, describe
from bot.services import Services
from bot.story_cog import StoryCog
from bot.views import STORY_COG

log = logging.getLogger(__name__)

WRONG_TOKEN = "Discord refused the token: set MINIATURE_DISCORD_TOKEN to the one of your bot in the developer portal."
NO_INTENT = (
    "Discord does not let the bot read what messages say: switch on Message Content Intent on the page Bot of the"
    " developer portal, or take MINIATURE_MESSAGE_CONTENT away."
)
REVOKED = "Discord no longer takes the token, so the bot has ended: set MINIATURE_DISCORD_TOKEN to your bot's new one."
BAD_TOKEN_CLOSE = 4004
FIRST_DELAY, LONGEST_DELAY = 0.5, 60.0  # seconds
_UNREACHABLE = (OSError, aiohttp.ClientError, asyncio.TimeoutError, discord.GatewayNotFound, discord.HTTPException)


class _StillAwayError(Exception):
    """A shard's gateway did not answer, and discord.py is about to ask it again."""


class StoryTree(app_commands.CommandTree[Any]):
    """What no cog can answer, such as a command of an older version that a client still shows."""

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        log.warning("an interaction failed: %s", type(error).__name__)
        if not interaction.response.is_done():
            with contextlib.suppress(*UNDELIVERED):
                await interaction.response.send_message(
                    "I do not know that command as you sent it: restart your app and try again.", ephemeral=True
                )


class StoryBot(commands.AutoShardedBot):
    """Needs no privileged intent; asks for the one for what messages say only where the operator wants that."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._launching: set[int] = set()  # shards that have no connection yet
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        settings = services.settings
        shards: dict[str, Any] = {"shard_ids": list(settings.shard_ids) or None, "shard_count": settings.shard_count}
        super().__init__(
            **shards,
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=StoryTree,
            # Without the privileged one the text of a message comes only where it pings us.
            intents=discord.Intents(
                guilds=True, guild_messages=True, dm_messages=True, message_content=settings.message_content
            ),
            allowed_mentions=NO_MENTIONS,
            member_cache_flags=discord.MemberCacheFlags.none(),
            max_messages=None,
            chunk_guilds_at_startup=False,
            http_trace=http_trace(services.breaker),
        )

    async def setup_hook(self) -> None:
        await self.load_extension("bot.extension")
        await self.tree.set_translator(Languages())
        with contextlib.suppress(*UNDELIVERED):
            await self.is_owner(discord.Object(0))  # type: ignore[arg-type]  # so that it knows the owners from now on
        if self.shard_ids and 0 not in self.shard_ids:
            return  # one process of several is enough, the one that also has the direct messages
        try:
            await self.tree.sync()
        except UNDELIVERED as error:
            log.error("The commands could not be registered, the old ones stay: %s", describe(error))

    async def launch_shard(self, gateway: Any, shard_id: int, *, initial: bool = False) -> None:
        """Asks a gateway that is down at the start ever more rarely.

        discord.py calls this once more from within, five seconds after each failure and without end, which in a long
        outage would exhaust the stack: that call is cut off, and the next attempt is made from here.
        """
        if shard_id in self._launching:
            raise _StillAwayError
        delay = FIRST_DELAY
        while not self.is_closed():
            self._launching.add(shard_id)
            try:
                await super().launch_shard(gateway, shard_id, initial=initial)
                return
            except _StillAwayError:
                log.warning("Discord's gateway cannot be reached for shard %d: next attempt in %.1f s", shard_id, delay)
            finally:
                self._launching.discard(shard_id)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def leave(self) -> None:
        """Stops what is being written, lets it be shown and stored, and disconnects."""
        engine = asyncio.create_task(self.services.worker.close(drain=False))
        if isinstance(cog := self.get_cog(STORY_COG), StoryCog):
            await cog.gate.close()
        await self.close()
        await engine

    async def on_ready(self) -> None:
        log.info("ready in %d servers", len(self.guilds))

    async def on_message(self, message: discord.Message, /) -> None:
        """No prefix commands."""


async def run_bot(services: Services) -> int:
    """Runs until SIGTERM or SIGINT; the caller closes the services.

    Raises `StartError` for a token that is refused, at the start or at any request after it.
    """
    token = services.settings.discord_token
    assert token is not None, "the terminal channel needs none"
    for name in ("discord.client", "discord.shard"):
        logging.getLogger(name).addFilter(_without_traceback)
    services.troubles.attach(["discord"])
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bot = StoryBot(services)
    connected = asyncio.create_task(_stay_connected(bot, token.get_secret_value()), name="gateway")
    stopped = asyncio.create_task(stop.wait(), name="signals")
    revoked = asyncio.create_task(services.breaker.revoked.wait(), name="token")
    waiting = {connected, stopped, revoked}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            log.info("going away")
        await bot.leave()
    finally:
        services.troubles.detach(["discord"])
        for task in waiting:
            if not task.done():
                task.cancel()
        await asyncio.wait(waiting)
    error = None if connected.cancelled() else connected.exception()
    if error is not None and _is_wrong_token(error):
        raise StartError(WRONG_TOKEN) from error
    if services.breaker.revoked.is_set():
        raise StartError(WRONG_TOKEN if bot.user is None else REVOKED) from error
    if isinstance(error, discord.PrivilegedIntentsRequired):
        raise StartError(NO_INTENT) from error
    if error is not None:
        raise error
    return 0


async def _stay_connected(bot: StoryBot, token: str) -> None:
    """discord.py connects and reconnects each shard by itself, but does not outlive a question that nobody answers."""
    await _again_and_again(bot, "Discord", lambda: bot.login(token))
    await _again_and_again(bot, "Discord's gateway", bot.connect)


async def _again_and_again(bot: StoryBot, what: str, attempt: Callable[[], Awaitable[None]]) -> None:
    delay = FIRST_DELAY
    while not bot.is_closed():
        try:
            await attempt()
            return
        except _UNREACHABLE as error:
            if isinstance(error, discord.HTTPException) and error.status < 500 and error.status != 429:
                raise
            pause = delay * random.uniform(0.5, 1.0)
            log.warning("%s cannot be reached (%s): next attempt in %.1f s", what, describe(error), pause)
        await asyncio.sleep(pause)
        delay = min(2 * delay, LONGEST_DELAY)


def _is_wrong_token(error: BaseException) -> bool:
    if isinstance(error, discord.ConnectionClosed):
        return error.code == BAD_TOKEN_CLOSE
    return isinstance(error, discord.LoginFailure) or (isinstance(error, discord.HTTPException) and error.status == 401)


def _without_traceback(record: logging.LogRecord) -> bool:
    """discord.py logs each lost connection with its whole traceback: the kind of the error is enough."""
    if record.exc_info and record.exc_info[1] is not None:
        record.msg = f"{record.msg} ({describe(record.exc_info[1])})"
        record.exc_info = None
    return True
