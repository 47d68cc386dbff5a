"""How the file's tables came to be: an append-only list of migrations, each run in one transaction with its record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from memory.errors import MigrationError, StoreError
from memory.sealed_schema import sealed_texts_and_chained_acts
from memory.transaction import Connection, Transaction, transact

Migration = Callable[[Transaction], Awaitable[None]]

APPLICATION_ID = 0x4D4D656D  # "MMem": how a file of this program is told from any other SQLite file


async def stories_and_channel_memory(tx: Transaction) -> None:
    for statement in (
        # `first` and `preferred` are the children that redo follows: from the empty path, and from a turn.
        """CREATE TABLE stories (
            id INTEGER PRIMARY KEY AUTOINCREMENT, channel INTEGER NOT NULL, guild INTEGER, title TEXT NOT NULL,
            author_id INTEGER, head INTEGER REFERENCES turns(id), first INTEGER REFERENCES turns(id),
            created_at REAL NOT NULL, finished INTEGER NOT NULL DEFAULT 0) STRICT""",
        "CREATE UNIQUE INDEX stories_under_way ON stories(channel) WHERE finished = 0",
        "CREATE INDEX stories_of_channel ON stories(channel, id)",
        # `depth`, `chars` and `chars_before` are stored so that the end of a long story is read without its beginning.
        """CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT, story INTEGER NOT NULL REFERENCES stories(id),
            parent INTEGER REFERENCES turns(id), step INTEGER NOT NULL, author_id INTEGER, author_name TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('premise', 'member', 'model')), text TEXT NOT NULL,
            created_at REAL NOT NULL, depth INTEGER NOT NULL, chars INTEGER NOT NULL, chars_before INTEGER NOT NULL,
            preferred INTEGER REFERENCES turns(id)) STRICT""",
        "CREATE INDEX turns_of_parent ON turns(parent)",
        "CREATE INDEX turns_of_story ON turns(story, step)",
        "CREATE INDEX turns_of_author ON turns(author_id)",
        """CREATE TABLE summaries (
            turn INTEGER PRIMARY KEY REFERENCES turns(id), covers INTEGER NOT NULL, body TEXT NOT NULL,
            created_at REAL NOT NULL) STRICT""",
        """CREATE TABLE pins (
            id INTEGER PRIMARY KEY AUTOINCREMENT, channel INTEGER NOT NULL, text TEXT NOT NULL,
            author_id INTEGER NOT NULL, author_name TEXT NOT NULL, created_at REAL NOT NULL) STRICT""",
        "CREATE INDEX pins_of_channel ON pins(channel)",
        """CREATE TABLE lessons (
            id INTEGER PRIMARY KEY AUTOINCREMENT, channel INTEGER NOT NULL, guild INTEGER, prompt TEXT NOT NULL,
            answer TEXT NOT NULL, author_id INTEGER NOT NULL, author_name TEXT NOT NULL,
            created_at REAL NOT NULL) STRICT""",
        "CREATE INDEX lessons_of_channel ON lessons(channel)",
        "CREATE INDEX lessons_of_author ON lessons(author_id)",
        """CREATE TABLE adapters (
            channel INTEGER NOT NULL, base_id TEXT NOT NULL, lessons_digest TEXT NOT NULL, blob BLOB NOT NULL,
            created_at REAL NOT NULL, PRIMARY KEY (channel, base_id)) STRICT""",
        """CREATE TABLE settings (
            scope TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (scope, key)) STRICT""",
        """CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, actor_id INTEGER NOT NULL, channel INTEGER,
            action TEXT NOT NULL, detail TEXT NOT NULL) STRICT""",
        """CREATE TRIGGER audit_rows_stay BEFORE DELETE ON audit
            BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
        """CREATE TRIGGER audit_rows_keep_their_text BEFORE UPDATE ON audit
            BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
    ):
        await tx.all(statement)


async def units_of_each_lesson(tx: Transaction) -> None:
    for statement in (
        # An adapter was trained on all lessons of a channel together; they stay, and are learnt again one by one.
        "DROP TABLE adapters",
        """CREATE TABLE lesson_units (
            lesson INTEGER NOT NULL REFERENCES lessons(id) ON DELETE CASCADE, base_id TEXT NOT NULL, blob BLOB NOT NULL,
            created_at REAL NOT NULL, PRIMARY KEY (lesson, base_id)) STRICT""",
        # Versions: a turn may have several summaries, of which the last one holds.
        "ALTER TABLE summaries RENAME TO only_summaries",
        """CREATE TABLE summaries (
            id INTEGER PRIMARY KEY AUTOINCREMENT, turn INTEGER NOT NULL REFERENCES turns(id), covers INTEGER NOT NULL,
            body TEXT NOT NULL, created_at REAL NOT NULL, author_id INTEGER, author_name TEXT NOT NULL) STRICT""",
        """INSERT INTO summaries (turn, covers, body, created_at, author_name)
            SELECT turn, covers, body, created_at, '' FROM only_summaries ORDER BY created_at, turn""",
        "DROP TABLE only_summaries",
        "CREATE INDEX summaries_of_turn ON summaries(turn)",
        """CREATE TABLE memory_vectors (
            turn INTEGER NOT NULL REFERENCES turns(id), base_id TEXT NOT NULL, covers INTEGER NOT NULL,
            blob BLOB NOT NULL, created_at REAL NOT NULL, PRIMARY KEY (turn, base_id)) STRICT""",
        "ALTER TABLE pins ADD COLUMN keys TEXT NOT NULL DEFAULT '[]'",  # a JSON list of strings
    ):
        await tx.all(statement)


async def notes_of_stories(tx: Transaction) -> None:
    await tx.all(
        """CREATE TABLE notes (
            story INTEGER PRIMARY KEY REFERENCES stories(id), text TEXT NOT NULL, depth INTEGER NOT NULL,
            author_id INTEGER NOT NULL, author_name TEXT NOT NULL, created_at REAL NOT NULL) STRICT"""
    )


async def stories_told_in_turns(tx: Transaction) -> None:
    for statement in (
        "ALTER TABLE stories ADD COLUMN mode TEXT NOT NULL DEFAULT 'free'",
        "ALTER TABLE stories ADD COLUMN patience REAL",  # seconds that a turn may take
        "ALTER TABLE stories ADD COLUMN missed INTEGER NOT NULL DEFAULT 0",  # turns in a row that ended by time
        # The lowest place is at turn, since when only that row says.
        """CREATE TABLE seats (
            story INTEGER NOT NULL REFERENCES stories(id), place INTEGER NOT NULL, author_id INTEGER NOT NULL,
            author_name TEXT NOT NULL, since REAL, PRIMARY KEY (story, place)) STRICT""",
        "CREATE UNIQUE INDEX seats_of_author ON seats(author_id, story)",
    ):
        await tx.all(statement)


# Append only: a migration that was ever released is never edited, since files exist that ran it as it was.
MIGRATIONS: tuple[Migration, ...] = (
    stories_and_channel_memory,
    units_of_each_lesson,
    notes_of_stories,
    stories_told_in_turns,
    sealed_texts_and_chained_acts,
)


async def migrate(connection: Connection, path: Path, migrations: Sequence[Migration], now: float) -> bool:
    """Brings the file from its `user_version` to `len(migrations)`, one transaction for each step; whether any ran.

    Raises `MigrationError`, or `DiskFullError` and its like; the file then stays at the last version that was reached.
    """
    # A rebuilt table needs its references left alone while it is gone; the check before the commit makes up for it.
    await connection.execute_fetchall("PRAGMA foreign_keys = OFF")
    try:
        first = await user_version(connection) + 1
        for version in range(first, len(migrations) + 1):
            await _run(connection, path, version, migrations[version - 1], now)
    finally:
        await connection.execute_fetchall("PRAGMA foreign_keys = ON")
    return first <= len(migrations)


async def _run(connection: Connection, path: Path, version: int, migration: Migration, now: float) -> None:
    name = getattr(migration, "__name__", repr(migration))

    async def step(tx: Transaction) -> None:
        await tx.all(
            """CREATE TABLE IF NOT EXISTS migrations (
                version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at REAL NOT NULL) STRICT"""
        )
        await migration(tx)
        await tx.all("INSERT INTO migrations (version, name, applied_at) VALUES (?, ?, ?)", version, name, now)
        await tx.all(f"PRAGMA user_version = {version:d}")
        await tx.all(f"PRAGMA application_id = {APPLICATION_ID:d}")
        if await tx.all("PRAGMA foreign_key_check"):
            raise MigrationError("it left references that lead nowhere")

    try:
        await transact(connection, path, step, writes=True)
    except Exception as error:
        if isinstance(error, StoreError) and not isinstance(error, MigrationError):
            raise
        raise MigrationError(
            f"Migration {version} ({name}) failed ({error}), so {path} stays at version {version - 1}:"
            " run the version of the program that wrote it, and report this."
        ) from error


async def user_version(connection: Connection) -> int:
    rows = list(await connection.execute_fetchall("PRAGMA user_version"))
    return int(rows[0][0])
