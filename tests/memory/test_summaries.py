from __future__ import annotations

from pathlib import Path

import pytest

from memory import NotFoundError, Store
from tests.memory.material import ANN, BEN, sql, step, story


async def holds(store: Store) -> str | None:
    """The body that holds, which is the first of the versions."""
    found = await store.summary(1)
    assert await store.summary_versions(1, 1) == ([] if found is None else [found])
    return None if found is None else found.body


async def test_a_summary_comes_back_with_its_turn(store: Store) -> None:
    await story(store)
    first = await step(store)
    row = await store.put_summary(1, first[1].id, 20, "early")
    assert (row.turn, row.covers, row.body, row.author_id, row.author_name) == (first[1].id, 20, "early", None, "")
    second = await step(store)
    assert await store.summary(1) == row
    await store.put_summary(1, second[1].id, 40, "late")
    assert await holds(store) == "late"
    await store.undo(1)
    assert await holds(store) == "early"
    await store.undo(1)
    assert await holds(store) is None
    with pytest.raises(NotFoundError):
        await store.put_summary(2, first[1].id, 1, "another channel's turn")


async def test_versions_that_people_wrote_stay_and_others_make_way(store: Store) -> None:
    await story(store)
    first = await step(store)
    await store.put_summary(1, first[1].id, 20, "by itself")
    by_itself = await store.put_summary(1, first[1].id, 21, "by itself, again")
    edits = [await store.put_summary(1, first[1].id, 21, f"by {author.name}", author) for author in (ANN, BEN)]
    assert (edits[0].author_id, edits[0].author_name) == (ANN.id, "Ann")
    assert await holds(store) == "by Ben"
    folded = await store.put_summary(1, first[1].id, 30, "folded onto what Ben wrote")
    assert await store.summary_versions(1, 9) == [folded, edits[1], edits[0]]
    assert by_itself not in await store.summary_versions(1, 9)
    second = await step(store)
    late = await store.put_summary(1, second[1].id, 40, "late")
    assert await store.summary_versions(1, 3) == [late, folded, edits[1]]
    await store.undo(1)
    await step(store)
    assert await store.summary_versions(1, 2) == [folded, edits[1]]  # the other branch's is not on this path


async def test_a_restored_version_is_a_copy_at_the_head(store: Store) -> None:
    await story(store)
    first = await step(store)
    early = await store.put_summary(1, first[1].id, 20, "early")
    second = await step(store)
    late = await store.put_summary(1, second[1].id, 40, "late")
    third = await step(store)
    copy = await store.restore_summary(1, early.id, BEN)
    assert (copy.turn, copy.covers, copy.body, copy.author_id) == (third[1].id, 20, "early", BEN.id)
    assert await store.summary_versions(1, 9) == [copy, late, early]
    await store.undo(1)
    assert await store.summary(1) == late
    await store.undo(1)
    for gone in (late.id, copy.id, 99):
        with pytest.raises(NotFoundError, match="present path"):
            await store.restore_summary(1, gone, BEN)


async def test_vectors_belong_to_a_turn_and_to_base_weights(store: Store) -> None:
    await story(store)
    assert await store.vectors(1, "base") is None
    first = await step(store)
    await store.put_vectors(1, first[1].id, "base", 20, b"early")
    second = await step(store)
    await store.put_vectors(1, second[1].id, "base", 39, b"wrong")
    await store.put_vectors(1, second[1].id, "base", 40, b"late")
    await store.put_vectors(1, first[1].id, "other", 20, b"another base's")
    found = await store.vectors(1, "base")
    assert found is not None
    assert (found.turn, found.base_id, found.covers, found.blob) == (second[1].id, "base", 40, b"late")
    other = await store.vectors(1, "other")
    assert other is not None
    assert other.blob == b"another base's"
    await store.undo(1)
    found = await store.vectors(1, "base")
    assert found is not None
    assert found.blob == b"early"
    assert await store.vectors(1, "third") is None
    with pytest.raises(NotFoundError):
        await store.put_vectors(2, first[1].id, "base", 1, b"another channel's turn")


async def test_only_the_newest_vectors_of_a_channel_are_kept(store: Store, file: Path) -> None:
    for channel in (1, 2):
        await story(store, channel)
    turns = [(await step(store, channel))[1].id for _ in range(6) for channel in (1, 2)]
    for turn in turns[0::2]:
        await store.put_vectors(1, turn, "base", 1, b"v")
    for channel, base in ((1, "other"), (2, "base")):
        await store.put_vectors(channel, turns[channel - 1], base, 1, b"v")
    await store.close()
    kept = [(turn, "base") for turn in turns[4::2]] + [(turns[0], "other"), (turns[1], "base")]
    assert sorted(sql(file, "SELECT turn, base_id FROM memory_vectors")) == sorted(kept)
