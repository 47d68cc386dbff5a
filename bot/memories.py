"""What a channel remembers and was taught, and what its model sees of that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.channel import Channel, Sink
from bot.errors import InputError, RefusedError
from bot.lore import typed_keys
from bot.manuscript import MAX_TEXT, typed, visible
from bot.rating import Rating
from bot.rules import Checkpoint
from bot.sight import MemoryView, Room, look
from bot.upkeep import FORGOTTEN, PAUSED, scope, summary_of
from engine.lesson import Lesson
from engine.outcome import Recall, Taught
from engine.prompt import Context
from engine.recollection import MOST_PAST_CHARS
from engine.summary import Summary
from memory import Author, LessonRow, NoStoryError, Note, Pin, Store, Story, SummaryRow

MAX_LESSON = 500  # characters of a prompt, of an answer
MAX_PINS = 20  # without keys
MAX_ENTRIES = 50  # with keys: each is looked for before every reply
MAX_PIN = 300  # characters
MAX_KEYS, MAX_KEY = 8, 60  # of a pin; characters
MAX_NOTE, MAX_NOTE_DEPTH = 300, 20  # characters; lines behind it
NOTE_DEPTH = 3
CHARS_PER_TOKEN = 6  # text fetched for the window; what does not fit is cut by the engine
ALWAYS_ON, STYLE = "teach.always_on", "style"  # settings of the channel


@dataclass(frozen=True)
class Lore:
    """What was taught and chosen for a channel, as the weights `base_id` can use it."""

    base_id: str
    lessons: list[LessonRow]
    units: dict[int, bytes]  # of each lesson that these weights have learnt
    always_on: bool
    style: str | None
    style_file: Path | None  # None too where the pack has gone


class RememberingChannel(Channel):
    """Lessons, pins, summary and settings of a channel, and the view of all that the model sees next."""

    # Lessons

    async def teach(self, prompt: str, answer: str, author: Author, sink: Sink) -> Taught:
        """Has the present weights learn a lesson, beside those there are; the sink shows progress.

        Raises `InputError`, `RefusedError`, `QuotaSpentError`, `QuotaError`, `EngineError`, `StoreError`; then, and if
        cancelled, nothing has changed.
        """
        prompt = typed(prompt, what="The prompt", limit=MAX_LESSON)
        answer = typed(answer, what="The answer", limit=MAX_LESSON)
        rating = await self._rating.begin()
        self._require_lesson(prompt, answer, rating)
        limits = {"per_member": self._settings.lessons_per_member, "per_channel": self._settings.lessons_per_channel}
        async with self._turn(sink):
            await self._store.require_room(self.channel, author, **limits)
            rows = await self._store.lessons(self.channel)
            if known := next((row for row in rows if row.prompt.casefold() == prompt.casefold()), None):
                raise InputError(
                    f"Lesson {known.id} answers this prompt already: forget it first to teach another answer."
                )
            self._charge(author, what="lessons")
            async with self._running(self._worker.teach(Lesson(prompt, answer), line=self.channel), sink) as job:
                async for progress in job:
                    await sink.show(progress)
                taught = await job.result()
            noting = self._noting(author, "teach.add", lambda lesson: f"lesson {lesson.id}")
            lesson = await noting.teach(
                self.channel,
                guild=self.guild,
                prompt=prompt,
                answer=answer,
                author=author,
                base_id=taught.base_id,
                blob=taught.adapter,
                **limits,
            )
            await self._rating.made("lessons", lesson.id, rating)
        return taught

    def _require_lesson(self, prompt: str, answer: str, rating: Rating) -> None:
        mature, at = rating is Rating.MATURE, Checkpoint.TEACHING
        self._rules.require(prompt, "the lesson", at=at, mature=mature)
        self._rules.require(answer, "the lesson", f"{prompt} ", at=at, mature=mature)

    async def lessons(self) -> list[LessonRow]:
        return await self._store.lessons(self.channel)

    async def forget(self, lesson: int, actor: Author | None = None) -> LessonRow:
        """As if it had never been taught; nothing is trained. Raises `NotFoundError`."""
        async with self._lock:
            return await self._noting(actor, "teach.forget", f"lesson {lesson}").forget(self.channel, lesson)

    async def forget_member(self, author_id: int, actor: Author | None = None) -> list[LessonRow]:
        """As if that one had never taught this channel; gives what is gone, which may be nothing."""
        async with self._lock:
            noting = self._noting(
                actor, "teach.forget_member", lambda gone: f"{len(gone)} lessons of {author_id}" if gone else None
            )
            return await noting.forget_author(self.channel, author_id)

    async def test_lessons(self, sink: Sink, author: Author | None = None) -> list[tuple[LessonRow, Recall]]:
        """What each prompt is answered with, likeliest words first and as replies are written; shows progress.

        Raises `QuotaSpentError`, `EngineError`, `StoreError`.
        """
        self._charge(author)
        results: list[tuple[LessonRow, Recall]] = []
        async with self._turn(sink):
            lore = await self._lore()
            for number, row in enumerate(lore.lessons, start=1):
                await sink.show(f"lesson {number} of {len(lore.lessons)}")
                adapters = list(lore.units.values())
                lesson = Lesson(row.prompt, row.answer)
                recall = self._worker.recall(lesson, adapters, always_on=lore.always_on, line=self.channel)
                async with self._running(recall, sink) as job:
                    results.append((row, self._presentable(await job.result(), await self._rating.place())))
        return results

    def _presentable(self, recall: Recall, rating: Rating) -> Recall:
        """What the model said, or why it is not shown."""
        try:
            mature = rating is Rating.MATURE
            self._rules.require(recall.answer, "the answer", at=Checkpoint.OUTPUT, mature=mature)
        except RefusedError as error:
            return Recall(str(error), False)
        return recall

    async def set_always_on(self, on: bool, actor: Author) -> None:
        """Whether lessons take part in all that is written here, or only in what has to do with them."""
        await self._set(ALWAYS_ON, "on" if on else None, actor, "teach.always", "on" if on else "off")

    async def set_style(self, name: str | None, actor: Author) -> None:
        """Writes with this style pack from now on, with none for None. Raises `InputError`, `AdapterError`."""
        if name is None:
            await self._set(STYLE, None, actor, "style.off", "")
        else:
            await self._set(STYLE, self._styles.check(name).name, actor, "style.use", name)

    # Pins

    async def pin(self, text: str, author: Author, keys: Sequence[str] = ()) -> Pin:
        """A fact that the model always sees; with keys, where it sees one of them. Raises `InputError`,
        `RefusedError`."""
        text = typed(text, what="The pin", limit=MAX_PIN, one_line=True)
        keys = typed_keys(keys, MAX_KEYS, MAX_KEY)
        async with self._lock:
            rating = await self._rating.begin()
            self._rules.require("\n".join([text, *keys]), "the pin", mature=rating is Rating.MATURE)
            pins = await self._store.pins(self.channel)
            if text in [pin.text for pin in pins]:
                raise InputError("This is pinned already.")
            plain = [pin for pin in pins if not pin.keys]
            same = len(pins) - len(plain) if keys else len(plain)
            new = Pin(0, text, author.id, author.name, 0.0, keys)
            if same >= (MAX_ENTRIES if keys else MAX_PINS) or not self._room_beside(None).has_for_pins([*plain, new]):
                raise InputError(
                    "The pins are full, as the model can read no more of them: shorten this one or unpin another."
                )
            pin = await self._store.add_pin(self.channel, text, author, keys)
            await self._rating.made("pins", pin.id, rating)
        return pin

    async def unpin(self, pin: int, actor: Author | None = None) -> Pin:
        """Raises `NotFoundError`."""
        async with self._lock:
            return await self._noting(actor, "memory.unpin", f"pin {pin}").remove_pin(self.channel, pin)

    # The note

    async def put_note(self, text: str, depth: int, author: Author) -> Note:
        """A steer for this story, which the model sees `depth` lines before the end of its text.

        Raises `InputError`, `RefusedError`, `NoStoryError`.
        """
        text = typed(text, what="The note", limit=MAX_NOTE, one_line=True)
        if not 1 <= depth <= MAX_NOTE_DEPTH:
            raise InputError(f"The note stands 1 to {MAX_NOTE_DEPTH} lines before the end: choose one of those.")
        async with self._lock:
            rating = await self._rating.begin(await self._story())
            self._rules.require(text, "the note", mature=rating is Rating.MATURE)
            return await self._store.put_note(self.channel, text, depth, author)

    async def remove_note(self) -> Note:
        """Raises `NotFoundError`."""
        async with self._lock:
            return await self._store.remove_note(self.channel)

    # The summary

    async def edit_summary(self, text: str, author: Author) -> SummaryRow:
        """Puts what a person wrote in the summary's place; what scrolls out from now on is folded onto it.

        Raises `InputError`, `RefusedError`, `PromptError`, `NoStoryError`.
        """
        text = visible(text).strip()
        if len(text) > MAX_TEXT:
            raise InputError(f"The summary has {len(text):,} characters, and the limit is {MAX_TEXT:,}: shorten it.")
        async with self._lock:
            rating = await self._rating.begin(await self._store.story(self.channel))
            self._rules.require(text, "the summary", mature=rating is Rating.MATURE)
            head = await self._head()
            before, covers = summary_of(await self._store.summary(self.channel))
            summary = Summary.from_text(text, before)
            plain = [pin for pin in await self._store.pins(self.channel) if not pin.keys]
            room = self._room_beside(None)
            if not room.has_for_summary(summary):
                raise InputError(
                    f"The summary takes more than its budget of {room.summary_budget:,} tokens: shorten it, or have"
                    " summary_budget raised in /settings."
                )
            if not room.has_for(plain, summary):
                raise InputError("The summary is longer than what the model can read beside the pins: shorten it.")
            noting = self._noting(author, "memory.edit", lambda row: f"summary {row.id}")
            return await noting.put_summary(self.channel, head, covers, summary.to_json(), author)

    async def summary_versions(self, limit: int) -> list[SummaryRow]:
        """Those of the story as it stands: the one that holds, then those before it."""
        return await self._store.summary_versions(self.channel, limit)

    async def restore_summary(self, version: int, actor: Author) -> SummaryRow:
        """Has an earlier version hold again, from here on. Raises `NotFoundError`."""
        async with self._lock:
            noting = self._noting(actor, "memory.restore", f"summary {version}")
            return await noting.restore_summary(self.channel, version, actor)

    async def pause(self, actor: Author) -> None:
        """Text that scrolls out from now on waits; the summary stays as it is, unless somebody edits it."""
        await self._set(PAUSED, "on", actor, "memory.pause", "")

    async def resume(self, actor: Author) -> None:
        """Folds what has scrolled out meanwhile, and goes on so."""
        await self._set(PAUSED, None, actor, "memory.resume", "")
        self._upkeep.remember_soon()

    # All of it

    async def reset(self, actor: Author | None = None) -> None:
        """Lessons, pins and summary go; the story stays, and what has scrolled out of it stays forgotten."""
        async with self._lock:
            self._upkeep.was_reset()
            await self._noting(actor, "memory.reset").reset(self.channel)
            story = await self._store.story(self.channel)
            if story is not None and story.head is not None and (covers := await self._upkeep.scrolled_out()):
                await self._store.put_summary(self.channel, story.head, covers, Summary().to_json())
                await self._store.set_setting(scope(self.channel), FORGOTTEN.format(story.id), str(covers))

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """In here nobody changes the channel; what is being made of its text meanwhile is dropped."""
        async with self._lock:
            try:
                yield
            finally:
                self._upkeep.was_reset()

    async def memory(self) -> MemoryView:
        """What the model sees when it next continues the story."""
        story = await self._store.story(self.channel)
        turns = await self._store.recent(self.channel, self._fetched)
        text, begin = "".join(turn.text for turn in turns), turns[0].chars_before if turns else 0
        pins, (summary, covers) = await self._pins_and_summary()
        note = await self._store.note(self.channel)
        lore, room = await self._lore(), self._room_beside(note)
        sight = look(room, pins, summary, text)
        recalled = range(0) if story is None else await self._recalled(story, begin + sight.begin, covers)
        plain, all_seen = room.taken(pin for pin in sight.pins if not pin.keys), room.taken(sight.pins)
        return MemoryView(
            pins=pins,
            entered=[pin for pin in sight.pins if pin.keys],
            crowded_out=[pin for pin in pins if not pin.keys and pin not in sight.pins],
            summary=summary or None,
            seen_summary=sight.summary,
            covers=covers,
            paused=await self._store.setting(scope(self.channel), PAUSED) is not None,
            lessons=lore.lessons,
            learnt=frozenset(lore.units),
            hopeless={row.id: why for row in lore.lessons if (why := self._upkeep.gave_up(row.id)) is not None},
            rebuilding=self._upkeep.rebuilding,
            always_on=lore.always_on,
            style=lore.style,
            style_problem=None if lore.style is None else self._styles.problem(lore.style),
            pins_tokens=plain,
            entries_tokens=all_seen - plain,
            summary_tokens=room.taken(sight.pins, sight.summary) - all_seen,
            pins_budget=room.pins_budget,
            summary_budget=room.summary_budget,
            text_tokens=room.count(text[sight.begin :]),
            reply_tokens=room.window - room.prompt,
            window=room.window,
            note=note,
            note_tokens=room.note,
            text=text[sight.begin :],
            recalled=len(recalled),
        )

    # For those who write

    def _room_beside(self, note: Note | None) -> Room:
        text = "" if note is None else note.text
        return Room(self._worker, self._sampling.max_new_tokens, text, self._budgets())

    @property
    def _fetched(self) -> int:
        return self._worker.engine_info.block_size * CHARS_PER_TOKEN

    async def _story(self) -> Story:
        if (story := await self._store.story(self.channel)) is None:
            await self._store.path(self.channel, 1)  # says so where it is frozen
            raise NoStoryError("There is no story in this channel yet: start one first.")
        return story

    async def _head(self) -> int:
        if (head := (await self._story()).head) is None:
            raise InputError("The story has no text yet, and so nothing to summarise: write its beginning first.")
        return head

    async def _pins_and_summary(self) -> tuple[list[Pin], tuple[Summary | None, int]]:
        pins = await self._store.pins(self.channel)
        return pins, summary_of(await self._store.summary(self.channel))

    async def _context(self, story: Story, begin: int, text: str) -> Context:
        """What the model is given to continue this text, which begins at the character `begin` of the story's path."""
        pins, (summary, covers) = await self._pins_and_summary()
        note = await self._store.note(self.channel)
        near = text[-self._fetched :]
        sight = look(self._room_beside(note), pins, summary, near)
        seen = near[sight.begin :]
        past = await self._recalled(story, begin + len(text) - len(seen), covers)
        vectors = await self._store.vectors(self.channel, self._worker.engine_info.base_id)
        return Context(
            pins=tuple(pin.text for pin in sight.pins),
            summary=sight.summary,
            text=seen,
            vectors=None if vectors is None else vectors.blob,
            note="" if note is None else note.text,
            note_depth=NOTE_DEPTH if note is None else note.depth,
            past=text[max(past.start - begin, 0) : max(past.stop - begin, 0)],
        )

    async def _recalled(self, story: Story, seen: int, covers: int) -> range:
        """Of the characters of the path those that left the window, which is seen from `seen` on, and are recalled:
        not what a reset took, nor in a pause what the summary does not stand for."""
        chosen = await self._store.settings(scope(self.channel))
        end = min(seen, covers) if PAUSED in chosen else seen
        return range(max(end - MOST_PAST_CHARS, int(chosen.get(FORGOTTEN.format(story.id), 0))), end)

    async def _lore(self, style: str | None = None) -> Lore:
        """`style`: that of this once, instead of the channel's."""
        base_id, place = self._worker.engine_info.base_id, await self._rating.place()
        lessons = [row for row in await self._store.lessons(self.channel) if self._may_teach(row, place)]
        units = await self._store.units(self.channel, base_id) if lessons else {}
        units = {row.id: units[row.id] for row in lessons if row.id in units}
        chosen = await self._store.settings(scope(self.channel))
        style = style or chosen.get(STYLE)
        file = None if style is None else self._styles.file(style)
        if file is not None and self._styles.rating(file) > place:
            file = None  # until the channel is mature again
        return Lore(base_id, lessons, units, ALWAYS_ON in chosen, style, file)

    def _may_teach(self, row: LessonRow, rating: Rating) -> bool:
        """Whether the lists of today let a lesson pass that was taught under those of its day."""
        known = (row.id, rating)
        if known not in self._passed:
            try:
                self._require_lesson(row.prompt, row.answer, rating)
                self._passed[known] = True
            except RefusedError:
                self._passed[known] = False
        return self._passed[known]

    async def _lowest(self, story: Story, context: Context, lore: Lore) -> Rating:
        """The rating of a reply: the lowest of the place's and of all that it is written with."""
        ratings = [await self._rating.place()]
        if lore.style_file is not None:
            ratings.append(self._styles.rating(lore.style_file))
        ratings += [await self._rating.of("lessons", lesson) for lesson in lore.units]
        if context.summary is not None:
            ratings.append(await self._rating.of("stories", story.id))
        return min(ratings)

    async def _set(self, key: str, value: str | None, actor: Author, action: str, detail: str) -> None:
        async with self._lock:
            await self._noting(actor, action, detail).set_setting(scope(self.channel), key, value)

    def _noting(self, actor: Author | None, action: str, detail: Callable[[Any], str | None] | str = "") -> Store:
        """The store, whose next change is an act of this person."""
        return self._store if actor is None else self._store.noting(actor.id, self.channel, action, detail)
