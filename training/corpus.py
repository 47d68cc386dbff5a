"""Corpora: plain or `.xz` text, documents parted by a line that holds only `<|endoftext|>`."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator
from pathlib import Path

from engine.tokenizer import END_OF_TEXT
from training.errors import CorpusError


def read_documents(path: Path) -> Iterator[str]:
    """Documents in file order, without the separators; a file without separators is one document.

    Raises:
        CorpusError: the file is missing, is not UTF-8, or its compression is damaged.
    """
    lines: list[str] = []
    try:
        with _open(path) as file:
            for line in file:
                if line.rstrip("\n") == END_OF_TEXT:
                    yield from _document(lines)
                    lines = []
                else:
                    lines.append(line)
    except FileNotFoundError as error:
        raise CorpusError(f"{path} is missing; name the folder or file that holds the corpus.") from error
    except (UnicodeDecodeError, lzma.LZMAError, EOFError, OSError) as error:
        raise CorpusError(f"{path} is not readable as UTF-8 text ({error}); fetch it again.") from error
    yield from _document(lines)


def held_out(document: str, share: float) -> bool:
    """Whether this document belongs to validation: decided by its own text, so that no reordering moves it."""
    first = hashlib.sha256(document[:2000].encode()).digest()[:4]
    return int.from_bytes(first, "big") < share * 2**32


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(path: Path):  # type: ignore[no-untyped-def]  # TextIO from two libraries
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8", newline="")
    return path.open("rt", encoding="utf-8", newline="")


def _document(lines: list[str]) -> Iterator[str]:
    # The line break before a separator belongs to the separator.
    text = "".join(lines).removesuffix("\n")
    if text:
        yield text
