"""The line under a story's end that says who is next: what it says, and where it finds room."""

from __future__ import annotations

import discord
import pytest

from bot.next_line import parted, says_next, with_foot
from bot.output import LIMIT, harmless
from bot.sharing import Standing
from memory import Author, Table
from tests.bot.conftest import ANN, BEN
from tests.bot.test_discord_streaming import FakeChannel, http, stream_to

CROWD = tuple(Author(number, f"M{number}") for number in range(8))


@pytest.mark.parametrize(
    ("standing", "line"),
    [
        (None, ""),
        (Standing("free", Table(), None), ""),
        (Standing("round robin", Table((ANN,)), None), "-# Next: Ann."),
        (Standing("round robin", Table((ANN, BEN)), 60.0), "-# Next: Ann, until <t:160:t>; then Ben."),
        (Standing("round robin", Table(CROWD), None), "-# Next: M0; then M1, M2, M3, M4, 3 more."),
        (
            Standing("round robin", Table((Author(5, "<@&1> *E*"),)), None),
            "-# Next: <\u200b@\u200b&1> \\*E\\*.",
        ),
    ],
)
def test_what_it_says(standing: Standing | None, line: str) -> None:
    assert says_next(standing, 100.0) == line


def test_it_is_told_from_the_text_above_it() -> None:
    shown = harmless("She ran.\n-# Next: nobody, says the dax.")
    assert parted(shown) == (shown, ""), "a text cannot pass for it"
    assert with_foot(shown, "-# Next: Ann.") == f"{shown}\n-# Next: Ann."
    assert with_foot(f"{shown}\n-# Next: Ann.", "-# Next: Ben.") == f"{shown}\n-# Next: Ben."
    assert with_foot(f"{shown}\n-# Next: Ann.", "") == shown
    assert with_foot("-# Next: Ann.", "-# Next: Ben.") == "-# Next: Ben."
    assert with_foot("x" * LIMIT, "-# Next: Ann.") is None


@pytest.mark.parametrize(("text", "messages"), [("She ran.", 1), ("x" * (LIMIT - 5), 2)])
async def test_without_room_it_is_a_message_of_its_own(text: str, messages: int) -> None:
    channel = FakeChannel()
    stream = stream_to(channel)
    await stream.finish(text)
    await stream.sign("-# Next: Ann.")
    assert await stream.crown(discord.ui.View())
    assert len(channel.shown) == messages
    assert "\n".join(channel.texts) == f"{text}\n-# Next: Ann."
    assert [crowned for _, crowned in channel.shown.values()] == [False] * (messages - 1) + [True]


async def test_a_line_that_cannot_be_sent_costs_nothing_but_itself() -> None:
    channel = FakeChannel()
    stream = stream_to(channel)
    await stream.finish("x" * LIMIT)
    channel.failures = [http(discord.Forbidden, 403, 50013)]
    await stream.sign("-# Next: Ann.")
    assert await stream.crown(discord.ui.View())
    assert channel.texts == ["x" * LIMIT]
