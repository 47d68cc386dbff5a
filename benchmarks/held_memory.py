"""What the memory of this process is made of, to find out which part grows (Linux with glibc)."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

SQLITE = re.compile(r"\S*libsqlite3\S*")


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of malloc.h, see mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def parts() -> dict[str, float]:
    """In MB of 10^6 bytes: `files`, libraries and weights that are mapped; of the C library blocks in `use` below the
    size from which on a block is `large`, mapped by itself, and what is `free` between them; `sqlite`, a part of `use`;
    and `rest`, which is Python's pools of small objects, and stacks.

    Raises:
        AttributeError: the C library does not tell.
    """
    told = ctypes.CDLL(None).mallinfo2
    told.restype = _Mallinfo
    info: _Mallinfo = told()
    use, free, large = (int(getattr(info, name)) for name in ("uordblks", "fordblks", "hblkhd"))
    files, anonymous = _status("RssFile"), _status("RssAnon")
    found = {"files": files, "use": use, "free": free, "large": large, "sqlite": _sqlite()}
    found["rest"] = anonymous - use - free - large
    return {name: round(size / 1e6, 2) for name, size in found.items()}


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _sqlite() -> int:
    """Bytes that SQLite has asked for; 0 where it is no library of its own."""
    if (library := SQLITE.search(Path("/proc/self/maps").read_text())) is None:
        return 0
    used = ctypes.CDLL(library.group()).sqlite3_memory_used
    used.restype = ctypes.c_int64
    return int(used())
