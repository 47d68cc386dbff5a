"""Files of older formats with something of every kind in them, and a process that dies in the midst of a migration."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from memory import MIGRATIONS, Store
from memory.opening import Connect
from memory.rekeying import rekey
from tests.memory.material import sql

WORD = "blicket-text"
RARE = 7  # every seventh statement of a change of keys, of which there are some hundreds


async def old_file(file: Path, version: int) -> None:
    """What people had written before this version's first successor, in its format."""
    await (await Store.open(file, migrations=MIGRATIONS[:1])).close()
    for statement in (
        f"INSERT INTO stories VALUES (1, 1, 3, '{WORD} title', 7, NULL, NULL, 1.5, 0)",
        f"INSERT INTO turns VALUES (1, 1, NULL, 1, 7, '{WORD} name', 'premise', '{WORD} one', 1.5, 0, 16, 0, 2)",
        f"INSERT INTO turns VALUES (2, 1, 1, 2, NULL, '', 'model', '{WORD} two', 1.5, 1, 16, 16, NULL)",
        "UPDATE stories SET head = 2, first = 1",
        f"INSERT INTO summaries VALUES (2, 5, '{WORD} sum', 2.5)",
        f"INSERT INTO pins VALUES (5, 1, '{WORD} pin', 7, 'Ann', 3.5)",
        f"INSERT INTO lessons VALUES (6, 1, 3, '{WORD} prompt', '{WORD} answer', 7, 'Ann', 4.5)",
        "DELETE FROM lessons WHERE id = 6",
        f"INSERT INTO lessons VALUES (4, 1, 3, '{WORD} prompt', '{WORD} answer', 7, 'Ann', 4.5)",
        "INSERT INTO settings VALUES ('channel:1', 'style', 'verse')",
        "INSERT INTO audit (at, actor_id, channel, action, detail) VALUES (1.5, 7, 1, 'teach.add', 'lesson 4')",
        "INSERT INTO audit (at, actor_id, channel, action, detail) VALUES (2.0, 7, NULL, 'weights.activate', 'ember')",
    ):
        sql(file, statement)
    await (await Store.open(file, migrations=MIGRATIONS[:version])).close()
    if version >= 2:
        sql(file, f"INSERT INTO lesson_units VALUES (4, 'base', CAST('{WORD} units' AS BLOB), 5.5)")
        sql(file, f"INSERT INTO memory_vectors VALUES (2, 'base', 5, CAST('{WORD} vectors' AS BLOB), 5.5)")
    if version >= 3:
        sql(file, f"INSERT INTO notes VALUES (1, '{WORD} note', 3, 7, 'Ann', 5.5)")
    if version >= 4:
        sql(file, "INSERT INTO seats VALUES (1, 0, 7, 'Ann', NULL)")


async def seen(store: Store, version: int) -> dict[str, object]:
    """All that people see of an `old_file` of this version."""
    story, summary = await store.story(1), await store.summary(1)
    vectors, note = await store.vectors(1, "base"), await store.note(1)
    assert story is not None
    assert summary is not None
    return {
        "story": (story.title, story.premise, story.turns, story.chars),
        "turns": [(turn.id, turn.text, turn.author_name, turn.chars_before) for turn in await store.path(1)],
        "summary": summary.body,
        "pins": [(pin.id, pin.text, pin.author_name, pin.keys) for pin in await store.pins(1)],
        "lessons": [(row.id, row.prompt, row.answer) for row in await store.lessons(1)],
        "units": await store.units(1, "base"),
        "vectors": vectors and vectors.blob,
        "note": note and note.text,
        "seats": [seat.name for seat in (await store.table(1)).seats],
        "settings": await store.settings("channel:1"),
        "acts": [(act.id, act.action, act.detail) for act in await store.audit_rows(9)],
    }


def dying_at(number: int, how: Callable[[], object]) -> type[sqlite3.Connection]:
    """A connection that calls `how` in place of the statement of this number, counted over all of them."""
    asked = 0

    class Dying(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
            nonlocal asked
            asked += 1
            if asked == number:
                how()
            return super().execute(sql, *values)  # type: ignore[arg-type]

    return Dying


def connector(kind: type[sqlite3.Connection]) -> Connect:
    return lambda uri: sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0, factory=kind)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(template: Path, out: Path, what: str) -> int:
    """For each statement of the migration to a version, or for some of those of a change of keys (`what`), a copy of
    the file on which a process died there."""
    for number in range(1, 10_000, RARE if what == "rekey" else 1):
        folder = out / str(number)
        shutil.copytree(template.parent, folder)
        file, connect = folder / template.name, connector(dying_at(number, die))
        if (child := os.fork()) == 0:
            work = rekey(file, old=None, connect=connect) if what == "rekey" else _migrated(file, int(what), connect)
            asyncio.run(work)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return 0
    return 1


async def _migrated(file: Path, upto: int, connect: Connect) -> None:
    await (await Store.open(file, migrations=MIGRATIONS[:upto], connect=connect)).close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
