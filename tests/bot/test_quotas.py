"""Shares of the engine: what one member, one channel and one server may ask for, by a clock of the test's own."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.errors import InputError, QuotaSpentError
from bot.quotas import SECONDS, Asker, Quotas, What, Whose, limits_of
from bot.services import Services
from config.settings import Settings, load_settings
from memory import Author
from tests.bot.conftest import ANN, BEN, Paper

LIMITS: dict[Whose, int] = {"member": 3, "channel": 5, "server": 8}
ASKERS = st.builds(Asker, st.none() | st.integers(1, 3), st.integers(0, 3), st.none() | st.integers(1, 2))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def small(what: What, whose: Whose, server: int | None) -> int:
    return LIMITS[whose]


def refused_for(quotas: Quotas, asker: Asker, count: int) -> float | None:
    """Seconds until it is free again; None where it was taken."""
    try:
        quotas.take("requests", asker, count)
    except QuotaSpentError as spent:
        return spent.free_in
    return None


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(ASKERS, st.floats(0, 40), st.integers(1, 2)), max_size=60))
def test_nobody_has_more_than_a_share(steps: list[tuple[Asker, float, int]]) -> None:
    """In any span of time no more than a full bucket and what flowed into it; and whoever comes when told is served."""
    clock = Clock()
    quotas = Quotas(small, clock)
    served: defaultdict[tuple[Whose, int, int | None], list[float]] = defaultdict(list)
    for asker, pause, count in steps:
        clock.now += pause
        for _ in range(3):  # whoever comes when told may find another of the three shares spent, each once at most
            if (wait := refused_for(quotas, asker, count)) is None:
                break
            assert 0 < wait <= SECONDS["requests"]
            clock.now += wait
        else:
            quotas.take("requests", asker, count)
        if asker.channel != 0:
            for whose, one in asker.owners:
                served[whose, one, asker.server] += [clock.now] * min(count, LIMITS[whose])
    for (whose, _, _), times in served.items():
        for first in range(len(times)):
            for last in range(first, len(times)):
                flowed = (times[last] - times[first]) / SECONDS["requests"] * LIMITS[whose]
                assert last - first + 1 <= LIMITS[whose] + math.ceil(flowed + 1e-6)


def test_a_refusal_takes_nothing_and_names_the_time() -> None:
    clock = Clock()
    quotas = Quotas(small, clock)
    for member in (1, 2):
        for _ in range(3 if member == 1 else 2):
            quotas.take("requests", Asker(member, 7, 5))
    with pytest.raises(QuotaSpentError) as spent:
        quotas.take("requests", Asker(2, 7, 5))
    assert str(spent.value) == (
        "This channel has had all of the 5 requests a minute that a channel may have:"
        " the next is free in 12 seconds, so try again then."
    )
    quotas.take("requests", Asker(2, 8, 5))  # the third of this member: the refusal took none
    with pytest.raises(QuotaSpentError, match=r"^You have had all of the 3 requests a minute that a member may have"):
        quotas.take("requests", Asker(2, 8, 5))
    clock.now += 20
    quotas.take("requests", Asker(2, 8, 5))
    for _ in range(10):
        quotas.take("requests", Asker(1, 0, None))  # the terminal
    for _ in range(3):
        quotas.take("lessons", Asker(3, 9, None))
    with pytest.raises(QuotaSpentError, match="the next is free in 8 hours"):
        quotas.take("lessons", Asker(3, 9, None))


def test_full_buckets_are_not_kept() -> None:
    clock = Clock()
    quotas = Quotas(small, clock)
    for member in range(1, 5000):
        clock.now += 1
        quotas.take("requests", Asker(member, member, None))
    assert len(quotas) < 2500


def test_a_server_may_choose_less_and_never_more() -> None:
    chosen = {(1, "requests_per_member"): 2, (2, "requests_per_member"): 99}
    limits = limits_of(load_settings(requests_per_member=10), lambda server, name: chosen.get((server, name)))
    assert [limits("requests", "member", server) for server in (1, 2, 3, None)] == [2, 10, 10, 10]
    free = limits_of(load_settings(requests_per_member=0), lambda server, name: chosen.get((server, name)))
    assert [free("requests", "member", server) for server in (1, 2, 3, None)] == [2, 99, 0, 0]


async def test_a_session_refuses_what_is_too_much(settings: Settings) -> None:
    few = settings.model_copy(update={"requests_per_member": 2, "requests_per_channel": 3})
    async with await Services.open(few) as services:
        session = services.session(5, 1)
        await session.start("Fox", "A fox.", ANN)
        for _ in range(2):
            await session.write(None, ANN, Paper())
        with pytest.raises(QuotaSpentError, match="You have had all of the 2 requests a minute"):
            await session.retry(ANN, Paper())
        await session.write(None, BEN, Paper())
        turns = await services.store.path(5)
        with pytest.raises(QuotaSpentError, match="This channel has had all of the 3"):
            await session.write("Not stored.", BEN, Paper())
        assert await services.store.path(5) == turns


async def test_lessons_of_the_day_outlive_a_restart(settings: Settings) -> None:
    few = settings.model_copy(update={"daily_lessons_per_member": 2})
    async with await Services.open(few) as services:
        session = services.session(5, 1)
        for prompt in ("The fox is called", "The hen is called"):
            await session.teach(prompt, "Mira.", ANN, Paper())
        for row in await session.lessons():
            await session.forget(row.id)  # what was taught was taught
    async with await Services.open(few) as services:
        with pytest.raises(QuotaSpentError, match=r"all of the 2 lessons a day .* free in 12 hours"):
            await services.session(6, 1).teach("The dog is called", "Tom.", ANN, Paper())
        await services.session(6, 1).teach("The dog is called", "Tom.", Author(13, "Cay"), Paper())


async def test_a_server_chooses_in_its_settings(settings: Settings) -> None:
    async with await Services.open(settings) as services:
        dials, session = services.dials, services.session(5, 1)
        with pytest.raises(InputError, match="whole server"):
            await dials.set("channel:5", "requests_per_member", "1", ANN)
        with pytest.raises(InputError, match="1 to 30"):
            await dials.set("guild:1", "requests_per_member", "31", ANN)
        await dials.set("guild:1", "requests_per_member", "1", ANN)
        assert ("requests_per_member", 1, "this server") in [
            (held.dial.name, held.value, held.source) for held in dials.held(5, 1)
        ]
        await session.start("Fox", "A fox.", ANN)
        await session.write(None, ANN, Paper())
        with pytest.raises(QuotaSpentError, match="You have had the only one of the 1 requests"):
            await session.write(None, ANN, Paper())
        elsewhere = services.session(6, 2)
        await elsewhere.start("Hen", "A hen.", ANN)
        for _ in range(2):
            await elsewhere.write(None, ANN, Paper())
        await dials.clear("guild:1", ANN)
        assert ("requests_per_member", 30, "the default") in [
            (held.dial.name, held.value, held.source) for held in dials.held(5, 1)
        ]
