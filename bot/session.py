"""A channel's story and its memory: what can be done in a channel, whatever the channel is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from bot.errors import InputError
from bot.manuscript import MAX_TITLE, behind, continued, markdown, typed, visible
from bot.rules import ContentRules
from bot.upkeep import Spawn, Upkeep, digest, lessons_of, summary_of
from engine.errors import AdapterError, QueueFullError
from engine.generation import Generated, Taught
from engine.job import Job
from engine.lesson import Lesson
from engine.prompt import MEMORY_SHARE, Context, memory_text
from engine.sampling import SamplingParams
from engine.summary import Summary
from engine.worker import Worker
from memory import Author, LessonRow, NewAdapter, NewTurn, NoStoryError, Pin, Store, Story, Turn

T = TypeVar("T")

MAX_LESSONS = 20  # what an adapter was measured to learn word for word
MAX_LESSON = 500  # characters of a prompt, of an answer
MAX_PINS = 20
MAX_PIN = 300  # characters
CHARS_PER_TOKEN = 6  # text fetched for the window; what does not fit is cut by the engine
USUAL_REPLY = 5.0  # seconds, to tell those who wait for the channel

STALE = "What was taught here belongs to other weights: it is being learnt anew, and this was written without it."
NOTHING = "The model had nothing to add: ask it to continue."
STOPPED = "Stopped before a word was written."


class Sink(Protocol):
    """Where a session writes to."""

    async def queued(self, position: int, expected_wait: float) -> None:
        """So many requests are before this one; again whenever that changes."""

    async def show(self, text: str) -> None:
        """All of the reply so far, already passed by the rules. May skip texts, must not take long."""

    async def finish(self, text: str) -> None:
        """The whole reply, which may be empty. Only when this returned are turns stored."""


@dataclass(frozen=True)
class Reply:
    turns: list[Turn]  # that were stored: the member's, the model's; either may be missing
    generated: Generated | None
    notice: str | None  # a sentence for whoever asked


@dataclass(frozen=True)
class MemoryView:
    """What the model sees next, in tokens and in words."""

    pins: list[Pin]
    summary: Summary | None
    covers: int  # characters of the story that the summary stands for
    lessons: list[LessonRow]
    adapter: Literal["none", "ready", "stale", "rebuilding"]
    pins_tokens: int
    summary_tokens: int
    text_tokens: int
    reply_tokens: int  # kept free for the reply
    window: int  # tokens in all
    text: str  # of the story, that the window shows


class ChannelSession:
    """One at a time may change a channel; `stop` and what only reads do not wait. Made by `Services.session`."""

    def __init__(
        self,
        channel: int,
        guild: int | None,
        *,
        store: Store,
        worker: Worker,
        rules: ContentRules,
        sampling: SamplingParams,
        spawn: Spawn,
        max_waiting: int = 32,
    ) -> None:
        self.channel, self.guild = channel, guild
        self._store, self._worker, self._rules, self._sampling = store, worker, rules, sampling
        self._max_waiting, self._waiting = max_waiting, 0
        self._lock = asyncio.Lock()
        self._job: Job[Any] | None = None
        self._upkeep = Upkeep(channel, store, worker, self._lock, spawn)

    @property
    def busy(self) -> bool:
        return self._lock.locked() or self._waiting > 0

    async def settled(self) -> None:
        """Waits until whoever holds the channel has let go of it."""
        async with self._lock:
            pass

    # The story

    async def story(self) -> Story | None:
        return await self._store.story(self.channel)

    async def start(self, title: str, premise: str, author: Author) -> Story:
        """A new story; the old one stays in the file. The premise may be empty. Raises `InputError`, `RefusedError`."""
        title = typed(title, what="The title", limit=MAX_TITLE, one_line=True)
        premise = typed(premise, what="The premise") if visible(premise).strip() else ""
        self._rules.require(f"{title}\n{premise}")
        async with self._lock:
            return await self._store.start_story(
                self.channel, guild=self.guild, title=title, premise=premise, author=author
            )

    async def write(self, text: str | None, author: Author, sink: Sink) -> Reply:
        """The member's text (none: continue) and the model's reply, stored together once the sink has finished.

        Raises `InputError`, `RefusedError`, `EngineError`, `StoreError`; then, and if cancelled, nothing is stored.
        """
        text = None if text is None else typed(text, what="Your text")
        async with self._turn(sink):
            story, turns = await self._recent()
            before = "".join(turn.text for turn in turns)
            new: list[NewTurn] = []
            if text is not None:
                text = behind(before, text)
                self._rules.require(text, before=before)
                new = [NewTurn(author, "member", text)]
            reply, generated, notice = await self._reply(before + (text or ""), sink)
            if reply:
                new.append(NewTurn(None, "model", reply))
            await sink.finish(reply)
            stored = await self._store.append(self.channel, new, after=story.head) if new else []
        self._upkeep.summarize_soon()
        return Reply(stored, generated, notice)

    async def retry(self, author: Author, sink: Sink) -> Reply:
        """Another reply in place of the last one, which stays in the tree. Raises as `write` does."""
        async with self._turn(sink):
            story, turns = await self._recent(extra=self._sampling.max_new_tokens)
            if story.head is None or turns[-1].kind != "model":
                raise InputError(
                    "The last words are not the model's, so there is no reply to try again: continue instead."
                )
            reply, generated, notice = await self._reply("".join(turn.text for turn in turns[:-1]), sink)
            await sink.finish(reply)
            stored: list[Turn] = []
            if reply:
                stored = [await self._store.add_sibling(self.channel, story.head, NewTurn(None, "model", reply))]
        self._upkeep.summarize_soon()
        return Reply(stored, generated, notice)

    def stop(self) -> bool:
        """Ends what is being written or taught now; written text stays. False where nothing is."""
        if self._job is None:
            return False
        self._job.cancel()
        return True

    async def undo(self) -> list[Turn]:
        """Takes the last step back and gives its turns. Raises `NothingToUndoError`, `NoStoryError`."""
        async with self._lock:
            return await self._store.undo(self.channel)

    async def redo(self) -> list[Turn]:
        """Raises `NothingToRedoError`, `NoStoryError`."""
        async with self._lock:
            return await self._store.redo(self.channel)

    async def tail(self, max_chars: int) -> list[Turn]:
        """The last turns of the story, whole ones; none without a story."""
        return await self._store.recent(self.channel, max_chars)

    async def export(self) -> str:
        """The whole story as Markdown. Raises `NoStoryError`."""
        story = await self._story()
        turns = await self._store.path(self.channel)
        return markdown(story, turns, self._worker.engine_info.name)

    # Lessons

    async def teach(self, prompt: str, answer: str, author: Author, sink: Sink) -> Taught:
        """Trains the channel's adapter on its lessons and this one; the sink shows progress.

        Raises `InputError`, `RefusedError`, `EngineError`, `StoreError`; then, and if cancelled, nothing has changed.
        """
        prompt = typed(prompt, what="The prompt", limit=MAX_LESSON)
        answer = typed(answer, what="The answer", limit=MAX_LESSON)
        self._rules.require(f"{prompt} {answer}", "the lesson")
        async with self._turn(sink):
            rows = await self._store.lessons(self.channel)
            if len(rows) >= MAX_LESSONS:
                raise InputError(f"A channel holds {MAX_LESSONS} lessons and this one is full: forget one first.")
            if known := next((row for row in rows if row.prompt.casefold() == prompt.casefold()), None):
                raise InputError(
                    f"Lesson {known.id} answers this prompt already: forget it first to teach another answer."
                )
            lessons = [*lessons_of(rows), Lesson(prompt, answer)]
            taught = await self._train(lessons, sink)
            await self._store.teach(
                self.channel,
                guild=self.guild,
                prompt=prompt,
                answer=answer,
                author=author,
                base_id=taught.base_id,
                lessons_digest=digest(lessons),
                blob=taught.adapter,
            )
            await self._store.audit(author.id, self.channel, "teach.add", f"{len(lessons)} lessons")
        return taught

    async def lessons(self) -> list[LessonRow]:
        return await self._store.lessons(self.channel)

    async def forget(self, lesson: int, sink: Sink, actor: Author | None = None) -> LessonRow:
        """Removes a lesson; the adapter is trained anew from the others. Raises `NotFoundError`, `EngineError`."""
        async with self._turn(sink):
            rows = await self._store.lessons(self.channel)
            left = lessons_of([row for row in rows if row.id != lesson])
            adapter = None
            if left and len(left) < len(rows):
                taught = await self._train(left, sink)
                adapter = NewAdapter(taught.base_id, digest(left), taught.adapter)
            gone = await self._store.forget(self.channel, lesson, adapter)
            if actor is not None:
                await self._store.audit(actor.id, self.channel, "teach.forget", f"lesson {lesson}")
        return gone

    # Memory

    async def reset(self, actor: Author | None = None) -> None:
        """Lessons, adapter, pins and summary go; the story stays, and what has scrolled out of it stays forgotten."""
        async with self._lock:
            self._upkeep.was_reset()
            await self._store.reset(self.channel)
            story = await self._store.story(self.channel)
            if story is not None and story.head is not None and (covers := await self._upkeep.scrolled_out()):
                await self._store.put_summary(self.channel, story.head, covers, Summary().to_json())
            if actor is not None:
                await self._store.audit(actor.id, self.channel, "memory.reset", "")

    async def memory(self) -> MemoryView:
        """What the model sees when it next continues the story."""
        text = "".join(turn.text for turn in await self._store.recent(self.channel, self._fetched))
        pins, (summary, covers) = (
            await self._store.pins(self.channel),
            summary_of(await self._store.summary(self.channel)),
        )
        lessons, adapter = await self._adapter()
        window = self._worker.engine_info.block_size
        room = max(window - self._sampling.max_new_tokens, window // 2)
        pins_tokens = self._worker.count(memory_text([pin.text for pin in pins], None))
        summary_tokens = self._worker.count(memory_text((), summary))
        if pins_tokens + summary_tokens > room * MEMORY_SHARE:
            summary_tokens = 0  # the engine then leaves it out
        text = text[self._worker.visible_from(text, (room - pins_tokens - summary_tokens) / window) :]
        state: Literal["none", "ready", "stale", "rebuilding"] = "none"
        if lessons:
            state = "ready" if adapter else "rebuilding" if self._upkeep.rebuilding else "stale"
        return MemoryView(
            pins, summary or None, covers, lessons, state,
            pins_tokens, summary_tokens, self._worker.count(text), window - room, window, text,
        )  # fmt: skip

    async def pin(self, text: str, author: Author) -> Pin:
        """A fact that the model always sees. Raises `InputError`, `RefusedError`."""
        text = typed(text, what="The pin", limit=MAX_PIN, one_line=True)
        self._rules.require(text, "the pin")
        async with self._lock:
            pins = [pin.text for pin in await self._store.pins(self.channel)]
            if text in pins:
                raise InputError("This is pinned already.")
            room = self._worker.engine_info.block_size // 2 * MEMORY_SHARE
            if len(pins) >= MAX_PINS or self._worker.count(memory_text([*pins, text], None)) > room - 2:
                raise InputError(
                    "The pins are full, as the model can read no more of them: shorten this one or unpin another."
                )
            return await self._store.add_pin(self.channel, text, author)

    async def unpin(self, pin: int) -> Pin:
        """Raises `NotFoundError`."""
        async with self._lock:
            return await self._store.remove_pin(self.channel, pin)

    # How a reply comes about

    @property
    def _fetched(self) -> int:
        return self._worker.engine_info.block_size * CHARS_PER_TOKEN

    async def _story(self) -> Story:
        if (story := await self._store.story(self.channel)) is None:
            raise NoStoryError("There is no story in this channel yet: start one first.")
        return story

    async def _recent(self, extra: int = 0) -> tuple[Story, list[Turn]]:
        return await self._story(), await self._store.recent(self.channel, self._fetched + extra * CHARS_PER_TOKEN)

    @asynccontextmanager
    async def _turn(self, sink: Sink) -> AsyncIterator[None]:
        """The channel's lock, for which only so many wait."""
        if self._waiting >= self._max_waiting:
            raise QueueFullError(self._waiting, self._waiting * USUAL_REPLY)
        self._waiting += 1
        try:
            if self._lock.locked():
                await sink.queued(self._waiting, self._waiting * USUAL_REPLY)
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()

    async def _reply(self, text: str, sink: Sink) -> tuple[str, Generated, str | None]:
        """What the model writes behind `text`, how, and a sentence about it."""
        pins = tuple(pin.text for pin in await self._store.pins(self.channel))
        summary, _ = summary_of(await self._store.summary(self.channel))
        context = Context(pins, summary, text)
        self._rules.require(f"{memory_text(pins, summary)}\n{text}", "the story so far")
        lessons, adapter = await self._adapter()
        try:
            reply, generated = await self._stream(context, adapter, sink)
        except AdapterError:  # the weights were swapped while this waited, or the adapter is damaged
            adapter = None
            reply, generated = await self._stream(context, None, sink)
        notice = None
        if lessons and adapter is None:
            notice = STALE
            self._upkeep.rebuild_soon()
        if not reply:
            notice = STOPPED if generated.finish_reason == "cancelled" else NOTHING
        return reply, generated, notice

    async def _adapter(self) -> tuple[list[LessonRow], bytes | None]:
        """The lessons, and their adapter where one fits both them and the present weights."""
        lessons = await self._store.lessons(self.channel)
        row = await self._store.adapter(self.channel, self._worker.engine_info.base_id) if lessons else None
        current = row is not None and row.lessons_digest == digest(lessons_of(lessons))
        return lessons, row.blob if row is not None and current else None

    async def _stream(self, context: Context, adapter: bytes | None, sink: Sink) -> tuple[str, Generated]:
        rules = self._rules.stream(context.text)
        passed = ""
        async with self._running(self._worker.generate(context, self._sampling, adapter=adapter), sink) as job:
            async for piece in job:
                if fresh := rules.push(visible(piece)):
                    passed += fresh
                    if shown := continued(context.text, passed).rstrip():
                        await sink.show(shown)
            generated = await job.result()
            passed += rules.finish()
        return continued(context.text, passed).rstrip(), generated

    async def _train(self, lessons: Sequence[Lesson], sink: Sink) -> Taught:
        async with self._running(self._worker.teach(lessons), sink) as job:
            async for progress in job:
                await sink.show(progress)
            return await job.result()

    @asynccontextmanager
    async def _running(self, job: Job[T], sink: Sink) -> AsyncIterator[Job[T]]:
        """The job that `stop` stops, once its turn has come; whatever goes wrong stops it too."""
        self._job = job
        try:
            while position := job.position:
                await sink.queued(position, job.expected_wait)
                if job.position == position:
                    await job.moved()
            yield job
        except BaseException:
            job.cancel()
            raise
        finally:
            self._job = None
