"""What a channel remembers: pins and summaries, on a real engine with tiny weights, and a real store."""

from __future__ import annotations

import pytest

from bot.errors import InputError
from bot.memories import MAX_KEYS
from bot.services import Services
from engine.errors import PromptError
from memory import NewTurn, NoStoryError, NotFoundError
from tests.bot.conftest import ANN, BEN, Paper
from tests.bot.remembered import CHANNEL, LONG, actions, begun, grown

# Pins


async def test_pins(services: Services) -> None:
    session = services.session(CHANNEL)
    pin = await session.pin(" Mira is\nred. ", ANN)
    assert pin.text == "Mira is red."
    with pytest.raises(InputError, match="already"):
        await session.pin("Mira is red.", BEN)
    with pytest.raises(InputError, match="full"):
        await session.pin("Zxqj vwk " * 30, ANN)
    await begun(services)  # what was let in leaves room to write
    await session.write("Then Mira saw Tom.", ANN, Paper())
    assert (await session.memory()).pins_tokens > 0
    await session.unpin(pin.id)
    with pytest.raises(NotFoundError):
        await session.unpin(pin.id)


async def test_a_pin_with_keys_is_seen_while_a_key_is(services: Services) -> None:
    await begun(services)
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
    await begun(services)
    session = services.session(CHANNEL)
    assert (await session.memory()).summary is None
    await grown(services)
    view = await session.memory()
    assert view.summary is not None
    assert 0 < view.covers < sum(len(turn.text) for turn in await services.store.path(CHANNEL))
    await session.undo()
    assert (await session.memory()).summary is None
    await session.redo()
    assert (await session.memory()).summary == view.summary


async def test_a_person_edits_the_summary_and_what_follows_is_folded_onto_it(services: Services) -> None:
    await begun(services)
    session = services.session(CHANNEL)
    await grown(services)
    automatic = await session.memory()
    edited = await session.edit_summary("Names: Quillon\nEarlier: Quillon found a map.", BEN)
    view = await session.memory()
    assert view.summary is not None
    assert view.summary.lines() == ["Names: Quillon", "Earlier: Quillon found a map."]
    assert (view.covers, edited.author_name) == (automatic.covers, "Ben")
    await grown(services, LONG)
    further = await session.memory()
    assert further.covers > view.covers
    assert further.summary is not None
    assert "Quillon" in further.summary.names
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
    assert await actions(services, 9) == ["memory.edit", "memory.restore"]


async def test_an_edit_made_while_a_summary_is_under_way_is_not_lost(services: Services) -> None:
    await begun(services)
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
    await begun(services)
    for text in ("word " * 1000, "Zxqj vwk " * 60):
        with pytest.raises(InputError, match=r"^The summary .* shorten it\.$"):
            await session.edit_summary(text, ANN)
    with pytest.raises(PromptError):
        await session.edit_summary("Facts: Mira is red.", ANN)
    assert await session.summary_versions(9) == []
    await session.edit_summary("", ANN)
    assert (await session.memory()).summary is None


async def test_a_pause_keeps_the_summary_and_resuming_folds_what_scrolled_out(services: Services) -> None:
    await begun(services)
    session = services.session(CHANNEL)
    await session.pause(ANN)
    assert (await session.memory()).paused
    for _ in range(3):
        await grown(services)
    assert (await session.memory()).summary is None
    await session.resume(BEN)
    await services.idle()
    view = await session.memory()
    assert not view.paused
    assert view.summary is not None
    chars = sum(len(turn.text) for turn in await services.store.path(CHANNEL))
    assert view.covers > chars - len(LONG)
    assert await actions(services, 9) == ["memory.pause", "memory.resume"]


async def test_all_of_a_long_pause_is_folded(services: Services) -> None:
    await begun(services)
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
    await begun(services)
    session = services.session(CHANNEL)
    await session.teach("The fox is called", "Zibbo.", ANN, Paper())
    await session.pin("Mira is red.", ANN)
    await session.pin("The fox is sly.", ANN, ["fox"])
    await grown(services)
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
    await begun(services)
    session = services.session(CHANNEL)
    await session.write(f"Mira met Tom. {LONG}", ANN, Paper())
    await session.reset()  # the summary of that turn has hardly begun
    await services.idle()
    assert (await session.memory()).summary is None


async def test_the_view_adds_up_to_the_window(services: Services) -> None:
    await begun(services)
    session = services.session(CHANNEL)
    await session.pin("Mira is red.", ANN)
    await session.pin("The fox is sly.", ANN, ["fox"])
    await session.write(None, ANN, Paper())
    await session.edit_summary("Names: Mira", ANN)
    view = await session.memory()
    parts = (view.pins_tokens, view.entries_tokens, view.summary_tokens, view.text_tokens, view.reply_tokens)
    assert all(part > 0 for part in parts)
    assert sum(parts) + view.free_tokens == view.window == services.worker.engine_info.block_size
