"""Cancellation, closing and a full disk: nothing is left half-written, and the store goes on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory import DiskFullError, NewTurn, NoStoryError, Store, StoreClosedError
from tests.memory.material import ANN, content, exchange, step, story, taught, texts, threads_end


async def loop_steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), min_size=1, max_size=8))
def test_a_cancelled_caller_leaves_whole_steps_only(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]
) -> None:
    file = tmp_path_factory.mktemp("cancelled") / "m.db"

    async def run() -> None:
        async with await Store.open(file) as store:
            await story(store)
            for wait, which in steps:
                under_way = await store.story(1)
                assert under_way is not None
                head = under_way.head or 0
                work = (
                    store.append(1, exchange(), after=head),
                    store.edit_turn(1, head, (await kind_of_head(store))),
                    taught(store, base_id="b"),
                    store.reset(1),
                )
                task = asyncio.ensure_future(work[which])
                for other in (*work[:which], *work[which + 1 :]):
                    other.close()
                await loop_steps(wait)
                task.cancel()
                await asyncio.wait({task})
                # A transaction that was left open would swallow this one, or refuse to begin it.
                await store.set_setting("process", "at", str(wait))
                lessons = await store.lessons(1)
                assert [lesson.id for lesson in lessons] == list(await store.units(1, "b"))
                by_step: dict[int, list[str]] = {}
                for turn in await store.path(1):
                    by_step.setdefault(turn.step, []).append(turn.kind)
                assert all(kinds[-1] == "model" or kinds == ["premise"] for kinds in by_step.values())
        async with await Store.open(file) as store:
            assert await store.setting("process", "at") == str(steps[-1][0])

    asyncio.run(run())


async def kind_of_head(store: Store) -> NewTurn:
    return NewTurn(ANN, (await store.path(1, limit=1))[0].kind, "edited")


async def test_what_was_queued_is_stored_though_its_caller_is_gone(store: Store) -> None:
    await story(store)
    task = asyncio.ensure_future(step(store))
    await loop_steps(1)
    while await store.path_length(1) == 1 and not task.done():
        await loop_steps(1)
    writes = [asyncio.ensure_future(store.set_setting("process", str(n), "on")) for n in range(20)]
    await loop_steps(1)
    for write in writes:
        write.cancel()
    assert len(await store.settings("process")) == 20


@pytest.mark.parametrize("wait", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
async def test_a_cancelled_open_leaves_nothing_open(file: Path, wait: int) -> None:
    before = threading.enumerate()
    task = asyncio.ensure_future(Store.open(file))
    await loop_steps(wait)
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        await task.result().close()
    threads_end(before)
    async with await Store.open(file) as store:
        await story(store)


async def test_concurrent_writers_do_not_mix(store: Store) -> None:
    for channel in range(8):
        await story(store, channel)

    async def write(channel: int) -> None:
        for n in range(5):
            await step(store, channel, model=f"{channel}.{n}")

    await asyncio.gather(*(write(channel) for channel in range(8)))
    for channel in range(8):
        assert (await texts(store, channel))[2::2] == [f"{channel}.{n}" for n in range(5)]


async def test_a_failed_transaction_leaves_nothing_and_the_next_one_works(store: Store) -> None:
    await story(store)
    with pytest.raises(OverflowError):  # the third turn's author does not fit into the file
        await store.append(1, [*exchange(), NewTurn(type(ANN)(2**70, "x"), "member", "x")], after=1)
    assert await texts(store) == ["A hill."]
    with pytest.raises(NoStoryError):
        await store.undo(99)
    assert len(await step(store)) == 2


async def test_closing_carries_out_what_waits_and_may_be_repeated(file: Path) -> None:
    store = await Store.open(file)
    await story(store)
    waiting = [asyncio.ensure_future(store.set_setting("process", str(n), "on")) for n in range(10)]
    await loop_steps(1)
    await asyncio.gather(store.close(), store.close())
    await store.close()
    await asyncio.gather(*waiting)
    with pytest.raises(StoreClosedError) as caught:
        await store.path(1)
    assert str(caught.value).endswith(".")
    async with await Store.open(file) as again:
        assert len(await again.settings("process")) == 10


async def fill(store: Store) -> int:
    for stored in range(100):
        try:
            await step(store, model="w" * 3000)
        except DiskFullError:
            return stored
    raise AssertionError("the disk never filled up")


async def test_a_full_disk_is_told_and_the_store_goes_on(file: Path) -> None:
    async with await Store.open(file) as store:
        await story(store)
    pages = len(content(file)) // 4096 + 12
    async with await Store.open(file, max_pages=pages) as store:
        stored = await fill(store)
        assert stored > 0
        assert await store.path_length(1) == 1 + 2 * stored
        with pytest.raises(DiskFullError, match=r"free some space and try again\.$"):
            await taught(store, blob=b"1" * 90_000)
        assert await store.lessons(1) == []
        await store.undo(1)  # what needs no room still works
        assert await store.path_length(1) == 2 * stored - 1
    async with await Store.open(file) as store:
        await step(store, model="w" * 3000)
        assert await store.path_length(1) == 1 + 2 * stored
