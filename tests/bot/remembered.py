"""What the tests of a channel's memory share: a story of the tiny weights, and what has come of it."""

from __future__ import annotations

from pathlib import Path

from bot.services import Services
from engine.outcome import EngineInfo
from tests.bot.conftest import ANN, Paper

CHANNEL = 7
LONG = "The fox ran over the hill and through the wood until she came to a river. " * 12


async def begun(services: Services, channel: int = CHANNEL) -> None:
    await services.session(channel).start("The fox", "Once upon a time, there was a fox.", ANN)


async def grown(services: Services, text: str = f"Mira met Tom. {LONG}") -> None:
    """A turn that is longer than the window, and all that follows from it."""
    await services.session(CHANNEL).write(text, ANN, Paper())
    await services.idle()


async def swapped(services: Services, folder: Path) -> EngineInfo:
    return await services.worker.swap(folder).result()


async def actions(services: Services, count: int) -> list[str]:
    return [row.action for row in reversed(await services.store.audit_rows(count))]
