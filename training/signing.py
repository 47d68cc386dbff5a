"""python -m training keygen --out FILE and python -m training sign --weights DIR --key FILE

Makes a key, and signs weights folders with it: the bot serves only signed ones where `MINIATURE_WEIGHTS_KEYS` names the
public half. `engine.signature` says what a signature holds.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.contents import SIGNATURE, contents
from engine.folder import check_values
from engine.signature import FORMAT, check_signature, signed_bytes
from training.errors import RunError


def make_key(path: Path) -> str:
    """A new private key in a file that its owner alone can read; returns the public key.

    Raises:
        RunError: there is a file of that name already, which may be a key that is needed.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise RunError(f"{path} is there already and may be a key that is needed; name another file.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return public_key(key)


def sign(folder: Path, key_file: Path) -> str:
    """Write signature.json into a weights folder that the engine would serve; returns the public key.

    Raises:
        RunError: the file holds no key, or others can read it.
        WeightsError, TokenizerError: the folder is none that can be served.
    """
    key = read_key(key_file)
    check_values(folder)
    files = contents(folder)
    public = public_key(key)
    about = {"format": FORMAT, "key": public, "files": files, "signature": key.sign(signed_bytes(files)).hex()}
    fresh = folder.parent / f".{folder.name}-{SIGNATURE}"
    fresh.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    fresh.replace(folder / SIGNATURE)
    check_signature(folder, {public})
    return public


def read_key(path: Path) -> Ed25519PrivateKey:
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise RunError(f"{path} can be read by others than its owner; chmod 600 it, or make another key.")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; make a key with `python -m training keygen --out {path}`.") from error
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} holds no key; name a file that `python -m training keygen` wrote.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RunError(f"{path} holds a key of another kind; name a file that `python -m training keygen` wrote.")
    return key


def public_key(key: Ed25519PrivateKey) -> str:
    """In hex, as MINIATURE_WEIGHTS_KEYS has it."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw.hex()
