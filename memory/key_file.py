"""Where the key of a file comes from: its operator, or a file of 0600 beside it that was made at the first start."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from memory.cipher import KEY_BYTES, unwrap
from memory.errors import KeyUnusableError

_FORM = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")
VARIABLE = "MINIATURE_KEY"


def parse(text: str) -> bytes:
    """A key as it is written down: 64 hexadecimal digits. Raises `ValueError`, without the text."""
    text = text.strip()
    if not _FORM.fullmatch(text):
        raise ValueError(f"a key is {2 * KEY_BYTES} hexadecimal digits")
    return bytes.fromhex(text)


def beside(database: Path) -> Path:
    return database.with_name(database.name + ".key")


def next_to(key_file: Path) -> Path:
    """Where a new key waits until all of the database is under it."""
    return key_file.with_name(key_file.name + ".new")


def read(path: Path) -> bytes | None:
    """The key in this file; None where there is no such file.

    Raises `KeyUnusableError` for one that others may read, that cannot be read, or that holds no key.
    """
    try:
        mode = path.stat().st_mode
        if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
            raise KeyUnusableError(
                f"The key file {path} can be read by others than its owner, so it is not used: run chmod 600 on it, and"
                " consider `python -m memory rekey`."
            )
        return parse(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyUnusableError(
            f"The key file {path} cannot be read ({error.strerror or error}): make it readable for this user."
        ) from error
    except ValueError:
        raise KeyUnusableError(f"The key file {path} holds no key: bring back a copy of it.") from None


def make(path: Path) -> bytes:
    """A new key in a new file, which is on the disk when this returns. Raises `OSError`."""
    key = secrets.token_bytes(KEY_BYTES)
    unfinished = path.with_name(path.name + ".part")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    put_in_place(unfinished, path)
    return key


def put_in_place(file: Path, name: Path) -> None:
    """Renames it over what bears that name, and has the folder know it for good."""
    file.replace(name)
    if sys.platform != "win32":
        folder = os.open(name.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def key_for(database: Path, given: bytes | None, wrapped: Mapping[int, bytes]) -> bytes:
    """The key that opens these data keys of the file; where it has none yet, the one that is to seal it.

    That is `given`, else the one beside the file, which is made for a file that is not sealed. A change of keys that
    was cut off leaves two beside it, and the one that fits takes its place here. Raises `KeyUnusableError`, `OSError`.
    """
    own = beside(database)
    places: list[Path | None] = [None] if given is not None else [own, next_to(own)]
    found = [(key, place) for place in places if (key := given if place is None else read(place)) is not None]
    if not wrapped:
        return found[0][0] if found else make(own)
    for key, place in found:
        if not _opens(key, wrapped):
            continue
        if place == next_to(own):
            put_in_place(place, own)
        return key
    if not found:
        raise KeyUnusableError(
            f"{database} is sealed and its key is not here: bring back {own} or set {VARIABLE}; nobody can read the"
            " file without that key, and it was left as it is."
        )
    named = f"The key in {own}" if given is None else f"The key that was given ({VARIABLE})"
    raise KeyUnusableError(f"{named} is not the one that sealed {database}, which was left as it is: give that one.")


def _opens(key: bytes, wrapped: Mapping[int, bytes]) -> bool:
    try:
        for number, data in wrapped.items():
            unwrap(key, number, data)
    except KeyUnusableError:
        return False
    return True
