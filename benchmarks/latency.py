"""python -m benchmarks.latency [--weights DIR] [--stories N] [--channels N] [--json]: how long does a reply take?

Starts the real `python -m bot` against a Discord on loopback, where a member begins stories and asks for
`/story continue`: one story after the other, each in a channel of its own, and by turns several at once. Timed from
the command on: until it is acknowledged, until the first of the story can be read, and until the last edit, which puts
the buttons there. The bot holds its first message back for a quarter of a second, or until the reply is whole, and
edits it as often as the limits in the headers allow; the loopback enforces five edits in five seconds for a
channel. All figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.folder import default_weights
from tests.discord_server import BotProcess, Channel, DiscordServer, Member, Message

PATIENCE = 300.0  # seconds for one step on a busy machine
PREMISE = "Once upon a time, a fox named Mira found a silver key in the snow."
EDITS = (5, 5.0)  # that a channel takes, in so many seconds


@dataclass(frozen=True)
class Reply:
    """One reply; seconds count from the command on."""

    acknowledged: float
    first_text: float
    last_edit: float
    characters: int


async def write(member: Member, count: int) -> list[Reply]:
    """Begins a story in each of so many new channels; when all have begun, asks for all to go on, at once."""
    channels = [member.guild.add_channel("stories") for _ in range(count)]
    for channel in channels:
        await member.command("story start", title="Mira", premise=PREMISE, channel=channel).answer()
    return await asyncio.gather(*(ask(member, channel) for channel in channels))


async def ask(member: Member, channel: Channel) -> Reply:
    """Asks for the story to go on, and watches the channel until the reply has its buttons."""
    server, before, clock = member.server, len(channel.messages), asyncio.get_running_loop().time
    command = member.command("story continue", channel=channel)

    def written() -> list[Message]:
        return [message for message in channel.messages[before:] if told(message)]

    await server.wait_for(written, PATIENCE, "the first text")
    first = clock()
    await server.wait_for(lambda: finished(channel, before), PATIENCE, "the end of the reply")
    last = clock()
    await server.wait_for(lambda: command.acknowledged_after is not None, PATIENCE, "an acknowledgement")
    assert command.acknowledged_after is not None
    characters = sum(len(told(message)) for message in written())
    return Reply(command.acknowledged_after, first - command.created, last - command.created, characters)


def told(message: Message) -> str:
    """What a message tells of the story: lines in small print only say what the bot does."""
    return "\n".join(line for line in message.content.splitlines() if not line.startswith("-# ")).strip()


def finished(channel: Channel, before: int) -> bool:
    """Whether a message behind the first `before` of the channel has the buttons of a finished reply."""
    new = channel.messages[before:]
    return bool(new) and [button["label"] for button in new[-1].buttons][:1] == ["Continue"]


async def measure(weights: Path, stories: int, channels: int, tokens: int) -> dict[str, list[Reply]]:
    with tempfile.TemporaryDirectory() as folder:
        env = {"MINIATURE_DATA_DIR": folder, "MINIATURE_WEIGHTS": str(weights), "HOME": folder,
               "MINIATURE_MAX_NEW_TOKENS": str(tokens)}  # fmt: skip
        async with DiscordServer(timeout=PATIENCE) as server:
            server.channel_limit = EDITS
            async with BotProcess(server, env=env) as bot:
                await bot.wait_ready(PATIENCE)
                member = server.guild.members[server.owner.id]
                await write(member, 1)  # what is done once a process is no story's cost
                alone, together = list[Reply](), list[Reply]()
                while len(alone) < stories:
                    for _ in range(channels):
                        alone += await write(member, 1)
                    together += await write(member, channels)
                assert await bot.terminate() == 0
    return {"one after the other": alone, f"{channels} channels at once": together}


def medians(replies: list[Reply]) -> dict[str, float | int]:
    rows = [asdict(reply) for reply in replies]
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return {
        "replies": len(replies),
        "acknowledged_ms": round(middle["acknowledged"] * 1000, 1),
        "first_text_ms": round(middle["first_text"] * 1000),
        "last_edit_ms": round(middle["last_edit"] * 1000),
        "characters": round(middle["characters"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=default_weights())
    parser.add_argument("--stories", type=int, default=9, metavar="N", help="of each row, at least")
    parser.add_argument("--channels", type=int, default=3, metavar="N", help="that ask at once")
    parser.add_argument("--tokens", type=int, default=160, metavar="N", help="of the longest reply")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    measured = asyncio.run(measure(args.weights.resolve(), args.stories, args.channels, args.tokens))
    figures = {name: medians(replies) for name, replies in measured.items()}
    if args.json:
        print(json.dumps(figures))
        return
    print(f"{'':22}{'replies':>8}{'acknowledged':>14}{'first text':>12}{'last edit':>11}{'characters':>12}")
    for name, row in figures.items():
        print(
            f"{name:22}{row['replies']:8}{row['acknowledged_ms']:11.1f} ms{row['first_text_ms']:9,} ms"
            f"{row['last_edit_ms']:8,} ms{row['characters']:12,}"
        )


if __name__ == "__main__":
    main()
