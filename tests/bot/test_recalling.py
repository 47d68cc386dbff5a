"""What a reply is written with of the text that has left the window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from bot.memory_page import page_of
from bot.rules import ContentRules
from bot.services import Services
from config.settings import Settings
from engine.generation import Engine, Generated
from engine.job import Job
from engine.prompt import Context
from engine.sampling import SamplingParams
from engine.summary import Summary
from engine.worker import Worker
from memory import NewTurn, Store
from tests.bot.conftest import ANN, BEN, Paper

CHANNEL = 7
LONG = " The fox ran over the hill and through the wood until she came to a river." * 12


class Listening(Worker):
    """Keeps what it was last given to continue; `meanwhile` is begun with every summary."""

    context = Context()
    meanwhile: Callable[[], Coroutine[Any, Any, object]] | None = None

    def summarize(self, text: str, previous: Summary | None, **options: Any) -> Job[Summary]:
        if self.meanwhile is not None:
            self.task = asyncio.ensure_future(self.meanwhile())
        return super().summarize(text, previous, **options)

    def generate(self, context: Context, sampling: SamplingParams, **options: Any) -> Job[Generated]:
        self.context = context
        return super().generate(context, sampling, **options)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    worker = Listening(Engine.load(settings.weights))
    worker.start()
    store = await Store.open(settings.database_file)
    async with Services(settings, store, worker, ContentRules({})) as services:
        await services.session(CHANNEL).start("The fox", "Once upon a time, there was a fox.", ANN)
        yield services


async def _context(services: Services) -> tuple[Context, str]:
    """What the next reply is written with, and the whole of the story before it."""
    story = "".join(turn.text for turn in await services.store.path(CHANNEL))
    await services.session(CHANNEL).write(None, ANN, Paper())
    await services.idle()
    assert isinstance(services.worker, Listening)
    return services.worker.context, story


async def _grown(services: Services, text: str) -> None:
    story = await services.session(CHANNEL).story()
    assert story is not None
    await services.store.append(CHANNEL, [NewTurn(ANN, "member", text)], after=story.head)


async def test_all_that_left_the_window_is_recalled_however_far_back(services: Services) -> None:
    context, story = await _context(services)
    assert (context.past, context.text) == ("", story)
    for _ in range(10):
        await _grown(services, LONG)
    context, story = await _context(services)
    assert context.past + context.text == story
    assert len(context.text) < len(LONG)
    view = await services.session(CHANNEL).memory()
    assert view.recalled + len(view.text) == len(story) + len((await services.session(CHANNEL).tail(1))[0].text)
    assert f"the {view.recalled:,} characters before that text" in page_of(view).text


async def test_the_past_is_the_storys_own_after_steps_back_edits_and_a_deletion(services: Services) -> None:
    session = services.session(CHANNEL)
    for n in range(5):
        await session.write(f"Quillon met Tom {n} times.{LONG}", BEN if n else ANN, Paper())

    async def told() -> str:
        context, story = await _context(services)
        assert context.past + context.text == story
        return story

    await told()
    for steps in ([session.undo], [session.undo] * 3, [session.undo, session.undo, session.redo]):
        for step in steps:
            await step()
        await told()
    await session.edit(await session.to_edit(2, ANN), f" Zora met Tom.{LONG}", ANN)
    assert "Zora" in await told()
    await services.session(CHANNEL + 1).start("Another", "Tavish sat by the sea.", ANN)
    await services.session(CHANNEL + 1).write(LONG, ANN, Paper())
    assert "Tavish" not in await told()
    await services.forget_person(BEN)
    assert "Quillon" not in await told()


async def test_what_a_reset_took_is_not_recalled_and_what_follows_is(services: Services) -> None:
    await _grown(services, f" Quillon.{LONG}")
    await services.session(CHANNEL).reset(ANN)
    await _grown(services, f" Zora.{LONG}")
    context, story = await _context(services)
    assert story.endswith(context.past + context.text)
    assert "Quillon" not in context.past
    assert "Zora" in context.past
    assert (await services.session(CHANNEL).memory()).recalled < len(story) - len(LONG)


async def test_what_a_reset_took_stays_forgotten_when_the_summaries_go_with_a_member(services: Services) -> None:
    session = services.session(CHANNEL)
    await session.write(f"Quillon met Quillon.{LONG}", ANN, Paper())
    await _grown(services, LONG)
    await session.reset(ANN)
    await session.write(f"Zora met Zora.{LONG}", BEN, Paper())
    await services.forget_person(BEN)
    await session.write(f"Tavish met Tavish.{LONG}", ANN, Paper())
    await _grown(services, LONG)
    context, _ = await _context(services)
    summary = (await session.memory()).summary
    assert summary is not None
    assert "Tavish" in summary.names
    assert "Quillon" not in " ".join(summary.lines()) + context.past
    assert "Zora" not in " ".join(summary.lines()) + context.past


async def test_what_left_the_window_in_a_pause_is_recalled_afterwards(services: Services) -> None:
    await _grown(services, f" Quillon.{LONG}")
    await _context(services)  # the summary of it is made
    await services.session(CHANNEL).pause(ANN)
    await _grown(services, f" Zora.{LONG}")
    context, story = await _context(services)
    assert story.startswith(context.past)
    assert "Quillon" in context.past
    assert "Zora" not in context.past + context.text
    await services.session(CHANNEL).resume(ANN)
    context, story = await _context(services)
    assert context.past + context.text == story


async def test_who_is_deleted_while_a_summary_is_under_way_does_not_get_into_it(services: Services) -> None:
    assert isinstance(services.worker, Listening)
    services.worker.meanwhile = lambda: services.store.delete_author(BEN.id)
    session = services.session(CHANNEL)
    await session.write(f"Quillon met Quillon.{LONG}", BEN, Paper())
    await services.idle()
    await _grown(services, LONG)
    await _context(services)
    versions = await session.summary_versions(9)
    assert versions
    assert not any("Quillon" in row.body for row in versions)


async def test_a_summary_of_what_is_undone_meanwhile_holds_nowhere_else(services: Services) -> None:
    assert isinstance(services.worker, Listening)
    session = services.session(CHANNEL)
    services.worker.meanwhile = session.undo
    await session.write(f"Quillon met Quillon.{LONG}", BEN, Paper())
    await services.idle()
    services.worker.meanwhile = None
    assert (await session.memory()).summary is None
    await session.write(f"Zora met Zora.{LONG}", BEN, Paper())
    await services.idle()
    summary = (await session.memory()).summary
    assert summary is not None
    assert "Zora" in summary.names
    assert "Quillon" not in summary.names


async def test_the_weights_remember_what_left_the_window_and_forget_it_with_its_turn(
    services: Services, other_tiny_weights: Path
) -> None:
    session, base = services.session(CHANNEL), services.worker.engine_info.base_id
    assert (await _context(services))[0].vectors is None
    for _ in range(4):
        await session.write(LONG, ANN, Paper())
        await services.idle()
    first = (await _context(services))[0].vectors
    assert first is not None
    for move, blob in ((session.undo, None), (session.redo, first)):
        for _ in range(5):
            await move()
        row = await services.store.vectors(CHANNEL, base)
        assert (row and row.blob) == blob
    await services.worker.swap(other_tiny_weights).result()
    assert (await _context(services))[0].vectors is None
    other = (await _context(services))[0].vectors  # they were written anew behind that reply
    assert other not in (None, first)
    await session.reset(ANN)
    assert (await _context(services))[0].vectors is None


async def test_vectors_that_are_damaged_are_written_anew(services: Services) -> None:
    for _ in range(4):
        await _grown(services, LONG)
    story, base = await services.session(CHANNEL).story(), services.worker.engine_info.base_id
    assert story is not None
    assert story.head is not None
    await services.store.put_vectors(CHANNEL, story.head, base, 10, b"damaged")
    assert (await _context(services))[0].vectors == b"damaged"
    assert (await _context(services))[0].vectors not in (None, b"damaged")
