"""An act and its row in the audit log come together or not at all: on a full disk, and when who asked is gone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import pytest

from bot.dials import Dials
from bot.reports import Reports
from bot.services import Services
from config.settings import Settings
from engine.contents import plain_name
from engine.generation import Engine
from engine.worker import Worker
from memory import DiskFullError, Store
from tests.bot.conftest import ANN, open_services

HERE = 5
PLACE = f"channel:{HERE}"
Act = Callable[[Services], Awaitable[object]]
ACTS: Mapping[str, Act] = MappingProxyType(
    {
        "settings.set": lambda s: s.dials.set(PLACE, "temperature", "0.7", ANN),
        "settings.preset": lambda s: s.dials.preset(PLACE, "wild", ANN),
        "settings.clear": lambda s: s.dials.clear(PLACE, ANN),
        "weights.activate": lambda s: s.shelf.activate("other", ANN),
        "weights.rollback": lambda s: s.shelf.rollback(ANN),
        "weights.add": lambda s: s.shelf.add("more", s.shelf.arrival("fresh"), ANN),
        "weights.remove": lambda s: s.shelf.remove("spare", ANN),
        "memory.unpin": lambda s: s.session(HERE).unpin(1, ANN),
        "memory.pause": lambda s: s.session(HERE).pause(ANN),
        "memory.reset": lambda s: s.session(HERE).reset(ANN),
        "report.send": lambda s: Reports(s).note(ANN.id, HERE, "a link", "something else"),
    }
)


@pytest.fixture
async def house(settings: Settings, tiny_weights: Path, other_tiny_weights: Path) -> AsyncIterator[Services]:
    """In which there is something for each act to change."""
    shutil.copytree(other_tiny_weights, settings.arrivals / "fresh")
    async with await open_services(settings) as services:
        for name in ("other", "spare"):
            await services.shelf.add(name, services.shelf.arrival("fresh"), ANN)
        await services.shelf.activate("other", ANN)
        await services.shelf.rollback(ANN)
        await services.dials.set(PLACE, "temperature", "1.5", ANN)
        await services.session(HERE).pin("The fox is red.", ANN)
        yield services


async def seen(services: Services) -> dict[str, object]:
    """What acts change, as the process has it and as the file keeps it."""
    store, again = services.store, Dials(services.store, services.settings)
    await again.load()
    assert again.held(HERE, None) == services.dials.held(HERE, None), "what holds is what is kept"
    return {
        "settings": [await store.settings(scope) for scope in (PLACE, "process")],
        "serving": services.worker.engine_info,
        "shelf": [(entry.name, entry.active) for entry in services.shelf.list()],
        "files": sorted(plain_name(folder) for folder in (services.settings.data_dir / "weights").iterdir()),
        "pins": await store.pins(HERE),
        "acts": await store.audit_rows(1),
    }


async def fill(store: Store) -> None:
    """Until not even the shortest act has room."""
    for length in (3000, 300, 30, 0):
        with suppress(DiskFullError):
            while True:
                await store.audit(0, None, "a", "w" * length)


@pytest.mark.parametrize("act", ACTS)
async def test_an_act_that_cannot_be_noted_has_not_happened(house: Services, act: str) -> None:
    settings, serving = house.settings, house.worker.engine_info.folder
    await house.close()
    file = settings.database_file
    store = await Store.open(file, max_pages=file.stat().st_size // 4096 + 8)
    worker = Worker(Engine.load(serving))
    worker.start()
    async with Services(settings, store, worker, house.rules) as full:
        await full.dials.load()
        await fill(store)
        before = await seen(full)
        with pytest.raises(DiskFullError, match=r"free some space and try again\.$"):
            await ACTS[act](full)
        assert await seen(full) == before
    async with await open_services(settings) as again:  # and with room it is done
        await again.dials.load()
        await ACTS[act](again)
        assert [row.action for row in await again.store.audit_rows(1)] == [act]


@pytest.mark.parametrize("act", ACTS)
async def test_an_act_whose_asker_is_gone_is_noted_if_it_happened(house: Services, act: str) -> None:
    happened = False
    for awaits in range(0, 40, 3):
        others, before = asyncio.all_tasks(), await seen(house)
        asker = asyncio.ensure_future(ACTS[act](house))
        for _ in range(awaits):
            await asyncio.sleep(0)
        asker.cancel()
        await asyncio.wait({asker})
        if begun := asyncio.all_tasks() - others:
            await asyncio.wait(begun)
        if not asker.cancelled() and asker.exception() is not None:
            break  # as it was done the time before, it cannot be done again
        after, rows = await seen(house), await house.store.audit_rows(1)
        if rows == before.pop("acts"):
            assert after | before == after, f"changed and not noted, after {awaits} awaits"
        else:
            assert rows[0].action == act
            happened = True
    assert happened
