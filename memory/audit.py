"""The log of acts: rows that are only ever added, each with a hash over itself and the hash before it.

Beside them stands, sealed with the file's key, where they end. So whoever changes, removes or adds rows without the key
is found out by `verify`; whoever puts back an older state of the whole file is found out by the end that the process
wrote into its log (`verify` with that hash), and by nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory.rows import AuditRow
from memory.transaction import Row, Transaction, Value, storable

START = bytes(32)  # what stands before the first row


@dataclass(frozen=True)
class End:
    """Where the log ends: the number of its last row, and that row's hash in hexadecimal digits."""

    row: int
    hash: str


def chained(before: bytes, row: Row | Mapping[str, Any]) -> bytes:
    """The hash of a row behind the row with the hash `before`."""
    fields = [row[name] for name in ("id", "at", "actor_id", "channel", "action", "detail")]
    return hashlib.sha256(before + json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).digest()


def written(last: int, head: bytes) -> str:
    return f"{last} {head.hex()}"


async def append(tx: Transaction, actor_id: int, channel: int | None, action: str, detail: str, now: float) -> AuditRow:
    # Behind the sealed end and not behind the last row there is: an end that was cut off or put on stays to be seen.
    last = (await tx.all("SELECT coalesce(max(id), 0) AS id FROM audit"))[0]["id"]
    end = await tx.one("SELECT head FROM open_audit_head")
    number, before = (written(0, START) if end is None else end["head"]).split()
    values: dict[str, Value] = {
        "id": max(int(number), last) + 1,
        "at": float(now),
        "actor_id": actor_id,
        "channel": channel,
        "action": action,
        "detail": storable(detail),
    }
    hash_ = chained(bytes.fromhex(before), values)
    row = await tx.insert("audit", **values, hash=hash_)
    await tx.put("audit_head", one=1, head=written(row["id"], hash_))
    return _rows([row])[0]


async def carry_on(tx: Transaction, acts: Sequence[Mapping[str, Value]]) -> None:
    """Takes over acts, hashes and all, that stand behind the last one here in a log that holds together."""
    for act in acts:
        row = await tx.insert("audit", **act)
        await tx.put("audit_head", one=1, head=written(row["id"], row["hash"]))


async def rows(tx: Transaction, limit: int) -> list[AuditRow]:
    """The last ones, the newest first."""
    return _rows(await tx.all("SELECT * FROM audit ORDER BY id DESC LIMIT ?", limit))


async def end(tx: Transaction) -> End | None:
    last = await tx.one("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")
    return None if last is None else End(last["id"], last["hash"].hex())


def sealed_end(connection: sqlite3.Connection) -> str:
    """Where the log ends, as only this program could write it; the connection is one of `copies.opened`."""
    return str(connection.execute("SELECT opened('audit_head.head', one, head) FROM audit_head").fetchone()[0])


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM audit").fetchone()[0])


def verify(connection: sqlite3.Connection, *, sealed_end: str | None, known: str | None = None) -> list[str]:
    """What is wrong with the log, one sentence for each place; nothing where it holds together.

    Args:
        connection: whose rows come by name.
        sealed_end: what `audit_head` holds, opened; None where no key is at hand, and then it is left out.
        known: a hash that the log ended with once.
    """
    wrong: list[str] = []
    last, head, seen = 0, START, {START.hex()}
    for row in connection.execute("SELECT * FROM audit ORDER BY id"):
        if row["id"] != last + 1:
            wrong.append(f"Between the rows {last} and {row['id']} some were removed or put in.")
        if chained(head, row) != row["hash"]:
            wrong.append(f"Row {row['id']} is not what was written, or not behind the row that it was written behind.")
        last, head = row["id"], row["hash"]
        seen.add(head.hex())
    counted = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    if counted is not None and counted["seq"] != last:
        wrong.append(f"The log ends at row {last}, and once had {counted['seq']}: its end was cut off or put on.")
    elif sealed_end is not None and sealed_end != written(last, head):
        wrong.append(f"The log ends at row {last} and not where this program ended it, at {sealed_end.split()[0]}.")
    if known is not None and re.sub(r"\s", "", known).lower() not in seen:
        wrong.append("No row has the hash that was given, so rows at the end were removed, or the whole file is older.")
    return wrong


def _rows(found: Sequence[Row]) -> list[AuditRow]:
    return [AuditRow(r["id"], r["at"], r["actor_id"], r["channel"], r["action"], r["detail"]) for r in found]
