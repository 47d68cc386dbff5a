"""signature.json: who vouches for a weights folder. Ed25519 (RFC 8032) over the sha256 of each of its files.

The library that reckons with keys is loaded only where somebody asks for signatures: who only writes does without.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from engine.contents import SIGNATURE, contents, listing
from engine.errors import WeightsError
from engine.plain_files import read_plain
from engine.strict_json import parse_object

FORMAT = "miniature-memory signature 1"
PUBLIC_KEY, SIGNED = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")
MAX_BYTES = 1 << 20


def signed_bytes(files: dict[str, str]) -> bytes:
    """What is signed of these files: no other program's signature is one of weights."""
    return f"{FORMAT}\n".encode() + listing(files)


def check_signature(folder: Path, keys: Collection[str]) -> None:
    """Whether one of these public keys (32 bytes in hex) vouches for exactly the files that lie there.

    Raises:
        WeightsError: the folder is not signed, by a key that is not among these, or has changed since.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    about = _read(folder)
    if about["key"] not in keys:
        raise WeightsError(
            f"{folder} is signed with a key that is not trusted here; sign it with another, or add that key to"
            " MINIATURE_WEIGHTS_KEYS."
        )
    files = contents(folder)
    if about["files"] != files:
        changed = sorted(name for name, _ in about["files"].items() ^ files.items())
        raise WeightsError(f"{folder / changed[0]} is not what was signed; copy the folder again.")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(about["key"]))
        key.verify(bytes.fromhex(about["signature"]), signed_bytes(files))
    except (InvalidSignature, ValueError) as error:
        raise WeightsError(f"{folder / SIGNATURE} is no signature of that key; copy the folder again.") from error


def _read(folder: Path) -> dict[str, Any]:
    path = folder / SIGNATURE
    try:
        about = parse_object(read_plain(path, MAX_BYTES))
    except FileNotFoundError as error:
        raise WeightsError(
            f"{folder} is not signed, and only signed weights serve here; sign it with `python -m training sign`."
        ) from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); copy the file itself there.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is no signature ({error}); copy the folder again.") from error
    files, texts = about.get("files"), [about.get(name) for name in ("format", "key", "signature")]
    known = about.keys() == {"format", "key", "files", "signature"} and isinstance(files, dict)
    if not known or not all(isinstance(text, str) for text in texts) or about["format"] != FORMAT:
        raise WeightsError(f"{path} is no signature that this version knows; sign the folder again.")
    if not PUBLIC_KEY.fullmatch(about["key"]) or not SIGNED.fullmatch(about["signature"]):
        raise WeightsError(f"{path} is no signature that this version knows; sign the folder again.")
    return about
