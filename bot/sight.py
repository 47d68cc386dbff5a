"""What the model sees next: which pins, how much of the text, and what each part takes of the window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.budgets import Budgets
from bot.lore import entering
from engine.prompt import MEMORY_SHARE, NOTE_SHARE, memory_text
from engine.summary import Summary
from engine.worker import Worker
from memory import LessonRow, Note, Pin

AROUND = 2  # tokens that the engine sets before and behind pins and summary


@dataclass(frozen=True)
class MemoryView:
    """What the model sees next, in tokens and in words, and what the channel was taught."""

    pins: list[Pin]  # all of the channel's, with keys and without
    entered: list[Pin]  # those with keys that the model sees
    crowded_out: list[Pin]  # those without keys that the budget has no room for
    summary: Summary | None
    seen_summary: Summary | None  # as much of it as the model sees
    covers: int  # characters of the story that the summary stands for
    paused: bool  # whether text that scrolls out waits instead of entering the summary
    lessons: list[LessonRow]
    learnt: frozenset[int]  # ids of the lessons that the present weights have learnt; the others wait for it
    hopeless: Mapping[int, str]  # ids of those that the present weights cannot learn, and why
    rebuilding: bool  # whether those are being learnt anew now
    always_on: bool  # whether lessons take part in all text, not only in what has to do with them
    style: str | None  # the style pack that was chosen
    style_problem: str | None  # why it is not used
    pins_tokens: int
    entries_tokens: int
    summary_tokens: int
    pins_budget: int  # tokens that pins with and without keys may take
    summary_budget: int
    text_tokens: int
    reply_tokens: int  # kept free for the reply
    window: int  # tokens in all
    note: Note | None
    note_tokens: int  # 0 too where there is no room for it
    text: str  # of the story, that the window shows
    recalled: int  # characters before that, recalled where the text comes back to them; they take no room

    @property
    def left_out(self) -> list[Pin]:
        """Pins with keys that the model does not see now."""
        return [pin for pin in self.pins if pin.keys and pin not in self.entered]

    @property
    def free_tokens(self) -> int:
        memory = self.pins_tokens + self.entries_tokens + self.summary_tokens
        return max(self.window - memory - self.note_tokens - self.text_tokens - self.reply_tokens, 0)


class Room:
    """The window of the present weights, and how it is shared out beside a reply of so many tokens."""

    def __init__(self, worker: Worker, reply: int, note: str = "", budgets: Budgets | None = None) -> None:
        """`note`: that of the story, which takes its room from the text."""
        self._worker, self.budgets = worker, budgets or Budgets()
        self.window = worker.engine_info.block_size
        self.prompt = max(self.window - reply, self.window // 2)
        taken = worker.count(note) + AROUND if note else 0
        self.pins_budget = int(self.window * self.budgets.pins_share)
        self.summary_budget = int(self.window * self.budgets.summary_share)
        self.note = taken if taken <= self.prompt * NOTE_SHARE else 0  # tokens; none where it is left out

    def count(self, text: str) -> int:
        return self._worker.count(text)

    def taken(self, pins: Iterable[Pin], summary: Summary | None = None) -> int:
        """Tokens of these pins and the summary together."""
        text = memory_text([pin.text for pin in pins], summary)
        return self._worker.count(text) + AROUND if text else 0

    def has_for_pins(self, pins: Iterable[Pin]) -> bool:
        """Whether these pins fit, with any weights of this window and beside replies of any length."""
        return self.taken(pins) <= self.pins_budget

    def has_for_summary(self, summary: Summary) -> bool:
        """Whether it keeps within the budget that somebody chose, where somebody did."""
        return self.budgets.summary is None or self.count(memory_text((), summary)) <= self.summary_budget

    def has_for(self, pins: Iterable[Pin], summary: Summary | None) -> bool:
        return self.taken(pins, summary) <= self.prompt * MEMORY_SHARE

    def seen_from(self, text: str, pins: Iterable[Pin], summary: Summary | None) -> int:
        """The offset in the text from which on it is seen beside these."""
        tokens = self.prompt - self.taken(pins, summary) - self.note - 1  # the start of the text
        return self._worker.visible_from(text, (max(tokens, 0) + 0.5) / self.window)


@dataclass(frozen=True)
class Sight:
    pins: list[Pin]  # that are seen, in this order
    summary: Summary | None  # None too where there is no room for it
    begin: int  # the offset in the text from which on it is seen


def look(room: Room, pins: Sequence[Pin], summary: Summary | None, text: str) -> Sight:
    """What is seen of a channel's pins and summary together with the end of this text."""
    plain = _plain_seen(room, pins)
    summary = _summary_seen(room, plain, summary)

    def seen_from(together: Sequence[Pin]) -> int | None:
        fit = room.has_for_pins(together) and room.has_for(together, summary)
        return room.seen_from(text, together, summary) if fit else None

    seen = entering([pin for pin in pins if pin.keys or pin in plain], text, seen_from)
    return Sight(seen, summary, room.seen_from(text, seen, summary))


def _plain_seen(room: Room, pins: Sequence[Pin]) -> list[Pin]:
    """Those without keys, the first ones first where a budget was chosen that has no room for all."""
    plain = [pin for pin in pins if not pin.keys]
    if room.budgets.pins is None or room.has_for_pins(plain):
        return plain
    kept: list[Pin] = []
    for pin in plain:
        if room.has_for_pins([*kept, pin]):
            kept.append(pin)
    return kept


def _summary_seen(room: Room, pins: Sequence[Pin], summary: Summary | None) -> Summary | None:
    """As much as there is room for beside these pins, which were asked for by a person. Where nobody chose a budget it
    is all or nothing."""
    if room.budgets.summary is None:
        return summary if room.has_for(pins, summary) else None
    while summary and not (room.has_for_summary(summary) and room.has_for(pins, summary)):
        summary = summary.shorter()
    return summary or None
