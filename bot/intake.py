"""Weights from elsewhere: copied file by file, checked as a copy, and only then given a name on the shelf.

They are kept under the sha256 of what they hold (`engine.contents`) and loaded from there, so that nothing that happens
to the files that were brought changes them. Only files of a known name are copied; all else stays where it is.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from bot.errors import InputError
from engine.contents import SIGNATURE, contents, is_part, kept_name
from engine.errors import EngineError
from engine.folder import check_values
from engine.plain_files import open_plain
from engine.signature import check_signature

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".zip"}
MAX_FILES = 64
MAX_BYTES = 2 << 30  # of all files together: the largest model in 4 bytes a weight, and some more
RESERVE = 256 << 20  # bytes of the disk that stay free: the stories are on it too
UNFINISHED = ".unfinished-"  # begins the name of a folder that is no weights yet, or no more


def require_name(name: str) -> str:
    """Raises `InputError` for a name that could lead anywhere else."""
    if NAME.fullmatch(name) is None:
        raise InputError("That is no name for weights: use up to 40 letters, digits, dots, dashes and underscores.")
    return name


def take_in(source: Path, place: Path, name: str, *, keys: Collection[str] = (), reserve: int = RESERVE) -> Path:
    """Copies a folder's files to one in `place` that is named by them, and checks them there; gives that folder. On any
    failure nothing stays.

    Args:
        keys: public keys, of which one has to vouch for the files; none: nobody has to.

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
        if keys:
            check_signature(copy, keys)
        check_values(copy)
        kept = place / kept_name(name, contents(copy))
        copy.rename(kept)
    except EngineError as error:
        said = str(error).replace(f"{copy}{os.sep}", "").replace(str(copy), name)
        raise InputError(f"These weights were not taken in: {said}") from error
    except OSError as error:
        what = Path(error.filename).name if error.filename else f"The weights {name}"
        raise InputError(
            f"{what} could not be copied ({error.strerror or error}): check the files and the disk's space."
        ) from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return kept


def set_aside(folder: Path) -> Path:
    """Takes a folder of weights off the shelf as a whole, so that it can be put back or thrown away: gives where it is.

    Raises `InputError`. Blocks; for a thread.
    """
    aside = folder.with_name(f"{UNFINISHED}{folder.name}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    except OSError as error:
        raise _stays(folder, error) from error
    return aside


def throw_away(aside: Path) -> None:
    """Removes a folder that was set aside. Raises `InputError`. Blocks; for a thread."""
    try:
        aside.unlink() if aside.is_symlink() else shutil.rmtree(aside)
    except OSError as error:
        raise _stays(aside, error) from error


def _stays(folder: Path, error: OSError) -> InputError:
    return InputError(f"{folder.name} could not be removed ({error.strerror or error}): remove it by hand.")


def clean(place: Path) -> None:
    """Removes what an end of the process has left unfinished."""
    for left in place.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)


def _files(source: Path) -> list[Path]:
    if source.is_symlink():
        raise InputError("The folder is a link, so nothing was taken in: put the folder itself there.")
    found = sorted(source.iterdir())
    files = [file for file in found if is_part(file.name) or file.name == SIGNATURE]
    if len(files) > MAX_FILES:
        raise InputError(
            f"The folder has {len(files)} files of weights, and {MAX_FILES} may be: it holds other things."
        )
    if not any(file.suffix == ".safetensors" for file in files) and any(file.suffix in PICKLES for file in found):
        raise InputError("The folder holds pickled weights, which may run code: save them as model.safetensors.")
    return files


def _require_space(place: Path, needed: int, reserve: int) -> None:
    if needed > MAX_BYTES:
        raise InputError(
            f"The weights take {needed >> 20:,} MB, and {MAX_BYTES >> 20:,} MB are all that can be served."
        )
    free = shutil.disk_usage(place).free - reserve
    if needed > free:
        raise InputError(
            f"The weights take {needed >> 20:,} MB, and only {max(free, 0) >> 20:,} MB of the disk may be filled:"
            " free some space first."
        )


def _copy(source: Path, target: Path) -> None:
    """A link of either kind could lead to any file of the host, so only files that are nowhere else are read."""
    with open_plain(source) as reading:
        about = os.fstat(reading.fileno())
        if about.st_nlink > 1:
            raise InputError(f"{source.name} lies under another name too, so nothing was taken in: put a copy there.")
        with target.open("xb") as writing:
            left = about.st_size
            while left and (piece := reading.read(min(left, 1 << 20))):
                writing.write(piece)
                left -= len(piece)
            if left or reading.read(1):
                raise InputError(f"{source.name} changed while it was copied, so nothing was taken in: try again.")
            writing.flush()
            os.fsync(writing.fileno())
    target.chmod(0o400)
