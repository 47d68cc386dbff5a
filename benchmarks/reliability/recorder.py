"""SQLite on a file system of our own (apsw), which carries every call out and writes it down for `disk`."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import apsw

from benchmarks.reliability.disk import Event, Names, Resize, Sync, SyncFolder, Write

JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_numbers = itertools.count()


class Recorder(apsw.VFS):
    """All that SQLite does with the files of one folder; `connect` is what a `Store` opens its file with.

    SQLite's own file system syncs the folder when a journal that it made is synced for the first time, which is not
    seen here and taken for granted, as is the folder's sync after `Store.open` has renamed a new file.
    """

    def __init__(self, folder: Path, synchronous: str | None = None) -> None:
        """`synchronous` takes the place of what a connection asks for."""
        self.name = f"recorder-{next(_numbers)}"
        super().__init__(self.name, "")
        self.folder, self.events = folder, list[Event]()
        self._synchronous = synchronous
        present = sorted(folder.iterdir())
        self.seen = set[str]()  # names that SQLite opened
        self._files = {path.stat().st_ino: number for number, path in enumerate(present)}
        self._names: dict[int, str] = {self._files[path.stat().st_ino]: path.name for path in present}
        self._next = len(present)
        self.made: set[int] = set()  # journals whose folder is to be synced

    def connect(self, uri: str) -> sqlite3.Connection:
        connection: Any = _Connection(uri, self.name, self._synchronous)
        return connection  # type: ignore[no-any-return]  # as much of one as aiosqlite asks for

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = None if name is None else Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        if path is None or path.parent != self.folder:
            return super().xOpen(name, flags)
        new = not path.exists()
        file = _File(name, flags, self)
        file.number = self._number(path, new=new, journal=bool(flags[0] & JOURNALS))
        return file

    def xDelete(self, name: str, sync_folder: bool) -> None:
        path = Path(name)
        inode = path.stat().st_ino
        super().xDelete(name, sync_folder)
        self._files.pop(inode, None)
        self.events.append(Names({path.name: None}))
        if sync_folder:
            self.events.append(SyncFolder())

    def _number(self, path: Path, *, new: bool, journal: bool) -> int:
        inode = path.stat().st_ino
        if new or inode not in self._files:
            self._files[inode], self._next = self._next, self._next + 1
            if journal:
                self.made.add(self._files[inode])
        number = self._files[inode]
        self.seen.add(path.name)
        if (old := self._names.get(number)) != path.name:
            gone = {} if old is None else {old: None}
            self.events.append(Names({**gone, path.name: number}))
            if old is not None:
                self.events.append(SyncFolder())
            self._names[number] = path.name
        return number


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], recorder: Recorder) -> None:
        super().__init__("", name, flags)
        self._recorder, self.number = recorder, -1

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._recorder.events.append(Write(self.number, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._recorder.events.append(Resize(self.number, size))

    def xSync(self, flags: int) -> None:
        # Carried out on the disk below too it would only take time.
        self._recorder.events.append(Sync(self.number))
        if self.number in self._recorder.made:
            self._recorder.made.discard(self.number)
            self._recorder.events.append(SyncFolder())


class _Connection:
    """As much of `sqlite3.Connection` as the store uses, on apsw."""

    row_factory: object = None

    def __init__(self, uri: str, vfs: str, synchronous: str | None) -> None:
        self._connection = apsw.Connection(uri, vfs=vfs, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)
        self._connection.set_busy_timeout(5000)
        self._synchronous = synchronous

    def execute(self, sql: str, values: Sequence[Any] = ()) -> _Rows:
        if self._synchronous is not None and sql.startswith("PRAGMA synchronous"):
            sql = f"PRAGMA synchronous = {self._synchronous}"
        cursor = self._connection.cursor()
        cursor.row_trace = _named
        return _Rows(cursor.execute(sql, tuple(values)))

    def create_function(self, name: str, count: int, work: Callable[..., Any], *, deterministic: bool = False) -> None:
        self._connection.create_scalar_function(name, work, count, deterministic=deterministic)

    def close(self) -> None:
        # Who only reads asks at the end for the lock of who writes; that it is refused is no fault.
        with suppress(apsw.IOError) if self._connection.readonly("main") else nullcontext():
            self._connection.close()


class _Rows(list[Any]):
    def fetchall(self) -> list[Any]:
        return self


class _Row(tuple[Any, ...]):
    """Its values by their place and by their column's name, as those of `sqlite3.Row`."""

    names: tuple[str, ...]

    def keys(self) -> tuple[str, ...]:
        return self.names

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


def _named(cursor: apsw.Cursor, values: tuple[Any, ...]) -> _Row:
    row = _Row(values)
    row.names = tuple(column[0] for column in cursor.get_description())
    return row
