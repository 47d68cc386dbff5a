from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memory import NotFoundError, QuotaError, Store
from tests.memory.material import ANN, BEN, sql, taught


async def test_a_lesson_and_its_units_are_written_together(store: Store) -> None:
    lesson = await taught(store, prompt="Who?", blob=b"\x01\x00")
    assert (lesson.prompt, lesson.answer, lesson.author_id, lesson.author_name) == ("Who?", "Ann.", ANN.id, "Ann")
    assert await store.lessons(1) == [lesson]
    assert await store.units(1, "base") == {lesson.id: b"\x01\x00"}
    assert (await store.lessons(2), await store.units(2, "base")) == ([], {})


async def test_every_base_has_units_of_its_own_in_the_order_of_the_lessons(store: Store) -> None:
    first, second = await taught(store, blob=b"1"), await taught(store, blob=b"2")
    assert await store.put_units(second.id, "other", b"4")
    assert await store.put_units(first.id, "other", b"wrong")
    assert await store.put_units(first.id, "other", b"3")
    assert list((await store.units(1, "base")).items()) == [(first.id, b"1"), (second.id, b"2")]
    assert list((await store.units(1, "other")).items()) == [(first.id, b"3"), (second.id, b"4")]
    assert await store.units(1, "third") == {}


async def test_forgetting_a_lesson_leaves_the_others_byte_for_byte(store: Store, file: Path) -> None:
    first, second = await taught(store, blob=b"gone"), await taught(store, blob=b"kept")
    await store.put_units(first.id, "other", b"gone too")
    with pytest.raises(NotFoundError):
        await store.forget(2, first.id)
    assert await store.forget(1, first.id) == first
    assert await store.lessons(1) == [second]
    assert await store.units(1, "base") == {second.id: b"kept"}
    assert await store.units(1, "other") == {}
    assert not await store.put_units(first.id, "base", b"too late")
    with pytest.raises(NotFoundError):
        await store.forget(1, first.id)
    await store.close()
    assert sql(file, "SELECT lesson FROM lesson_units") == [(second.id,)]


async def test_forgetting_a_member_takes_what_that_one_taught_this_channel(store: Store) -> None:
    lessons = [await taught(store, author=author) for author in (ANN, BEN, ANN)]
    elsewhere = await taught(store, 2, author=ANN)
    assert await store.forget_author(1, ANN.id) == [lessons[0], lessons[2]]
    assert await store.forget_author(1, ANN.id) == []
    assert (await store.lessons(1), await store.lessons(2)) == ([lessons[1]], [elsewhere])
    assert (list(await store.units(1, "base")), list(await store.units(2, "base"))) == ([lessons[1].id], [elsewhere.id])


async def test_a_member_and_a_channel_hold_so_many_lessons(store: Store) -> None:
    for author in (ANN, ANN, BEN):
        await taught(store, author=author, per_member=2, per_channel=3)
    for author, limit in ((ANN, 9), (BEN, 3)):
        with pytest.raises(QuotaError, match=r"^[^.]*limit of lessons[^.]*: forget one first\.$"):
            await taught(store, author=author, per_member=2, per_channel=limit)
        with pytest.raises(QuotaError, match="limit of lessons"):
            await store.require_room(1, author, per_member=2, per_channel=limit)
    await store.require_room(1, BEN, per_member=2, per_channel=4)
    await taught(store, 2, author=ANN, per_member=2, per_channel=3)  # other channels have room of their own
    assert len(await store.lessons(1)) == len(await store.units(1, "base")) == 3


async def test_two_at_once_do_not_pass_the_limit(store: Store) -> None:
    attempts = [taught(store, author=author, per_member=2, per_channel=3) for author in (ANN, BEN) * 4]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, QuotaError) for result in results) == 5
    assert len(await store.lessons(1)) == 3
