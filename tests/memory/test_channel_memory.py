from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from memory import NotFoundError, Store
from tests.memory.material import ANN, BEN, exchange, sql, step, story, taught, texts


async def test_pins(store: Store) -> None:
    first = await store.add_pin(1, "Ann has a dog.", ANN)
    second = await store.add_pin(1, "It rains.", BEN)
    await store.add_pin(2, "elsewhere", BEN)
    assert await store.pins(1) == [first, second]
    assert await store.remove_pin(1, first.id) == first
    assert await store.pins(1) == [second]
    with pytest.raises(NotFoundError):
        await store.remove_pin(2, second.id)


async def test_a_pin_keeps_its_keys(store: Store) -> None:
    pin = await store.add_pin(1, "The lantern is lit.", ANN, ("lantern", "l'été", "\ud800x"))
    assert pin.keys == ("lantern", "l'été", "?x")
    assert await store.pins(1) == [pin]


async def test_a_reset_blanks_a_channel_and_keeps_its_stories(store: Store) -> None:
    for channel in (1, 2):
        await story(store, channel)
        turns = await step(store, channel)
        await store.put_summary(channel, turns[1].id, 5, "so far")
        await store.put_summary(channel, turns[1].id, 5, "so far, better", ANN)
        await store.put_vectors(channel, turns[1].id, "base", 5, b"v")
        await store.add_pin(channel, "pin", ANN)
        await taught(store, channel)
    await store.reset(1)
    assert (await store.pins(1), await store.lessons(1), await store.units(1, "base")) == ([], [], {})
    assert (await store.summary(1), await store.summary_versions(1, 9), await store.vectors(1, "base")) == (
        None,
        [],
        None,
    )
    assert await store.path_length(1) == 3
    assert len(await store.pins(2)) == len(await store.lessons(2)) == len(await store.units(2, "base")) == 1
    assert len(await store.summary_versions(2, 9)) == 2
    assert await store.vectors(2, "base") is not None


async def test_settings_belong_to_a_scope(store: Store) -> None:
    await store.set_setting("guild:1", "teaching", "on")
    await store.set_setting("guild:1", "mode", "free")
    await store.set_setting("guild:1", "mode", "turns")
    assert await store.setting("guild:1", "mode") == "turns"
    assert await store.setting("channel:1", "mode") is None
    assert await store.settings("guild:1") == {"mode": "turns", "teaching": "on"}
    await store.set_setting("guild:1", "mode", None)
    assert await store.settings("guild:1") == {"teaching": "on"}


async def test_the_audit_log_only_grows(store: Store, file: Path) -> None:
    first = await store.audit(7, 1, "teach", "lesson 1")
    second = await store.audit(7, None, "weights", "activated")
    assert await store.audit_rows(10) == [second, first]
    assert await store.audit_rows(1) == [second]
    await store.close()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sql(file, "UPDATE audit SET detail = ''")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sql(file, "DELETE FROM audit")


async def test_a_deleted_person_leaves_no_byte_on_the_disk(store: Store, file: Path) -> None:
    canary = "canary-7f3a"
    ben = type(BEN)(BEN.id, canary)
    await story(store)
    under_way = await store.story(1)
    assert under_way is not None
    turns = await store.append(1, exchange(canary, "The wind.", ben), after=under_way.head)
    await step(store)
    await store.put_summary(1, turns[1].id, 5, canary)
    await store.put_vectors(1, turns[1].id, "base", 5, canary.encode())
    await store.put_note(1, canary, 3, ben)
    await store.add_pin(1, canary, ben, (canary,))
    await taught(store, 2, prompt=canary, answer=canary, author=ben, blob=canary.encode())
    kept = await taught(store, 2, prompt="Where?", blob=b"kept")
    await store.start_story(5, guild=3, title=canary, premise=canary, author=ben)
    await story(store, 6)  # where all that is theirs is an edit of the summary, and what was made of it
    turns = await step(store, 6)
    await store.put_summary(6, turns[0].id, 5, canary, ben)
    await store.put_summary(6, turns[1].id, 9, canary)
    removed = await store.delete_author(ben.id)
    assert (removed.turns, removed.lessons, removed.pins) == (2, 1, 1)
    for trace in file.parent.iterdir():
        assert canary.encode() not in trace.read_bytes(), trace
    assert await texts(store) == ["A hill.", "[removed]", "The wind.", "She ran.", "The wind ran."]
    assert [turn.chars_before for turn in await store.path(1)] == [0, 7, 16, 25, 33]
    assert (await store.summary(1), await store.vectors(1, "base"), await store.summary(6)) == (None, None, None)
    assert await store.units(2, "base") == {kept.id: b"kept"}
    assert (await store.delete_author(ben.id)).turns == 0
