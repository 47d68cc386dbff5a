from __future__ import annotations

import time

import pytest

from memory import (
    HeadMovedError,
    NewTurn,
    NoStoryError,
    NotFoundError,
    NothingToRedoError,
    NothingToUndoError,
    Store,
)
from tests.memory.material import ANN, BEN, exchange, step, story, texts


async def test_a_channel_without_a_story_reads_as_empty_and_refuses_turns(store: Store) -> None:
    assert await store.story(1) is None
    assert await store.path(1) == []
    assert await store.recent(1, 100) == []
    assert await store.summary(1) is None
    for attempt in (store.append(1, exchange(), after=None), store.undo(1), store.redo(1), store.finish_story(1)):
        with pytest.raises(NoStoryError):
            await attempt


async def test_turns_know_their_place(store: Store) -> None:
    await story(store)
    member, model = await step(store)
    path = await store.path(1)
    assert [turn.kind for turn in path] == ["premise", "member", "model"]
    assert [turn.step for turn in path] == [1, 2, 2]
    assert [turn.depth for turn in path] == [0, 1, 2]
    assert [turn.chars_before for turn in path] == [0, 7, 15]
    assert path[1:] == [member, model]
    assert (member.author_id, member.author_name, model.author_id, model.author_name) == (7, "Ann", None, "")
    under_way = await store.story(1)
    assert under_way is not None
    assert (under_way.head, under_way.premise, under_way.guild) == (model.id, "A hill.", 3)
    assert (under_way.turns, under_way.chars) == (3, 28)
    assert await store.path_length(1) == 3
    assert await store.path(1, limit=2) == path[1:]
    assert await store.path(1, limit=0) == []


async def test_undo_takes_back_a_whole_step_and_redo_brings_it_again(store: Store) -> None:
    await story(store)
    first = await step(store, model="one")
    second = await step(store, model="two")
    assert await store.undo(1) == second
    assert await store.undo(1) == first
    with pytest.raises(NothingToUndoError):
        await store.undo(1)
    assert await texts(store) == ["A hill."]
    assert await store.redo(1) == first
    assert await store.redo(1) == second
    with pytest.raises(NothingToRedoError):
        await store.redo(1)


async def test_a_story_without_a_premise_can_be_undone_to_nothing(store: Store) -> None:
    await story(store, premise="")
    turns = await step(store)
    assert await store.undo(1) == turns
    assert await store.path(1) == []
    with pytest.raises(NothingToUndoError):
        await store.undo(1)
    other = await step(store, model="other")
    await store.undo(1)
    assert await store.redo(1) == other


async def test_appending_after_an_undo_branches_and_redo_prefers_the_new_branch(store: Store) -> None:
    await story(store)
    await step(store, model="old")
    await store.undo(1)
    new = await step(store, model="new")
    await store.undo(1)
    assert await store.redo(1) == new


async def test_a_writer_who_saw_an_older_head_is_refused(store: Store) -> None:
    await story(store)
    turns = await step(store)
    with pytest.raises(HeadMovedError):
        await store.append(1, exchange(), after=turns[0].id)
    with pytest.raises(HeadMovedError):
        await store.add_sibling(1, turns[0].id, NewTurn(None, "model", "again"))
    assert await store.path_length(1) == 3


async def test_a_retry_stands_beside_the_reply_and_undo_eats_one_step(store: Store) -> None:
    await story(store)
    member, model = await step(store)
    other = await store.add_sibling(1, model.id, NewTurn(None, "model", "again"))
    assert (other.parent, other.step) == (member.id, member.step)
    assert await store.siblings(1, other.id) == [model, other]
    assert await store.undo(1) == [member, other]
    assert await store.redo(1) == [member, other]
    await store.go_to(1, model.id)
    await store.undo(1)
    assert await store.redo(1) == [member, model]


async def test_an_edit_in_the_middle_branches_there(store: Store) -> None:
    await story(store)
    member, model = await step(store)
    later = await step(store, member="He sang.")
    edited = await store.edit_turn(1, member.id, NewTurn(BEN, "member", "She sat down."))
    path = await store.path(1)
    assert [turn.text for turn in path] == ["A hill.", "She sat down.", "The wind ran.", "He sang.", "The wind ran."]
    assert [turn.author_name for turn in path] == ["Ann", "Ben", "", "Ann", ""]
    assert [turn.step for turn in path] == [1, member.step, model.step, later[0].step, later[1].step]
    assert [turn.chars_before for turn in path] == [0, 7, 20, 33, 41]
    assert [turn.depth for turn in path] == [0, 1, 2, 3, 4]
    assert await store.siblings(1, edited.id) == [member, edited]
    assert [turn.text for turn in await store.undo(1)] == ["He sang.", "The wind ran."]
    assert [turn.text for turn in await store.undo(1)] == ["She sat down.", "The wind ran."]
    for _ in range(2):
        await store.redo(1)
    assert await store.path(1) == path
    with pytest.raises(NotFoundError):
        await store.edit_turn(1, later[0].id, NewTurn(ANN, "member", "off the path"))
    await store.go_to(1, later[1].id)
    assert [turn.id for turn in await store.path(1)][1:] == [member.id, model.id, later[0].id, later[1].id]


async def test_an_edited_premise_is_the_storys_premise_and_stays_at_undo(store: Store) -> None:
    await story(store)
    root = (await store.path(1))[0]
    await step(store)
    await store.edit_turn(1, root.id, NewTurn(ANN, "premise", "A lake."))
    under_way = await store.story(1)
    assert under_way is not None
    assert (under_way.premise, under_way.turns, under_way.chars) == ("A lake.", 3, 28)
    await store.undo(1)
    assert await texts(store) == ["A lake."]
    with pytest.raises(ValueError, match="premise"):
        await store.edit_turn(1, (await store.path(1))[0].id, NewTurn(ANN, "member", "no premise"))
    with pytest.raises(ValueError, match="kinds"):
        await store.append(1, [NewTurn(ANN, "premise", "x")], after=None)


async def test_the_outline_counts_the_turns_of_a_story_as_they_came(store: Store) -> None:
    assert await store.outline(1) == []
    await story(store, channel=2)
    await story(store)
    member, model = await step(store)
    other = await store.add_sibling(1, model.id, NewTurn(None, "model", "The wind sang."))
    twigs = await store.outline(1, words=8)
    assert [(twig.number, twig.words, twig.kind) for twig in twigs] == [
        (1, "A hill.", "premise"), (2, "She ran.", "member"), (3, "The wind", "model"), (4, "The wind", "model"),
    ]  # fmt: skip
    assert [twig.parent for twig in twigs] == [None, twigs[0].id, member.id, member.id]
    assert await store.numbered(1, 4) == other
    for number in (-1, 0, 5):
        with pytest.raises(NotFoundError, match="in this story"):
            await store.numbered(1, number)


async def test_a_story_that_is_brought_can_be_undone_part_by_part(store: Store) -> None:
    await story(store)
    brought = await store.import_story(1, guild=3, title="Brought", texts=["One.", " Two.", "\n\nThree."], author=BEN)
    assert (brought.title, brought.premise, brought.turns, brought.chars) == ("Brought", "One.", 3, 17)
    assert await texts(store) == ["One.", " Two.", "\n\nThree."]
    assert [turn.text for turn in await store.undo(1)] == ["\n\nThree."]
    assert [turn.author_name for turn in await store.path(1)] == ["Ben", "Ben"]


async def test_a_note_belongs_to_its_story(store: Store) -> None:
    with pytest.raises(NoStoryError):
        await store.put_note(1, "Whisper.", 3, ANN)
    await story(store)
    assert await store.note(1) is None
    await store.put_note(1, "Whisper.", 3, ANN)
    note = await store.put_note(1, "Shout.", 2, BEN)
    assert (note.text, note.depth, note.author_name) == ("Shout.", 2, "Ben")
    first = (await store.stories(1))[0]
    await story(store)
    assert await store.note(1) is None
    with pytest.raises(NotFoundError, match="no note"):
        await store.remove_note(1)
    await store.resume_story(1, first.id)
    assert await store.remove_note(1) == note
    assert await store.note(1) is None


async def test_old_stories_stay_and_can_be_taken_up_again(store: Store) -> None:
    await story(store)
    await step(store, model="old")
    await store.start_story(1, guild=None, title="Next", premise="A lake.", author=ANN)
    newest, oldest = await store.stories(1)
    assert [s.title for s in (newest, oldest)] == ["Next", "Hill"]
    assert [s.finished for s in (newest, oldest)] == [False, True]
    assert [turn.text for turn in await store.turns_of_story(oldest.id)] == ["A hill.", "She ran.", "old"]
    assert await store.resume_story(1, oldest.id) == await store.story(1)
    assert await texts(store) == ["A hill.", "She ran.", "old"]
    await store.finish_story(1)
    assert await store.story(1) is None
    with pytest.raises(NotFoundError):
        await store.turns_of_story(99)
    with pytest.raises(NotFoundError):
        await store.resume_story(2, oldest.id)


async def test_channels_do_not_see_each_other(store: Store) -> None:
    await story(store, channel=1)
    await story(store, channel=2, premise="A lake.")
    turns = await step(store, channel=1)
    assert await texts(store, channel=2) == ["A lake."]
    for attempt in (store.go_to(2, turns[0].id), store.siblings(2, turns[0].id)):
        with pytest.raises(NotFoundError):
            await attempt


@pytest.mark.parametrize("text", ["", "a\x00b", "🙂\u200d🙂", "\ud800!", "'; DROP TABLE turns; --", "x" * 100_000])
async def test_any_text_is_kept(store: Store, text: str) -> None:
    await story(store)
    turns = await step(store, model=text)
    assert turns[1].text == text.replace("\ud800", "?")
    under_way = await store.story(1)
    assert under_way is not None
    assert under_way.chars == turns[1].chars_before + len(text)


async def test_recent_gives_as_few_turns_as_hold_the_characters(store: Store) -> None:
    await story(store, premise="0123456789")
    await step(store, member="abcde", model="fghij")
    for chars, expected in ((-1, 0), (0, 0), (1, 1), (5, 1), (6, 2), (10, 2), (11, 3), (20, 3), (9999, 3)):
        assert len(await store.recent(1, chars)) == expected, chars
    assert (await store.recent(1, 6))[0].chars_before == 10


async def test_a_passage_is_a_part_of_the_paths_text(store: Store) -> None:
    assert await store.passage(1, 0, 9) == ""
    await story(store, premise="0123456789")
    assert await store.passage(1, 0, 99) == "0123456789"
    await step(store, member="lost", model="lost")
    await store.undo(1)
    await step(store, member="abcde", model="fghij")
    for begin, end in ((0, 20), (0, 3), (9, 11), (10, 15), (12, 17), (19, 20), (15, 15), (20, 30), (5, 4)):
        assert await store.passage(1, begin, end) == "0123456789abcdefghij"[begin:end], (begin, end)


async def test_recent_costs_the_same_after_ten_thousand_turns(store: Store) -> None:
    async def cost(work: str) -> float:
        times = []
        for _ in range(15):
            begin = time.perf_counter()
            if work == "recent":
                assert len(await store.recent(1, 1000)) == 20
            elif work == "path":
                assert len(await store.path(1, limit=20)) == 20
            else:
                assert await store.summary(1) is not None
            times.append(time.perf_counter() - begin)
        return min(times)

    await story(store)
    head = None
    short: dict[str, float] = {}
    for length in (100, 10_000):
        under_way = await store.story(1)
        assert under_way is not None
        head = under_way.head
        count = length - under_way.turns
        turns = await store.append(1, [NewTurn(ANN, "member", "w" * 50)] * count, after=head)
        await store.put_summary(1, turns[-1].id, 10, "so far")
        for work in ("recent", "path", "summary"):
            seconds = await cost(work)
            assert seconds < 5 * short.setdefault(work, seconds) + 0.002, work
    assert len(await store.path(1)) == 10_000
