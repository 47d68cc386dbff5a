"""Corpora: plain or `.xz` text, documents parted by a line that holds only `<|endoftext|>`."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

from engine.tokenizer import END_OF_TEXT
from training.errors import CorpusError


def read_documents(path: Path) -> Iterator[str]:
    """Documents in file order, without the separators; a file without separators is one document, byte for byte.

    Lines end with LF, CRLF or CR. The line break in front of a separator belongs to the separator; all others are text.

    Raises:
        CorpusError: the file is missing, is not UTF-8, or its compression is damaged.
    """
    lines: list[str] = []
    parted = False
    try:
        with _open(path) as file:
            for line in file:
                if line.rstrip("\r\n") != END_OF_TEXT:
                    lines.append(line)
                    continue
                if text := _without_line_break("".join(lines)):
                    yield text
                lines, parted = [], True
    except FileNotFoundError as error:
        raise CorpusError(f"{path} is missing; name the folder or file that holds the corpus.") from error
    except (UnicodeDecodeError, lzma.LZMAError, EOFError, OSError) as error:
        raise CorpusError(f"{path} is not readable as UTF-8 text ({error}); fetch it again.") from error
    rest = "".join(lines)
    if rest and not (parted and not rest.strip("\r\n")):  # empty lines behind the last separator are no document
        yield rest


def join_documents(documents: list[str]) -> str:
    """The text that `read_documents` takes apart again."""
    return "".join(f"{text}\n{END_OF_TEXT}\n" for text in documents)


def held_out(document: str, share: float) -> bool:
    """Whether this document belongs to validation: decided by its own text, so that no reordering moves it."""
    first = hashlib.sha256(document[:2000].encode()).digest()[:4]
    return int.from_bytes(first, "big") < share * 2**32


def file_sha256(path: Path) -> str:
    """Of the file as it lies there, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(path: Path) -> TextIO:
    if path.suffix == ".xz":
        return cast(TextIO, lzma.open(path, "rt", encoding="utf-8", newline=""))
    return path.open("rt", encoding="utf-8", newline="")


def _without_line_break(text: str) -> str:
    if text.endswith("\r\n"):
        return text[:-2]
    return text[:-1] if text.endswith(("\n", "\r")) else text
