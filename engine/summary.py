"""The rolling summary: what a channel still knows of text that has scrolled out of the model's window.

A model this small cannot write prose summaries, so the summary is picked from the text: names, places, and a few
sentences kept word for word (extractive summarisation; the scoring follows Edmundson 1969, "New Methods in Automatic
Extracting": cue words, key words, position). The same function makes the summaries that base weights are trained on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass

from engine.errors import PromptError

MAX_NAMES = 8
MAX_PLACES = 4
MAX_SENTENCE_CHARS = 160  # longer ones spend the budget on one event

SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+[\"')\]]*|\n|$)")
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|Capt|Col|Gen|Lt|Sgt|[A-Z])\.$")  # its point ends no sentence
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
NAMING = re.compile(r"\b(?:named|called|name was|name is)\s+(?:the\s+)?([A-Z][\w'-]+)")
PLACE = re.compile(
    r"\b(?:in|at|to|into|through|near|inside|from|towards?|across|beside)\s+(?:the|a|an|his|her|their|my|our)\s+"
    r"((?:[a-z]+\s+)?(?:forest|woods?|park|garden|house|home|castle|village|town|city|school|kitchen|river|lake|sea"
    r"|ocean|beach|cave|mountains?|hills?|farm|barn|field|meadow|island|ship|boat|tower|palace|church|inn|shop|store"
    r"|market|street|road|bridge|room|hall|library|station|desert|valley|cottage|hut|pond|zoo|playground|attic|cellar"
    r"|harbou?r))\b"
)
# Words that open a fact worth keeping: who somebody is, what he wants, what changed hands, what was promised.
CUES = frozenset(
    (
        "named called wanted wants wished promised lost found gave took stole hid secret must never always "
        "because decided became married died born lived loved hated afraid hurt broke saved told treasure key map "
        "letter magic magical"
    ).split()
)
# What a person at the start of a sentence does next.
ACTS = frozenset(
    (
        "and was is had has said says did does saw went ran met took gave told found felt knew thought came made "
        "could would sat stood smiled held heard kept left put got began let flew swam swung sang ate drank fell "
        "grew threw lives"
    ).split()
)
# Capitalised words that are no names.
NOT_NAMES = frozenset(
    (
        "I I'm I'll I've I'd Oh Ah Yes No Hello Hi Hey Please Thanks Thank Wow Sorry Okay Ok Monday Tuesday "
        "Wednesday Thursday Friday Saturday Sunday January February March April May June July August September "
        "October November December Christmas God Lord The A An And But So Then When What Why Who Where How He She "
        "It They We You His Her My Our Your Their This That These Those There Here If As At In On Of To For From "
        "With One Once Let Let's Don't Do Can Not Now Well Everyone Everybody Everything Nobody Nothing Someone "
        "Somebody Something All Both Some Many Most Each Suddenly Finally Soon Later After Before While Chapter "
        "CHAPTER Mr Mrs Miss Dr Sir English French German American"
    ).split()
)


@dataclass(frozen=True)
class Summary:
    """Names and places, most told-of first, and sentences in story order, word for word."""

    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.names or self.places or self.sentences)

    def lines(self) -> list[str]:
        """The summary as text, a line for each part that is not empty; what people read and the model sees."""
        parts = (
            ("Names", ", ".join(self.names)),
            ("Places", ", ".join(self.places)),
            ("Earlier", " ".join(self.sentences)),
        )
        return [f"{label}: {text}" for label, text in parts if text]

    def to_json(self) -> str:
        return json.dumps({"names": self.names, "places": self.places, "sentences": self.sentences}, ensure_ascii=False)

    @classmethod
    def from_json(cls, body: str) -> Summary:
        try:
            fields = json.loads(body)
            return cls(*(tuple(str(item) for item in fields[name]) for name in ("names", "places", "sentences")))
        except (ValueError, KeyError, TypeError) as error:
            raise PromptError("A stored summary is not readable; it is rebuilt when the story goes on.") from error


def summarize(text: str, previous: Summary | None, max_chars: int) -> Summary:
    """Fold text that left the window into the summary before it.

    Args:
        text: what scrolled out, in story order, behind all that `previous` covers.
        previous: the summary so far, or None.
        max_chars: budget for the whole rendered summary, in characters.
    """
    previous = previous or Summary()
    names = find_names(text, known=previous.names)
    places = _merge([match.lower() for match in PLACE.findall(text)], previous.places, MAX_PLACES)
    kept = Summary(names, places, ())
    room = max_chars - sum(len(line) + 1 for line in kept.lines()) - len("Earlier: ")
    candidates = [*previous.sentences, *split_sentences(text)]
    return Summary(names, places, _pick(candidates, names, len(previous.sentences), room))


def find_names(text: str, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of people in the text, those told of most often first; `known` ones stay while there is room."""
    counts: Counter[str] = Counter()
    for sentence in split_sentences(text):
        words = [word.removesuffix("'s") for word in WORD.findall(sentence)]
        counts.update(word for word in words[1:] if word[0].isupper() and len(word) > 1)
        # The first word of a sentence is capitalised anyway; it counts where it acts like a person.
        if len(words) > 1 and words[0][0].isupper() and (words[1] in ACTS or words[1].endswith("ed")):
            counts[words[0]] += 1
    counts.update(dict.fromkeys(NAMING.findall(text), 3))
    named = [name for name, count in counts.items() if count > 1 and name not in NOT_NAMES and not name.isupper()]
    fresh = sorted(named, key=lambda name: (-counts[name], text.find(name)))
    return _merge(fresh, known, MAX_NAMES)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each as it stands there; lines without a letter are left out."""
    spans: list[tuple[int, int]] = []
    for match in SENTENCE.finditer(text):
        if spans and ABBREVIATION.search(text, *spans[-1]) and not text[spans[-1][1]].isalnum():
            spans[-1] = (spans[-1][0], match.end())
        else:
            spans.append(match.span())
    pieces = (text[begin:end].strip() for begin, end in spans)
    return [piece for piece in pieces if any(c.isalpha() for c in piece)]


def _merge(fresh: list[str], known: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """At most `limit`: the first half of the places goes to what was known first, since heroes come early."""
    heroes = known[: limit // 2]
    return tuple(dict.fromkeys([*heroes, *fresh, *known]))[:limit]


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
        if length <= min(room, MAX_SENTENCE_CHARS) and candidates[index] not in {candidates[i] for i in chosen}:
            chosen.append(index)
            room -= length
    return tuple(candidates[index] for index in sorted(chosen))
