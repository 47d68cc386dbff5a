"""What a channel was taught, remembers and writes like, in the words of both fronts: plain text, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.shelf import ShelfEntry
from bot.sight import MemoryView
from bot.styles import StyleEntry
from bot.upkeep import summary_of
from engine.outcome import Recall, Taught
from memory import LessonRow, Pin, Story, SummaryRow, Turn, Twig

ALWAYS = {
    True: "Lessons now take part in all that is written here: they also colour text that has nothing to do with them.",
    False: "Lessons now take part only in text that has to do with them; all other text is as if nothing was taught.",
}
RESET = "Pins, lessons and summaries of this channel are gone; the story stays."
ASK_RESET = "This forgets pins, lessons and summaries of this channel, and cannot be undone; the story stays."
PAUSED = "Paused: the summary stays as it is, and what scrolls out of the model's sight from now on is not remembered."
RESUMED = "What scrolls out of the model's sight is remembered again, and what did so meanwhile too."
NO_STYLE = "From the next reply on no style pack is used here."
NOTHING_TAUGHT = "Nothing was taught here yet: /teach add does it."
NO_VERSIONS = "There is no summary of this story yet: one is made when text scrolls out of the model's sight."
NOTED = "The model sees this from the next reply on; /memory show says where, /story note without text takes it away."
NO_STORIES = "There was no story in this channel yet: /story start begins one."
NO_STYLES = "There are no style packs on this host: its operator makes them with python -m training adapt."

HISTORY = 20  # versions of the summary that are listed


def short(text: str, limit: int = 80) -> str:
    """On one line, and cut with "…" where it is longer."""
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


# The story


def story_about(story: Story) -> str:
    """How long it is."""
    return f"{story.chars:,} characters in {story.turns:,} {'turn' if story.turns == 1 else 'turns'}"


def twig_line(twig: Twig, limit: int = 80) -> str:
    """A turn of the story's tree: its number, its words, and who wrote them."""
    return f"{twig.number}: {short(twig.words, limit)} ({written_by(twig)})"


def written_by(turn: Turn | Twig) -> str:
    if turn.kind != "model":
        return short(turn.author_name, 40) or "nobody"
    return f"the model, changed by {short(turn.author_name, 40)}" if turn.author_name else "the model"


def passages(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """The text of turns by who wrote it; what one wrote in a row is one passage."""
    found: list[tuple[str, str]] = []
    for turn in turns:
        who = written_by(turn)
        if found and found[-1][0] == who:
            found[-1] = (who, found[-1][1] + turn.text)
        else:
            found.append((who, turn.text))
    return [(who, text.strip()) for who, text in found]


# Lessons


def lesson_line(row: LessonRow, limit: int = 150) -> str:
    return f"{short(row.prompt, limit)} → {short(row.answer, limit)}"


def learnt(taught: Taught) -> str:
    begin = f"Learnt in {taught.seconds:.1f} s"
    if taught.recalled:
        return f"{begin}; the model recalls it word for word."
    return f"{begin}, but the model does not recall it word for word: /teach test shows what it says."


def recall_lines(results: Sequence[tuple[LessonRow, Recall]]) -> list[str]:
    """How each lesson is answered, and how many word for word."""
    if not results:
        return [NOTHING_TAUGHT]
    lines = []
    for row, recall in results:
        said = "word for word" if recall.exact else f"instead “{short(recall.answer, 150) or 'nothing'}”"
        lines.append(f"{row.id}: {lesson_line(row)}: {said}")
    exact = sum(recall.exact for _, recall in results)
    lines.append(f"{exact} of {len(results)} answered word for word.")
    return lines


def lesson_state(view: MemoryView, row: LessonRow) -> str:
    """Whether these weights know it; after a change of weights each lesson is learnt again."""
    if row.id in view.learnt:
        return "learnt"
    if (why := view.hopeless.get(row.id)) is not None:
        return f"not learnt, as these weights cannot: {short(why, 200)}"
    return "being learnt" if view.rebuilding else "waits to be learnt"


def lessons_state(view: MemoryView) -> str:
    """How many there are and are learnt, and when they take part."""
    waiting = "being learnt anew for these weights" if view.rebuilding else "learnt anew for these weights by and by"
    known, hopeless = len(view.learnt), len(view.hopeless.keys() - view.learnt)
    learnt = "all learnt" if 0 < known == len(view.lessons) else f"{known} learnt"
    if known + hopeless < len(view.lessons):
        learnt += f", the others are {waiting}"
    if hopeless:
        learnt += f"; {hopeless} cannot be learnt by these weights, and /teach list says why"
    when = "they take part in all text" if view.always_on else "they take part in text that has to do with them"
    return f"{len(view.lessons)}, {learnt}; {when}"


# Pins and summaries


def pin_line(pin: Pin) -> str:
    keys = f" (only where the text has {' or '.join(pin.keys)})" if pin.keys else ""
    return f"{pin.id}: {pin.text}{keys}"


def keys_of(text: str) -> tuple[str, ...]:
    """The keys of a pin as people type them, with commas between."""
    return tuple(key for key in (" ".join(part.split()) for part in text.split(",")) if key)


def version_by(row: SummaryRow) -> str:
    return "automatic" if row.author_id is None else f"by {short(row.author_name, 60)}"


def first_words(row: SummaryRow, limit: int = 100) -> str:
    """How a version of the summary begins."""
    summary, _ = summary_of(row)
    return "not readable" if summary is None else short(" ".join(summary.lines()), limit) or "nothing"


def local_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


# Weights and styles


def weights_about(entry: ShelfEntry) -> str:
    """What a folder of weights says of itself, or what keeps it from being used."""
    if entry.problem:
        return entry.problem
    facts = [f"rated {short(str(entry.card['rating']), 20)}"] if "rating" in entry.card else []
    if isinstance(parameters := entry.card.get("parameters"), int):
        facts.append(f"{parameters / 1e6:.1f} million parameters")
    if isinstance(bits := entry.card.get("bits_per_byte"), int | float):
        facts.append(f"{bits:.3f} bits per byte")
    return ", ".join(facts)


def style_about(style: StyleEntry) -> str:
    if style.problem:
        return style.problem
    return f"rated {short(style.card.rating, 20)}" if style.card is not None else ""
