"""Files that somebody brings, opened: plain ones alone, and no larger than they may be.

A link could lead to any file of the host, a named pipe never ends, and to open a device may already do something.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from pathlib import Path

# Not through a link, and without waiting for whoever writes into a pipe; systems without these names have neither.
FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
NOT_PLAIN = "it is a link, a folder or a device and no plain file"


def open_plain(path: Path) -> io.BufferedReader:
    """Raises OSError, whose `strerror` can be shown, also for what is no plain file."""
    try:
        descriptor = os.open(path, FLAGS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise OSError(error.errno, NOT_PLAIN, str(path)) from None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, NOT_PLAIN, str(path))


def read_plain(path: Path, most: int) -> bytes:
    """All of a file that has at most so many bytes. Raises OSError, as `open_plain`."""
    with open_plain(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def plain_sha256(path: Path) -> str:
    """In hex. Raises OSError, as `open_plain`."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
