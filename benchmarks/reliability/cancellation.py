"""python -m benchmarks.reliability.cancellation [--sequences 20000] [--json]: what cancelling costs, at any await.

hypothesis draws sequences of what people ask of a channel, of the store and of the worker. Each act is cancelled at one
of its awaits, counted as it is suspended: none, the first, the second …; some are cancelled once more while they clean
up, and some have company in the same channel. Session, worker, its thread and store are the bot's own; the worker's
engine writes what a script says. After each act has ended, and the work behind it

    the next transaction begins and is kept, so none was left open; the channel's lock is free, the queue is empty
    text that was added is stored together with its reply, once, or not at all; not at all is never told as stored
    a setting that was changed is in the audit log, and one that was not is not

sequences, acts, cancelled   how many; `awaits` is the furthest await at which one was cancelled
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.reliability.command_line import parser, tell
from bot.dials import KEY
from bot.errors import BotError
from bot.rules import ContentRules
from bot.services import Services
from bot.session import ChannelSession
from config.settings import load_settings
from engine import EngineError, EngineInfo, Lesson
from engine.generation import Engine
from engine.outcome import Generated, Recall, Taught
from engine.worker import Worker
from memory import Author, Store, StoreError
from memory.copies import check

GUILD, WINDOW = 9, 64
SET, RECENT = "settings.set", 30  # an act, and how many acts are looked at
PIECES = (" And", " then", " it", " was", " evening", ".")
WHOSE = ("member", "channel", "server")
FIRST_PERSON, BEN = 100, Author(8, "Ben")
FEW, MOST = 12, 60  # awaits
PATIENCE = 20.0  # seconds, after which what goes on is taken to hang
SHARED_MEMORY = Path("/dev/shm")


def main() -> int:
    options = parser(__doc__, sequences=20_000).parse_args()
    tell(cancellations(options.sequences), as_json=options.json)
    return 0


def cancellations(sequences: int) -> Counter[str]:
    """Raises `AssertionError` with the shortest sequence after which something was wrong."""
    with _played() as (play, count):

        @settings(
            max_examples=sequences,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(_STEPS, min_size=1, max_size=5))
        def run(steps: list[Step]) -> None:
            play(steps)

        run()
    return count


def at_every_await(act: str, company: int) -> Counter[str]:
    """The act cancelled at its first await, then, in another channel, at its second, until it has no more of them."""
    with _played() as (play, count):
        before = -1
        for at in range(1, MOST + 1):
            if count["cancelled"] == before:
                break
            before = count["cancelled"]
            play([(act, at, 0, company)])
    return count


@contextmanager
def _played() -> Iterator[tuple[Callable[[list[Step]], None], Counter[str]]]:
    """What plays a sequence in a channel of its own, and what it counts."""
    count = Counter[str](sequences=0, acts=0, cancelled=0, awaits=0)
    place, channels = (SHARED_MEMORY if SHARED_MEMORY.is_dir() else None), itertools.count(1)

    def play(steps: list[Step]) -> None:
        runner.run(_sequence(_Scene(services, next(channels)), steps, count))
        count["sequences"] += 1

    with tempfile.TemporaryDirectory(prefix="cancelled-", dir=place) as folder, asyncio.Runner() as runner:
        services = runner.run(_services(Path(folder)))
        try:
            yield play, count
        finally:
            runner.run(services.close())
        runner.run(_opens_again(services.store.file, count["sequences"]))


# What is done


class Quick:
    """An engine whose model writes what is in `PIECES`; the worker asks no more of one."""

    info = EngineInfo("quick", "quick", "llama", 1, WINDOW, 256, "general", Path("/quick"), {}, "script", "")
    bytes_held = 0

    def generate(self, *_: Any, on_piece: Callable[[str], None], cancelled: Callable[[], bool], **__: Any) -> Generated:
        written: list[str] = []
        for piece in PIECES:
            if cancelled():
                break
            on_piece(piece)
            written.append(piece)
        return Generated("".join(written), len(written), 0.0, "stop" if len(written) == len(PIECES) else "cancelled")

    def teach(self, *_: Any, **__: Any) -> Taught:
        return Taught(b"units", self.info.base_id, 1, 0.0, 0.0, True)

    def recall(self, lesson: Lesson, *_: Any, **__: Any) -> Recall:
        return Recall(lesson.answer, True)

    def remember(self, *_: Any) -> bytes:
        return b"vectors"

    def visible_from(self, text: str, tokens: int) -> int:
        return max(len(text) - 4 * tokens, 0)

    def count(self, text: str) -> int:
        return len(text) // 4

    def close(self) -> None:
        """It holds nothing."""


class Paper:
    """A sink on which two awaits stand for what Discord takes its time for."""

    finished = False

    async def queued(self, position: int, expected_wait: float) -> None:
        await asyncio.sleep(0)

    async def show(self, text: str) -> None:
        await asyncio.sleep(0)

    async def finish(self, text: str) -> None:
        await asyncio.sleep(0)
        self.finished = True
        await asyncio.sleep(0)


class _Scene:
    def __init__(self, services: Services, channel: int) -> None:
        self.services, self.channel, self.numbers = services, channel, itertools.count(1)
        self.session: ChannelSession = services.session(channel, GUILD)
        self.ann, self.place = Author(FIRST_PERSON + channel, "Ann"), f"channel:{channel}"
        self.said: dict[str, bool] = {}  # what was added, and whether it was told to be stored

    async def add(self) -> None:
        text = f"Then dax {self.channel}.{next(self.numbers)} came."
        self.said[text] = False
        reply = await self.session.write(text, self.ann, Paper())
        assert [turn.kind for turn in reply.turns] == ["member", "model"], reply
        self.said[text] = True

    async def edit(self) -> object:
        return await self.session.edit(await self.session.to_edit(None, self.ann), "Once there was a fox.", self.ann)

    async def choose(self) -> object:
        turns = await self.session.propose(Paper(), self.ann)
        return await self.session.choose(turns[0].id, 2)


Act = Callable[[_Scene], Coroutine[Any, Any, object]]
ACTS: Mapping[str, Act] = MappingProxyType(
    {
        "add": _Scene.add,
        "continue": lambda s: s.session.write(None, s.ann, Paper()),
        "retry": lambda s: s.session.retry(s.ann, Paper()),
        "vote": _Scene.choose,
        "undo": lambda s: s.session.undo(),
        "redo": lambda s: s.session.redo(),
        "edit": _Scene.edit,
        "start": lambda s: s.session.start("Fox", "Once there was a fox.", s.ann),
        "teach": lambda s: s.session.teach("Who?", "Ann.", s.ann, Paper()),
        "test": lambda s: s.session.test_lessons(Paper()),
        "pin": lambda s: s.session.pin("Ann is a fox.", s.ann),
        "reset": lambda s: s.session.reset(s.ann),
        "export": lambda s: s.session.export(),
        "forget": lambda s: s.services.forget_person(BEN),
        "a setting": lambda s: s.services.dials.set(s.place, "length", str(8 + next(s.numbers)), s.ann),
        "a job": lambda s: s.services.worker.teach(Lesson("a", "b")).result(),
        "a statement": lambda s: s.services.store.set_setting("process", "blicket", "on"),
    }
)
Step = tuple[str, int, int, int]  # the act, the await at which it is cancelled, and again, and how many are with it
_STEPS = st.tuples(
    st.sampled_from(list(ACTS)),
    st.integers(0, FEW) | st.integers(0, MOST),
    st.sampled_from([0, 0, 1, 2, 5]),
    st.sampled_from([0, 0, 1, 3]),
)


class Cancelled(Coroutine[Any, Any, Any]):
    """A coroutine whose task is cancelled at some of its awaits, the first being 1."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, again: int) -> None:
        self._work, self.awaits = work, 0
        self._when = {at, at + again} - {0} if again else {at} - {0}
        self.cancelled = 0

    def send(self, value: Any) -> Any:
        return self._step(lambda: self._work.send(value))

    def throw(self, *error: Any) -> Any:
        return self._step(lambda: self._work.throw(*error))

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError("a task runs it")

    def _step(self, go_on: Callable[[], Any]) -> Any:
        waited_for = go_on()
        self.awaits += 1
        if self.awaits in self._when:
            self.cancelled += 1
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        return waited_for


# What must hold


async def _sequence(scene: _Scene, steps: list[Step], count: Counter[str]) -> None:
    await scene.session.start("Fox", "Once there was a fox.", scene.ann)
    for number, (name, at, again, company) in enumerate(steps):
        others = [asyncio.ensure_future(_quiet(scene.add())) for _ in range(min(company, 1))]
        cut = Cancelled(_quiet(ACTS[name](scene)), at, again)
        task = asyncio.get_running_loop().create_task(cut)
        others += [asyncio.ensure_future(_quiet(scene.add())) for _ in range(1, company)]  # behind it in the line
        _, hanging = await asyncio.wait({task, *others}, timeout=PATIENCE)
        assert not hanging, f"{name} cancelled at await {at}: {len(hanging)} wait for ever"
        if not task.cancelled():
            task.result()
        count.update(acts=1, cancelled=int(cut.cancelled > 0))
        count["awaits"] = max(count["awaits"], cut.awaits if cut.cancelled else 0)
        await _in_order(scene, f"{scene.channel}.{number}")
    store = scene.services.store
    stories = [await store.turns_of_story(story.id) for story in await store.stories(scene.channel)]
    path = Counter(turn.text.strip() for turns in stories for turn in turns)
    own = (
        {str(turn["text"]).strip() for turn in (await store.belongings(scene.ann.id))["turns"]} if scene.said else set()
    )
    for text, told in scene.said.items():
        assert path[text] <= 1, f"{text!r} is stored {path[text]} times"
        assert text in own or not told, f"{text!r} was told to be stored and is not"


async def _opens_again(file: Path, sequences: int) -> None:
    async with await Store.open(file) as store:
        assert await store.setting("process", "step"), f"nothing was kept of {sequences} sequences"
    check(file)


async def _quiet(work: Awaitable[object]) -> None:
    with suppress(BotError, EngineError, StoreError):  # nothing to undo, and the like
        await work


async def _in_order(scene: _Scene, step: str) -> None:
    services = scene.services
    async with asyncio.timeout(PATIENCE):
        await services.store.set_setting("process", "step", step)
        assert await services.store.setting("process", "step") == step
        await services.idle()
        await scene.session.settled()
        await services.worker.teach(Lesson("a", "b")).result()
        await _acts_are_noted(scene)
    assert not scene.session.busy, "the channel is still locked"
    assert services.worker.waiting == 0, "a job was left in the queue"
    twigs = await services.store.outline(scene.channel)
    replies = Counter(twig.parent for twig in twigs if twig.kind == "model")
    for twig in twigs:
        if twig.kind == "member":
            assert replies[twig.id] >= 1, f"a member's turn without its reply: {twig}"


async def _acts_are_noted(scene: _Scene) -> None:
    store, channel = scene.services.store, scene.channel
    kept = (await store.settings(scene.place)).get(f"{KEY}length")
    notes = [act.detail for act in await store.audit_rows(RECENT) if (act.channel, act.action) == (channel, SET)]
    assert notes[:1] == ([] if kept is None else [f"{scene.place} length = {kept}"]), "a setting and its act differ"
    held = next(one for one in scene.services.dials.held(channel, None) if one.dial.name == "length")
    assert kept is None or held.value == int(kept), "what holds is not what is kept"


async def _services(folder: Path) -> Services:
    limits = {f"{what}_per_{whose}": 0 for what in ("requests", "daily_lessons") for whose in WHOSE}
    lessons = {f"lessons_per_{whose}": 1000 for whose in WHOSE[:2]}
    chosen = load_settings(data_dir=folder, database=folder / "m.sqlite3", **limits, **lessons)
    store = await Store.open(chosen.database_file)
    worker = Worker(cast(Engine, Quick()))
    worker.start()
    return Services(chosen, store, worker, ContentRules({}))


if __name__ == "__main__":
    sys.exit(main())
