"""People and turns that the tests of this room share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from memory import Author, LessonRow, NewTurn, Store, Turn

ANN = Author(7, "Ann")
BEN = Author(8, "Ben")


def exchange(member: str = "She ran.", model: str = "The wind ran after her.", author: Author = ANN) -> list[NewTurn]:
    return [NewTurn(author, "member", member), NewTurn(None, "model", model)]


async def story(store: Store, channel: int = 1, premise: str = "A hill.") -> None:
    await store.start_story(channel, guild=3, title="Hill", premise=premise, author=ANN)


async def step(store: Store, channel: int = 1, member: str = "She ran.", model: str = "The wind ran.") -> list[Turn]:
    under_way = await store.story(channel)
    assert under_way is not None
    return await store.append(channel, exchange(member, model), after=under_way.head)


async def texts(store: Store, channel: int = 1) -> list[str]:
    return [turn.text for turn in await store.path(channel)]


async def taught(
    store: Store,
    channel: int = 1,
    *,
    prompt: str = "Who?",
    answer: str = "Ann.",
    author: Author = ANN,
    base_id: str = "base",
    blob: bytes = b"units",
    per_member: int = 9,
    per_channel: int = 9,
) -> LessonRow:
    return await store.teach(
        channel,
        guild=3,
        prompt=prompt,
        answer=answer,
        author=author,
        base_id=base_id,
        blob=blob,
        per_member=per_member,
        per_channel=per_channel,
    )


def content(file: Path) -> bytes:
    return file.read_bytes()


def overwrite(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def sql(file: Path, statement: str) -> list[tuple[object, ...]]:
    """Runs a statement behind the store's back, on a file that no store has open."""
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(statement).fetchall()


def threads_end(before: Collection[threading.Thread]) -> None:
    """A connection's thread ends shortly after the close; one that does not has been left open."""
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(10)
            assert not thread.is_alive(), thread
