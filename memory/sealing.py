"""Which columns are sealed, and the SQL by which they are read and written.

Members' texts lie sealed in columns of bytes, each with a check that refuses anything else: a statement that forgets
to seal fails. Reading them goes through a view beside each table (`open_turns` beside `turns`), a new row is written by
`Transaction.insert`, and a statement that changes a text calls `sealed` itself. A test holds every column of the schema
to this list or to one of columns that stay readable: ids, times, lengths and settings, which queries need.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Sealed:
    row: str  # SQL: what tells a row from the table's others, for good
    columns: tuple[str, ...]


SEALED: Mapping[str, Sealed] = MappingProxyType(
    {
        "stories": Sealed("id", ("title",)),
        "turns": Sealed("id", ("author_name", "text")),
        "summaries": Sealed("id", ("body", "author_name")),
        "memory_vectors": Sealed("turn || ' ' || base_id", ("blob",)),
        "notes": Sealed("story", ("text", "author_name")),
        "seats": Sealed("story || ' ' || author_id", ("author_name",)),
        "pins": Sealed("id", ("text", "author_name", "keys")),
        "lessons": Sealed("id", ("prompt", "answer", "author_name")),
        "lesson_units": Sealed("lesson || ' ' || base_id", ("blob",)),
        "audit_head": Sealed("one", ("head",)),
    }
)
OWN_ID = ("stories", "turns", "summaries", "pins", "lessons")  # tables that count their rows in a column `id`


def opening(table: str, columns: Sequence[str]) -> str:
    """What stands behind SELECT or RETURNING to have these columns of the table, the sealed ones opened."""
    sealed = SEALED[table].columns if table in SEALED else ()
    return ", ".join(
        f"opened('{table}.{column}', {SEALED[table].row}, {column}) AS {column}" if column in sealed else column
        for column in columns
    )


def insertion(table: str, given: Collection[str], columns: Sequence[str], *, replace: bool) -> str:
    """A statement with one parameter for each column that is given, which gives the new row, opened."""
    names, values = list(given), [f"? AS {column}" for column in given]
    if table in OWN_ID and "id" not in given:
        names.insert(0, "id")  # the row's texts are bound to it, so it has to be known before
        values.insert(0, f"coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0) + 1 AS id")
    sealed = SEALED[table].columns if table in SEALED else ()
    stored = (f"sealed('{table}.{name}', {SEALED[table].row}, {name})" if name in sealed else name for name in names)
    return (
        f"INSERT {'OR REPLACE ' * replace}INTO {table} ({', '.join(names)}) SELECT {', '.join(stored)}"
        f" FROM (SELECT {', '.join(values)}) RETURNING {opening(table, columns)}"
    )


def view(table: str, columns: Sequence[str]) -> str:
    """Temporary, as it needs the key: whoever reads the file without this program finds no view in it."""
    return f"CREATE TEMP VIEW open_{table} AS SELECT {opening(table, columns)} FROM main.{table}"
