"""python -m benchmarks.edits [--replies N] [--json]: does a reply that is edited as it grows end without waiting?

A bot without a model streams replies of three to six seconds, in one channel after the other, to a Discord on loopback
that takes five edits in five seconds of each. Each reply once with edits at the pace that the headers allow, and once
every 1.1 s, as where nothing is known of the limits. Counted: edits of the growing text; timed from the moment at which
the text is complete: until all of it can be read, and until the buttons are there. Medians, and the slowest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from tests.discord_server import BotProcess, Channel, DiscordServer, Member

PROGRAM = Path(__file__).parents[1] / "tests" / "bot" / "streaming_bot.py"
LIMIT = (5, 5.0)  # edits, in so many seconds
SHORTEST, LONGEST = 3.0, 6.0  # seconds of a reply


@dataclass(frozen=True)
class Ended:
    """How one reply ended; seconds count from when its text was complete."""

    edits: int
    read: float
    buttons: float


async def reply(member: Member, channel: Channel, seconds: float) -> Ended:
    server, clock = member.server, asyncio.get_running_loop().time
    written = member.command("write", channel=channel)
    await asyncio.sleep(seconds)
    complete = clock()
    member.command("stop", channel=channel)
    await written.answer(60.0)
    message = channel.bot_messages[-1]
    read = next(index for index, version in enumerate(message.edits) if version.content.endswith("end."))
    assert not server.rate_limited
    return Ended(read, message.edits[read].at - complete, message.edits[-1].at - complete)


async def replies(count: int, fixed: bool) -> list[Ended]:
    env = {"STREAMING_FIXED": "1" if fixed else ""}
    async with DiscordServer(timeout=60) as server, BotProcess(server, (PROGRAM,), env=env) as bot:
        server.channel_limit = LIMIT
        await bot.wait_ready()
        member = server.guild.members[server.owner.id]
        lengths = [SHORTEST + (LONGEST - SHORTEST) * number / max(1, count - 1) for number in range(count)]
        return [await reply(member, server.guild.add_channel("story"), seconds) for seconds in lengths]


def figures(ended: list[Ended]) -> dict[str, float]:
    def middle(values: list[float]) -> float:
        return round(statistics.median(values), 2)

    read, buttons = [one.read for one in ended], [one.buttons for one in ended]
    return {"edits": middle([one.edits for one in ended]), "read": middle(read), "read_slowest": round(max(read), 2),
            "buttons": middle(buttons), "buttons_slowest": round(max(buttons), 2)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[0])
    parser.add_argument("--replies", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {name: figures(asyncio.run(replies(given.replies, name == "every 1.1 s")))
             for name in ("by the headers", "every 1.1 s")}  # fmt: skip
    if given.json:
        print(json.dumps(found))
        return
    for name, one in found.items():
        ends = (f"{what} {one[what]} s after it (slowest {one[f'{what}_slowest']})" for what in ("read", "buttons"))
        print(f"{name}: {one['edits']:g} edits before the end; {', '.join(ends)}")


if __name__ == "__main__":
    main()
