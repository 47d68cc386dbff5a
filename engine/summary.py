"""The rolling summary: what a channel still knows of text that has scrolled out of the model's window.

A model this small cannot write prose summaries, so the summary is picked from the text: names, places and things, and a
few sentences kept word for word (extractive summarisation; the scoring follows Edmundson 1969, "New Methods in
Automatic Extracting": cue words, key words, position). Behind what is shown stands an archive of all that was told of,
out of which those come back that the story comes back to. The same function makes the summaries that base weights are
trained on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from engine.errors import PromptError
from engine.gleaning import (
    ABBREVIATION,
    CUES,
    WORD,
    find_names,
    names_told_of,
    places_told_of,
    split_sentences,
    things_told_of,
)

__all__ = ["ABBREVIATION", "Known", "Summary", "find_names", "split_sentences", "summarize"]

LABELS = ("Names", "Places", "Things", "Earlier")  # of the lines of a summary, in their order
SHOWN = {"name": 12, "place": 4, "thing": 4}  # at most
MAX_SENTENCE_CHARS = 160  # longer ones spend the budget on one event
LIST_SHARE, SENTENCE_SHARE = 0.75, 0.4  # of the budget, each at most: names are worth more than sentences
MIN_SENTENCE_CHARS = 30  # shorter ones tell nothing by themselves
MAX_ARCHIVE = 200  # words; some 8 kB
NEAR = 4_000  # characters: what was told of so far back has lost two thirds of what nearness counts
OPENING = 1_500  # characters: whom a story begins with is a hero

CLOSED = re.compile(r"[.!?]+[\"')\]]*\s+")  # where a sentence among others ends


class Known(NamedTuple):
    """What the archive keeps of a name, a place or a thing."""

    word: str
    kind: str  # "name", "place" or "thing"
    times: int  # how often it was told of
    last: int  # characters of the story up to the end of the text that told of it last
    opening: bool  # the story began with it


@dataclass(frozen=True)
class Summary:
    """Names, places and things, most worth knowing first, and sentences in story order, word for word.

    Attributes:
        archive: all that is known of, of which the lists show a part.
        read: characters of the story that were folded in.
    """

    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    archive: tuple[Known, ...] = ()
    read: int = 0

    def __bool__(self) -> bool:
        return bool(self.names or self.places or self.things or self.sentences)

    def lines(self) -> list[str]:
        """The summary as text, a line for each part that is not empty; what people read and the model sees."""
        lists = (self.names, self.places, self.things)
        parts = [*map(", ".join, lists), " ".join(self.sentences)]
        return [f"{label}: {text}" for label, text in zip(LABELS, parts, strict=True) if text]

    def shorter(self) -> Summary:
        """The same without its last sentence, or where there is none without the last word of a list."""
        for field in ("sentences", "things", "places", "names"):
            if kept := getattr(self, field):
                return replace(self, **{field: kept[:-1]})
        return self

    def to_json(self) -> str:
        return json.dumps({field: getattr(self, field) for field in self.__dataclass_fields__}, ensure_ascii=False)

    @classmethod
    def from_json(cls, body: str) -> Summary:
        """Raises PromptError where this is no summary; those that were stored before there were things are read too."""
        try:
            fields = json.loads(body)
            names, places, sentences = (_strings(fields[name]) for name in ("names", "places", "sentences"))
            archive = tuple(
                Known(str(word), str(kind), int(times), int(last), bool(opening))
                for word, kind, times, last, opening in fields.get("archive", ())
            )
            return cls(
                names, places, sentences, _strings(fields.get("things", ())), archive, int(fields.get("read", 0))
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise PromptError("A stored summary is not readable; it is rebuilt when the story goes on.") from error

    @classmethod
    def from_text(cls, text: str, before: Summary | None = None) -> Summary:
        """What `lines` wrote, joined by line breaks, after a person edited it: a line that begins with no label goes on
        with the part above it, and is a sentence where there is none; what a person wrote is never shortened.

        Args:
            before: the summary that was edited; of its archive all stays but what was taken out of the lists.

        Raises:
            PromptError: it holds pinned facts, which are kept elsewhere.
        """
        parts: dict[str, list[str]] = {label: [] for label in LABELS}
        label = LABELS[-1]
        for line in text.splitlines():
            head, colon, rest = line.partition(":")
            if head.strip().lower() == "facts" and colon:
                raise PromptError("A summary holds no facts; pin them, and take the line that begins with Facts out.")
            if head.strip().capitalize() in LABELS and colon:
                label, line = head.strip().capitalize(), rest
            if line.strip():
                parts[label].append(line.strip())
        names, places, things = (_listed(", ".join(parts[label])) for label in LABELS[:3])
        before = before or cls()
        gone = {*before.names, *before.places, *before.things} - {*names, *places, *things}
        archive = tuple(known for known in before.archive if known.word not in gone)
        return cls(names, places, tuple(_sentences_of(" ".join(parts[LABELS[-1]]))), things, archive, before.read)


def summarize(text: str, previous: Summary | None, max_chars: int) -> Summary:
    """Fold text that left the window into the summary before it.

    Args:
        text: what scrolled out, in story order, behind all that `previous` covers.
        previous: the summary so far, or None.
        max_chars: budget for the whole rendered summary, in characters.
    """
    previous = previous or Summary()
    read = previous.read + len(text)
    archive = _remembered(previous, text, read)
    shown = _shown(archive, read, max_chars * LIST_SHARE)
    kept = Summary(shown["name"], shown["place"], (), shown["thing"])
    left = max_chars - sum(len(line) + 1 for line in kept.lines())
    room = min(left, int(max_chars * SENTENCE_SHARE)) - len("Earlier: ")
    # What does not begin as a sentence was torn from one.
    candidates = [*previous.sentences, *(s for s in split_sentences(text) if not s[0].islower() and s[0] not in ",;:.")]
    sentences = _pick(candidates, kept.names, len(previous.sentences), room)
    return Summary(kept.names, kept.places, sentences, kept.things, archive, read)


def _remembered(previous: Summary, text: str, read: int) -> tuple[Known, ...]:
    """The archive with what this text tells of, those that matter most first, at most MAX_ARCHIVE.

    What stands in the lists but not in the archive was written there by a person, or by an older version.
    """
    known = {(old.kind, old.word): old for old in previous.archive}
    for kind, words in zip(SHOWN, (previous.names, previous.places, previous.things), strict=True):
        for word in words:
            known.setdefault((kind, word), Known(word, kind, 3, previous.read, True))
    told = {"name": names_told_of(text), "place": places_told_of(text), "thing": things_told_of(text)}
    for kind, counts in told.items():
        for word, count in counts.items():
            old = known.get((kind, word), Known(word, kind, 0, read, previous.read < OPENING))
            known[kind, word] = old._replace(times=old.times + count, last=read)
    return tuple(sorted(known.values(), key=lambda k: -_worth(k, read))[:MAX_ARCHIVE])


def _worth(known: Known, read: int) -> float:
    """How much it matters to what comes next: how often it was told of, how lately, and whether it was there first."""
    return math.log2(1 + known.times) + 3 * math.exp(min(0, known.last - read) / NEAR) + 1.5 * known.opening


def _shown(archive: Sequence[Known], read: int, room: float) -> dict[str, tuple[str, ...]]:
    """What the lists show, best first, in that many characters. A word that was told of once is no name yet."""
    shown: dict[str, tuple[str, ...]] = dict.fromkeys(SHOWN, ())
    for known in archive:
        listed = shown[known.kind]
        cost = len(known.word) + 2 + (0 if listed else 8)  # with a comma, or the line's label
        same = any(f" {word}".endswith(f" {known.word}") for word in listed)  # the red kite is the kite
        told = known.times > 1 or known.kind == "place"
        if told and not same and len(listed) < SHOWN[known.kind] and cost <= room:
            shown[known.kind] = (*listed, known.word)
            room -= cost
    return shown


def _strings(items: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(item) for item in items)


def _listed(text: str) -> tuple[str, ...]:
    """The items of a list with commas, each once."""
    return tuple(dict.fromkeys(item for part in text.split(",") if (item := " ".join(part.split()))))


def _sentences_of(text: str) -> list[str]:
    """The sentences of one line, so that joined by spaces they are that line again."""
    sentences, begin = [], 0
    for match in CLOSED.finditer(text):
        if not ABBREVIATION.search(text[begin : match.end()].rstrip()):
            sentences.append(text[begin : match.end()].strip())
            begin = match.end()
    return [sentence for sentence in [*sentences, text[begin:].strip()] if sentence]


def _pick(candidates: list[str], names: tuple[str, ...], n_old: int, room: int) -> tuple[str, ...]:
    """The sentences with the highest score that fit into `room` characters, in story order."""

    def score(index: int) -> float:
        words = set(WORD.findall(candidates[index]))
        told_of = sum(name in words for name in names)
        cues = sum(word.lower() in CUES for word in words)
        opening = 1.5 if index in (0, n_old) else 0.0  # a story and a scene say first who and where
        survivor = 1.0 if index < n_old else 0.0  # was worth keeping before; without this every fold forgets the start
        speech = 0.7 if '"' in candidates[index] else 0.0  # small talk, more often than not
        return told_of + 1.2 * cues + opening + survivor - speech

    chosen: list[int] = []
    for index in sorted(range(len(candidates)), key=score, reverse=True):
        length = len(candidates[index]) + 1
        if MIN_SENTENCE_CHARS < length <= min(room, MAX_SENTENCE_CHARS) and candidates[index] not in {
            candidates[i] for i in chosen
        }:
            chosen.append(index)
            room -= length
    return tuple(candidates[index] for index in sorted(chosen))
