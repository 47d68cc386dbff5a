"""What exactly a weights folder holds, by sha256, and folders that are kept under that name.

A folder that is called `NAME@SHA256` holds what its name says, or it is not opened: whoever writes into it later
changes nothing but whether it can be used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from engine.errors import WeightsError, shown
from engine.plain_files import plain_sha256
from engine.tensor_files import INDEX

CONFIG, CARD, SIGNATURE = "config.json", "card.json", "signature.json"
UNREAD = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")  # others read these, not we
PARTS = {CONFIG, CARD, *UNREAD, "tokenizer.json", INDEX, "CREDITS.tsv"}
TENSORS = ".safetensors"  # ends the name of all others: an index may call its files as it likes
KEPT = re.compile(r"(?P<name>.+)@(?P<sha256>[0-9a-f]{64})")
MAX_FILES = 1100


def is_part(name: str) -> bool:
    """Whether a file of this name belongs to a weights folder; nothing else in it is ever read."""
    return name in PARTS or name.endswith(TENSORS)


def contents(folder: Path) -> dict[str, str]:
    """The sha256, in hex, of each file of weights by its name; the signature, and what is no part of them, left out.

    Raises:
        WeightsError: there is no such folder, or a part of it is no plain file.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if is_part(path.name))
        if len(names) > MAX_FILES:
            raise WeightsError(f"{folder} holds {len(names):,} files; a weights folder has {MAX_FILES:,} at most.")
        return {name: plain_sha256(folder / name) for name in names}
    except OSError as error:
        path = error.filename or folder
        raise WeightsError(f"{path} cannot be read ({error.strerror}); copy the folder again.") from error


def listing(files: Mapping[str, str]) -> bytes:
    """The lines `sha256  name`, by name: what is signed, and what a folder's own sha256 is of.

    Raises:
        WeightsError: a name that is not on one line, which could pass for several.
    """
    if odd := [name for name in files if not name.isprintable()]:
        raise WeightsError(f"{shown(odd[0])!r} is no name for a file of weights; rename it.")
    return "".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode("utf-8", "surrogateescape")


def kept_name(name: str, files: Mapping[str, str]) -> str:
    """What a folder with these files is called where it is kept."""
    return f"{name}@{hashlib.sha256(listing(files)).hexdigest()}"


def plain_name(folder: Path) -> str:
    """What people call the weights in a folder."""
    found = KEPT.fullmatch(folder.name)
    return found["name"] if found is not None else folder.name


def check_kept(folder: Path) -> dict[str, str]:
    """The files of a folder that is kept under its sha256, by name; none for another folder.

    Raises:
        WeightsError: it holds something else than its name says.
    """
    found = KEPT.fullmatch(folder.name)
    if found is None:
        return {}
    files = contents(folder)
    if kept_name(found["name"], files) != folder.name:
        raise WeightsError(f"{folder} has changed since it was added; remove it and add the weights again.")
    return files
