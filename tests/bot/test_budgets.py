"""What pins and summary may take of the window: where nobody chose, where a server did, and where a channel did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.errors import InputError
from bot.memory_page import page_of
from bot.rules import ContentRules
from bot.services import Services
from bot.session import ChannelSession
from config.settings import Settings
from engine.generation import Engine
from engine.job import Job
from engine.outcome import Generated
from engine.prompt import Context, memory_text
from engine.sampling import SamplingParams
from engine.worker import SUMMARY_SHARE, Worker
from memory import Store
from tests.bot.conftest import ANN, Paper
from tests.conftest import write_tiny_weights

HERE, GUILD = 5, 7
CHANNEL, SERVER = f"channel:{HERE}", f"guild:{GUILD}"
STORY = "Mira met Tom at the mill. Mira and Tom ran to the river, and there Mira found a red kite. " * 8
WRITTEN = "Names: Mira, Tom\nEarlier: Mira met Tom. They ran."


class ReadingWorker(Worker):
    """Keeps what the engine is given."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.contexts: list[Context] = []
        self.shares: list[float] = []

    def generate(self, context: Context, sampling: SamplingParams, **options: Any) -> Job[Generated]:
        self.contexts.append(context)
        return super().generate(context, sampling, **options)

    def summarize(self, *given: Any, share: float = SUMMARY_SHARE, **options: Any) -> Job[Any]:
        self.shares.append(share)
        return super().summarize(*given, share=share, **options)


@pytest.fixture
async def worker(tmp_path: Path) -> ReadingWorker:
    worker = ReadingWorker(Engine.load(write_tiny_weights(tmp_path / "wide", 1, block_size=256)))
    worker.start()
    return worker


@pytest.fixture
async def services(settings: Settings, worker: ReadingWorker) -> AsyncIterator[Services]:
    store = await Store.open(settings.database_file)
    async with Services(settings, store, worker, ContentRules({})) as services:
        yield services


async def begun(services: Services) -> ChannelSession:
    session = services.session(HERE, GUILD)
    await session.start("Fox", "A fox ran to the mill.", ANN)
    return session


async def read(session: ChannelSession, worker: ReadingWorker) -> Context:
    """What the model is given for the next reply."""
    await session.write(None, ANN, Paper())
    return worker.contexts[-1]


def tokens(worker: Worker, context: Context) -> int:
    return worker.count(memory_text((), context.summary))


async def test_where_nobody_chose_all_is_as_it_was(services: Services, worker: ReadingWorker) -> None:
    session = await begun(services)
    pins = [await session.pin(f"Fact {number}.", ANN) for number in range(3)]
    long = "Names: Mira\nEarlier: " + "Mira found a key. " * 3
    await session.edit_summary(long, ANN)
    context = await read(session, worker)
    assert context.pins == tuple(pin.text for pin in pins)
    assert memory_text((), context.summary) == long.strip()
    assert tokens(worker, context) > worker.engine_info.block_size * SUMMARY_SHARE, "a person may write more"
    view = await session.memory()
    assert (view.pins_budget, view.summary_budget, view.crowded_out) == (64, 32, [])
    assert "Budgets: 64 tokens for pins, 32 for the summary." in page_of(view).text


async def test_a_budget_holds_for_the_pins_there_are(services: Services, worker: ReadingWorker) -> None:
    session = await begun(services)
    first, second = await session.pin("Mira is red.", ANN), await session.pin("Tom is old.", ANN)
    await session.pin("The fox is sly.", ANN, ["fox"])
    assert len((await read(session, worker)).pins) == 3
    room = (await session.memory()).pins_tokens - 1
    await services.dials.set(CHANNEL, "pins_budget", str(room / worker.engine_info.block_size), ANN)
    assert (await read(session, worker)).pins == (first.text,)
    view = await session.memory()
    assert (view.pins_budget, view.crowded_out, view.entered) == (room, [second], [])
    assert "Pins that the budget has no room for\n" in page_of(view).text
    with pytest.raises(InputError, match="full"):
        await session.pin("Ann is tall.", ANN)
    await services.dials.set(CHANNEL, "pins_budget", "0", ANN)
    assert (await read(session, worker)).pins == ()
    await services.dials.clear(CHANNEL, ANN)
    assert (await read(session, worker)).pins[:2] == (first.text, second.text)


async def test_a_budget_holds_for_the_summary_there_is(services: Services, worker: ReadingWorker) -> None:
    session = await begun(services)
    await session.edit_summary(WRITTEN, ANN)
    whole = await read(session, worker)
    room = tokens(worker, whole) - 1
    await services.dials.set(CHANNEL, "summary_budget", str(room / worker.engine_info.block_size), ANN)
    context, view = await read(session, worker), await session.memory()
    assert memory_text((), context.summary) == WRITTEN.removesuffix(" They ran.")
    assert (view.summary, view.seen_summary, view.summary_budget) == (whole.summary, context.summary, room)
    assert ", shortened to the room there is" in page_of(view).text
    with pytest.raises(InputError, match=rf"^The summary takes more than its budget of {room} tokens: .*\.$"):
        await session.edit_summary(WRITTEN, ANN)
    await services.dials.set(CHANNEL, "summary_budget", "0", ANN)
    assert (await read(session, worker)).summary is None
    view = await session.memory()
    assert (view.summary, view.summary_tokens) == (whole.summary, 0)
    assert ", left out as its budget is 0" in page_of(view).text
    await services.dials.set(CHANNEL, "summary_budget", "0.25", ANN)
    assert (await read(session, worker)).summary == whole.summary


async def test_pins_and_summary_at_their_most_leave_the_text_its_room(
    services: Services, worker: ReadingWorker
) -> None:
    session = await begun(services)
    for name in ("pins_budget", "summary_budget"):
        await services.dials.set(CHANNEL, name, "0.25", ANN)
    await session.edit_summary(WRITTEN, ANN)
    await services.dials.set(CHANNEL, "length", "300", ANN)  # a reply that leaves half of the window
    for number in range(5):
        await session.pin(f"Fact {number}.", ANN)
    with pytest.raises(InputError, match="full"):
        await session.pin("Mira is red, and Tom is old.", ANN)
    view = await session.memory()
    assert view.crowded_out == []
    assert view.pins_tokens + view.entries_tokens + view.summary_tokens <= (view.window - view.reply_tokens) // 2
    assert view.text


async def test_a_summary_is_made_for_its_budget_and_kept_up_at_none(services: Services, worker: ReadingWorker) -> None:
    session = await begun(services)
    for share in (None, "0.25", "0"):
        if share is not None:
            await services.dials.set(SERVER, "summary_budget", share, ANN)
        await session.write(STORY, ANN, Paper())
        await services.idle()
    assert list(dict.fromkeys(worker.shares)) == [SUMMARY_SHARE, 0.25]
    assert worker.shares[-1] == SUMMARY_SHARE
    assert (await session.memory()).summary is not None


async def test_the_nearest_choice_holds(services: Services, worker: ReadingWorker) -> None:
    session = await begun(services)

    async def shown() -> list[tuple[object, str]]:
        held = services.dials.held(HERE, GUILD)
        return [(one.value, one.source) for one in held if one.dial.name in ("pins_budget", "summary_budget")]

    assert await shown() == [(0.25, "the default"), (SUMMARY_SHARE, "the default")]
    await services.dials.set(SERVER, "summary_budget", "0", ANN)
    await services.dials.set(SERVER, "pins_budget", "0,1", ANN)
    await services.dials.set(CHANNEL, "summary_budget", "0.2", ANN)
    assert await shown() == [(0.1, "this server"), (0.2, "this channel")]
    view = await session.memory()
    assert (view.pins_budget, view.summary_budget) == (25, 51)
    view = await services.session(HERE + 1, GUILD).memory()
    assert (view.pins_budget, view.summary_budget) == (25, 0)
    view = await services.session(HERE + 2, GUILD + 1).memory()
    assert (view.pins_budget, view.summary_budget) == (64, 32)


@pytest.mark.parametrize("text", ["0.26", "-0.1", "25", "half", "off", "nan"])
@pytest.mark.parametrize("name", ["pins_budget", "summary_budget"])
async def test_what_cannot_be_is_refused_in_one_sentence(services: Services, name: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"^{name} takes 0 to 0\.25: choose one of those\.$"):
        await services.dials.set(CHANNEL, name, text, ANN)
    assert await services.store.settings(CHANNEL) == {}
