"""What a channel remembers and was taught, on a real engine with tiny weights, and a real store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.errors import InputError
from bot.memories import MAX_KEYS
from bot.replying import STALE
from bot.services import Services
from bot.wording import lesson_state, lessons_state
from config.settings import Settings
from engine.errors import PromptError
from engine.outcome import EngineInfo
from memory import NewTurn, NoStoryError, NotFoundError, QuotaError
from tests.bot.conftest import ANN, BEN, Paper, open_services
from tests.conftest import write_tiny_weights

CHANNEL = 7
LONG = "The fox ran over the hill and through the wood until she came to a river. " * 12


async def _begun(services: Services, channel: int = CHANNEL) -> None:
    await services.session(channel).start("The fox", "Once upon a time, there was a fox.", ANN)


async def _grown(services: Services, text: str = f"Mira met Tom. {LONG}") -> None:
    """A turn that is longer than the window, and all that follows from it."""
    await services.session(CHANNEL).write(text, ANN, Paper())
    await services.idle()


async def _swapped(services: Services, folder: Path) -> EngineInfo:
    return await services.worker.swap(folder).result()


async def _actions(services: Services, count: int) -> list[str]:
    return [row.action for row in reversed(await services.store.audit_rows(count))]


# Lessons


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
    assert await _actions(services, 9) == ["teach.add", "teach.add", "teach.forget", "teach.forget_member"]


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
    await _begun(services)
    session, store = services.session(CHANNEL), services.store
    for prompt in ("The fox is called", "Her friend is called"):
        await session.teach(prompt, "Zibbo.", ANN, Paper())
    before = await store.units(CHANNEL, services.worker.engine_info.base_id)
    info = await _swapped(services, other_tiny_weights)
    view = await session.memory()
    assert (len(view.lessons), view.learnt, view.rebuilding) == (2, frozenset(), False)
    assert (await session.write(None, ANN, Paper())).notice == STALE.format(missing=2, lessons=2)
    assert (await session.memory()).rebuilding
    await services.idle()
    view = await session.memory()
    assert view.learnt == {row.id for row in view.lessons}
    assert (await session.write(None, ANN, Paper())).notice is None
    assert set((await store.units(CHANNEL, info.base_id)).values()).isdisjoint(before.values())
    info = await _swapped(services, tiny_weights)
    assert await store.units(CHANNEL, info.base_id) == before
    assert (await session.write(None, ANN, Paper())).notice is None


async def test_replies_slip_in_between_lessons_that_are_learnt_anew(
    services: Services, other_tiny_weights: Path
) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    for prompt in ("The fox is called", "Her friend is called", "The hill is called"):
        await session.teach(prompt, "Zibbo.", ANN, Paper())
    await _swapped(services, other_tiny_weights)
    notices = [(await session.write(None, ANN, Paper())).notice for _ in range(3)]
    # At most one lesson is learnt before each reply, so that the third is written before the last one is.
    assert notices[0] == STALE.format(missing=3, lessons=3)
    assert notices[2] is not None
    await services.idle()
    assert (await session.write(None, ANN, Paper())).notice is None


async def test_a_lesson_forgotten_while_it_is_learnt_anew_stays_forgotten(
    services: Services, other_tiny_weights: Path
) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    await session.teach("The fox is called", "Zibbo.", ANN, Paper())
    info = await _swapped(services, other_tiny_weights)
    await session.write(None, ANN, Paper())
    await session.forget((await session.lessons())[0].id, ANN)
    await services.idle()
    assert await services.store.units(CHANNEL, info.base_id) == {}


async def test_members_see_which_lesson_other_weights_cannot_learn_and_why(services: Services, tmp_path: Path) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    await session.teach("The old fox with the red tail from beyond the hill is called", "Zibbo.", ANN, Paper())
    await session.teach("He is called", "Tom.", ANN, Paper())
    await _swapped(services, write_tiny_weights(tmp_path / "short", 3, block_size=32))
    await session.write(None, ANN, Paper())
    await services.idle()
    view = await session.memory()
    long, short = view.lessons
    assert lesson_state(view, short) == "learnt"
    assert "not learnt, as these weights cannot: A lesson of" in lesson_state(view, long)
    assert lessons_state(view).startswith("2, 1 learnt; 1 cannot be learnt by these weights")
    assert (await session.write(None, ANN, Paper())).notice is None


async def test_units_that_are_damaged_cost_no_reply_and_are_learnt_anew(services: Services) -> None:
    await _begun(services)
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
    assert await _actions(services, 9) == ["teach.always", "teach.always"]


# Pins


async def test_pins(services: Services) -> None:
    session = services.session(CHANNEL)
    pin = await session.pin(" Mira is\nred. ", ANN)
    assert pin.text == "Mira is red."
    with pytest.raises(InputError, match="already"):
        await session.pin("Mira is red.", BEN)
    with pytest.raises(InputError, match="full"):
        await session.pin("Zxqj vwk " * 30, ANN)
    await _begun(services)  # what was let in leaves room to write
    await session.write("Then Mira saw Tom.", ANN, Paper())
    assert (await session.memory()).pins_tokens > 0
    await session.unpin(pin.id)
    with pytest.raises(NotFoundError):
        await session.unpin(pin.id)


async def test_a_pin_with_keys_is_seen_while_a_key_is(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    plain = await session.pin("Mira is red.", ANN)
    keyed = await session.pin("It is deep.", ANN, [" Rivière ", "the  lake", "riviere"])
    assert keyed.keys == ("Rivière", "the lake")
    view = await session.memory()
    assert (view.pins, view.entered, view.left_out) == ([plain, keyed], [], [keyed])
    assert view.entries_tokens == 0
    story = await session.story()
    assert story is not None
    turns = await services.store.append(CHANNEL, [NewTurn(ANN, "member", " She saw a RIVIERE.")], after=story.head)
    view = await session.memory()
    assert (view.entered, view.left_out) == ([keyed], [])
    assert view.entries_tokens > 0
    assert "RIVIERE" in view.text
    await services.store.append(CHANNEL, [NewTurn(ANN, "member", f" {LONG}")], after=turns[0].id)
    assert (await session.memory()).left_out == [keyed]


async def test_pins_with_keys_that_do_not_fit_are_left_out_the_older_mention_first(services: Services) -> None:
    session = services.session(CHANNEL)
    await session.start("Pets", "There was a hen, and a cow, and a fox.", ANN)
    for key in ("hen", "fox", "cow"):
        await session.pin(f"The {key} is old.", ANN, [key])
    entered = [pin.keys[0] for pin in (await session.memory()).entered]
    assert entered in (["fox"], ["fox", "cow"])  # as much as there is room for


@pytest.mark.parametrize("keys", [["x" * 61], [" "], ["\u0301"], [f"key{n}" for n in range(MAX_KEYS + 1)]])
async def test_keys_that_cannot_be_used_are_refused(services: Services, keys: list[str]) -> None:
    with pytest.raises(InputError, match=r"key.*\.$"):
        await services.session(CHANNEL).pin("A fact.", ANN, keys)
    assert (await services.session(CHANNEL).memory()).pins == []


# The summary


async def test_what_scrolls_out_is_summarised_and_undone_with_its_turn(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    assert (await session.memory()).summary is None
    await _grown(services)
    view = await session.memory()
    assert view.summary is not None
    assert 0 < view.covers < sum(len(turn.text) for turn in await services.store.path(CHANNEL))
    await session.undo()
    assert (await session.memory()).summary is None
    await session.redo()
    assert (await session.memory()).summary == view.summary


async def test_a_person_edits_the_summary_and_what_follows_is_folded_onto_it(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    await _grown(services)
    automatic = await session.memory()
    edited = await session.edit_summary("Names: Quillon\nEarlier: Quillon found a map.", BEN)
    view = await session.memory()
    assert view.summary is not None
    assert view.summary.lines() == ["Names: Quillon", "Earlier: Quillon found a map."]
    assert (view.covers, edited.author_name) == (automatic.covers, "Ben")
    await _grown(services, LONG)
    grown = await session.memory()
    assert grown.covers > view.covers
    assert grown.summary is not None
    assert "Quillon" in grown.summary.names
    newest, edit, oldest = await session.summary_versions(9)
    assert (newest.author_id, edit, oldest.author_id) == (None, edited, None)
    await session.undo()
    assert (await session.memory()).summary == view.summary
    restored = await session.restore_summary(oldest.id, ANN)
    view = await session.memory()
    assert (view.summary, view.covers) == (automatic.summary, automatic.covers)
    assert (await session.summary_versions(1)) == [restored]
    for gone in (newest.id, 99):
        with pytest.raises(NotFoundError):
            await session.restore_summary(gone, ANN)
    assert await _actions(services, 9) == ["memory.edit", "memory.restore"]


async def test_an_edit_made_while_a_summary_is_under_way_is_not_lost(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    await session.write(f"Mira met Tom. {LONG}", ANN, Paper())
    await session.edit_summary("Names: Quillon", BEN)  # the summary of that turn has hardly begun
    await services.idle()
    summary = (await session.memory()).summary
    assert summary is not None
    assert "Quillon" in summary.names


async def test_a_summary_that_cannot_be_used_is_refused(services: Services) -> None:
    session = services.session(CHANNEL)
    with pytest.raises(NoStoryError):
        await session.edit_summary("Names: Mira", ANN)
    await session.start("Empty", "", ANN)
    with pytest.raises(InputError, match="no text yet"):
        await session.edit_summary("Names: Mira", ANN)
    await _begun(services)
    for text in ("word " * 1000, "Zxqj vwk " * 60):
        with pytest.raises(InputError, match=r"^The summary .* shorten it\.$"):
            await session.edit_summary(text, ANN)
    with pytest.raises(PromptError):
        await session.edit_summary("Facts: Mira is red.", ANN)
    assert await session.summary_versions(9) == []
    await session.edit_summary("", ANN)
    assert (await session.memory()).summary is None


async def test_a_pause_keeps_the_summary_and_resuming_folds_what_scrolled_out(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    await session.pause(ANN)
    assert (await session.memory()).paused
    for _ in range(3):
        await _grown(services)
    assert (await session.memory()).summary is None
    await session.resume(BEN)
    await services.idle()
    view = await session.memory()
    assert not view.paused
    assert view.summary is not None
    chars = sum(len(turn.text) for turn in await services.store.path(CHANNEL))
    assert view.covers > chars - len(LONG)
    assert await _actions(services, 9) == ["memory.pause", "memory.resume"]


async def test_all_of_a_long_pause_is_folded(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    story = await session.story()
    assert story is not None
    head = story.head
    for text in (" Quillon met Quillon and Quillon.", *[f" {LONG}"] * 60):
        head = (await services.store.append(CHANNEL, [NewTurn(ANN, "member", text)], after=head))[0].id
    await session.resume(ANN)
    await services.idle()
    view = await session.memory()
    assert view.summary is not None
    assert "Quillon" in view.summary.names  # though a single job does not read as far back
    assert len(await session.summary_versions(9)) == 1


# All of it


async def test_reset_forgets_all_but_the_story_and_stays_forgotten(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    await session.teach("The fox is called", "Zibbo.", ANN, Paper())
    await session.pin("Mira is red.", ANN)
    await session.pin("The fox is sly.", ANN, ["fox"])
    await _grown(services)
    await session.edit_summary("Names: Quillon", BEN)
    before = await services.store.path(CHANNEL)
    await session.reset(BEN)
    await session.write(None, ANN, Paper())
    await services.idle()
    view = await session.memory()
    assert (view.pins, view.lessons, view.learnt) == ([], [], frozenset())
    assert view.summary is None or not {"Mira met Tom.", "Quillon"} & {*view.summary.sentences, *view.summary.names}
    assert (await services.store.path(CHANNEL))[:-1] == before


async def test_a_reset_drops_the_summary_that_is_under_way(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    await session.write(f"Mira met Tom. {LONG}", ANN, Paper())
    await session.reset()  # the summary of that turn has hardly begun
    await services.idle()
    assert (await session.memory()).summary is None


async def test_the_view_adds_up_to_the_window(services: Services) -> None:
    await _begun(services)
    session = services.session(CHANNEL)
    await session.pin("Mira is red.", ANN)
    await session.pin("The fox is sly.", ANN, ["fox"])
    await session.write(None, ANN, Paper())
    await session.edit_summary("Names: Mira", ANN)
    view = await session.memory()
    parts = (view.pins_tokens, view.entries_tokens, view.summary_tokens, view.text_tokens, view.reply_tokens)
    assert all(part > 0 for part in parts)
    assert sum(parts) + view.free_tokens == view.window == services.worker.engine_info.block_size
