"""A channel's pins and its reset, and settings."""

from __future__ import annotations

import json
from collections.abc import Sequence

from memory import summaries
from memory.errors import no_such
from memory.rows import Author, Pin
from memory.transaction import Row, Transaction


async def add_pin(tx: Transaction, channel: int, text: str, author: Author, keys: Sequence[str], now: float) -> Pin:
    row = await tx.insert(
        "pins",
        channel=channel,
        text=text,
        author_id=author.id,
        author_name=author.name,
        created_at=now,
        keys=json.dumps(list(keys), ensure_ascii=False),
    )
    return _pins([row])[0]


async def pins(tx: Transaction, channel: int) -> list[Pin]:
    return _pins(await tx.all("SELECT * FROM open_pins WHERE channel = ? ORDER BY id", channel))


async def remove_pin(tx: Transaction, channel: int, pin: int) -> Pin:
    gone = _pins(await tx.all("SELECT * FROM open_pins WHERE channel = ? AND id = ?", channel, pin))
    if not gone:
        raise no_such("pin", pin)
    await tx.all("DELETE FROM pins WHERE id = ?", pin)
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


def _pins(rows: Sequence[Row]) -> list[Pin]:
    return [
        Pin(r["id"], r["text"], r["author_id"], r["author_name"], r["created_at"], tuple(json.loads(r["keys"])))
        for r in rows
    ]
