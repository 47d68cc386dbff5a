"""How often a reply is edited, by the limits that the loopback's headers tell of."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bot.pace import RESERVED
from tests.discord_server import BotProcess, DiscordServer, Message

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("streaming_bot.py")
EDITS = 4  # until it is stopped


@pytest.mark.parametrize("limit", [(4, 1.0), (1000, 1.0), None], ids=["few", "many", "unknown"])
async def test_edits_keep_to_the_limits_that_the_headers_tell(limit: tuple[int, float] | None) -> None:
    async with DiscordServer() as server, BotProcess(server, (PROGRAM,)) as bot:
        server.channel_limit = limit
        await bot.wait_ready()
        owner = server.guild.members[server.owner.id]
        written = owner.command("write")
        message = await server.wait_for(lambda: grown(server, EDITS), None, "edits")
        assert message is not None
        await owner.command("stop").answer()
        assert (await written.answer()).deleted
        assert message.content.endswith("end."), "the last edit holds all"
        assert [button["label"] for button in message.buttons] == ["Done"]
        texts = [version.content for version in message.edits]
        assert all(after != before for before, after in itertools.pairwise(texts[:-1])), "nothing twice"
        assert server.rate_limited == []
        assert server.violations == []
        if limit is not None:
            *whole, last = windows([version.at for version in message.edits], limit[1])
            assert max(whole, default=0) <= limit[0] - RESERVED
            assert last <= limit[0]
        assert await bot.terminate() == 0


def grown(server: DiscordServer, edits: int) -> Message | None:
    """The channel's message, when it has been edited so often."""
    last = server.channel.last_message
    return last if last is not None and len(last.edits) >= edits else None


def windows(times: list[float], length: float) -> list[int]:
    """How many edits each window of the limits had; one begins with the first edit after the one before."""
    counts: list[int] = []
    end = 0.0
    for at in times:
        if at >= end:
            end = at + length
            counts.append(0)
        counts[-1] += 1
    return counts
