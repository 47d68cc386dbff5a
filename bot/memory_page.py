"""What the model sees next, as a page: its parts in the order in which it sees them, and what room they leave."""

from __future__ import annotations

from dataclasses import dataclass

from bot.output import LIMIT, harmless, units
from bot.sight import MemoryView
from bot.wording import lessons_state, pin_line
from memory import Pin

CELLS = 40  # of the bar
FREE = "·"


@dataclass(frozen=True)
class Part:
    """Something that the model sees, or that waits to be seen; the latter takes no room."""

    sign: str  # its cells in the bar
    title: str
    tokens: int
    text: str  # its own words; may be empty
    from_end: bool = False  # where there is no room for all of it, its end is shown


@dataclass(frozen=True)
class Page:
    parts: list[Part]
    bar: str
    total: str

    @property
    def text(self) -> str:
        """All of it, as plain text."""
        blocks = [f"{_head(part)}\n{part.text}".rstrip() for part in self.parts]
        return "\n\n".join([*blocks, f"{self.bar}\n{self.total}"])


def page_of(view: MemoryView) -> Page:
    """The page of what is remembered of a channel."""
    plain = [pin for pin in view.pins if not pin.keys and pin not in view.crowded_out]
    no_pins = "none" if view.crowded_out else "none: /memory pin keeps a fact"
    parts = [Part("█", "Pins", view.pins_tokens, _pins(plain) or no_pins)]
    if view.entered:
        parts.append(Part("▓", "Pins whose keys are in the text", view.entries_tokens, _pins(view.entered)))
    parts += [
        _summary(view),
        Part("▒", "Text of the story", view.text_tokens, view.text.strip() or "none yet", from_end=True),
        *_note(view),
        Part("░", "Kept for the reply", view.reply_tokens, ""),
    ]
    taken = [(part.sign, part.tokens) for part in parts]
    if view.recalled:
        before = f"the {view.recalled:,} characters before that text"
        parts.append(Part("", "Recalled where the story comes back to it", 0, before))
    if view.crowded_out:
        parts.append(Part("", "Pins that the budget has no room for", 0, _pins(view.crowded_out)))
    if view.left_out:
        parts.append(Part("", "Pins that wait for their keys", 0, _pins(view.left_out)))
    if view.lessons:
        parts.append(Part("", "Lessons", 0, lessons_state(view)))
    if view.style is not None:
        parts.append(Part("", "Style", 0, view.style_problem or view.style))
    total = f"{view.window - view.free_tokens:,} of {view.window:,} tokens are taken, {view.free_tokens:,} are free."
    total = f"Budgets: {view.pins_budget:,} tokens for pins, {view.summary_budget:,} for the summary. {total}"
    return Page(parts, bar(taken, view.window), total)


def _pins(pins: list[Pin]) -> str:
    return "\n".join(pin_line(pin) for pin in pins)


def _summary(view: MemoryView) -> Part:
    title = f"Summary of the first {view.covers:,} characters" if view.covers else "Summary"
    if view.paused:
        title += ", paused"
    if view.summary is None:
        return Part("▚", title, 0, "none: /memory edit writes one" if view.covers else "none yet: all text is in sight")
    if view.seen_summary is None:
        title += ", left out as pins take its room" if view.summary_budget else ", left out as its budget is 0"
    elif view.seen_summary != view.summary:
        title += ", shortened to the room there is"
    return Part("▚", title, view.summary_tokens, "\n".join((view.seen_summary or view.summary).lines()))


def _note(view: MemoryView) -> list[Part]:
    if view.note is None:
        return []
    title = f"Note, {view.note.depth} {'line' if view.note.depth == 1 else 'lines'} before the end of the text"
    if not view.note_tokens:
        title += ", left out as it takes too much room"
    return [Part("▞", title, view.note_tokens, f"{view.note.text} ({view.note.author_name})")]


def _head(part: Part) -> str:
    return " ".join(filter(None, (part.sign, part.title, f"({part.tokens:,} tokens)" if part.sign else "")))


def bar(parts: list[tuple[str, int]], window: int) -> str:
    """A cell stands for an equal share of the window; no part is too small for one."""
    cells = "".join(sign * max(1, round(CELLS * tokens / window)) for sign, tokens in parts if tokens)
    return f"{cells[:CELLS]:{FREE}<{CELLS}}"


def as_message(page: Page) -> tuple[str, bool]:
    """The page as one message of Discord, and whether something in it was cut for that."""
    heads = [f"**{_head(part)}**" for part in page.parts]
    foot = f"`{page.bar}`\n-# {page.total}"
    bodies = [harmless(part.text) for part in page.parts]
    room = LIMIT - units("\n".join([*heads, foot])) - len(bodies)  # a line's end before each
    shares = fair_shares([units(body) for body in bodies], room)
    shown = [_cut(part, share) for part, share in zip(page.parts, shares, strict=True)]
    lines = [text for pair in zip(heads, shown, strict=True) for text in pair if text]
    return "\n".join([*lines, foot]), shown != bodies


def fair_shares(wanted: list[int], room: int) -> list[int]:
    """Room for each: the small ones get what they want, the others the same each."""
    shares = [0] * len(wanted)
    for rank, index in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[index] = min(wanted[index], room // (len(wanted) - rank))
        room -= shares[index]
    return shares


def _cut(part: Part, room: int) -> str:
    """The part's text made harmless, in at most `room` characters."""
    if units(whole := harmless(part.text)) <= room:
        return whole
    kept = room
    while kept > 1:
        text = "… " + harmless(part.text[-kept:]) if part.from_end else harmless(part.text[:kept]) + " …"
        if units(text) <= room:
            return text
        kept -= units(text) - room
    return "…"
