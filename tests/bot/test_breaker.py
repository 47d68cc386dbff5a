"""Requests that Discord refuses: how many a process sends in the worst case, by a clock of the test's own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.__main__ import EX_CONFIG
from bot.breaker import FIRST_PAUSE, LONGEST_PAUSE, MOST_REFUSED, REFUSALS, WINDOW, Breaker, asking
from bot.errors import HeldBackError
from bot.http_trace import http_trace
from tests.discord_server import BotProcess, DiscordServer

SAY = "/channels/7/messages"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Answer(Exception):
    """As discord.py raises it."""

    def __init__(self, status: int) -> None:
        self.status = status


async def ask(breaker: Breaker, path: str, status: int, method: str = "POST") -> bool:
    """Whether the platform was asked."""
    try:
        async with asking(breaker, method, path):
            if status >= 400:
                raise Answer(status)
    except HeldBackError:
        return False
    except Answer:
        pass
    return True


STORMS = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([200, 401, 403, 404, 429, 500]), st.floats(0, 20)), max_size=400
)


@settings(max_examples=100, deadline=None)
@given(STORMS)
def test_a_storm_stays_far_below_the_ban(requests: list[tuple[int, int, float]]) -> None:
    async def storm() -> None:
        clock, refused = Clock(), list[float]()
        breaker = Breaker(clock)
        for channel, status, pause in requests:
            if await ask(breaker, f"/channels/{channel}/messages", status) and status in REFUSALS:
                refused.append(clock.now)
            clock.now += pause
        for at in refused:
            assert sum(at <= other < at + WINDOW for other in refused) <= MOST_REFUSED

    asyncio.run(storm())


async def test_a_place_that_refuses_is_left_alone_ever_longer() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    assert await ask(breaker, SAY, 403)
    assert not await ask(breaker, "/channels/7/typing", 200), "whatever is said there"
    assert await ask(breaker, "/channels/8/messages", 200), "another channel"
    assert await ask(breaker, SAY + "/1", 404, "PATCH"), "a message that is there still may be changed"
    with pytest.raises(HeldBackError, match=r"Discord has refused this, so I do not ask for it again for 10 seconds"):
        await breaker.admit("POST", SAY)
    pause = FIRST_PAUSE
    for _ in range(9):
        clock.now += pause - 1
        assert not await ask(breaker, SAY, 200)
        clock.now += 1
        assert await ask(breaker, SAY, 404)
        pause = min(2 * pause, LONGEST_PAUSE)
    clock.now += pause
    assert await ask(breaker, SAY, 200)
    assert await ask(breaker, SAY, 403)
    clock.now += FIRST_PAUSE
    assert await ask(breaker, SAY, 200), "from the shortest pause again"


async def test_a_crowd_does_not_run_past_the_limit() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    open_gate, asked = asyncio.Event(), list[int]()

    async def one(channel: int) -> None:
        async with asking(breaker, "POST", f"/channels/{channel}/messages"):
            asked.append(channel)
            await open_gate.wait()
            raise Answer(404)

    crowd = [asyncio.create_task(one(channel)) for channel in range(500)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(asked) == MOST_REFUSED
    open_gate.set()
    await asyncio.wait(crowd)
    assert len(asked) == MOST_REFUSED == breaker.refused
    told = {str(task.exception()) for task in crowd if isinstance(task.exception(), HeldBackError)}
    assert told == {"Discord has refused too much of me, so I keep quiet for 10 minutes: try again then."}
    clock.now += WINDOW
    assert breaker.refused == 0
    assert await ask(breaker, "/channels/900/messages", 200)


async def test_a_crowd_of_good_requests_all_go_through() -> None:
    breaker, done = Breaker(Clock()), list[int]()

    async def one(number: int) -> None:
        async with asking(breaker, "POST", f"/channels/{number}/messages"):
            await asyncio.sleep(0)
            done.append(number)

    await asyncio.gather(*(one(number) for number in range(700)))
    assert sorted(done) == list(range(700))


async def test_a_limit_that_others_used_up_does_not_count() -> None:
    breaker = Breaker(Clock())
    for shared in (True, False):
        await breaker.admit("POST", SAY)
        breaker.answered("POST", SAY, 429, own_token=True, shared=shared)
    assert breaker.refused == 1
    await breaker.admit("GET", "/users/@me")
    breaker.broke_off()
    assert breaker.refused == 1


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


async def test_a_storm_over_the_wire(server: DiscordServer) -> None:
    """A client that never learns, 300 channels, three faults: the platform sees a hundred refusals in ten minutes."""
    clock, chance = Clock(), random.Random(5)
    breaker = Breaker(clock)
    server.fail_next("POST", r"/channels/\d*[0-4]/", 403, times=1 << 30, code=50001)
    server.fail_next("POST", r"/channels/\d*[5-7]/", 404, times=1 << 30, code=10003)
    server.rate_limit_next("POST", r"/channels/\d*[89]/", times=1 << 30, retry_after=0.001)
    headers = {"Authorization": f"Bot {server.token}"}
    async with aiohttp.ClientSession(server.base_url, headers=headers, trace_configs=[http_trace(breaker)]) as client:
        for _ in range(30):  # half an hour
            for _ in range(60):
                try:
                    path = f"/api/v10/channels/{chance.randrange(300)}/messages"
                    async with client.post(path, json={"content": "x"}) as answer:
                        assert answer.status in REFUSALS
                except HeldBackError:
                    continue
            clock.now += 60
    assert {payload.status for payload in server.payloads} == {403, 404, 429}
    assert len(server.payloads) <= 4 * MOST_REFUSED
    assert breaker.refused <= MOST_REFUSED


async def test_no_request_follows_the_first_that_says_the_token_was_revoked(server: DiscordServer) -> None:
    breaker = Breaker(Clock())
    headers = {"Authorization": "Bot wrong"}
    async with aiohttp.ClientSession(server.base_url, trace_configs=[http_trace(breaker)]) as client:
        async with client.post("/api/v10/webhooks/1/expired") as answer:
            assert answer.status >= 400
        assert not breaker.revoked.is_set(), "an interaction's token is another matter"
        async with client.post(f"/api/v10/channels/{server.channel.id}/messages", headers=headers) as answer:
            assert answer.status == 401
        assert breaker.revoked.is_set()
        for _ in range(3):
            with pytest.raises(HeldBackError, match="new token"):
                await client.post("/api/v10/channels/1/messages", headers=headers)
    assert len(server.payloads) == 2
    server.unexpected.clear()


async def test_the_bot_ends_when_its_token_is_revoked(
    server: DiscordServer, tmp_path: Path, tiny_weights: Path
) -> None:
    env = {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(tiny_weights), "MINIATURE_MAX_NEW_TOKENS": "8"}
    ann = server.guild.add_member("Ann")
    async with BotProcess(server, env=env) as bot:
        await bot.wait_ready()
        revoked = server.fail_next("POST", r"^/channels/\d+/messages$", 401, times=1 << 30)
        ann.command("story start", title="Fox", premise="A fox ran.")
        assert await bot.wait() == EX_CONFIG
    assert revoked.hits == 1
    last = bot.stderr.strip().splitlines()[-1]
    assert last == (
        "! Discord no longer takes the token, so the bot has ended: set MINIATURE_DISCORD_TOKEN to your bot's new one."
    )
