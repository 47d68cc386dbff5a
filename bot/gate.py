"""The one way in from Discord: what every request goes through, and what people hear when it fails.

Every command, button and modal runs through `Gate.perform` with its action of `bot.access.ACTIONS`; `command` is how
the cogs declare one, so that none can go without. Who may is asked in `bot.roles`.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import discord
from discord import app_commands
from discord.utils import MISSING

from bot import access
from bot.errors import HeldBackError, InputError
from bot.host_paths import without_paths
from bot.output import LIMIT, split
from bot.places import INVALID_TOKEN, NO_MENTIONS, UNDELIVERED, UNKNOWN_WEBHOOK, ChannelPlace, describe
from bot.roles import ASSIGNABLE, KNOWN_ERRORS, MAX_CHOICES, TEACHING, Bot, Interaction, Options, Roles, scope
from bot.services import Services
from bot.session import ChannelSession
from memory import Author

__all__ = [  # what cogs work with
    "ASSIGNABLE", "FAILED", "KNOWN_ERRORS", "MAX_CHOICES", "TEACHING", "Bot", "Gate", "Interaction", "Options",
    "author", "command", "group", "scope", "server_of",
]  # fmt: skip

log = logging.getLogger(__name__)

MANAGERS = discord.Permissions(manage_guild=True)
GONE = {INVALID_TOKEN, UNKNOWN_WEBHOOK, 10062}
FAILED = "Something went wrong on my side; it is in my log, and nothing that was saved is lost."
_CLOSING = "I am about to restart: try again in a minute."

P = ParamSpec("P")


class Gated(Protocol):
    """A cog that has a gate."""

    gate: "Gate"


C = TypeVar("C", bound=Gated)
Callback = Callable[Concatenate[C, Interaction, P], Awaitable[None]]


def command(
    action: str,
    name: str,
    description: str,
    group: app_commands.Group | None = None,
    *,
    opens_modal: bool = False,
    form_without: str | None = None,
) -> Callable[[Callback[C, P]], app_commands.Command[Any, P, None]]:
    """A slash command whose callback runs only when `action` is allowed; its own answer is for the asker alone.

    `opens_modal`: it answers with a form; `form_without`: it does so only where this option is not given.
    """

    def declare(callback: Callback[C, P]) -> app_commands.Command[Any, P, None]:
        @functools.wraps(callback)
        async def run(cog: C, interaction: Interaction, *args: P.args, **options: P.kwargs) -> None:
            work = functools.partial(callback, cog, interaction, *args, **options)
            form = opens_modal or (form_without is not None and options[form_without] is None)
            await cog.gate.perform(interaction, action, work, opens_modal=form)

        make: Any = app_commands.command if group is None else group.command
        result: app_commands.Command[Any, P, None] = make(
            name=name, description=description, extras={"action": action}
        )(run)
        if group is None and access.managers_only(name):
            result.default_permissions = MANAGERS
        return result

    return declare


def group(name: str, description: str, *, dms: bool = True) -> app_commands.Group:
    """A top-level group, which Discord offers to those that `access` declares."""
    return app_commands.Group(
        name=name,
        description=description,
        default_permissions=MANAGERS if access.managers_only(name) else None,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=dms, private_channel=False),
    )


def server_of(interaction: Interaction) -> int:
    """Raises `InputError` where the channel is in no server."""
    if interaction.guild_id is None:
        raise InputError("This works in a server only.")
    return interaction.guild_id


def author(interaction: Interaction) -> Author:
    return Author(interaction.user.id, interaction.user.display_name)


class Gate(Roles):
    """One per bot that has the extension loaded."""

    def __init__(self, bot: Bot, services: Services, *, owned: bool = False) -> None:
        """`owned`: the services are closed with the gate."""
        self.bot, self.services, self._owned = bot, services, owned
        self._parents: dict[int, int] = {}  # of threads that the cache may not know
        services.age_restricted = self._age_restricted
        self._running: set[asyncio.Task[Any]] = set()
        self._writing: dict[ChannelSession, int] = {}
        self._closing = False
        self._end: asyncio.Future[None] | None = None

    def session(self, interaction: Interaction) -> ChannelSession:
        """That of the channel it came from."""
        assert interaction.channel_id is not None
        if isinstance(interaction.channel, discord.Thread):
            self._parents[interaction.channel_id] = interaction.channel.parent_id
        return self.services.session(interaction.channel_id, interaction.guild_id)

    def _age_restricted(self, channel: int) -> bool:
        """Whether Discord has the channel, or the one that a thread belongs to, for adults only now."""
        found = self.bot.get_channel(channel)
        if found is None or isinstance(found, discord.Thread):
            found = self.bot.get_channel(found.parent_id if found is not None else self._parents.get(channel, 0))
        flag = getattr(found, "nsfw", False)
        return flag is True

    # What is done

    async def perform(
        self,
        interaction: Interaction,
        action: str,
        work: Callable[[], Awaitable[object]],
        *,
        opens_modal: bool = False,
    ) -> None:
        """Acknowledges, checks, works; whatever fails is told to who asked, in one sentence."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            if not opens_modal and not await self._acknowledge(interaction):
                return
            if self._closing:
                raise InputError(_CLOSING)
            await self.check(interaction, action)
            await work()
            await self._take_back(interaction)
        except KNOWN_ERRORS as error:
            log.info("%s refused: %s", action, type(error).__name__)
            await self.say(interaction, without_paths(str(error), self.services.settings.data_dir))
        except UNDELIVERED as error:
            log.warning("%s failed: %s", action, describe(error))
            await self.say(interaction, FAILED)
        except Exception:
            log.exception("%s failed", action)
            await self.say(interaction, FAILED)
        finally:
            self._running.discard(task)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """What is done in here without an interaction is waited for when the gate closes, as `perform` is.

        Raises `InputError` when it is closing.
        """
        if self._closing:
            raise InputError(_CLOSING)
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)

    async def _acknowledge(self, interaction: Interaction) -> bool:
        """A button's message stays as it is; a command's answer is for the asker, or taken back."""
        component = interaction.type is discord.InteractionType.component
        try:
            async with self.answering(interaction):
                await interaction.response.defer(ephemeral=True, thinking=not component)
        except UNDELIVERED as error:
            log.warning("an interaction was not acknowledged: %s", describe(error))
            return False
        return True

    async def say(
        self,
        interaction: Interaction,
        text: str,
        *,
        file: discord.File | None = None,
        view: discord.ui.View | None = None,
    ) -> None:
        """An answer that only the asker sees; in the channel where the interaction has expired meanwhile.

        File and view are part of its last message.
        """
        parts = split(text) or ["…"]
        last = {name: value for name, value in (("file", file), ("view", view)) if value is not None}
        try:
            await self._answer(interaction, parts, last)
        except UNDELIVERED as error:
            log.info("an answer did not arrive: %s", describe(error))
            if isinstance(error, HeldBackError) or getattr(error, "code", None) in GONE:
                await self._post(interaction, parts[0])

    async def replace(self, interaction: Interaction, text: str) -> None:
        """Puts the text in place of the answer whose button was pressed; the button goes."""
        try:
            await self.rewrite(interaction, content=text, view=None)
        except UNDELIVERED as error:
            log.info("an answer was not replaced: %s", describe(error))
            await self.say(interaction, text)

    async def rewrite(
        self, interaction: Interaction, *, view: discord.ui.View | None, content: str | None = MISSING
    ) -> None:
        """Changes the message whose button was pressed. Raises what `UNDELIVERED` names."""
        async with self.answering(interaction):
            await interaction.edit_original_response(content=content, view=view, allowed_mentions=NO_MENTIONS)

    async def open_form(self, interaction: Interaction, form: discord.ui.Modal) -> None:
        """In answer to a command that `opens_modal`."""
        async with self.answering(interaction):
            await interaction.response.send_modal(form)

    async def _answer(self, interaction: Interaction, parts: list[str], last: dict[str, Any]) -> None:
        interaction.extras["said"] = True
        for index, part in enumerate(parts):
            shown: dict[str, Any] = {"content": part, "ephemeral": True, "allowed_mentions": NO_MENTIONS}
            if index == len(parts) - 1:
                shown |= last
            async with self.answering(interaction):
                if interaction.response.is_done():
                    await interaction.followup.send(suppress_embeds=True, **shown)
                else:
                    await interaction.response.send_message(suppress_embeds=True, **shown)

    async def _post(self, interaction: Interaction, text: str) -> None:
        try:
            await self.place(interaction).send(text[:LIMIT], None)
        except UNDELIVERED as error:
            log.info("nor in the channel: %s", describe(error))

    async def post(self, channel: int, text: str) -> bool:
        """A message in any channel; False where that failed."""
        try:
            place = ChannelPlace(self.bot.get_partial_messageable(channel), self.services.breaker)
            await place.send(text[:LIMIT], None)
        except UNDELIVERED as error:
            log.warning("channel %d took no message: %s", channel, describe(error))
            return False
        return True

    async def _take_back(self, interaction: Interaction) -> None:
        """Nothing was to be said: the "is thinking" goes."""
        if interaction.extras.get("said") or interaction.type is discord.InteractionType.component:
            return
        if interaction.response.type is not discord.InteractionResponseType.deferred_channel_message:
            return
        try:
            async with self.answering(interaction):
                await interaction.delete_original_response()
        except UNDELIVERED as error:
            log.info("an answer was not taken back: %s", describe(error))

    def place(self, interaction: Interaction) -> ChannelPlace:
        """The channel, for messages of its own. Raises `InputError` where the bot may not write there."""
        assert interaction.channel_id is not None
        may = interaction.app_permissions
        thread = interaction.channel is not None and isinstance(interaction.channel, discord.Thread)
        sends = may.send_messages_in_threads if thread else may.send_messages
        if interaction.guild_id is not None and not (sends and may.view_channel):
            wanted = "Send Messages in Threads" if thread else "Send Messages"
            raise InputError(f"I may not write here: someone who manages the server must give me {wanted}.")
        channel = self.bot.get_partial_messageable(interaction.channel_id, guild_id=interaction.guild_id)
        return ChannelPlace(channel, self.services.breaker)

    # The end

    @contextlib.contextmanager
    def writing(self, session: ChannelSession) -> Iterator[None]:
        """Sessions in here are stopped when the gate closes."""
        self._writing[session] = self._writing.get(session, 0) + 1
        try:
            yield
        finally:
            self._writing[session] -= 1
            if not self._writing[session]:
                del self._writing[session]

    def stop_writing(self, guild: int) -> None:
        """Stops what is being written in a server."""
        for session in list(self._writing):
            if session.guild == guild:
                session.stop()

    async def close(self, patience: float = 5.0) -> None:
        """Takes no more; stops what is being written and waits until it is shown and stored. Idempotent."""
        if self._end is None:  # cogs close it once more when they go, which must not take as long again
            self._closing, self._end = True, asyncio.ensure_future(self._close(patience, asyncio.current_task()))
        await asyncio.shield(self._end)

    async def _close(self, patience: float, caller: asyncio.Task[Any] | None) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + patience
        running = self._running - {caller}
        while running and clock() < end:
            for session in list(self._writing):
                session.stop()
            _, running = await asyncio.wait(running, timeout=0.1)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=1.0)
        if self._owned:
            await self.services.close(drain=False)
