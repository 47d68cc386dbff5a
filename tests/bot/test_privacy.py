"""What goes when a person is removed while work on their words is under way, and what an export holds."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from bot.errors import InputError
from bot.privacy import NAMES, NOTICE, attached, export, kept
from bot.reports import MOST, WITHIN, Reports, target
from bot.rules import ContentRules
from bot.services import Services
from config.settings import Settings
from engine.generation import Engine
from engine.job import Job
from engine.summary import Summary
from engine.worker import Worker
from memory import Store
from tests.bot.conftest import ANN, BEN, Paper

LONG = "Mira the fox ran down to the river and met Tom there. " * 40


class WaitingWorker(Worker):
    """Summarises only when it may."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.asked, self.may = asyncio.Event(), threading.Event()

    def summarize(self, text: str, previous: Summary | None, **options: Any) -> Job[Summary]:
        self._submit(lambda job: self.may.wait(30), "summary", background=True)
        self.asked.set()
        return super().summarize(text, previous, **options)


async def test_a_summary_that_is_being_made_of_removed_words_is_dropped(settings: Settings) -> None:
    worker = WaitingWorker(Engine.load(settings.weights or Path()))
    worker.start()
    async with Services(settings, await Store.open(settings.database_file), worker, ContentRules({})) as services:
        session = services.session(1)
        await session.start("Fox", "A fox.", BEN)
        await session.write(LONG, ANN, Paper())
        await worker.asked.wait()
        gone = await services.forget_person(ANN)
        assert (gone.turns, gone.titles) == (1, 0)
        worker.may.set()
        del session  # what works behind it keeps it until then
        await services.idle()
        assert await services.store.summary(1) is None
        assert "Mira" not in "".join(turn.text for turn in await services.store.path(1) if turn.kind == "member")


async def test_two_who_go_at_once_do_not_wait_for_each_other(services: Services) -> None:
    for channel, (first, second) in {1: (ANN, BEN), 2: (BEN, ANN)}.items():
        session = services.session(channel)
        await session.start("Fox", "A fox.", first)
        await session.write("Mira ran.", second, Paper())
    async with asyncio.timeout(20):
        ann, ben = await asyncio.gather(services.forget_person(ANN), services.forget_person(BEN))
    assert (ann.turns, ben.turns) == (2, 2)
    for channel in (1, 2):
        assert {turn.author_id for turn in await services.store.path(channel)} == {None}


async def test_an_export_has_every_kind_and_readable_times(services: Services) -> None:
    session = services.session(1)
    await session.start("Fox", "A fox.", ANN)
    await session.edit_summary("Names: Mira", ANN)
    found = await services.store.belongings(ANN.id)
    assert set(found) == set(NAMES)
    whole = json.loads(export(found, person=ANN.id, name=ANN.name, now=0.0))
    assert whole["exported_at"] == "1970-01-01T00:00:00+00:00"
    assert whole["summaries"][0]["body"]["names"] == ["Mira"]
    assert kept(found) == "Of you I keep 1 turn, 1 title of a story, 1 summary and 1 line in the log."
    assert kept(await services.store.belongings(BEN.id)) == "Of you I keep nothing."


def test_what_is_too_large_for_a_file_is_said() -> None:
    with pytest.raises(InputError, match="1 MB"):
        attached(os.urandom(2_000_000), 1 << 10)
    assert len(NOTICE) < 2000


@pytest.mark.parametrize(
    ("text", "guild", "link"),
    [
        ("https://discord.com/channels/1/2/3", 1, "https://discord.com/channels/1/2/3"),
        (" <https://ptb.discord.com/channels/1/2/3/> ", 1, "https://discord.com/channels/1/2/3"),
        ("https://discord.com/channels/@me/2/3", None, "https://discord.com/channels/@me/2/3"),
        ("https://discord.com/channels/1/2/3", None, None),
        ("https://discord.com/channels/@me/9/3", None, None),
        ("https://discord.com/channels/@me/2/3", 1, None),
        ("https://discord.com.example.org/channels/1/2/3", 1, None),
        ("https://discord.com/channels/1/2/3 and more", 1, None),
        ("http://discord.com/channels/1/2", 1, None),
    ],
)
def test_a_report_needs_a_link_of_here(text: str, guild: int | None, link: str | None) -> None:
    if link is None:
        with pytest.raises(InputError, match="message"):
            target(text, guild=guild, channel=2)
    else:
        assert target(text, guild=guild, channel=2) == link


async def test_one_person_sends_only_so_many_reports(services: Services) -> None:
    now = 0.0
    reports = Reports(services, lambda: now)
    for _ in range(MOST):
        await reports.note(1, 2, "link", "cruelty")
    with pytest.raises(InputError, match="within the hour"):
        await reports.note(1, 2, "link", "cruelty")
    await reports.note(2, 2, "link", "cruelty")
    now = WITHIN
    await reports.note(1, 2, "link", "cruelty")
    assert len([row for row in await services.store.audit_rows(99) if row.action == "report.send"]) == MOST + 2
