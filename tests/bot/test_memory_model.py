"""A channel's memory against a plain model of it, in any order of what people do, beside one that is left alone."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.replying import STALE
from bot.rules import ContentRules
from bot.services import Services
from bot.session import ChannelSession, Reply
from config.settings import load_settings
from engine.generation import Engine
from engine.job import Job
from engine.lesson import Lesson, TeachParams
from engine.outcome import Generated, Taught
from engine.prompt import Context
from engine.sampling import SamplingParams
from engine.summary import Summary
from engine.worker import Worker
from memory import Author, LessonRow, NothingToRedoError, NothingToUndoError, Store
from tests.bot.conftest import ANN, BEN, Paper
from tests.conftest import write_tiny_weights

T = TypeVar("T")
CHANNEL, OTHER = 4, 5
SAMPLING = SamplingParams(max_new_tokens=8, min_new_tokens=8, temperature=1.0, seed=1)
LINES = (  # each longer than what the window shows for certain, so that nearly each has a summary follow it
    "Mira met Tom by the river, and Mira gave Tom a key. Then Tom went home, and Tom slept.",
    "Tom went to the forest with the key. There Tom saw Quillon, and Quillon saw Tom.",
)
EDITS = ("Names: Zora", "Earlier: Zora hid the key.", "")
PROMPTS = ("The fox is called", "The hen is called", "The cow is called", "The cat is called")


KEPT = tempfile.TemporaryDirectory()


@functools.cache
def weights() -> tuple[Path, Path]:
    """Two folders that no test changes."""
    a, b = (
        write_tiny_weights(Path(KEPT.name) / name, seed, block_size=64, n_layer=1, n_embd=16)
        for name, seed in (("a", 1), ("b", 2))
    )
    return a, b


class QuickWorker(Worker):
    """Teaches badly, but soon; and keeps what it was given to write with."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.given: list[bytes] = []

    def teach(
        self,
        lesson: Lesson,
        params: TeachParams | None = None,
        *,
        background: bool = False,
        line: int | None = None,
    ) -> Job[Taught]:
        return super().teach(lesson, TeachParams(max_steps=1), background=background, line=line)

    def generate(
        self,
        context: Context,
        sampling: SamplingParams,
        *,
        adapters: Sequence[bytes] = (),
        always_on: bool = False,
        style: Path | None = None,
        line: int | None = None,
    ) -> Job[Generated]:
        self.given = list(adapters)
        return super().generate(context, sampling, adapters=adapters, always_on=always_on, style=style, line=line)


class MemoryMachine(RuleBasedStateMachine):
    """The model: the path's steps, what was undone, the lessons with what each weights learnt of them, and what the
    summary was wherever the story stood since anybody last touched it."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_num_threads(1)
        self.place = tempfile.TemporaryDirectory()
        self.settings = load_settings(data_dir=Path(self.place.name), max_new_tokens=8)
        self.loop = asyncio.Runner()
        self.active = weights()[0]
        self.steps: list[list[int]] = []  # ids of turns; the first step is the premise
        self.undone: list[list[int]] = []
        self.lessons: list[LessonRow] = []
        self.blobs: dict[tuple[str, int], bytes] = {}  # by weights and lesson: the same whenever it is learnt
        self.summaries: dict[tuple[int, ...], Summary | None] = {}  # by path
        self.next_door: dict[str, str] = {}  # by weights: what the other channel's reply is

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    def teardown(self) -> None:
        self.do(self.services.close())
        self.loop.close()
        self.place.cleanup()

    @property
    def session(self) -> ChannelSession:
        return self.services.session(CHANNEL)

    @property
    def base(self) -> str:
        return self.worker.engine_info.base_id

    @property
    def path(self) -> tuple[int, ...]:
        return tuple(turn for step in self.steps for turn in step)

    async def open(self) -> None:
        store = await Store.open(self.settings.database_file)
        self.worker = QuickWorker(Engine.load(self.active))
        self.worker.start()
        self.services = Services(self.settings, store, self.worker, ContentRules({}), sampling=SAMPLING)

    @initialize()
    def start(self) -> None:
        async def begin() -> None:
            await self.open()
            for channel in (CHANNEL, OTHER):
                await self.services.session(channel).start("The fox", "Once upon a time, there was a fox.", ANN)
            other = self.services.session(OTHER)
            await other.pin("A hen.", ANN)
            await other.write("A hen sat there.", ANN, Paper())

        self.do(begin())
        self.steps = [[turn.id for turn in self.do(self.services.store.path(CHANNEL))]]
        for _ in range(2):
            self.teach(ANN)

    # The story

    @rule(text=st.sampled_from((None, *LINES)))
    def write(self, text: str | None) -> None:
        before = self.do(self.session.memory())
        reply = self.do(self.session.write(text, ANN, Paper()))
        self.steps.append([turn.id for turn in reply.turns])
        self.undone = []
        self.look_at(reply)
        assert not before.paused or self.do(self.session.memory()).summary == before.summary

    @precondition(lambda self: len(self.steps) > 1)
    @rule()
    def retry(self) -> None:
        reply = self.do(self.session.retry(BEN, Paper()))
        self.steps[-1] = [*self.steps[-1][:-1], reply.turns[-1].id]
        self.undone = []
        self.look_at(reply)

    def look_at(self, reply: Reply) -> None:
        """What the engine was given, and what whoever asked was told."""
        known = [self.blobs.get((self.base, row.id)) for row in self.lessons]
        assert self.worker.given == [blob for blob in known if blob is not None]
        missing = known.count(None)
        assert reply.notice == (STALE.format(missing=missing, lessons=len(known)) if missing else None)
        self.do(self.services.idle())  # the summary is folded, what was missing is learnt
        units = self.do(self.services.store.units(CHANNEL, self.base))
        assert list(units) == [row.id for row in self.lessons]
        for lesson, blob in units.items():
            assert self.blobs.setdefault((self.base, lesson), blob) == blob

    @rule()
    def undo(self) -> None:
        if len(self.steps) == 1:
            self.refused(self.session.undo(), NothingToUndoError)
            return
        gone = self.do(self.session.undo())
        self.undone.append(self.steps.pop())
        assert [turn.id for turn in gone] == self.undone[-1]

    @rule()
    def redo(self) -> None:
        if not self.undone:
            self.refused(self.session.redo(), NothingToRedoError)
            return
        back = self.do(self.session.redo())
        self.steps.append(self.undone.pop())
        assert [turn.id for turn in back] == self.steps[-1]

    def refused(self, work: Coroutine[Any, Any, object], error: type[Exception]) -> None:
        try:
            self.do(work)
        except error:
            return
        raise AssertionError(f"{error.__name__} was expected")

    # The summary

    @rule(text=st.sampled_from(EDITS))
    def edit(self, text: str) -> None:
        row = self.do(self.session.edit_summary(text, BEN))
        self.summaries.clear()
        assert (self.do(self.session.summary_versions(1)), row.author_id) == ([row], BEN.id)
        shown = self.do(self.session.memory()).summary
        assert (shown.lines() if shown else []) == Summary.from_text(text).lines()

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        versions = self.do(self.session.summary_versions(9))
        if versions:
            version = data.draw(st.sampled_from(versions))
            self.do(self.session.restore_summary(version.id, BEN))
            self.summaries.clear()
            assert self.do(self.session.memory()).summary == (Summary.from_json(version.body) or None)

    @rule(paused=st.booleans())
    def pause_or_resume(self, paused: bool) -> None:
        self.do(self.session.pause(ANN) if paused else self.session.resume(ANN))
        if not paused:
            self.do(self.services.idle())
            self.summaries.clear()
        assert self.do(self.session.memory()).paused == paused

    # Lessons

    @precondition(lambda self: len(self.lessons) < len(PROMPTS))
    @rule(author=st.sampled_from((ANN, BEN)))
    def teach_one(self, author: Author) -> None:
        self.teach(author)

    def teach(self, author: Author) -> None:
        prompt = next(prompt for prompt in PROMPTS if prompt not in [row.prompt for row in self.lessons])
        taught = self.do(self.session.teach(prompt, "Zora.", author, Paper()))
        self.lessons = self.do(self.session.lessons())
        assert self.lessons[-1].prompt == prompt
        self.blobs[self.base, self.lessons[-1].id] = taught.adapter

    @precondition(lambda self: self.lessons)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.lessons))
        self.lessons.remove(row)
        assert self.do(self.session.forget(row.id, ANN)) == row

    @rule(author=st.sampled_from((ANN, BEN)))
    def forget_member(self, author: Author) -> None:
        theirs = [row for row in self.lessons if row.author_id == author.id]
        self.lessons = [row for row in self.lessons if row not in theirs]
        assert self.do(self.session.forget_member(author.id, ANN)) == theirs

    @precondition(lambda self: len(self.steps) > 2)
    @rule()
    def reset(self) -> None:
        self.do(self.session.reset(ANN))
        self.lessons = []
        self.summaries.clear()
        assert self.do(self.session.memory()).summary is None

    # The process

    @rule()
    def swap(self) -> None:
        self.active = next(folder for folder in weights() if folder != self.active)
        self.do(self.worker.swap(self.active).result())

    @rule()
    def restart(self) -> None:
        self.do(self.services.close())
        self.do(self.open())

    # What always holds

    @invariant()
    def the_summary_belongs_to_an_ancestor_of_the_head(self) -> None:
        view = self.do(self.session.memory())
        row = self.do(self.services.store.summary(CHANNEL))
        turns = self.do(self.services.store.path(CHANNEL))
        assert tuple(turn.id for turn in turns) == self.path
        assert row is None or row.turn in self.path
        assert view.summary == (None if row is None else Summary.from_json(row.body) or None)
        assert view.covers == (0 if row is None else row.covers) <= sum(len(turn.text) for turn in turns)
        assert self.summaries.setdefault(self.path, view.summary) == view.summary

    @invariant()
    def the_lessons_are_those_that_were_taught_and_not_forgotten(self) -> None:
        view = self.do(self.session.memory())
        assert view.lessons == self.lessons
        assert view.learnt == {row.id for row in self.lessons if (self.base, row.id) in self.blobs}

    @rule()
    def the_other_channel_writes_as_if_it_were_alone(self) -> None:
        text = self.do(self.services.session(OTHER).retry(ANN, Paper())).turns[-1].text
        assert self.worker.given == []
        assert self.next_door.setdefault(self.base, text) == text


MemoryMachine.TestCase.settings = settings(
    max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMemoryMachine = MemoryMachine.TestCase
