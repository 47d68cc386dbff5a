"""That the store asks in the same words each time: SQLite prepares a statement of new words anew, and keeps it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from memory import Store
from tests.memory.material import step, story


async def test_a_story_that_grows_is_read_by_the_same_statements(file: Path) -> None:
    asked: set[str] = set()

    class Listening(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
            asked.add(sql)
            return super().execute(sql, *values)  # type: ignore[arg-type]

    def connect(uri: str) -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None, factory=Listening)

    async with await Store.open(file, connect=connect) as store:
        await story(store)
        known: list[int] = []
        for _ in range(3):
            await step(store)
            for turns in (1, 2):
                await store.path(1, turns)
                await store.recent(1, 10 * turns)
            await store.passage(1, 2, 9)
            known.append(len(asked))
    assert known[0] == known[-1]
