"""What the store takes and gives back: frozen rows. Times are Unix seconds, lengths are characters (code points)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TurnKind = Literal["premise", "member", "model"]


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


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """`body` stands for the first `covers` characters of the text of the path to `turn`."""

    turn: int
    covers: int
    body: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Pin:
    id: int
    text: str
    author_id: int
    author_name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class LessonRow:
    id: int
    prompt: str
    answer: str
    author_id: int
    author_name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """`blob` fits the base weights `base_id` alone; it was trained on the lessons that `lessons_digest` names."""

    channel: int
    base_id: str
    lessons_digest: str
    blob: bytes
    created_at: float


@dataclass(frozen=True, slots=True)
class NewAdapter:
    """An adapter to be written together with the change of lessons that it was trained on."""

    base_id: str
    lessons_digest: str
    blob: bytes


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
    """What the deletion of a person took; `channels` have lost their adapters and need them trained anew."""

    turns: int
    lessons: int
    pins: int
    channels: tuple[int, ...]
