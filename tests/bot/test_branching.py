"""The ways through a story's tree, in a session on a real store."""

from __future__ import annotations

import pytest

from bot.errors import InputError, RefusedError
from bot.services import Services
from bot.session import ChannelSession
from memory import HeadMovedError, NewTurn, NoStoryError, NotFoundError, Turn
from tests.bot.conftest import ANN, BANNED, BEN, Paper

CHANNEL = 7


async def story(services: Services) -> ChannelSession:
    """A premise by Ann; a turn by Ben with the model's reply to it."""
    session = services.session(CHANNEL)
    await session.start("The fox", "Once there was a fox.", ANN)
    await step(services, " She met Tom.", " He smiled.")
    return session


async def step(services: Services, member: str, model: str) -> list[Turn]:
    head = await services.store.story(CHANNEL)
    assert head is not None
    turns = [NewTurn(BEN, "member", member), NewTurn(None, "model", model)]
    return await services.store.append(CHANNEL, turns, after=head.head)


async def text_of(services: Services) -> str:
    return "".join(turn.text for turn in await services.store.path(CHANNEL))


async def test_tries_are_kept_and_picked(services: Services) -> None:
    session = await story(services)
    await session.retry(ANN, Paper())
    third = (await session.retry(ANN, Paper())).turns[0]
    tries = await session.tries()
    assert tries is not None
    assert (tries.number, len(tries.turns), tries.turn) == (3, 3, third)
    first = await session.pick(1)
    assert (first.number, first.turn.text) == (1, " He smiled.")
    assert await text_of(services) == "Once there was a fox. She met Tom. He smiled."
    assert (await session.pick(3, of=first.turn.id)).turn == third
    for number in (0, 4, -1):
        with pytest.raises(InputError, match="There are 3 tries"):
            await session.pick(number)
    with pytest.raises(HeadMovedError, match="moved on"):
        await session.pick(2, of=first.turn.id)
    assert (await services.store.path(CHANNEL))[-1] == third


async def test_one_try_is_no_choice(services: Services) -> None:
    with pytest.raises(NoStoryError):
        await services.session(CHANNEL).pick(1)
    session = await story(services)
    with pytest.raises(InputError, match="one try only"):
        await session.pick(1)
    await session.start("Empty", "", ANN)
    assert await session.tries() is None
    with pytest.raises(InputError, match="one try only"):
        await session.pick(1)


async def test_what_is_added_after_an_undo_is_no_try_of_a_reply(services: Services) -> None:
    session = await story(services)
    await session.undo()
    await step(services, " She met Zed.", " He frowned.")
    tries = await session.tries()
    assert tries is not None
    assert len(tries.turns) == 1


async def test_an_edit_stands_beside_what_it_changes_and_keeps_what_follows(services: Services) -> None:
    session = await story(services)
    edited = await session.edit(await session.to_edit(1, ANN), "  Once there was a hare.\n", ANN)
    assert (edited.text, edited.kind) == ("Once there was a hare.", "premise")
    assert await text_of(services) == "Once there was a hare. She met Tom. He smiled."
    last = await session.to_edit(None, ANN)
    assert last.text == " He smiled."
    changed = await session.edit(last, "He laughed.", ANN)
    assert (changed.text, changed.kind, changed.author_name) == (" He laughed.", "model", "Ann")
    tries = await session.tries()
    assert tries is not None
    assert [turn.text for turn in tries.turns] == [" He smiled.", " He laughed."]
    await session.pick(1)
    assert await text_of(services) == "Once there was a hare. She met Tom. He smiled."


async def test_only_ones_own_words_and_the_models_are_edited(services: Services) -> None:
    session = await story(services)
    for number, author in ((1, BEN), (2, ANN)):
        with pytest.raises(InputError, match="Somebody else"):
            await session.to_edit(number, author)
    mine = await session.to_edit(2, BEN)
    with pytest.raises(InputError, match="Somebody else"):
        await session.edit(mine, "She met nobody.", ANN)
    await session.edit(await session.to_edit(3, ANN), "He bowed.", ANN)
    with pytest.raises(InputError, match="Somebody else"):
        await session.to_edit(4, BEN)


async def test_an_edit_that_cannot_be_made_changes_nothing(services: Services) -> None:
    session = await story(services)
    last, before = await session.to_edit(None, ANN), await text_of(services)
    for text in ("", " \n", "x" * 4001, " He smiled. "):
        with pytest.raises(InputError):
            await session.edit(last, text, ANN)
    with pytest.raises(RefusedError):
        await session.edit(last, f"A {BANNED} came.", ANN)
    await session.undo()
    with pytest.raises(InputError, match="another way"):
        await session.edit(last, "He laughed.", ANN)
    with pytest.raises(InputError, match="another branch"):
        await session.to_edit(3, ANN)
    for number in (0, 4):
        with pytest.raises(NotFoundError, match="in this story"):
            await session.to_edit(number, ANN)
    await session.redo()
    assert await text_of(services) == before
    await session.start("Empty", "", ANN)
    with pytest.raises(InputError, match="no text yet"):
        await session.to_edit(None, ANN)


async def test_a_branch_leaves_what_stood_behind_it_in_the_tree(services: Services) -> None:
    session = await story(services)
    assert (await session.branch(2)).text == " She met Tom."
    assert await text_of(services) == "Once there was a fox. She met Tom."
    reply = (await session.write(None, ANN, Paper())).turns[0]
    assert [twig.number for twig in await session.outline()] == [1, 2, 3, 4]
    tries = await session.tries()
    assert tries is not None
    assert [turn.id for turn in tries.turns][1:] == [reply.id]
    await session.branch(3)
    assert await text_of(services) == "Once there was a fox. She met Tom. He smiled."
    with pytest.raises(NotFoundError):
        await session.branch(9)


async def test_stories_are_finished_and_taken_up_again(services: Services) -> None:
    session = await story(services)
    await session.start("The hen", "A hen sat.", BEN)
    assert [(one.title, one.finished) for one in await session.stories()] == [("The hen", False), ("The fox", True)]
    assert (await session.finish()).title == "The hen"
    with pytest.raises(NoStoryError):
        await session.finish()
    fox = (await session.stories())[1]
    assert (await session.resume_story(fox.id)).title == "The fox"
    assert (await text_of(services)).endswith("He smiled.")
    with pytest.raises(NotFoundError):
        await session.resume_story(999)


async def test_ways_to_go_on_are_proposed_and_one_is_chosen(chatty_services: Services) -> None:
    session = chatty_services.session(CHANNEL)
    await session.start("The fox", "Once there was a fox.", ANN)
    await session.write(None, ANN, Paper())
    await session.undo()
    paper = Paper()
    with pytest.raises(InputError, match="no choice to make"):  # the same seed each time
        await session.propose(paper)
    assert paper.finished == []
    assert await text_of(chatty_services) == "Once there was a fox."


async def test_what_was_proposed_is_chosen_among_older_tries(services: Services) -> None:
    session = await story(services)
    await session.undo()
    await services.store.append(CHANNEL, [NewTurn(None, "model", " It snowed.")], after=(await session.tail(1))[0].id)
    await session.undo()
    paper = Paper()
    turns = await session.propose(paper)
    assert [f"{number}: {turn.text.strip()}" for number, turn in enumerate(turns, start=1)] == (
        paper.finished[0].split("\n\n")
    )
    assert all(paper.finished[0].startswith(text) for text in paper.shown)
    assert (await session.choose(turns[0].id, 2)).turn == turns[1]
    tries = await session.tries()
    assert tries is not None
    assert tries.turns[0].text == " It snowed."
    with pytest.raises(HeadMovedError):
        await session.choose(turns[0].id, 1)
    with pytest.raises(NoStoryError):
        await services.session(99).propose(Paper())
