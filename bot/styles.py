"""The style packs that channels may choose from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bot.errors import InputError
from bot.host_paths import without_paths
from bot.rating import Rating, rated
from engine.errors import AdapterError
from engine.folder import BUNDLED
from engine.pack import PackCard, read_card
from engine.worker import Worker

ENDING = ".safetensors"


@dataclass(frozen=True)
class StyleEntry:
    name: str
    file: Path
    card: PackCard | None  # what the file says of itself; None where it cannot be read
    problem: str | None  # why it cannot be used now, as one sentence


class StyleShelf:
    """Files of style packs: the bundled ones, and the operator's `own`, which win where both have a name."""

    def __init__(self, worker: Worker, *, own: Path, bundled: Path = BUNDLED / "styles") -> None:
        self._worker = worker
        self._places = (bundled, own)

    def list(self) -> list[StyleEntry]:
        """All of them, by name."""
        files = [file for place in self._places if place.is_dir() for file in place.iterdir() if file.suffix == ENDING]
        by_name = {file.stem: file for file in files}
        return [self._entry(name, by_name[name]) for name in sorted(by_name)]

    def file(self, name: str) -> Path | None:
        """Where the pack of that name lies; None where it has gone."""
        files = (place / f"{name}{ENDING}" for place in reversed(self._places))
        return next((file for file in files if file.is_file()), None)

    def rating(self, file: Path) -> Rating:
        """What the pack says of itself; one that cannot be read is not used in any case."""
        try:
            return rated(read_card(file).rating)
        except AdapterError:
            return Rating.GENERAL

    def check(self, name: str) -> StyleEntry:
        """The pack of that name, ready to be used. Raises `InputError`, `AdapterError`."""
        entries = {entry.name: entry for entry in self.list()}
        if name not in entries:
            known = f"choose one of {', '.join(entries)}" if entries else "there are none on this host"
            raise InputError(f"There is no style pack of that name: {known}.")
        try:
            self._worker.check_style(entries[name].file)
        except AdapterError as error:
            raise AdapterError(self._told(error)) from error
        return entries[name]

    def problem(self, name: str) -> str | None:
        """Why the pack cannot be used now."""
        file = self.file(name)
        if file is None:
            return f"The style pack {name} has gone from this host: choose another, or none."
        return self._entry(name, file).problem

    def _entry(self, name: str, file: Path) -> StyleEntry:
        try:
            card = read_card(file)
        except AdapterError as error:
            return StyleEntry(name, file, None, self._told(error))
        if card.base_id == self._worker.engine_info.base_id:
            return StyleEntry(name, file, card, None)
        return StyleEntry(name, file, card, f"The style pack {name} was trained for other base weights than these.")

    def _told(self, error: AdapterError) -> str:
        return without_paths(str(error), *self._places)
