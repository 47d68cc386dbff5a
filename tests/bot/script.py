"""Services on a worker that writes what a test says, with a channel whose flag the test can take away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from benchmarks.reliability.script import Script
from bot.rules import ContentRules
from bot.services import Services
from config.settings import load_settings
from engine.worker import Worker
from memory import Store

GUILD, CHANNEL = 9, 5


@asynccontextmanager
async def scripted(
    data: Path, rules: ContentRules, script: Script, flags: set[int], **settings: object
) -> AsyncIterator[Services]:
    """`flags`: the channels that are age-restricted, as they are now."""
    chosen = load_settings(
        data_dir=data, requests_per_member=0, requests_per_channel=0, requests_per_server=0, **settings
    )
    store = await Store.open(chosen.database_file)
    async with Services(chosen, store, cast(Worker, script), rules) as services:
        services.age_restricted = flags.__contains__
        yield services
