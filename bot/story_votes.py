"""/story vote: three ways to go on, of which the members choose one with buttons.

All three are tries of the story's last part, in the tree from the start. So nothing of a vote has to be stored: after
a restart the first press opens it again, and who voted for what is never written down.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, cast

import discord
from discord import app_commands

from bot.access import Role
from bot.errors import InputError
from bot.gate import KNOWN_ERRORS, Interaction, author, command
from bot.output import line
from bot.phrases import ENGLISH, Phrases
from bot.places import UNDELIVERED, describe
from bot.session import ChannelSession
from bot.story_front import AFTER_REPLY, STORY, StoryFront
from bot.views import STORY_COG, UNLOADED
from memory import HeadMovedError

log = logging.getLogger(__name__)

SECONDS = 60
_OVER = "The story has moved on since: this vote is over."


@dataclass
class Vote:
    """An open one. `first` is the turn of its first choice."""

    session: ChannelSession
    first: int
    choices: int
    asker: int
    cast: dict[int, int] = field(default_factory=dict)  # member's id to choice, from 1 on
    closing: asyncio.Task[None] | None = None

    @property
    def counts(self) -> list[int]:
        return [list(self.cast.values()).count(choice) for choice in range(1, self.choices + 1)]

    @property
    def winner(self) -> int:
        """The earliest of those with the most votes."""
        return self.counts.index(max(self.counts)) + 1


class Votes(Protocol):
    """The cog that hears of votes."""

    async def voted(self, interaction: Interaction, first: int, asker: int, choices: int, choice: int) -> None: ...


class VoteButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=re.compile(r"miniature:vote:(?P<first>\d{1,20}):(?P<asker>\d{1,20}):(?P<of>\d):(?P<choice>\d)"),
):
    """Votes for a choice of a vote, or counts (choice 0); all that a vote needs is in it."""

    def __init__(self, first: int, asker: int, of: int, choice: int, count: int = 0, say: Phrases = ENGLISH) -> None:
        self.first, self.asker, self.of, self.choice = first, asker, of, choice
        label = say("count_now") if choice == 0 else f"{choice} ({count})" if count else str(choice)
        style = discord.ButtonStyle.primary if choice else discord.ButtonStyle.secondary
        super().__init__(
            discord.ui.Button(label=label, style=style, custom_id=f"miniature:vote:{first}:{asker}:{of}:{choice}")
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["first"]), int(match["asker"]), int(match["of"]), int(match["choice"]))

    async def callback(self, interaction: Interaction) -> None:
        cog = interaction.client.get_cog(STORY_COG)
        if cog is None:
            await interaction.response.send_message(UNLOADED, ephemeral=True)
        else:
            await cast("Votes", cog).voted(interaction, self.first, self.asker, self.of, self.choice)


def ballot(vote: Vote, say: Phrases = ENGLISH) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for choice, count in enumerate(vote.counts, start=1):
        view.add_item(VoteButton(vote.first, vote.asker, vote.choices, choice, count, say))
    return view.add_item(VoteButton(vote.first, vote.asker, vote.choices, 0, say=say))


class VoteCommands(StoryFront):
    _votes: dict[int, Vote]  # by their first choice

    @command("story.vote", "vote", "Lets the model go on in three ways, of which you all choose one", STORY)
    @app_commands.describe(seconds="How long the vote is open")
    async def vote(self, interaction: Interaction, seconds: app_commands.Range[int, 5, 3600] = SECONDS) -> None:
        place, session, who = self.gate.place(interaction), self._session(interaction), author(interaction)
        await self._standing(session, asking=who.id)
        told = self._say(session)("vote", name=line(who.name, 60), seconds=seconds)
        stream = self._streaming(session, place, [f"-# {told}"])
        with self.gate.writing(session):
            try:
                await stream.queued(0, 0.0)
                turns = await session.propose(stream, who)
            except BaseException:
                await asyncio.shield(asyncio.ensure_future(stream.abandon()))
                raise
        vote = Vote(session, turns[0].id, len(turns), who.id)
        self._open(vote, seconds)
        await self._enthrone(session, stream, ballot(vote, self._say(session)))

    async def voted(self, interaction: Interaction, first: int, asker: int, choices: int, choice: int) -> None:
        """A button of a vote was pressed."""
        work = functools.partial(self._voted, interaction, first, asker, choices, choice)
        await self.gate.perform(interaction, "story.vote", work)

    async def _voted(self, interaction: Interaction, first: int, asker: int, choices: int, choice: int) -> None:
        session = self._session(interaction)
        tries, segments = await session.tries(), await self._segments(session)
        pressed = None if interaction.message is None else interaction.message.id
        if tries is None or tries.turn.id != first or segments[:1] != [pressed] or choice > choices:
            raise InputError(_OVER)
        vote = self._votes.get(first)
        if vote is None:  # opened before a restart
            vote = Vote(session, first, choices, asker)
            self._open(vote, SECONDS)
        if choice == 0:
            if interaction.user.id != asker and await self.gate.role(interaction) < Role.KEEPER:
                raise InputError("Only who asked for the vote, or a keeper, can end it early.")
            await self._close(vote)
            return
        vote.cast[interaction.user.id] = choice
        try:
            await self.gate.rewrite(interaction, view=ballot(vote, self._say(session)))
        except UNDELIVERED as error:
            log.info("a ballot was not updated: %s", describe(error))

    def _open(self, vote: Vote, seconds: float) -> None:
        self._votes[vote.first] = vote
        vote.closing = asyncio.create_task(self._close_later(vote, seconds))

    async def _close_later(self, vote: Vote, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            with self.gate.working():
                await self._close(vote)
        except KNOWN_ERRORS as error:
            log.info("a vote was not counted: %s", type(error).__name__)
        except UNDELIVERED as error:
            log.warning("a vote was not counted: %s", describe(error))
        except Exception:
            log.exception("a vote was not counted")

    async def _close(self, vote: Vote) -> None:
        """Counts, once; raises what `pick` raises."""
        if self._votes.pop(vote.first, None) is None:
            raise InputError(_OVER)
        if vote.closing is not None and vote.closing is not asyncio.current_task():
            vote.closing.cancel()
        try:
            tries = await vote.session.choose(vote.first, vote.winner)
        except HeadMovedError as error:
            raise InputError(_OVER) from error
        say, counts = self._say(vote.session), enumerate(vote.counts, start=1)
        counted = ", ".join(say("votes_of", choice=choice, count=count) for choice, count in counts)
        told = say("votes", counts=counted) if vote.cast else say("no_votes")
        place = self._place_of(vote.session)
        await self._post(vote.session, place, [f"-# {told}"], tries.turn.text, AFTER_REPLY, tries=True)

    def _end_votes(self, guild: int | None = None) -> None:
        """Of a server; all of them when the cog goes. The tries stay."""
        for first, vote in list(self._votes.items()):
            if guild is None or vote.session.guild == guild:
                del self._votes[first]
                if vote.closing is not None:
                    vote.closing.cancel()
