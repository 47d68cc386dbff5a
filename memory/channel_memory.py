"""A channel's pins and its reset, settings, and the audit log."""

from __future__ import annotations

import json
from collections.abc import Sequence

from memory import summaries
from memory.errors import no_such
from memory.rows import AuditRow, Author, Pin
from memory.transaction import Row, Transaction


async def add_pin(tx: Transaction, channel: int, text: str, author: Author, keys: Sequence[str], now: float) -> Pin:
    sql = """INSERT INTO pins (channel, text, author_id, author_name, created_at, keys)
        VALUES (?, ?, ?, ?, ?, ?) RETURNING *"""
    rows = await tx.all(sql, channel, text, author.id, author.name, now, json.dumps(list(keys), ensure_ascii=False))
    return _pins(rows)[0]


async def pins(tx: Transaction, channel: int) -> list[Pin]:
    return _pins(await tx.all("SELECT * FROM pins WHERE channel = ? ORDER BY id", channel))


async def remove_pin(tx: Transaction, channel: int, pin: int) -> Pin:
    gone = _pins(await tx.all("DELETE FROM pins WHERE channel = ? AND id = ? RETURNING *", channel, pin))
    if not gone:
        raise no_such("pin", pin)
    return gone[0]


async def reset(tx: Transaction, channel: int) -> None:
    for table in ("lessons", "pins"):
        await tx.all(f"DELETE FROM {table} WHERE channel = ?", channel)
    await summaries.forget_channel(tx, channel)


async def setting(tx: Transaction, scope: str, key: str) -> str | None:
    row = await tx.one("SELECT value FROM settings WHERE scope = ? AND key = ?", scope, key)
    return None if row is None else str(row["value"])


async def set_setting(tx: Transaction, scope: str, key: str, value: str | None) -> None:
    if value is None:
        await tx.all("DELETE FROM settings WHERE scope = ? AND key = ?", scope, key)
    else:
        await tx.all("INSERT OR REPLACE INTO settings (scope, key, value) VALUES (?, ?, ?)", scope, key, value)


async def settings(tx: Transaction, scope: str) -> dict[str, str]:
    rows = await tx.all("SELECT key, value FROM settings WHERE scope = ? ORDER BY key", scope)
    return {row["key"]: row["value"] for row in rows}


async def settings_beginning(tx: Transaction, prefix: str) -> dict[str, dict[str, str]]:
    sql = "SELECT scope, key, value FROM settings WHERE substr(key, 1, ?) = ? ORDER BY scope, key"
    found: dict[str, dict[str, str]] = {}
    for row in await tx.all(sql, len(prefix), prefix):
        found.setdefault(row["scope"], {})[row["key"]] = row["value"]
    return found


async def audit(tx: Transaction, actor_id: int, channel: int | None, action: str, detail: str, now: float) -> AuditRow:
    sql = "INSERT INTO audit (at, actor_id, channel, action, detail) VALUES (?, ?, ?, ?, ?) RETURNING *"
    return _audit_rows(await tx.all(sql, now, actor_id, channel, action, detail))[0]


async def audit_rows(tx: Transaction, limit: int) -> list[AuditRow]:
    return _audit_rows(await tx.all("SELECT * FROM audit ORDER BY id DESC LIMIT ?", limit))


def _pins(rows: Sequence[Row]) -> list[Pin]:
    return [
        Pin(r["id"], r["text"], r["author_id"], r["author_name"], r["created_at"], tuple(json.loads(r["keys"])))
        for r in rows
    ]


def _audit_rows(rows: Sequence[Row]) -> list[AuditRow]:
    return [AuditRow(r["id"], r["at"], r["actor_id"], r["channel"], r["action"], r["detail"]) for r in rows]
