"""The tensors of a weights folder: one `model.safetensors`, or several files that `model.safetensors.index.json` lists.

Nothing of a file is used before its names, shapes and dtypes are what the model asks for, and no file is looked for
outside of the folder. Files are read tensor by tensor instead of being mapped: a mapping takes the file's size in
address space beside the model's own, and ends the process where somebody cuts the file short.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import WeightsError, shown
from engine.plain_files import open_plain, plain_sha256, read_plain
from engine.strict_json import parse_object
from engine.tensor_header import LENGTH, Entry, header_length, parse_header

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
HALF, WHOLE = np.dtype("<u2"), np.dtype("<u4")  # a value's bits
WORDS: dict[str, np.dtype[Any]] = {"F16": HALF, "BF16": HALF, "F32": WHOLE}
EXPONENTS = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000}  # all of these bits set: infinite, or no number
SLICE_BYTES = 4 << 20  # of a matrix, read at once: some are a fifth of a model
MAX_FILES = 1000
MAX_INDEX_BYTES = 1 << 20


class FileHeader(NamedTuple):
    """What a file holds, and what tells it from a file that was put in its place."""

    tensors: dict[str, Entry]
    mark: tuple[int, int, int]


class TensorFiles:
    """Where each tensor lies.

    Attributes:
        files: for each file the names that the model has for its tensors, and by these their names in the file.
    """

    def __init__(self, folder: Path, files: dict[Path, dict[str, str]], headers: Mapping[Path, FileHeader]) -> None:
        self.folder, self.files, self._headers = folder, files, headers

    @classmethod
    def find(cls, folder: Path) -> TensorFiles:
        """The folder's tensors under the names that they have in its files.

        Raises:
            WeightsError: there are no weights, or an index that cannot be followed.
        """
        single, index = folder / WEIGHTS, folder / INDEX
        if single.is_file() or not index.is_file():
            if not single.is_file() and any((folder / name).is_file() for name in PICKLED):
                raise WeightsError(f"{folder} holds pickled weights, which may run code; save them as {WEIGHTS}.")
            return cls.of(single)
        files: dict[Path, dict[str, str]] = {}
        for name, file in read_index(index).items():
            files.setdefault(_inside(folder, file), {})[name] = name
        headers = {path: read_header(path) for path in files}
        for path, names in files.items():
            if surplus := sorted(headers[path].tensors.keys() ^ names.keys()):
                raise WeightsError(f"{path}: {shown(surplus[0])} is missing or not in {INDEX}; copy the folder again.")
        return cls(folder, files, headers)

    @classmethod
    def of(cls, path: Path) -> TensorFiles:
        """One safetensors file, its tensors under their own names.

        Raises:
            WeightsError: there is no such file, or it is damaged.
        """
        header = read_header(path)
        return cls(path.parent, {path: {name: name for name in header.tensors}}, {path: header})

    def renamed(self, change: Callable[[str], str | None]) -> TensorFiles:
        """The same under other names, without those for which there is none."""
        files = {
            path: {new: stored for name, stored in names.items() if (new := change(name)) is not None}
            for path, names in self.files.items()
        }
        return TensorFiles(self.folder, files, self._headers)

    def names(self) -> set[str]:
        return {name for names in self.files.values() for name in names}

    def sha256(self, known: Mapping[str, str] | None = None) -> str:
        """In hex: of the file, or where there are several, of the lines `name sha256` of all of them.

        Args:
            known: the sha256 of files that were read just now, by name.
        """
        sums = {path.name: (known or {}).get(path.name) or file_sha256(path) for path in sorted(self.files)}
        if list(sums) == [WEIGHTS]:
            return sums[WEIGHTS]
        lines = [f"{name} {sha256}\n" for name, sha256 in sums.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Whether exactly these tensors are there.

        Raises:
            WeightsError: one is missing, surplus, or of another shape or type.
        """
        whole = self.folder / (WEIGHTS if len(self.files) == 1 else INDEX)
        if surplus := sorted(self.names() ^ shapes.keys()):
            raise WeightsError(
                f"{whole}: {shown(surplus[0])} is missing or does not belong there; copy the folder again."
            )
        for path, names in self.files.items():
            tensors = self._headers[path].tensors
            for name, stored in names.items():
                if tensors[stored].shape != shapes[name] or tensors[stored].dtype not in WORDS:
                    raise WeightsError(
                        f"{path}: {shown(stored)} has not the shape or type that config.json says; copy the folder"
                        " again."
                    )

    @property
    def unchanged(self) -> bool:
        """Whether each file is still the one that was checked, so that it can be read again."""
        for path in self.files:
            try:
                with open_plain(path) as file:
                    if _mark(file) != self._headers[path].mark:
                        return False
            except OSError:
                return False
        return True

    def read(self) -> Iterator[tuple[str, int, NDArray[Any]]]:
        """Name, first row and values, float16 or float32, of some rows of each tensor after the other.

        Raises:
            WeightsError: a file is damaged, is another one than was checked, or holds values that are no numbers.
        """
        for path, names in self.files.items():
            tensors, mark = self._headers[path]
            try:
                with open_plain(path) as file:
                    if _mark(file) != mark:
                        raise WeightsError(f"{path} has changed since it was checked; load the folder again.")
                    for name, stored in names.items():
                        for first, values in _read(file, path, stored, tensors[stored]):
                            yield name, first, values
            except OSError as error:
                raise WeightsError(f"{path} cannot be read ({error.strerror}); copy the folder again.") from error


def read_header(path: Path) -> FileHeader:
    """What is in a safetensors file.

    Raises:
        WeightsError: there is no such file, or it is none, see `engine.tensor_header`.
    """
    try:
        with open_plain(path) as file:
            mark = _mark(file)
            size = mark[1]
            length = header_length(file.read(LENGTH.size), size)
            return FileHeader(parse_header(file.read(length), size).tensors, mark)
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing; a weights folder needs its {path.name}.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); copy the file itself there.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is damaged ({error}); copy the folder again.") from error


def _mark(file: io.BufferedReader) -> tuple[int, int, int]:
    about = os.fstat(file.fileno())
    return about.st_ino, about.st_size, about.st_mtime_ns


def _read(file: io.BufferedReader, path: Path, name: str, entry: Entry) -> Iterator[tuple[int, NDArray[Any]]]:
    """A tensor's values, some rows at a time, in memory of their own."""
    if entry.dtype not in WORDS:
        raise WeightsError(f"{path}: {shown(name)} is of type {entry.dtype}; save it as one of {', '.join(WORDS)}.")
    word, rows = WORDS[entry.dtype], entry.shape[0] if entry.shape else 1
    width = (entry.end - entry.begin) // max(1, rows)  # bytes of a row
    step = max(1, SLICE_BYTES // max(1, width))
    for first in range(0, rows, step):
        count = min(step, rows - first)
        raw = bytearray(count * width)
        file.seek(entry.begin + first * width)
        if file.readinto(raw) < len(raw):
            raise WeightsError(f"{path} was cut short while it was read; copy the folder again.")
        bits = np.frombuffer(raw, word)  # (values,)
        if (bits & EXPONENTS[entry.dtype] == EXPONENTS[entry.dtype]).any():
            raise WeightsError(f"{path}: {shown(name)} holds values that are no numbers; copy the folder again.")
        if entry.dtype == "BF16":
            bits = bits.astype("<u4") << 16  # the upper half of a float32
        values = bits.view(f"<f{bits.itemsize}")
        yield first, values.reshape(count, *entry.shape[1:]) if entry.shape else values  # (values,) -> (rows, ...)


def read_index(path: Path) -> dict[str, str]:
    """Which file each tensor lies in."""
    try:
        files = parse_object(read_plain(path, MAX_INDEX_BYTES)).get("weight_map")
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); copy the folder again.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is no index of weights ({error}); copy the folder again.") from error
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise WeightsError(f"{path} is no index of weights; copy the folder again.")
    if not 0 < len(set(files.values())) <= MAX_FILES:
        raise WeightsError(f"{path} names {len(set(files.values())):,} files; copy the folder again.")
    return files


def file_sha256(path: Path) -> str:
    try:
        return plain_sha256(path)
    except OSError as error:
        raise WeightsError(f"{path} is missing or not readable; a weights folder needs it.") from error


def _inside(folder: Path, name: str) -> Path:
    """A file of an index, which must lie in the folder itself: a name alone, and no link that leads elsewhere."""
    path = folder / name if name.isprintable() else folder
    plain = name == path.name and name.endswith(".safetensors")
    if not plain or (path.exists() and path.resolve().parent != folder.resolve()):
        raise WeightsError(
            f"{folder / INDEX}: {shown(name)!r} is no file of this folder; copy all files into it, no links."
        )
    return path
