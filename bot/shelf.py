"""The weights that this process can serve, and the change from one to another while it runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bot.errors import InputError
from bot.host_paths import without_paths
from bot.intake import NAME, require_name, set_aside, take_in, throw_away
from engine.contents import plain_name
from engine.errors import EngineError, TokenizerError, WeightsError
from engine.folder import BUNDLED, read_card, read_config
from engine.outcome import EngineInfo
from engine.signature import check_signature
from engine.worker import Worker
from memory import Author, Store, StoreError

T = TypeVar("T")

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

    def __init__(
        self,
        store: Store,
        worker: Worker,
        *,
        own: Path,
        incoming: Path | None = None,
        bundled: Path = BUNDLED,
        keys: Collection[str] = (),
    ) -> None:
        """
        Args:
            incoming: where the operator puts folders that may be added by name.
            keys: public keys, of which one has to vouch for weights that are added or activated; none: nobody has to.
        """
        self._store, self._worker, self._keys = store, worker, frozenset(keys)
        self._own, self._incoming = own, incoming
        self._places = (bundled, own)
        self._lock = asyncio.Lock()

    def list(self) -> list[ShelfEntry]:
        """All of them, by name; the active one too where it lies elsewhere."""
        active = self._worker.engine_info.folder.resolve()
        folders = [folder for place in self._places for folder in _folders(place)]
        folders = [each for each in folders if (each / "config.json").is_file() and not each.name.startswith(".")]
        if active not in [folder.resolve() for folder in folders]:
            folders.insert(0, self._worker.engine_info.folder)
        entries: dict[str, ShelfEntry] = {}
        for folder in folders:
            name = plain_name(folder)
            while name in entries:
                name += "'"
            entries[name] = _entry(name, folder, active=folder.resolve() == active)
        return [entries[name] for name in sorted(entries)]

    def entry(self, name: str) -> ShelfEntry:
        """Raises `InputError` for a name that is not on the shelf."""
        entries = {entry.name: entry for entry in self.list()}
        if name not in entries:
            raise InputError(f"There are no weights of that name: choose one of {', '.join(entries)}.")
        return entries[name]

    async def activate(self, name: str, actor: Author) -> EngineInfo:
        """Checks, loads and tries the weights, then serves them; on any failure the present ones stay.

        Raises `InputError` for a name that is not on the shelf or active already, and `EngineError`.
        """
        entry = self.entry(name)
        if entry.active:
            raise InputError(f"{entry.name} is active already.")
        return await self._swap(entry.folder, actor, "weights.activate")

    async def rollback(self, actor: Author) -> EngineInfo:
        """Goes back to the weights that were active before. Raises `InputError`, `EngineError`."""
        before = await self._store.setting(SCOPE, BEFORE)
        if before is None:
            raise InputError("There are no earlier weights to go back to: activate some by name.")
        return await self._swap(Path(before), actor, "weights.rollback")

    # What is on it

    def arrivals(self) -> Sequence[str]:
        """Names of the folders that the operator has put there to be added."""
        place = self._incoming
        if place is None or not place.is_dir():
            return []
        return sorted(folder.name for folder in place.iterdir() if folder.is_dir() and NAME.fullmatch(folder.name))

    def arrival(self, name: str) -> Path:
        """Raises `InputError` for a name that is none of these."""
        if self._incoming is None or name not in self.arrivals():
            raise InputError("There is no folder of that name among the arrivals: the operator puts weights there.")
        return self._incoming / name

    async def add(self, name: str, source: Path, actor: Author) -> ShelfEntry:
        """Copies the weights of a folder, checks the copy, and puts it on the shelf. Raises `InputError`."""
        return await _to_its_end(self._add(require_name(name), source, actor))

    async def _add(self, name: str, source: Path, actor: Author) -> ShelfEntry:
        async with self._lock:
            if name in [entry.name for entry in self.list()] or name in map(plain_name, _folders(self._own)):
                raise InputError(f"There are weights of that name already: choose another than {name}.")
            kept = await asyncio.to_thread(take_in, source, self._own, name, keys=self._keys)
            try:
                await self._store.audit(actor.id, None, "weights.add", name)
            except StoreError:
                await asyncio.to_thread(lambda: throw_away(set_aside(kept)))
                raise
        return self.entry(name)

    async def remove(self, name: str, actor: Author) -> None:
        """Removes weights from the shelf and from the disk; never those that serve, nor bundled ones.

        Raises `InputError`.
        """
        await _to_its_end(self._remove(name, actor))

    async def _remove(self, name: str, actor: Author) -> None:
        async with self._lock:
            entry = self.entry(name)
            if entry.active:
                raise InputError(f"{name} is active: activate others first.")
            if entry.folder.parent != self._own:
                raise InputError(f"{name} came with this program and stays: only weights that were added go.")
            remembered = await self._store.settings(SCOPE)
            gone = [key for key in (BEFORE, CURRENT) if remembered.get(key) == _absolute(entry.folder)]
            aside = await asyncio.to_thread(set_aside, entry.folder)
            try:
                await self._noting(actor, "weights.remove", name).set_settings(SCOPE, dict.fromkeys(gone))
            except StoreError:
                aside.rename(entry.folder)
                raise
            await asyncio.to_thread(throw_away, aside)

    # Changing them

    async def _swap(self, folder: Path, actor: Author, action: str) -> EngineInfo:
        return await _to_its_end(self._change(folder, actor, action))

    async def _change(self, folder: Path, actor: Author, action: str) -> EngineInfo:
        async with self._lock:
            before = self._worker.engine_info.folder
            try:
                if self._keys:
                    await asyncio.to_thread(check_signature, folder, self._keys)
                info = await self._worker.swap(folder).result()
            except (WeightsError, TokenizerError) as error:
                raise type(error)(without_paths(str(error), folder.parent, *self._places)) from error
            try:
                remembered = {BEFORE: _absolute(before), CURRENT: _absolute(folder)}
                await self._noting(actor, action, info.name).set_settings(SCOPE, remembered)
            except StoreError:
                await self._worker.swap(before).result()
                raise
            return info

    def _noting(self, actor: Author, action: str, detail: str) -> Store:
        return self._store.noting(actor.id, None, action, detail)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Even if who asked is gone: else weights served, came or went without that being written down."""
    return await asyncio.shield(asyncio.ensure_future(work))


def _entry(name: str, folder: Path, *, active: bool) -> ShelfEntry:
    try:
        read_config(folder)
        missing = [file for file in ("model.safetensors", "tokenizer.json") if not (folder / file).is_file()]
        problem = f"{', '.join(missing)} is missing: copy the folder again." if missing else None
        return ShelfEntry(name, folder, active, read_card(folder), problem)
    except EngineError as error:
        return ShelfEntry(name, folder, active, {}, without_paths(str(error), folder.parent))


def _folders(place: Path) -> list[Path]:
    return sorted(place.iterdir()) if place.is_dir() else []


def _absolute(folder: Path) -> str:
    return os.path.abspath(folder)
