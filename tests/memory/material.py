"""People and turns that the tests of this room share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from memory import Author, LessonRow, NewTurn, Store, Table, Turn, copies, key_file, sealing

ANN = Author(7, "Ann")
BEN = Author(8, "Ben")


def exchange(member: str = "She ran.", model: str = "The wind ran after her.", author: Author = ANN) -> list[NewTurn]:
    return [NewTurn(author, "member", member), NewTurn(None, "model", model)]


async def story(store: Store, channel: int = 1, premise: str = "A hill.") -> None:
    await store.start_story(channel, guild=3, title="Hill", premise=premise, author=ANN)


async def step(
    store: Store, channel: int = 1, member: str = "She ran.", model: str = "The wind ran.", author: Author = ANN
) -> list[Turn]:
    under_way = await store.story(channel)
    assert under_way is not None
    return await store.append(channel, exchange(member, model, author), after=under_way.head)


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


async def everything(store: Store, author: Author, word: str, channel: int, *, base_id: str = "base") -> None:
    """By this author something of every kind in channels from `channel` on, each with the word in all of its texts."""
    await store.start_story(channel, guild=3, title=f"{word} title", premise=f"{word} premise", author=author)
    turns = await step(store, channel, f"{word} turn", "The wind.", author)
    await store.edit_turn(channel, turns[0].id, NewTurn(author, "member", f"{word} edit"))
    last = (await store.path(channel))[-1].id
    head = (await store.add_sibling(channel, last, NewTurn(author, "model", f"{word} try"))).id
    await store.put_summary(channel, head, 5, f'["{word} summary"]')
    await store.put_summary(channel, head, 5, f'["{word} summary of theirs"]', author)
    await store.restore_summary(channel, (await store.summary_versions(channel, 1))[0].id, author)
    await store.put_vectors(channel, head, base_id, 5, f"{word} vectors".encode())
    await store.put_note(channel, f"{word} note", 3, author)
    await store.put_table(channel, Table((author,), 1.0, 60.0, 0))
    await store.add_pin(channel, f"{word} pin", author, (f"{word} key",))
    await taught(store, channel, prompt=f"{word}?", answer=f"{word}.", author=author, blob=f"{word} units".encode())
    await store.put_units((await store.lessons(channel))[0].id, "others", f"{word} units".encode())
    await store.set_setting(f"user:{author.id}", "colour", "red")
    pages = [f"{word} 1", f"{word} 2"]
    await store.import_story(channel + 1, guild=3, title=f"{word} file", texts=pages, author=author)


def opened(file: Path, key: bytes) -> list[str]:
    """Every value in the file, as whoever has the key can read it; the file may be open elsewhere."""
    found: list[str] = []
    with copies.opened(file, key) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
            for row in connection.execute(f"SELECT {sealing.opening(table, columns)} FROM {table}"):
                found += [v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in tuple(row)]
    return found


def key_of(file: Path) -> bytes:
    key = key_file.read(key_file.beside(file))
    assert key is not None
    return key


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
