"""The cipher of one file: AES-256-GCM under data keys of its own, which the operator's key wraps.

A sealed value is `MMs`, its kind (1: text, 2: bytes), the number of its data key (4 bytes), a nonce (12), what is
sealed, and a tag (16). The tag also covers that head, the column and the row, so that a value which is put in the place
of another does not open.

Nonces are random, and NIST SP 800-38D, section 8.3, allows 2^32 of those with one key. So each data key counts in the
file what it has sealed, and long before that number a new one takes its place; the old ones go on opening.
"""

from __future__ import annotations

import os
import sqlite3

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from memory.errors import KeyUnusableError

KEY_BYTES = 32
MARK = b"MMs"
TEXT, BYTES = 1, 2
NONCE, TAG = 12, 16
HEAD = len(MARK) + 1 + 4
MOST_SEALED = 1 << 31  # by one data key: half of what is allowed, as a killed process may not have counted all
COUNTED = 1 << 16  # values that may be sealed before the file is told

Plain = str | bytes | None
Place = str | int | float | None


class Cipher:
    """Seals and opens values; of no use before `unlock` or `add`. It belongs to one connection and to its thread."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._keys: dict[int, AESGCM] = {}
        self._present = 0
        self.counted = 0  # of the present data key, in the file
        self.uncounted = 0  # values sealed since
        self.refused: str | None = None  # where the last value that did not open stands

    def attach(self, connection: sqlite3.Connection) -> None:
        """Gives the connection's SQL `sealed(place, row, value)` and `opened(place, row, value)`.

        A place is a table and a column, `turns.text`; a row is what tells it from the table's others.
        """
        connection.create_function("sealed", 3, self.seal)
        connection.create_function("opened", 3, self.open)
        connection.create_function("new_data_key", 1, self.add)

    # Data keys

    def add(self, number: int) -> bytes:
        """A new data key, wrapped, which seals from now on."""
        raw = os.urandom(KEY_BYTES)
        self._take(number, raw)
        self.counted = self.uncounted = 0
        return wrap(self.key, number, raw)

    def unlock(self, wrapped: dict[int, bytes], counted: int) -> None:
        """Takes the file's data keys, of which the last one seals and has sealed `counted` values.

        Raises `KeyUnusableError` where this is not the key that wrapped them.
        """
        for number, data in sorted(wrapped.items()):
            self._take(number, unwrap(self.key, number, data))
        # What a killed process had sealed last was perhaps not counted any more.
        self.counted, self.uncounted = counted, COUNTED if wrapped else 0

    @property
    def present(self) -> int:
        """The number of the data key that seals; 0 before there is one."""
        return self._present

    @property
    def worn(self) -> bool:
        """Whether another data key has to take over."""
        return self.counted + self.uncounted >= MOST_SEALED

    def drop(self, number: int) -> None:
        """Forgets a data key, and seals with the newest of the others."""
        del self._keys[number]
        self._present = max(self._keys, default=0)

    def _take(self, number: int, raw: bytes) -> None:
        self._keys[number] = AESGCM(raw)
        self._present = number

    # Values

    def seal(self, place: str, row: Place, value: Plain) -> bytes | None:
        """NULL stays NULL."""
        if value is None:
            return None
        kind, data = (TEXT, value.encode("utf-8")) if isinstance(value, str) else (BYTES, value)
        head = MARK + bytes([kind]) + self._present.to_bytes(4, "big")
        nonce = os.urandom(NONCE)
        self.uncounted += 1
        return head + nonce + self._keys[self._present].encrypt(nonce, data, head + _where(place, row))

    def open(self, place: str, row: Place, sealed: Plain) -> Plain:
        """Raises `ValueError` for what was not sealed for this place and row with a key of this file; SQLite tells
        its caller nothing of that but that it failed, so `refused` keeps the place."""
        if sealed is None:
            return None
        try:
            if not isinstance(sealed, bytes) or sealed[: len(MARK)] != MARK:
                raise ValueError
            head, nonce = sealed[:HEAD], sealed[HEAD : HEAD + NONCE]
            cipher = self._keys[int.from_bytes(head[len(MARK) + 1 :], "big")]
            data = cipher.decrypt(nonce, sealed[HEAD + NONCE :], head + _where(place, row))
        except (InvalidTag, ValueError, KeyError):
            self.refused = f"{place} of the row {row}"
            raise ValueError(self.refused) from None
        return data.decode("utf-8") if head[len(MARK)] == TEXT else data


def wrap(key: bytes, number: int, raw: bytes) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, raw, _wrapping(number))


def unwrap(key: bytes, number: int, wrapped: bytes) -> bytes:
    """Raises `KeyUnusableError` where another key wrapped it."""
    try:
        return AESGCM(key).decrypt(wrapped[:NONCE], wrapped[NONCE:], _wrapping(number))
    except (InvalidTag, ValueError):
        raise KeyUnusableError("This key is not the one that sealed the file: give that one.") from None


def _where(place: str, row: Place) -> bytes:
    return f"{place}\n{row}".encode()


def _wrapping(number: int) -> bytes:
    return b"miniature-memory data key %d" % number
