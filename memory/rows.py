"""What the store takes and gives back: frozen rows. Times are Unix seconds, lengths are characters (code points)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TurnKind = Literal["premise", "member", "model"]
Mode = Literal["free", "round robin", "one word each", "last line only"]


@dataclass(frozen=True, slots=True)
class Author:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to be written; `author` is None where nobody in particular stands behind a model's text."""

    author: Author | None
    kind: TurnKind
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a story's tree. Turns of one exchange share a `step`; `parent` is None at the root."""

    id: int
    story: int
    parent: int | None
    step: int
    author_id: int | None
    author_name: str
    kind: TurnKind
    text: str
    created_at: float
    depth: int  # turns before this one on its path
    chars_before: int  # characters in the texts of those turns, nothing counted between them


@dataclass(frozen=True, slots=True)
class Twig:
    """A turn as a part of its tree: its number counts the turns of the story in the order in which they came."""

    id: int
    number: int
    parent: int | None
    kind: TurnKind
    author_id: int | None
    author_name: str
    words: str  # the beginning of its text


@dataclass(frozen=True, slots=True)
class Story:
    """`premise` is the text of the path's premise; `head` is None while the path is empty."""

    id: int
    channel: int
    title: str
    premise: str | None
    head: int | None
    created_at: float
    finished: bool
    guild: int | None
    turns: int  # on the path from root to head
    chars: int  # in the texts of that path
    mode: Mode = "free"  # how those who write it share it
    host: int | None = None  # who started it


@dataclass(frozen=True, slots=True)
class Table:
    """Who writes a story in turns: the first seat is at turn, and goes behind all others when it has had it."""

    seats: tuple[Author, ...] = ()
    since: float | None = None  # when that turn began; None: when it is next looked at
    patience: float | None = None  # seconds that a turn may take, 0 for any time; None: nobody chose
    missed: int = 0  # turns in a row that ended by time


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A version of the summary: `body` stands for the first `covers` characters of the text of the path to `turn`."""

    id: int
    turn: int
    covers: int
    body: str
    created_at: float
    author_id: int | None  # who wrote it; None: it was made by itself
    author_name: str


@dataclass(frozen=True, slots=True)
class VectorsRow:
    """What the weights `base_id` alone can read, for the first `covers` characters of the path to `turn`."""

    turn: int
    base_id: str
    covers: int
    blob: bytes
    created_at: float


@dataclass(frozen=True, slots=True)
class Note:
    """A steer for a story, which stands `depth` lines before the end of its text."""

    text: str
    depth: int
    author_id: int
    author_name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Pin:
    """Without `keys` it always holds; else where one of them appears."""

    id: int
    text: str
    author_id: int
    author_name: str
    created_at: float
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LessonRow:
    id: int
    prompt: str
    answer: str
    author_id: int
    author_name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    at: float
    actor_id: int
    channel: int | None
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Removed:
    """How much the deletion of a person took."""

    turns: int
    lessons: int
    pins: int
    summaries: int = 0  # made from stories in which they wrote, by themselves or by anybody
    notes: int = 0
    titles: int = 0
