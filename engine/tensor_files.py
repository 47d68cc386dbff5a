"""The tensors of a weights folder: one `model.safetensors`, or several files that `model.safetensors.index.json` lists.

Nothing of a file is used before its names, shapes and dtypes are what the model asks for, and no file is looked for
outside of the folder. Files are read tensor by tensor instead of being mapped: a mapping takes the file's size in
address space beside the model's own, and ends the process where somebody cuts the file short. The format is that of
https://github.com/huggingface/safetensors: the length of a JSON header in 8 bytes, the header, the values.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import WeightsError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
HALF, WHOLE = np.dtype("<u2"), np.dtype("<u4")  # a value's bits
WORDS: dict[str, np.dtype[Any]] = {"F16": HALF, "BF16": HALF, "F32": WHOLE}
EXPONENTS = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000}  # all of these bits set: infinite, or no number
SLICE_BYTES = 4 << 20  # of a matrix, read at once: some are a fifth of a model
MAX_FILES = 1000
MAX_HEADER_BYTES = 16 << 20


class Entry(NamedTuple):
    """What a file's header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]
    begin: int  # of its values in the file, in bytes
    end: int


class TensorFiles:
    """Where each tensor lies.

    Attributes:
        files: for each file the names that the model has for its tensors, and by these their names in the file.
    """

    def __init__(self, folder: Path, files: dict[Path, dict[str, str]]) -> None:
        self.folder, self.files = folder, files

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
        for path, names in files.items():
            if surplus := sorted(read_header(path).keys() ^ names.keys()):
                raise WeightsError(f"{path}: {surplus[0]} is missing or not in {INDEX}; copy the folder again.")
        return cls(folder, files)

    @classmethod
    def of(cls, path: Path) -> TensorFiles:
        """One safetensors file, its tensors under their own names.

        Raises:
            WeightsError: there is no such file, or it is damaged.
        """
        return cls(path.parent, {path: {name: name for name in read_header(path)}})

    def renamed(self, change: Callable[[str], str | None]) -> TensorFiles:
        """The same under other names, without those for which there is none."""
        files = {
            path: {new: stored for name, stored in names.items() if (new := change(name)) is not None}
            for path, names in self.files.items()
        }
        return TensorFiles(self.folder, files)

    def names(self) -> set[str]:
        return {name for names in self.files.values() for name in names}

    def sha256(self) -> str:
        """In hex: of the file, or where there are several, of the lines `name sha256` of all of them."""
        if [path.name for path in self.files] == [WEIGHTS]:
            return file_sha256(self.folder / WEIGHTS)
        lines = [f"{path.name} {file_sha256(path)}\n" for path in sorted(self.files)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Whether exactly these tensors are there.

        Raises:
            WeightsError: one is missing, surplus, or of another shape or type.
        """
        whole = self.folder / (WEIGHTS if len(self.files) == 1 else INDEX)
        if surplus := sorted(self.names() ^ shapes.keys()):
            raise WeightsError(f"{whole}: {surplus[0]} is missing or does not belong there; copy the folder again.")
        for path, names in self.files.items():
            header = read_header(path)
            for name, stored in names.items():
                if header[stored].shape != shapes[name] or header[stored].dtype not in WORDS:
                    raise WeightsError(
                        f"{path}: {stored} has not the shape or type that config.json says; copy the folder again."
                    )

    def read(self) -> Iterator[tuple[str, int, NDArray[Any]]]:
        """Name, first row and values, float16 or float32, of some rows of each tensor after the other.

        Raises:
            WeightsError: a file is damaged, or holds values that are no numbers.
        """
        for path, names in self.files.items():
            header = read_header(path)
            for name, stored in names.items():
                for first, values in _read(path, stored, header[stored]):
                    yield name, first, values


def read_header(path: Path) -> dict[str, Entry]:
    """What is in a safetensors file, by name.

    Raises:
        WeightsError: there is no such file, or it is none: cut short, with names that come twice, or with values that
            overlap, leave gaps or are of another length than their shape.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(MAX_HEADER_BYTES, size - 8):
                raise ValueError("its header is cut short or too long")
            raw = json.loads(file.read(length), object_pairs_hook=_unique)
        raw.pop("__metadata__", None)
        header = {name: _entry(about, 8 + length) for name, about in raw.items()}
        end = 8 + length
        for entry in sorted(header.values(), key=lambda entry: entry.begin):
            if entry.begin != end or entry.end < entry.begin:
                raise ValueError("its values overlap or leave gaps")
            end = entry.end
        if end != size:
            raise ValueError("its values are cut short or followed by something")
        return header
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing; a weights folder needs its {path.name}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise WeightsError(f"{path} is damaged ({str(error) or 'no header'}); copy the folder again.") from error


def _entry(about: dict[str, Any], start: int) -> Entry:
    begin, end = about["data_offsets"]
    shape = tuple(about["shape"])
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise ValueError("its header holds no sizes")
    word = WORDS.get(about["dtype"])
    if word is not None and end - begin != math.prod(shape) * word.itemsize:
        raise ValueError("a tensor is of another length than its shape")
    return Entry(about["dtype"], shape, start + begin, start + end)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name comes twice")
    return values


def _read(path: Path, name: str, entry: Entry) -> Iterator[tuple[int, NDArray[Any]]]:
    """A tensor's values, some rows at a time, in memory of their own."""
    if entry.dtype not in WORDS:
        raise WeightsError(f"{path}: {name} is of type {entry.dtype}; save it as one of {', '.join(WORDS)}.")
    word, rows = WORDS[entry.dtype], entry.shape[0] if entry.shape else 1
    width = (entry.end - entry.begin) // max(1, rows)  # bytes of a row
    step = max(1, SLICE_BYTES // max(1, width))
    for first in range(0, rows, step):
        count = min(step, rows - first)
        bits = np.frombuffer(_bytes(path, entry.begin + first * width, count * width), word)  # (values,)
        if (bits & EXPONENTS[entry.dtype] == EXPONENTS[entry.dtype]).any():
            raise WeightsError(f"{path}: {name} holds values that are no numbers; copy the folder again.")
        if entry.dtype == "BF16":
            bits = bits.astype("<u4") << 16  # the upper half of a float32
        values = bits.view(f"<f{bits.itemsize}")
        yield first, values.reshape(count, *entry.shape[1:]) if entry.shape else values  # (values,) -> (rows, ...)


def _bytes(path: Path, begin: int, count: int) -> bytearray:
    values = bytearray(count)
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(begin)
            rest = memoryview(values)
            while rest and (read := file.readinto(rest)):
                rest = rest[read:]
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); copy the folder again.") from error
    if rest:
        raise WeightsError(f"{path} was cut short while it was read; copy the folder again.")
    return values


def read_index(path: Path) -> dict[str, str]:
    """Which file each tensor lies in."""
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} is no index of weights; copy the folder again.") from error
    if not 0 < len(set(files.values())) <= MAX_FILES:
        raise WeightsError(f"{path} names {len(set(files.values())):,} files; copy the folder again.")
    return files


def file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} is missing or not readable; a weights folder needs it.") from error


def _inside(folder: Path, name: str) -> Path:
    """A file of an index, which must lie in the folder itself: a name alone, and no link that leads elsewhere."""
    path = folder / name
    plain = name == path.name and name.endswith(".safetensors") and "\0" not in name
    if not plain or (path.exists() and path.resolve().parent != folder.resolve()):
        raise WeightsError(f"{folder / INDEX}: {name!r} is no file of this folder; copy all files into it, no links.")
    return path
