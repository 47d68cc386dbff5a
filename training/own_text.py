"""A folder of one's own text in the place of a preset's corpora: `prepare --preset NAME --text DIR`.

What a preset says of each corpus is said for the folder on the command line, or in a `corpus.toml` beside the text:

    licence = "CC BY 4.0"
    rating = "general"      # or "mature"
    children = "no"         # nothing in it is about, for or by children; a mature corpus has to say so
    speakers = "roles"      # where each line is "NAME: text" of a real person
    credit = "who is named in the card"
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from config.presets import Preset, SourcePreset
from training.corpus import VALID_NAMES, lot, read_documents
from training.errors import CorpusError

HOLD_OUT = 0.05  # of the documents, where no file is named valid.txt
NOTE = "corpus.toml"
MAY_SAY: dict[str, tuple[str, ...] | None] = {  # None: any text
    "licence": None, "rating": ("general", "mature"), "children": ("yes", "no"), "speakers": ("roles",), "credit": None,
}  # fmt: skip


def own_text(preset: Preset, folder: Path, said: dict[str, str]) -> Preset:
    """The preset with the text of the folder as its only corpus, named relative to the folder's parent.

    Args:
        said: `licence`, `rating` and the like from the command line; it goes before what `corpus.toml` says.

    Raises:
        CorpusError: no text, no licence, nothing to hold out, or a `corpus.toml` that cannot be used.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder; name the one that holds your .txt files.")
    facts = read_note(folder / NOTE) | said
    if "licence" not in facts:
        raise CorpusError(f"Nothing says under which licence {folder} may be used; add --licence, or write {NOTE}.")
    named = [name for name in VALID_NAMES if (folder / name).is_file()]
    share = 0.0 if named else smallest_share(folder)
    source = SourcePreset(file=folder.name, weight=1.0, hold_out=share, **facts)  # type: ignore[arg-type]
    return replace(preset, sources=(source,), valid=f"{folder.name}/{named[0]}" if named else "")


def smallest_share(folder: Path) -> float:
    """`HOLD_OUT`, or where no document or all of them would be held out by it, what holds out one."""
    lots = sorted({lot(document) for document in read_documents(folder)})
    if len(lots) < 2:
        told = "one document" if lots else "no text"
        raise CorpusError(
            f"{folder} holds {told}, so nothing can be held out for validation;"
            " part it with lines of <|endoftext|>, or put a valid.txt beside it."
        )
    return HOLD_OUT if lots[0] < HOLD_OUT <= lots[-1] else (lots[0] + lots[1]) / 2


def read_note(path: Path) -> dict[str, str]:
    """What `corpus.toml` says; nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} is not valid TOML: {error}; mend that line.") from error
    for key, value in raw.items():
        choices = MAY_SAY.get(key, ())
        if not isinstance(value, str) or (choices is not None and value not in choices):
            raise CorpusError(f"{path}: {key} = {value!r} cannot be used; it may say {', '.join(MAY_SAY)}.")
    return raw
