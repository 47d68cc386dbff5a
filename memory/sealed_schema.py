"""The migration after which no text of a member lies readable in the file, and each act in the audit log is chained."""

from __future__ import annotations

import re

from memory import audit
from memory.transaction import Transaction

# As of this migration, whatever `sealing.SEALED` holds later: what tells a row, and its columns.
_TABLES = {
    "stories": ("id", ("title",)),
    "turns": ("id", ("author_name", "text")),
    "summaries": ("id", ("body", "author_name")),
    "memory_vectors": ("turn || ' ' || base_id", ("blob",)),
    "notes": ("story", ("text", "author_name")),
    "seats": ("story || ' ' || author_id", ("author_name",)),
    "pins": ("id", ("text", "author_name", "keys")),
    "lessons": ("id", ("prompt", "answer", "author_name")),
    "lesson_units": ("lesson || ' ' || base_id", ("blob",)),
}
_SEALED = "BLOB NOT NULL CHECK (substr({0}, 1, 3) = x'4D4D73')"  # cipher.MARK


async def sealed_texts_and_chained_acts(tx: Transaction) -> None:
    await tx.all(
        """CREATE TABLE data_keys (
            number INTEGER PRIMARY KEY, wrapped BLOB NOT NULL, sealed INTEGER NOT NULL DEFAULT 0,
            retired INTEGER NOT NULL DEFAULT 0) STRICT"""
    )
    await tx.all("INSERT INTO data_keys (number, wrapped) VALUES (1, new_data_key(1))")
    for table, (row, columns) in _TABLES.items():
        await _rebuild(tx, table, row, columns)
    await _chain(tx)


async def _rebuild(tx: Transaction, table: str, row: str, sealed: tuple[str, ...]) -> None:
    # By https://www.sqlite.org/lang_altertable.html#otheralter; references of other tables mean the name alone.
    definition = (await tx.all("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table))[0]["sql"]
    indexes = await tx.all("SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type = 'index' AND sql <> ''", table)
    counted = await tx.all("SELECT seq FROM sqlite_sequence WHERE name = ?", table)
    columns = [column["name"] for column in await tx.all(f"PRAGMA table_info({table})")]
    definition = re.sub(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE sealed_{table}", definition)
    for column in sealed:
        old = rf"\b{column} (TEXT|BLOB) NOT NULL( DEFAULT '[^']*')?"
        definition, found = re.subn(old, f"{column} {_SEALED.format(column)}", definition)
        assert found == 1, (table, column)
    await tx.all(definition)
    copied = ", ".join(f"sealed('{table}.{name}', {row}, {name})" if name in sealed else name for name in columns)
    await tx.all(
        f"INSERT INTO sealed_{table} ({', '.join(columns)}) SELECT {copied} FROM {table} ORDER BY {table}.rowid"
    )
    await tx.all(f"DROP TABLE {table}")
    await tx.all(f"ALTER TABLE sealed_{table} RENAME TO {table}")
    for index in indexes:
        await tx.all(index["sql"])
    for last in counted:  # ids of rows that are gone are not given again
        await tx.all("DELETE FROM sqlite_sequence WHERE name = ?", table)
        await tx.all("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, last["seq"])


async def _chain(tx: Transaction) -> None:
    await tx.all("DROP TRIGGER audit_rows_keep_their_text")
    await tx.all("ALTER TABLE audit ADD COLUMN hash BLOB NOT NULL DEFAULT x''")
    last, head = 0, audit.START
    for row in await tx.all("SELECT * FROM audit ORDER BY id"):
        last, head = row["id"], audit.chained(head, row)
        await tx.all("UPDATE audit SET hash = ? WHERE id = ?", head, last)
    for statement in (
        """CREATE TRIGGER audit_rows_keep_their_text BEFORE UPDATE ON audit
            BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
        """CREATE TRIGGER audit_rows_come_last BEFORE INSERT ON audit
            WHEN length(new.hash) <> 32 OR EXISTS (SELECT 1 FROM audit WHERE id >= new.id)
            BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END""",
        # Where the log ends, told to nobody without the key: rows that are put there without it do not fit.
        f"""CREATE TABLE audit_head (
            one INTEGER PRIMARY KEY CHECK (one = 1), head {_SEALED.format("head")}) STRICT""",
    ):
        await tx.all(statement)
    sql = "INSERT INTO audit_head (one, head) VALUES (1, sealed('audit_head.head', 1, ?))"
    await tx.all(sql, audit.written(last, head))
