"""The worker: order, streaming, cancelling, swapping and closing, seen from the loop."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import (
    Context,
    Engine,
    EngineClosedError,
    EngineError,
    Generated,
    Job,
    Lesson,
    QueueFullError,
    SamplingParams,
    TeachParams,
    WeightsError,
    Worker,
)

ENDLESS = SamplingParams(max_new_tokens=100_000, min_new_tokens=100_000)
SHORT = SamplingParams(max_new_tokens=8, min_new_tokens=8, seed=1)
TEXT = Context(text="Once upon a time")


@pytest.fixture
async def worker(tiny_weights: Path) -> AsyncIterator[Worker]:
    worker = Worker(Engine.load(tiny_weights), max_queue=4)
    worker.start()
    yield worker
    await worker.close(drain=False)


async def test_pieces_are_the_result(worker: Worker) -> None:
    job = worker.generate(TEXT, SamplingParams(max_new_tokens=60, seed=3))
    pieces = [piece async for piece in job]
    assert "".join(pieces) == (await job.result()).text
    assert [piece async for piece in job] == []  # a second reader ends at once


async def test_a_cancelled_reply_stops_and_keeps_what_was_written(worker: Worker) -> None:
    job = worker.generate(TEXT, ENDLESS)
    seen = []
    async for piece in job:
        seen.append(piece)
        if len(seen) == 5:
            job.cancel()
    done = await job.result()
    assert done.finish_reason == "cancelled"
    assert done.text.startswith("".join(seen[:5]))
    assert done.tokens < 5000


async def test_a_cancelled_caller_leaves_the_engine_working(worker: Worker) -> None:
    job = worker.generate(TEXT, ENDLESS)
    caller = asyncio.create_task(job.result())
    await anext(aiter(job))
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    job.cancel()
    assert (await worker.generate(TEXT, SHORT).result()).tokens == 8


async def test_the_queue_is_bounded_and_says_where_one_stands(worker: Worker) -> None:
    running = worker.generate(TEXT, ENDLESS)
    await anext(aiter(running))
    waiting = [worker.generate(TEXT, SHORT) for _ in range(4)]
    assert [job.position for job in waiting] == [1, 2, 3, 4]
    with pytest.raises(QueueFullError, match="try again in about"):
        worker.generate(TEXT, SHORT)
    waiting[0].cancel()
    assert await waiting[2].moved(seen=3) == 2
    assert (await waiting[0].result()).finish_reason == "cancelled"
    running.cancel()
    assert [(await job.result()).tokens for job in waiting[1:]] == [8, 8, 8]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(st.integers(1, 4), min_size=1, max_size=16),
    withdrawn=st.sets(st.integers(0, 15), max_size=4),
)
def test_every_line_has_its_turn(tiny_weights: Path, asked: list[int], withdrawn: set[int]) -> None:
    """Whatever is asked for in whatever order: each job is answered once, in order within its line, the lines in turn,
    and everybody was told how many are before him."""

    async def ask() -> None:
        ended: list[int] = []
        worker = Worker(Engine.load(tiny_weights), max_queue=10, max_line=5, on_done=lambda job: ended.append(id(job)))
        worker.start()
        running = worker.generate(TEXT, ENDLESS)
        await anext(aiter(running))
        jobs: list[Job[Generated]] = []
        for line in asked:
            crowded = sum(job.line == line for job in jobs) == 5
            if crowded or len(jobs) == 10:
                with pytest.raises(QueueFullError) as full:
                    worker.generate(TEXT, SHORT, line=line)
                assert full.value.one_line == crowded
                assert 1 <= full.value.position <= len(jobs) + 1
            else:
                jobs.append(worker.generate(TEXT, SHORT, line=line))
        for index in sorted(withdrawn):
            if index < len(jobs):
                jobs[index].cancel()
        left = [job for index, job in enumerate(jobs) if index not in withdrawn]
        promised = [id(job) for job in sorted(left, key=lambda job: job.position)]
        assert sorted(job.position for job in left) == list(range(1, len(left) + 1))
        gone = len(ended)
        running.cancel()
        await running.result()
        results = [await job.result() for job in jobs]
        assert sum(result.tokens == 8 for result in results) == len(left)
        assert ended[gone + 1 :] == promised, "the order that was promised, after the one that ran"
        assert len(ended) == len(set(ended)) == len(jobs) + 1
        turns = [job.line for job in sorted(left, key=lambda job: promised.index(id(job)))]
        for line in set(turns):
            times = [index for index, other in enumerate(turns) if other == line]
            for before, after in pairwise([-1, *times]):
                between = turns[before + 1 : after]
                assert len(between) == len(set(between)), "one job of each other line between two of this one"
        await worker.close()

    asyncio.run(ask())


async def test_background_jobs_wait_for_users(worker: Worker) -> None:
    running = worker.generate(TEXT, ENDLESS)
    await anext(aiter(running))
    order: list[str] = []

    async def follow(name: str, job: object) -> None:
        await job.result()  # type: ignore[attr-defined]
        order.append(name)

    summary = worker.summarize("Mira met Tom. Mira and Tom ran.", None)
    followers = [asyncio.create_task(follow("summary", summary))]
    followers += [asyncio.create_task(follow("reply", worker.generate(TEXT, SHORT))) for _ in range(2)]
    running.cancel()
    await asyncio.gather(*followers)
    assert order == ["reply", "reply", "summary"]
    assert set((await summary.result()).names) == {"Mira", "Tom"}


async def test_swap_changes_what_is_served_and_a_bad_one_changes_nothing(
    worker: Worker, tiny_weights: Path, other_tiny_weights: Path, tmp_path: Path
) -> None:
    first = (await worker.generate(TEXT, SHORT).result()).text
    broken = Path(shutil.copytree(tiny_weights, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError):
        await worker.swap(broken).result()
    assert (await worker.generate(TEXT, SHORT).result()).text == first
    swap = worker.swap(other_tiny_weights)
    info = await swap.result()
    told = [piece async for piece in swap]
    assert re.match(r"reading and checking the weights, which take \d+ MB", told[0])
    assert worker.engine_info == info
    assert info.name == "other-tiny"
    assert (await worker.generate(TEXT, SHORT).result()).text != first
    await worker.swap(tiny_weights).result()
    assert (await worker.generate(TEXT, SHORT).result()).text == first


async def test_teaching_tells_its_progress_and_can_be_stopped(worker: Worker) -> None:
    lesson = Lesson("The fox is named", "Zorblax")
    job = worker.teach(lesson, TeachParams(max_steps=20))
    assert [piece async for piece in job] != []
    assert (await job.result()).steps > 0
    endless = worker.teach(lesson, TeachParams(max_steps=100_000, settled=100_000))
    await anext(aiter(endless))
    endless.cancel()
    with pytest.raises(EngineError, match="stopped"):
        await endless.result()


async def test_close_drains_what_waits(tiny_weights: Path) -> None:
    worker = Worker(Engine.load(tiny_weights))
    worker.start()
    jobs = [worker.generate(TEXT, SHORT) for _ in range(3)]
    await worker.close()
    assert [(await job.result()).tokens for job in jobs] == [8, 8, 8]
    with pytest.raises(EngineClosedError):
        worker.generate(TEXT, SHORT)
    await worker.close()


async def test_close_without_draining_ends_an_endless_reply(tiny_weights: Path) -> None:
    worker = Worker(Engine.load(tiny_weights))
    worker.start()
    jobs = [worker.generate(TEXT, ENDLESS) for _ in range(3)]
    await anext(aiter(jobs[0]))
    await worker.close(drain=False)
    assert {(await job.result()).finish_reason for job in jobs} == {"cancelled"}


def test_a_loop_that_ends_first_leaves_no_thread_behind(tiny_weights: Path) -> None:
    worker = Worker(Engine.load(tiny_weights))

    async def start_and_leave() -> None:
        worker.start()
        await anext(aiter(worker.generate(TEXT, SamplingParams(max_new_tokens=400, min_new_tokens=400))))

    asyncio.run(start_and_leave())
    asyncio.run(worker.close())
