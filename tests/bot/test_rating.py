"""What is mature stays where it may be. Words here are invented, and mature by the lists of these tests alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import discord
import pytest

from benchmarks.reliability.rating import run
from benchmarks.reliability.script import Script
from bot.errors import RefusedError
from bot.gate import Gate
from bot.rating import MATURE_ON, FrozenError, Rating, rated
from bot.rules import ContentRules, TermList, Together
from bot.services import Services
from memory import NoStoryError
from tests.bot.conftest import ANN, Paper
from tests.bot.script import CHANNEL, GUILD, scripted

RULES = ContentRules(
    [
        TermList("grown", "words for grown people", ("blicket",), general_use=True),
        TermList("never", "what is never allowed", ("daxable",)),
        TermList("young", "words for the young", ("kidlet",), alone=False),
    ],
    [Together("the young among grown words", frozenset({"grown"}), frozenset({"young"}), 20)],
)
MATURE = {"rating": "mature"}


async def _switched_on(services: Services) -> None:
    await services.store.set_setting(f"guild:{GUILD}", MATURE_ON, "on")


@pytest.mark.parametrize(
    ("flag", "server", "weights", "guild", "passes"),
    [
        (True, True, "mature", GUILD, True),
        (False, True, "mature", GUILD, False),
        (True, False, "mature", GUILD, False),
        (True, True, "general", GUILD, False),
        (True, True, "unknown", GUILD, False),
        (True, True, "mature", None, False),  # direct messages
    ],
)
async def test_a_reply_is_as_mature_as_the_lowest_of_all_allows(
    tmp_path: Path, flag: bool, server: bool, weights: str, guild: int | None, passes: bool
) -> None:
    script = Script(weights, [" The blicket sang."])
    async with scripted(tmp_path, RULES, script, {CHANNEL} if flag else set()) as services:
        if server:
            await _switched_on(services)
        session = services.session(CHANNEL, guild)
        await session.start("A tale", "Once there was a fox.", ANN)
        paper = Paper()
        if passes:
            await session.write("It met a blicket.", ANN, paper)
            assert paper.finished == ["The blicket sang."] or paper.finished == [" The blicket sang."]
            return
        with pytest.raises(RefusedError, match="Your text"):
            await session.write("It met a blicket.", ANN, paper)
        with pytest.raises(RefusedError, match="The reply"):
            await session.write("It sang.", ANN, paper)
        assert not any("blicket" in text for text in paper.shown + paper.finished)


async def test_nothing_is_mature_where_the_operator_has_named_no_real_people(tmp_path: Path) -> None:
    named = ContentRules(
        [
            TermList("grown", "words for grown people", ("blicket",), general_use=True),
            TermList("people", "names of real people", (), alone=False),
        ],
        [Together("grown words about real people", frozenset({"grown"}), frozenset({"people"}), 20)],
    )
    async with scripted(tmp_path, named, Script("mature", [" And so on."]), {CHANNEL}) as services:
        await _switched_on(services)
        session = services.session(CHANNEL, GUILD)
        await session.start("A tale", "Once there was a fox.", ANN)
        with pytest.raises(RefusedError, match="Your text"):
            await session.write("It met a blicket.", ANN, Paper())
    assert not ContentRules.load().guards_mature
    (tmp_path / "rules.toml").write_text('[lists.real-people]\nterms = ["toma grue"]\n')
    assert ContentRules.load(tmp_path / "rules.toml").guards_mature


async def test_nothing_lifts_what_is_never_allowed(tmp_path: Path) -> None:
    script = Script("mature", [" And so on."])
    async with scripted(tmp_path, RULES, script, {CHANNEL}) as services:
        await _switched_on(services)
        session = services.session(CHANNEL, GUILD)
        await session.start("A tale", "A blicket sang.", ANN)
        for text in ("A daxable thing.", "The kidlet ran."):
            with pytest.raises(RefusedError):
                await session.write(text, ANN, Paper())
        script.replies = [" A kidlet came."]
        with pytest.raises(RefusedError, match="The reply"):
            await session.write(None, ANN, Paper())


async def test_a_channel_that_loses_its_flag_freezes_what_is_mature_and_gets_all_of_it_back(tmp_path: Path) -> None:
    flags, script = {CHANNEL}, Script("mature", [" Blicket the second."])
    async with scripted(tmp_path, RULES, script, flags) as services:
        await _switched_on(services)
        session = services.session(CHANNEL, GUILD)
        old = await session.start("Before", "A fox ran.", ANN)
        flags.clear()
        plain = await session.start("Plain", "A plain fox.", ANN)
        plain_pin = await session.pin("Foxes are red.", ANN)
        flags.add(CHANNEL)
        story = await session.start("Blicket's tale", "A blicket sang.", ANN)
        await session.write("It sang on.", ANN, Paper())
        pin = await session.pin("Blickets are blue.", ANN)
        await session.teach("Who sang?", "The blicket.", ANN, Paper())
        name, whole = await session.export()
        assert b"blicket" in whole.lower()

        flags.clear()
        assert await session.story() is None
        assert await session.tail(1000) == []
        assert [each.id for each in await session.stories()] == [plain.id], "the first one, too, was begun as mature"
        view = await session.memory()
        assert [each.id for each in view.pins] == [plain_pin.id]
        assert (view.lessons, view.text, view.summary) == ([], "", None)
        for attempt in (session.export(), session.undo(), session.tries(), session.write("On.", ANN, Paper()),
                        session.resume_story(story.id), session.unpin(pin.id), session.outline()):  # fmt: skip
            with pytest.raises(NoStoryError, match="rests") as told:
                await attempt
            assert isinstance(told.value, FrozenError)
        script.replies, script.contexts = [" A plain reply."], []
        await session.resume_story(plain.id)
        paper = Paper()
        await session.write("It ran on.", ANN, paper)
        (context, lessons, _) = script.contexts[-1]
        assert lessons == 0
        assert "lue" not in "".join((*context.pins, context.text, context.past))

        flags.add(CHANNEL)
        assert {each.id for each in await session.stories()} == {old.id, plain.id, story.id}
        await session.resume_story(story.id)
        assert await session.export() == (name, whole)
        assert len((await session.memory()).pins) == 2
        assert len(await session.lessons()) == 1


async def test_a_flag_that_goes_while_a_reply_is_written_keeps_the_reply_back(tmp_path: Path) -> None:
    flags, script = {CHANNEL}, Script("mature", [" Then a blicket sang and sang."])
    async with scripted(tmp_path, RULES, script, flags) as services:
        await _switched_on(services)
        session = services.session(CHANNEL, GUILD)
        await session.start("A tale", "A fox.", ANN)
        paper = Paper(on_show=lambda text: flags.clear())
        with pytest.raises(FrozenError):
            await session.write(None, ANN, paper)
        assert paper.finished == []
        flags.add(CHANNEL)
        assert len(await session.tail(1000)) == 1, "nothing was stored"


async def test_it_is_frozen_after_a_restart_too(tmp_path: Path) -> None:
    async with scripted(tmp_path, RULES, Script("mature"), {CHANNEL}) as services:
        await _switched_on(services)
        await services.session(CHANNEL, GUILD).start("A tale", "A blicket sang.", ANN)
    async with scripted(tmp_path, RULES, Script("mature"), set()) as services:
        assert await services.session(CHANNEL, GUILD).story() is None
    async with scripted(tmp_path, RULES, Script("mature"), {CHANNEL}) as services:
        assert await services.session(CHANNEL, GUILD).story() is not None


async def test_the_terminal_is_general_unless_its_operator_says_otherwise(tmp_path: Path) -> None:
    async with scripted(tmp_path, RULES, Script("mature"), set()) as services:
        with pytest.raises(RefusedError):
            await services.session(0).start("A tale", "A blicket sang.", ANN)
    async with scripted(tmp_path, RULES, Script("mature"), set(), terminal_rating="mature") as services:
        await services.session(0).start("A tale", "A blicket sang.", ANN)


def test_a_short_run_of_the_benchmark_of_ratings() -> None:
    assert run(150)["steps"] > 0


def test_only_what_says_that_it_is_mature_is() -> None:
    assert rated("mature") is Rating.MATURE
    assert {rated(name) for name in ("general", "unknown", "Mature", "", None, 1)} == {Rating.GENERAL}


async def test_the_flag_is_discords_as_it_is_now_and_a_thread_has_its_channels(tmp_path: Path) -> None:
    class Room:
        nsfw = False

    channels: dict[int, object] = {1: Room()}
    thread = Mock(spec=discord.Thread)
    thread.parent_id = 1
    bot = Mock()
    bot.get_channel = channels.get
    async with scripted(tmp_path, RULES, Script(), set()) as services:
        gate = Gate(bot, services)
        channels[2] = thread
        for flag in (True, False, True):
            channels[1].nsfw = flag  # type: ignore[attr-defined]
            assert services.age_restricted(1) is flag
            assert services.age_restricted(2) is flag
            assert services.age_restricted(3) is False
        unknown = SimpleNamespace(channel_id=3, guild_id=GUILD, channel=thread)  # a thread that the cache lacks
        gate.session(unknown)  # type: ignore[arg-type]
        assert services.age_restricted(3) is True
        del channels[1]
        assert not any(map(services.age_restricted, (1, 2, 3)))
