"""Documents on disk, to be read back in any order: a corpus may be larger than the memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self


class Spool:
    """A file without a name in `folder`, which is gone when the spool is closed or the process ends."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `__exit__`
        self._ends: list[int] = [0]  # bytes

    def append(self, document: str) -> None:
        self._file.seek(self._ends[-1])
        self._ends.append(self._ends[-1] + self._file.write(document.encode()))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def bytes(self) -> int:
        """Of all documents together."""
        return self._ends[-1]

    def read(self, order: list[int]) -> Iterator[str]:
        """The documents with these numbers, one at a time."""
        for number in order:
            begin, end = self._ends[number : number + 2]
            self._file.seek(begin)
            yield self._file.read(end - begin).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
