"""A disk that forgets: what SQLite asked of its files, one event after the other, and what a power cut leaves of it.

A sector holds any of the versions that were written since the last sync of its file, so that writes are dropped, torn
and out of order; the length of a file likewise. A new, renamed or deleted name is lost or kept until its folder was
synced. What a sync promised holds. Bytes outside a write are never harmed, which SQLite too expects of a disk
(https://www.sqlite.org/psow.html).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

SECTORS = (512, 4096)  # bytes that a disk writes together


@dataclass(frozen=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Resize:
    file: int
    size: int


@dataclass(frozen=True)
class Sync:
    file: int


@dataclass(frozen=True)
class Names:
    """From now on, and all at once, the names stand for these files; None: for no file."""

    files: Mapping[str, int | None]


@dataclass(frozen=True)
class SyncFolder:
    pass


Event = Write | Resize | Sync | Names | SyncFolder
Folder = dict[str, bytes]


@dataclass
class _File:
    synced: bytes = b""
    later: list[Write | Resize] = field(default_factory=list)

    def now(self) -> bytes:
        content = bytearray(self.synced)
        for event in self.later:
            _apply(content, event)
        return bytes(content)

    def after_a_cut(self, chance: random.Random) -> bytes:
        how = chance.choices(["nothing later", "so much of it", "each sector for itself"], [1, 2, 4])[0]
        if how == "nothing later" or not self.later:
            return self.synced
        sector = chance.choice(SECTORS)
        if how == "each sector for itself":
            return self._shuffled(sector, chance)
        kept = self.later[: chance.randint(0, len(self.later))]
        content = bytearray(self.synced)
        for event in kept[:-1]:
            _apply(content, event)
        for part in _torn(kept[-1:], sector, chance):
            _apply(content, part)
        return bytes(content)

    def _shuffled(self, sector: int, chance: random.Random) -> bytes:
        content, sizes = bytearray(self.synced), [len(self.synced)]
        versions: dict[int, list[bytes]] = {}
        for event in self.later:
            _apply(content, event)
            sizes.append(len(content))
            if isinstance(event, Write):
                for number in range(event.offset // sector, -(-(event.offset + len(event.data)) // sector)):
                    at = number * sector
                    before = self.synced[at : at + sector]
                    versions.setdefault(number, [before]).append(bytes(content[at : at + sector]))
        size = chance.choice(sizes)
        left = bytearray(self.synced[:size].ljust(size, b"\0"))
        for number, some in versions.items():
            version, at = chance.choice(some), number * sector
            version = version[: max(size - at, 0)]
            left[at : at + len(version)] = version
        if size > len(self.synced) and chance.random() < 0.25:  # what a disk held there before
            begin = chance.randrange(len(self.synced), size)
            left[begin:size] = chance.randbytes(size - begin)
        return bytes(left)


def _apply(content: bytearray, event: Write | Resize) -> None:
    if isinstance(event, Resize):
        del content[event.size :]
        content.extend(bytes(event.size - len(content)))
        return
    content.extend(bytes(max(event.offset - len(content), 0)))
    content[event.offset : event.offset + len(event.data)] = event.data


def _torn(events: Sequence[Write | Resize], sector: int, chance: random.Random) -> Iterator[Write | Resize]:
    for event in events:
        if isinstance(event, Write):
            first = sector - event.offset % sector
            ends = range(first, len(event.data), sector)
            yield Write(event.file, event.offset, event.data[: chance.choice([0, *ends, len(event.data)])])
        else:
            yield event


class Plates:
    """What the disk holds, event by event."""

    def __init__(self, folder: Mapping[str, bytes]) -> None:
        """All of the folder has been synced. Its files are numbered 0, 1, … by their names' order."""
        self._files = {number: _File(folder[name]) for number, name in enumerate(sorted(folder))}
        self._names: dict[str, int | None] = {name: number for number, name in enumerate(sorted(folder))}
        self._later: list[Names] = []

    def take(self, event: Event) -> None:
        match event:
            case Write() | Resize():
                self._files.setdefault(event.file, _File()).later.append(event)
            case Sync():
                file = self._files.setdefault(event.file, _File())
                file.synced, file.later = file.now(), []
            case Names():
                self._later.append(event)
            case SyncFolder():
                self._names, self._later = self._named(len(self._later)), []

    def _named(self, count: int) -> dict[str, int | None]:
        names = dict(self._names)
        for event in self._later[:count]:
            names.update(event.files)
        return names

    def now(self) -> Folder:
        names = self._named(len(self._later))
        return {name: self._files[file].now() for name, file in names.items() if file is not None}

    def after_a_cut(self, chance: random.Random) -> Folder:
        """A folder's journal keeps the order of its names, so that some first changes are kept and no later one."""
        names = self._named(chance.randint(0, len(self._later)))
        return {
            name: self._files.setdefault(file, _File()).after_a_cut(chance)
            for name, file in names.items()
            if file is not None
        }
