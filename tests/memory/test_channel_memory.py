from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from memory import NewAdapter, NotFoundError, Store
from tests.memory.material import ANN, BEN, exchange, sql, step, story, texts


async def test_pins(store: Store) -> None:
    first = await store.add_pin(1, "Ann has a dog.", ANN)
    second = await store.add_pin(1, "It rains.", BEN)
    await store.add_pin(2, "elsewhere", BEN)
    assert await store.pins(1) == [first, second]
    assert await store.remove_pin(1, first.id) == first
    assert await store.pins(1) == [second]
    with pytest.raises(NotFoundError):
        await store.remove_pin(2, second.id)


async def test_a_lesson_and_its_adapter_are_written_together(store: Store) -> None:
    await store.put_adapter(1, base_id="old base", lessons_digest="d0", blob=b"\x00")
    lesson = await store.teach(
        1, guild=3, prompt="Who?", answer="Ann.", author=ANN, base_id="base", lessons_digest="d1", blob=b"\x01\x00"
    )
    assert await store.lessons(1) == [lesson]
    assert await store.lessons(2) == []
    adapter = await store.adapter(1, "base")
    assert adapter is not None
    assert (adapter.blob, adapter.lessons_digest) == (b"\x01\x00", "d1")
    assert await store.adapter(1, "old base") is None
    assert await store.taught_channels() == [1]


async def test_each_base_has_its_own_adapter_until_the_lessons_change(store: Store) -> None:
    lesson = await store.add_lesson(1, guild=None, prompt="Who?", answer="Ann.", author=ANN)
    other = await store.add_lesson(1, guild=None, prompt="Where?", answer="Here.", author=ANN)
    for base in ("a", "b"):
        await store.put_adapter(1, base_id=base, lessons_digest="d", blob=b"1")
    await store.put_adapter(1, base_id="a", lessons_digest="d", blob=b"2")
    adapters = [await store.adapter(1, base) for base in ("a", "b")]
    assert [adapter.blob for adapter in adapters if adapter is not None] == [b"2", b"1"]
    assert await store.forget(1, lesson.id, NewAdapter("a", "e", b"3")) == lesson
    assert await store.adapter(1, "b") is None
    adapter = await store.adapter(1, "a")
    assert adapter is not None
    assert adapter.blob == b"3"
    await store.remove_lesson(1, other.id)
    assert await store.adapter(1, "a") is None
    with pytest.raises(NotFoundError):
        await store.remove_lesson(1, other.id)


async def test_reset_blanks_a_channel_and_keeps_its_stories(store: Store) -> None:
    for channel in (1, 2):
        await story(store, channel)
        turns = await step(store, channel)
        await store.put_summary(channel, turns[1].id, 5, "so far")
        await store.add_pin(channel, "pin", ANN)
        await store.add_lesson(channel, guild=3, prompt="p", answer="a", author=ANN)
        await store.put_adapter(channel, base_id="b", lessons_digest="d", blob=b"1")
    await store.reset(1)
    assert (await store.pins(1), await store.lessons(1)) == ([], [])
    assert (await store.adapter(1, "b"), await store.summary(1)) == (None, None)
    assert await store.path_length(1) == 3
    assert len(await store.pins(2)) == len(await store.lessons(2)) == 1
    assert await store.adapter(2, "b") is not None
    assert await store.summary(2) is not None


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
    await store.add_pin(1, canary, ben)
    await store.add_lesson(2, guild=3, prompt=canary, answer=canary, author=ben)
    await store.put_adapter(2, base_id="b", lessons_digest="d", blob=canary.encode())
    await store.start_story(5, guild=3, title=canary, premise=canary, author=ben)
    removed = await store.delete_author(ben.id)
    assert (removed.turns, removed.lessons, removed.pins, removed.channels) == (2, 1, 1, (2,))
    for trace in file.parent.iterdir():
        assert canary.encode() not in trace.read_bytes(), trace
    assert await texts(store) == ["A hill.", "[removed]", "The wind.", "She ran.", "The wind ran."]
    assert [turn.chars_before for turn in await store.path(1)] == [0, 7, 16, 25, 33]
    assert await store.summary(1) is None
    assert await store.adapter(2, "b") is None
    assert (await store.delete_author(ben.id)).turns == 0
