"""Weights from elsewhere: copied file by file, checked as a copy, and only then given a name on the shelf."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

from bot.errors import InputError
from engine.errors import EngineError
from engine.folder import check_values

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
SUFFIXES = {".json", ".safetensors", ".tsv"}  # of the files that are copied; all else stays where it is
MAX_FILES = 64
RESERVE = 256 << 20  # bytes of the disk that stay free: the stories are on it too
UNFINISHED = ".unfinished-"  # begins the name of a folder that is no weights yet, or no more


def require_name(name: str) -> str:
    """Raises `InputError` for a name that could lead anywhere else."""
    if NAME.fullmatch(name) is None:
        raise InputError("That is no name for weights: use up to 40 letters, digits, dots, dashes and underscores.")
    return name


def take_in(source: Path, place: Path, name: str, *, reserve: int = RESERVE) -> None:
    """Copies a folder's files to `place/name` and checks them there; on any failure nothing stays.

    Raises `InputError`: one sentence that says what is wrong with it. Blocks; for a thread.
    """
    copy = place / f"{UNFINISHED}{name}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        clean(place)
        copy.mkdir(mode=0o700)
        files = _files(source)
        _require_space(place, sum(file.lstat().st_size for file in files), reserve)
        for file in files:
            _copy(file, copy / file.name)
        check_values(copy)
        copy.rename(place / name)
    except EngineError as error:
        said = str(error).replace(f"{copy}{os.sep}", "").replace(str(copy), name)
        raise InputError(f"These weights were not taken in: {said}") from error
    except OSError as error:
        raise InputError(
            f"The weights {name} could not be copied ({error.strerror or error}): check the files and the disk's space."
        ) from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def throw_away(folder: Path) -> None:
    """Removes a folder of weights as a whole. Raises `InputError`. Blocks; for a thread."""
    gone = folder.with_name(f"{UNFINISHED}{folder.name}")
    try:
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)  # at once, so that half a folder never stands on the shelf
        gone.unlink() if gone.is_symlink() else shutil.rmtree(gone)
    except OSError as error:
        raise InputError(
            f"{folder.name} could not be removed ({error.strerror or error}): remove it by hand."
        ) from error


def clean(place: Path) -> None:
    """Removes what an end of the process has left unfinished."""
    for left in place.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)


def _files(source: Path) -> list[Path]:
    files = sorted(file for file in source.iterdir() if file.suffix in SUFFIXES)
    if len(files) > MAX_FILES:
        raise InputError(
            f"The folder has {len(files)} files of weights, and {MAX_FILES} may be: it holds other things."
        )
    return files


def _require_space(place: Path, needed: int, reserve: int) -> None:
    free = shutil.disk_usage(place).free - reserve
    if needed > free:
        raise InputError(
            f"The weights take {needed >> 20:,} MB, and only {max(free, 0) >> 20:,} MB of the disk may be filled:"
            " free some space first."
        )


def _copy(source: Path, target: Path) -> None:
    """A link could lead to any file of the host, so only plain files are read."""
    descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as reading:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError(f"{source.name} is no plain file, so nothing was taken in: put the file itself there.")
        with target.open("xb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
