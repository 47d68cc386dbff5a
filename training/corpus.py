"""Corpora: plain or `.xz` text, documents parted by a line that holds only `<|endoftext|>`; or folders of it."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

from engine.tokenizer import END_OF_TEXT
from training.errors import CorpusError

VALID_NAMES = ("valid.txt", "valid.txt.xz")  # a file of a folder that is not its text but what it is validated on


def read_documents(path: Path) -> Iterator[str]:
    """Documents in file order, without the separators; a file without separators is one document, byte for byte.

    Lines end with LF, CRLF or CR. The line break in front of a separator belongs to the separator; all others are text,
    but for the byte order mark that some editors put in front of a file. A folder gives the documents of its text
    files, in the order of their names.

    Raises:
        CorpusError: the file is missing, is not UTF-8 text, or its compression is damaged; the folder has no text file.
    """
    for file in text_files(path):
        yield from _read_file(file)


def text_files(path: Path) -> list[Path]:
    """The file itself; of a folder, all `.txt` and `.txt.xz` in it and in the folders below, ordered by name."""
    if not path.is_dir():
        return [path]
    found = (file for pattern in ("*.txt", "*.txt.xz") for file in path.rglob(pattern) if file.is_file())
    files = [file for file in found if file.relative_to(path).as_posix() not in VALID_NAMES]
    if not files:
        raise CorpusError(f"{path} holds no .txt file; put the text there, or name another folder.")
    return sorted(files, key=lambda file: file.relative_to(path).as_posix())


def _read_file(path: Path) -> Iterator[str]:
    lines: list[str] = []
    parted = False
    try:
        with _open(path) as file:
            for line in file:
                if "\0" in line:
                    raise CorpusError(f"{path} holds NUL characters, so it is no text; convert it or take it away.")
                if line.rstrip("\r\n") != END_OF_TEXT:
                    lines.append(line)
                    continue
                if text := _without_line_break("".join(lines)):
                    yield text
                lines, parted = [], True
    except FileNotFoundError as error:
        raise CorpusError(f"{path} is missing; name the folder or file that holds the corpus.") from error
    except (UnicodeDecodeError, lzma.LZMAError, EOFError, OSError) as error:
        raise CorpusError(f"{path} is not readable as UTF-8 text ({error}); convert it, or fetch it again.") from error
    rest = "".join(lines)
    if rest and not (parted and not rest.strip("\r\n")):  # empty lines behind the last separator are no document
        yield rest


def join_documents(documents: list[str]) -> str:
    """The text that `read_documents` takes apart again."""
    return "".join(f"{text}\n{END_OF_TEXT}\n" for text in documents)


def held_out(document: str, share: float) -> bool:
    """Whether this document belongs to validation: decided by its own text, so that no reordering moves it."""
    return lot(document) < share


def lot(document: str) -> float:
    """A number from 0 up to 1 that depends on the document's own text alone, spread evenly over documents."""
    first = hashlib.sha256(document[:2000].encode()).digest()[:4]
    return int.from_bytes(first, "big") / 2**32


def file_sha256(path: Path) -> str:
    """Of the file as it lies there, in hex; of a folder, of the names and sums of its text files."""
    if path.is_dir():
        listing = "".join(f"{file_sha256(f)}  {f.relative_to(path).as_posix()}\n" for f in text_files(path))
        return hashlib.sha256(listing.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(path: Path) -> TextIO:
    if path.suffix == ".xz":
        return cast(TextIO, lzma.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open("rt", encoding="utf-8-sig", newline="")


def _without_line_break(text: str) -> str:
    if text.endswith("\r\n"):
        return text[:-2]
    return text[:-1] if text.endswith(("\n", "\r")) else text
