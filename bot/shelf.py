"""The weights that this process can serve, and the change from one to another while it runs."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import InputError
from engine.errors import EngineError
from engine.folder import BUNDLED, read_card, read_config
from engine.outcome import EngineInfo
from engine.worker import Worker
from memory import Author, Store

SCOPE, CURRENT, BEFORE = "process", "weights", "weights_before"


@dataclass(frozen=True)
class ShelfEntry:
    name: str
    folder: Path
    active: bool
    card: dict[str, Any]  # what the folder says of itself: rating, parameters, bits_per_byte, …
    problem: str | None  # why it cannot be activated, as one sentence


class WeightsShelf:
    """Folders of weights: the bundled ones, and the operator's `own`."""

    def __init__(self, store: Store, worker: Worker, *, own: Path, bundled: Path = BUNDLED) -> None:
        self._store, self._worker = store, worker
        self._places = (bundled, own)
        self._lock = asyncio.Lock()

    def list(self) -> list[ShelfEntry]:
        """All of them, by name; the active one too where it lies elsewhere."""
        active = self._worker.engine_info.folder.resolve()
        folders = [folder for place in self._places if place.is_dir() for folder in sorted(place.iterdir())]
        folders = [folder for folder in folders if (folder / "config.json").is_file()]
        if active not in [folder.resolve() for folder in folders]:
            folders.insert(0, self._worker.engine_info.folder)
        entries: dict[str, ShelfEntry] = {}
        for folder in folders:
            name = folder.name
            while name in entries:
                name += "'"
            entries[name] = _entry(name, folder, active=folder.resolve() == active)
        return [entries[name] for name in sorted(entries)]

    async def activate(self, name: str, actor: Author) -> EngineInfo:
        """Checks, loads and tries the weights, then serves them; on any failure the present ones stay.

        Raises `InputError` for a name that is not on the shelf or active already, and `EngineError`.
        """
        entry = next((entry for entry in self.list() if entry.name == name), None)
        if entry is None:
            names = ", ".join(entry.name for entry in self.list())
            raise InputError(f"There are no weights of that name: choose one of {names}.")
        if entry.active:
            raise InputError(f"{entry.name} is active already.")
        return await self._swap(entry.folder, actor, "weights.activate")

    async def rollback(self, actor: Author) -> EngineInfo:
        """Goes back to the weights that were active before. Raises `InputError`, `EngineError`."""
        before = await self._store.setting(SCOPE, BEFORE)
        if before is None:
            raise InputError("There are no earlier weights to go back to: activate some by name.")
        return await self._swap(Path(before), actor, "weights.rollback")

    async def _swap(self, folder: Path, actor: Author, action: str) -> EngineInfo:
        # Carried out to its end even if who asked is gone: else the new weights served without being remembered.
        return await asyncio.shield(asyncio.ensure_future(self._change(folder, actor, action)))

    async def _change(self, folder: Path, actor: Author, action: str) -> EngineInfo:
        async with self._lock:
            before = self._worker.engine_info.folder
            info = await self._worker.swap(folder).result()
            await self._store.set_setting(SCOPE, BEFORE, _absolute(before))
            await self._store.set_setting(SCOPE, CURRENT, _absolute(folder))
            await self._store.audit(actor.id, None, action, info.name)
            return info


def _entry(name: str, folder: Path, *, active: bool) -> ShelfEntry:
    try:
        read_config(folder)
        missing = [file for file in ("model.safetensors", "tokenizer.json") if not (folder / file).is_file()]
        problem = f"{', '.join(missing)} is missing: copy the folder again." if missing else None
        return ShelfEntry(name, folder, active, read_card(folder), problem)
    except EngineError as error:
        return ShelfEntry(name, folder, active, {}, str(error))


def _absolute(folder: Path) -> str:
    return os.path.abspath(folder)
