"""The modes in which people write a story together: what each asks of a text, and what it lets them see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.errors import InputError
from bot.modes import COVERED, first_word, last_line, mode_of, one_word
from bot.rules import ContentRules
from bot.services import Services
from bot.session import ChannelSession
from bot.sharing import SEALED
from config.settings import Settings
from engine.generation import Engine
from engine.sampling import SamplingParams
from engine.worker import Worker
from memory import Author, Mode, NoStoryError, Store
from tests.bot.conftest import ANN, BEN, CHATTY, Paper

CHANNEL = 7
CLEO = Author(13, "Cleo")
VARIED = replace(CHATTY, max_new_tokens=24, min_new_tokens=24, seed=None)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def opened(settings: Settings, clock: Callable[[], float], sampling: SamplingParams = VARIED) -> Services:
    store = await Store.open(settings.database_file)
    worker = Worker(Engine.load(settings.weights), max_queue=settings.queue_size)
    worker.start()
    return Services(settings, store, worker, ContentRules({}), sampling=sampling, clock=clock)


async def begun(
    services: Services, mode: Mode, *, seats: tuple[Author, ...] = (), minutes: float = 1
) -> ChannelSession:
    session = services.session(CHANNEL)
    await session.start("The fox", "Once upon a time, there was a fox. She ran.", ANN, mode, minutes)
    for seat in seats:
        await session.join(seat)
    return session


async def at_turn(session: ChannelSession) -> str:
    standing = await session.standing()
    assert standing is not None
    return standing.table.seats[0].name


# Round robin


async def test_only_who_is_at_turn_writes_and_hands_it_on(settings: Settings, clock: Clock) -> None:
    async with await opened(settings, clock) as services:
        session = await begun(services, "round robin")
        await session.write("Nobody sits there yet.", CLEO, Paper())
        for who in (ANN, BEN):
            await session.join(who)
        with pytest.raises(InputError, match="It is Ann's turn: yours comes"):
            await session.write("She fell.", BEN, Paper())
        with pytest.raises(InputError, match="It is Ann's turn: /story join"):
            await session.write(None, CLEO, Paper())
        await session.write("She sang.", ANN, Paper())
        assert await at_turn(session) == "Ben"
        works: list[Callable[[], Any]] = [
            lambda: session.retry(ANN, Paper()),
            lambda: session.propose(Paper(), ANN),
            lambda: session.undo(ANN),
            lambda: session.redo(ANN),
            lambda: session.pick(1, by=ANN),
            lambda: session.branch(1, ANN),
        ]
        for work in works:
            with pytest.raises(InputError, match="It is Ben's turn"):
                await work()
        await session.retry(BEN, Paper())
        assert await at_turn(session) == "Ben", "another try is no turn of its own"
        await session.write(None, BEN, Paper())
        assert await at_turn(session) == "Ann"


async def test_two_who_write_at_once_have_one_turn(settings: Settings, clock: Clock) -> None:
    async with await opened(settings, clock) as services:
        session = await begun(services, "round robin", seats=(ANN, BEN))
        both = [session.write(f"Text {n}.", ANN, Paper()) for n in range(2)]
        results = await asyncio.gather(*both, return_exceptions=True)
        assert [type(result).__name__ for result in results] == ["Reply", "InputError"]
        assert await at_turn(session) == "Ben"


async def test_the_order_and_the_time_of_a_turn_outlive_the_process(settings: Settings, clock: Clock) -> None:
    async with await opened(settings, clock) as services:
        session = await begun(services, "round robin", seats=(ANN, BEN, CLEO), minutes=2)
        await session.write("She sang.", ANN, Paper())
        clock.now += 119
        assert await at_turn(session) == "Ben"
        clock.now += 1
        assert await at_turn(session) == "Cleo", "Ben took too long"
        await session.settle()
    clock.now += 10_000
    async with await opened(settings, clock) as services:
        session = services.session(CHANNEL)
        assert await at_turn(session) == "Cleo", "while no process ran nobody could write"
        assert await services.store.tables_taken() == [(CHANNEL, None)]
        clock.now += 120
        standing = await session.standing()
        assert standing is not None
        assert [seat.name for seat in standing.table.seats] == ["Ann", "Ben", "Cleo"]
        assert standing.wait == 120


async def test_the_host_and_keepers_hand_on_anybodys_turn(settings: Settings, clock: Clock) -> None:
    async with await opened(settings, clock) as services:
        session = await begun(services, "round robin", seats=(CLEO, BEN))
        with pytest.raises(InputError, match="Only who started this story, or a keeper"):
            await session.skip(BEN, keeps=False)
        assert await session.skip(ANN, keeps=False) == CLEO
        assert await session.skip(CLEO, keeps=True) == BEN
        assert await session.skip(CLEO, keeps=False) == CLEO
        await session.leave(BEN.id)
        assert await at_turn(session) == "Cleo"
        await session.leave(CLEO.id)
        with pytest.raises(InputError, match="Nobody sits at the table"):
            await session.skip(ANN, keeps=True)


async def test_the_mode_changes_and_those_at_the_table_stay(settings: Settings, clock: Clock) -> None:
    async with await opened(settings, clock) as services:
        session = await begun(services, "round robin", seats=(BEN, CLEO))
        with pytest.raises(InputError, match="Only who started this story"):
            await session.set_mode("free", None, BEN, keeps=False)
        await session.set_mode("free", None, ANN, keeps=False)
        await session.write("Anybody.", CLEO, Paper())
        for work in (session.join(ANN), session.leave(BEN.id), session.skip(ANN, keeps=True)):
            with pytest.raises(InputError, match="its mode is free"):
                await work
        await session.set_mode("round robin", None, BEN, keeps=True)
        assert await at_turn(session) == "Ben"
        clock.now += 60
        assert await at_turn(session) == "Cleo", "the time of a turn that nobody changed is the one it was"
        story = await session.finish()
        with pytest.raises(NoStoryError):
            await session.join(ANN)
        assert await session.standing() is None
        clock.now += 10_000
        await session.resume_story(story.id)
        clock.now += 59
        assert await at_turn(session) == "Ben", "what was finished had no time"


# One word each


def words(text: str) -> int:
    """Punctuation by itself is none."""
    return sum(any(sign.isalnum() for sign in word) for word in text.split())


async def test_each_adds_one_word_and_nobody_two_in_a_row(settings: Settings, clock: Clock) -> None:
    same = replace(VARIED, seed=1)  # a random model has nothing but signs to say at times
    async with await opened(settings, clock, same) as services:
        session = await begun(services, "one word each")
        for text in ("two words", "...", "x" * 51):
            with pytest.raises(InputError, match=r"one word|limit is 50"):
                await session.write(text, ANN, Paper())
        paper = Paper()
        alone = await session.write("Then,", ANN, paper)
        assert [words(turn.text) for turn in alone.turns] == [1, 1], "who is alone plays with the model"
        assert paper.finished[0].endswith(alone.turns[1].text.strip())
        with pytest.raises(InputError, match="last word is the model's"):
            await session.write(None, ANN, Paper())
        assert len((await session.write("suddenly", BEN, Paper())).turns) == 1, "two play without the model"
        with pytest.raises(InputError, match="last word is yours"):
            await session.write("she", BEN, Paper())
        assert words((await session.write(None, BEN, Paper())).turns[0].text) == 1
        assert words((await session.retry(BEN, Paper(), "long")).turns[0].text) == 1
        await session.undo()
        await session.write("!now", ANN, Paper())
        assert words("".join(turn.text for turn in await session.tail(10_000))) == 10 + 4


async def test_an_edit_of_a_word_is_a_word(settings: Settings, clock: Clock) -> None:
    async with await opened(settings, clock) as services:
        session = await begun(services, "one word each")
        turn = (await session.write("Then,", ANN, Paper())).turns[0]
        with pytest.raises(InputError, match="one word"):
            await session.edit(turn, "And then", ANN)
        assert (await session.edit(turn, "Now,", ANN)).text.strip() == "Now,"


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("ing", " ing"),
        (' key." She', ' key."'),
        (". Then she", ". Then"),
        ("\n\nNo", "\n\nNo"),
        (" ...", ""),
        (".x", " .x"),
    ],
)
def test_the_models_word_is_the_first_that_it_writes(reply: str, word: str) -> None:
    assert first_word(reply) == word


@pytest.mark.parametrize("text", ["don\u2019t", "\u00bbNein!\u00ab", "well-known", "\u7269\u8a9e"])
def test_what_is_one_word(text: str) -> None:
    assert one_word(text) == text


def test_modes_by_their_names() -> None:
    assert [mode_of(text) for text in ("free", "Round  Robin", "one", "last line")] == [
        "free", "round robin", "one word each", "last line only",
    ]  # fmt: skip
    for text in ("", "  ", "chess"):
        with pytest.raises(InputError, match="no such mode"):
            mode_of(text)


# The last line only


async def test_only_the_last_line_is_seen_until_the_end(settings: Settings, clock: Clock) -> None:
    async with await opened(settings, clock) as services:
        session = await begun(services, "last line only")
        paper = Paper()
        reply = await session.write("The dax was blue. It slept.", ANN, paper)
        assert paper.shown == [], "nobody watches"
        seen = "".join(turn.text for turn in await session.tail(10_000))
        assert paper.finished == [seen]
        # Random weights may end in signs that are no sentence, which are not shown as one.
        assert seen.removeprefix("\u2026") in "".join(turn.text for turn in reply.turns)
        hidden = "The dax was blue"
        for works in (session.export(), session.summary_versions(9), session.edit_summary("A dax.", ANN),
                      session.restore_summary(1, ANN), session.to_edit(None, ANN)):  # fmt: skip
            with pytest.raises(InputError, match=SEALED[:40]):
                await works
        assert (await session.to_edit(2, ANN)).text.strip() == "The dax was blue. It slept.", "one's own words"
        tree = await session.tree()
        assert {twig.words for twig in await session.outline()} == {COVERED}
        tries = await session.tries()
        assert tries is not None
        view = await session.memory()
        for text in (str(tree), str(tries), view.text, str(await session.retry(ANN, Paper()))):
            assert hidden not in text
        paper = Paper()
        proposed = await session.propose(paper)
        assert len(paper.finished[0].split("\n\n")) == len(proposed)
        assert hidden not in str(await session.undo())
        assert [turn.text for turn in await session.redo()] == [last_line(proposed[0].text)]
        assert (await session.branch(2)).text == "It slept."
        story = await session.finish()
        _, content = await session.export("markdown", story.id)
        assert hidden in content.decode()
        await session.resume_story(story.id)
        with pytest.raises(InputError, match=SEALED[:40]):
            await session.export("markdown", story.id)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("She ran. She fell.", "She fell."),
        ("She ran.\n\nThe end\n", "The end"),
        ("...", "..."),
        ("", ""),
        ("a" * 400, "\u2026" + "a" * 299),
    ],
)
def test_the_last_line_of_a_text(text: str, line: str) -> None:
    assert last_line(text) == line
