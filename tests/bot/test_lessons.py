"""What a channel was taught, on a real engine with tiny weights, and a real store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.errors import InputError
from bot.replying import STALE
from bot.services import Services
from bot.wording import lesson_state, lessons_state
from config.settings import Settings
from memory import NotFoundError, QuotaError
from tests.bot.conftest import ANN, BEN, Paper, open_services
from tests.bot.remembered import CHANNEL, actions, begun, swapped
from tests.conftest import write_tiny_weights


async def test_lessons_are_taught_listed_and_forgotten(services: Services) -> None:
    session, paper = services.session(CHANNEL), Paper()
    base = services.worker.engine_info.base_id
    taught = await session.teach("The fox is called", "Zibbo.", ANN, paper)
    assert paper.shown
    await session.teach("Her friend is called", "Brom.", BEN, Paper())
    with pytest.raises(InputError, match="answers this prompt already"):
        await session.teach("the fox is CALLED", "Otherwise.", ANN, Paper())
    first, second = await session.lessons()
    view = await session.memory()
    assert (view.lessons, view.learnt) == ([first, second], {first.id, second.id})
    units = await services.store.units(CHANNEL, base)
    assert units[first.id] == taught.adapter
    with pytest.raises(NotFoundError):
        await session.forget(99, ANN)
    assert await session.forget(first.id, ANN) == first
    assert await session.lessons() == [second]
    assert await services.store.units(CHANNEL, base) == {second.id: units[second.id]}
    assert await session.forget_member(ANN.id, BEN) == []
    assert await session.forget_member(BEN.id, BEN) == [second]
    view = await session.memory()
    assert (view.lessons, view.learnt) == ([], frozenset())
    assert await actions(services, 9) == ["teach.add", "teach.add", "teach.forget", "teach.forget_member"]


@pytest.mark.parametrize(("prompt", "answer"), [("", "x"), ("x", " \n"), ("x" * 501, "y"), ("x", "y" * 501)])
async def test_a_lesson_that_cannot_be_taught_is_refused(services: Services, prompt: str, answer: str) -> None:
    with pytest.raises(InputError):
        await services.session(CHANNEL).teach(prompt, answer, ANN, Paper())


async def test_a_member_and_a_channel_may_have_so_many_lessons(settings: Settings) -> None:
    few = settings.model_copy(update={"lessons_per_member": 1, "lessons_per_channel": 2})
    async with await open_services(few) as services:
        session = services.session(CHANNEL)
        await session.teach("The fox is called", "Zibbo.", ANN, Paper())
        paper = Paper()
        with pytest.raises(QuotaError, match=r"one member of a channel \(1\)"):
            await session.teach("The hen is called", "Zabbo.", ANN, paper)
        assert paper.shown == []  # nobody waits for a training that is then refused
        await session.teach("The hen is called", "Zabbo.", BEN, Paper())
        with pytest.raises(QuotaError, match=r"limit of lessons \(2\): forget one first"):
            await session.teach("The cow is called", "Muh.", ANN, Paper())


async def test_a_stopped_teaching_changes_nothing(services: Services) -> None:
    session = services.session(CHANNEL)
    sink = Paper(on_show=lambda progress: session.stop())
    await asyncio.gather(session.teach("The fox is called", "Zibbo.", ANN, sink), return_exceptions=True)
    if sink.shown and not await session.lessons():  # else the training was over before it could be stopped
        assert await services.store.units(CHANNEL, services.worker.engine_info.base_id) == {}


async def test_a_test_asks_for_every_lesson(services: Services) -> None:
    session, paper = services.session(CHANNEL), Paper()
    assert await session.test_lessons(paper) == []
    taught = await session.teach("The fox is called", "Zibbo.", ANN, Paper())
    results = await session.test_lessons(paper)
    assert [row for row, _ in results] == await session.lessons()
    assert results[0][1].exact == taught.recalled
    assert paper.shown == ["lesson 1 of 1"]


async def test_other_weights_learn_the_lessons_anew_behind_a_reply(
    services: Services, tiny_weights: Path, other_tiny_weights: Path
) -> None:
    await begun(services)
    session, store = services.session(CHANNEL), services.store
    for prompt in ("The fox is called", "Her friend is called"):
        await session.teach(prompt, "Zibbo.", ANN, Paper())
    before = await store.units(CHANNEL, services.worker.engine_info.base_id)
    info = await swapped(services, other_tiny_weights)
    view = await session.memory()
    assert (len(view.lessons), view.learnt, view.rebuilding) == (2, frozenset(), False)
    assert (await session.write(None, ANN, Paper())).notice == STALE.format(missing=2, lessons=2)
    assert (await session.memory()).rebuilding
    await services.idle()
    view = await session.memory()
    assert view.learnt == {row.id for row in view.lessons}
    assert (await session.write(None, ANN, Paper())).notice is None
    assert set((await store.units(CHANNEL, info.base_id)).values()).isdisjoint(before.values())
    info = await swapped(services, tiny_weights)
    assert await store.units(CHANNEL, info.base_id) == before
    assert (await session.write(None, ANN, Paper())).notice is None


async def test_replies_slip_in_between_lessons_that_are_learnt_anew(
    services: Services, other_tiny_weights: Path
) -> None:
    await begun(services)
    session = services.session(CHANNEL)
    for prompt in ("The fox is called", "Her friend is called", "The hill is called"):
        await session.teach(prompt, "Zibbo.", ANN, Paper())
    await swapped(services, other_tiny_weights)
    notices = [(await session.write(None, ANN, Paper())).notice for _ in range(3)]
    # At most one lesson is learnt before each reply, so that the third is written before the last one is.
    assert notices[0] == STALE.format(missing=3, lessons=3)
    assert notices[2] is not None
    await services.idle()
    assert (await session.write(None, ANN, Paper())).notice is None


async def test_a_lesson_forgotten_while_it_is_learnt_anew_stays_forgotten(
    services: Services, other_tiny_weights: Path
) -> None:
    await begun(services)
    session = services.session(CHANNEL)
    await session.teach("The fox is called", "Zibbo.", ANN, Paper())
    info = await swapped(services, other_tiny_weights)
    await session.write(None, ANN, Paper())
    await session.forget((await session.lessons())[0].id, ANN)
    await services.idle()
    assert await services.store.units(CHANNEL, info.base_id) == {}


async def test_members_see_which_lesson_other_weights_cannot_learn_and_why(services: Services, tmp_path: Path) -> None:
    await begun(services)
    session = services.session(CHANNEL)
    await session.teach("The old fox with the red tail from beyond the hill is called", "Zibbo.", ANN, Paper())
    await session.teach("He is called", "Tom.", ANN, Paper())
    await swapped(services, write_tiny_weights(tmp_path / "short", 3, block_size=32))
    await session.write(None, ANN, Paper())
    await services.idle()
    view = await session.memory()
    long, short = view.lessons
    assert lesson_state(view, short) == "learnt"
    assert "not learnt, as these weights cannot: A lesson of" in lesson_state(view, long)
    assert lessons_state(view).startswith("2, 1 learnt; 1 cannot be learnt by these weights")
    assert (await session.write(None, ANN, Paper())).notice is None


async def test_units_that_are_damaged_cost_no_reply_and_are_learnt_anew(services: Services) -> None:
    await begun(services)
    session, base = services.session(CHANNEL), services.worker.engine_info.base_id
    taught = await session.teach("The fox is called", "Zibbo.", ANN, Paper())
    row = (await session.lessons())[0]
    await services.store.put_units(row.id, base, b"damaged")
    assert (await session.write(None, ANN, Paper())).notice == STALE.format(missing=1, lessons=1)
    await services.idle()
    assert await services.store.units(CHANNEL, base) == {row.id: taught.adapter}
    assert (await session.write(None, ANN, Paper())).notice is None


async def test_always_on_is_a_setting_of_the_channel(services: Services) -> None:
    session = services.session(CHANNEL)
    await session.set_always_on(True, ANN)
    assert (await session.memory()).always_on
    assert not (await services.session(8).memory()).always_on
    await session.set_always_on(False, ANN)
    assert not (await session.memory()).always_on
    assert await actions(services, 9) == ["teach.always", "teach.always"]
