"""python -m benchmarks.channels [--channels 200] [--seconds 60] [--weights DIR]: is a crowd served well, and fairly?

The real bot against a Discord on loopback, twice. In each channel four members ask for `/story continue`, and in one of
them four others ask a hundred times as often: at random moments of the first seconds, and then, to see who is served
first, all at once. Counts how each request was answered: by a part of the story, or by a sentence that refuses it.
Measures how soon each was acknowledged, and how late the bot's event loop was, beside a process that does nothing
meanwhile: what that one is late, the machine makes everybody.

Fairness is the index of Jain, Chiu and Hawe ("A Quantitative Measure of Fairness and Discrimination", DEC-TR-301,
1984), (sum x)^2 / (n * sum x^2), of the rate of service x where all ask at once: the parts of the story that a channel
was given up to the moment at which the first of them has all of its four. Until then each has something to wait for, so
an equal share is fair. Ends with 1 where a request was answered not once, a channel that behaves was refused, or the
index is below 0.95.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.latency import told
from benchmarks.reliability.tiny import two_weights
from bot.services import Services
from config.settings import load_settings
from memory import Author
from tests.discord_server import BotProcess, Channel, DiscordServer, Guild, Interaction, Member, Message

PATIENCE = 3600.0  # seconds for one step on a busy machine
EACH = 4  # requests of a channel
FLOOD = 100  # times as many in one of them
PER_SERVER = 10  # channels of a server
ROOT = Path(__file__).parents[1]
WITHHELD = "stories here may not contain"  # random weights write what the content rules take for a word of theirs
REFUSALS = ("has had all of", "have had all of", "has as many requests waiting")


@dataclass
class Crowd:
    """One time that all have asked."""

    flooder: int  # the channel
    asked: dict[int, list[Interaction]]  # by channel
    parts: dict[int, list[float]]  # by channel: seconds at which a part of the story was whole
    refused: Counter[int]  # by channel
    withheld: Counter[int]  # by channel: replies that the content rules kept back, which is an answer too
    other: list[str]  # answers that are none of these
    began: float
    ended: float
    spent: frozenset[int] = frozenset()  # channels that flooded before, and may still have no requests left

    @property
    def acknowledged(self) -> list[float]:
        return [one.acknowledged_after or PATIENCE for asked in self.asked.values() for one in asked]

    @property
    def shares(self) -> list[int]:
        """Of each channel, the parts of the story by the moment when the first has all of its four."""
        moment = min((parts[EACH - 1] for parts in self.parts.values() if len(parts) >= EACH), default=self.ended)
        return [sum(at <= moment for at in parts) for parts in self.parts.values()]

    @property
    def answered_once(self) -> bool:
        """As many answers as there were requests, in each channel, and the well-behaved never refused."""
        counts = all(
            len(self.parts[each]) + self.refused[each] + self.withheld[each] == len(asked)
            for each, asked in self.asked.items()
        )
        return counts and set(self.refused) <= {self.flooder, *self.spent} and not self.other


def jain(shares: Sequence[float]) -> float:
    squares = sum(share**2 for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def p99(values: Sequence[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else 0.0


async def begin(channels: Sequence[Channel], weights: Path, place: Path) -> None:
    """A story in each, written down before the bot starts."""
    async with await Services.open(load_settings(data_dir=place, weights=weights)) as services:
        for channel in channels:
            assert channel.guild is not None
            session = services.session(channel.id, channel.guild.id)
            await session.start("Mira", "Once upon a time, a fox named Mira found a key.", Author(1, "Ann"))
        await services.idle()


async def ask(member: Member, channel: Channel, after: float) -> Interaction:
    await asyncio.sleep(after)
    return member.command("story continue", channel=channel)


async def crowd(server: DiscordServer, chance: random.Random, flooder: Channel, seconds: float, flood: int) -> Crowd:
    """Everybody asks within these seconds; returns when each has an answer."""
    clock, waits = asyncio.get_running_loop().time, []
    before = {channel.id: len(channel.history) for guild in circles(server) for channel in guild.channels}
    began = clock()
    for guild in circles(server):
        members = [member for member in guild.members.values() if member.user.name.startswith("Member")]
        noisy = [member for member in guild.members.values() if member.user.name.startswith("Noisy")]
        for channel in guild.channels:
            who = noisy * flood if channel is flooder else members
            waits += [asyncio.create_task(ask(one, channel, chance.random() * seconds)) for one in who]
    asked: dict[int, list[Interaction]] = {channel: [] for channel in before}
    for interaction in await asyncio.gather(*waits):
        asked[interaction.channel.id].append(interaction)
    every = [one for each in asked.values() for one in each]
    await server.wait_for(lambda: all(map(over, every)), PATIENCE, "an answer to each request")
    refused, withheld, other = Counter[int](), Counter[int](), list[str]()
    for one in every:
        for text in (message.content for message in answers(one)):
            if any(refusal in text for refusal in REFUSALS):
                refused[one.channel.id] += 1
            elif WITHHELD in text:
                withheld[one.channel.id] += 1
            else:
                other.append(text)
    parts = {channel: written(server.channels[channel], since) for channel, since in before.items()}
    return Crowd(flooder.id, asked, parts, refused, withheld, other, began, clock())


@dataclass
class Run:
    spread: Crowd  # over the seconds
    at_once: Crowd
    # Seconds while the spread crowd was served: how late the loop was, and how long its thread computed meanwhile.
    late: list[tuple[float, float]]
    idle: list[tuple[float, float]]  # of a loop that does nothing


async def run(count: int, seconds: float, weights: Path, place: Path, tokens: int, flood: int = FLOOD) -> Run:
    chance = random.Random(1)
    async with DiscordServer(timeout=PATIENCE) as server:
        channels: list[Channel] = []
        while len(channels) < count:
            guild = server.add_guild("Circle")
            for number in range(EACH):
                guild.add_member(f"Member {number}")
                guild.add_member(f"Noisy {number}")
            channels += [guild.add_channel(f"stories-{n}") for n in range(min(PER_SERVER, count - len(channels)))]
        await begin(channels, weights, place)
        env = {"MINIATURE_DATA_DIR": str(place), "MINIATURE_WEIGHTS": str(weights), "PROBE_FILE": str(place / "probe"),
               "MINIATURE_MAX_NEW_TOKENS": str(tokens), "HOME": str(place)}  # fmt: skip
        beside = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.probed_bot", "idle", cwd=ROOT,
            env={**os.environ, "PROBE_FILE": str(place / "idle"), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            async with BotProcess(server, ["-m", "benchmarks.probed_bot"], env=env) as bot:
                await bot.wait_ready(PATIENCE)
                spread = await crowd(server, chance, channels[0], seconds, flood)
                at_once = await crowd(server, chance, channels[-1], 0.0, flood)
                at_once.spent = frozenset({spread.flooder})
                assert await bot.terminate(PATIENCE) == 0
        finally:
            beside.send_signal(signal.SIGTERM)
            await beside.wait()
        assert not server.violations
        late, idle = (read(place / name, spread.began, spread.ended) for name in ("probe", "idle"))
        return Run(spread, at_once, late, idle)


def circles(server: DiscordServer) -> list[Guild]:
    return [guild for guild in server.guilds.values() if guild.name == "Circle"]


def answers(one: Interaction) -> list[Message]:
    """What only the asker saw, and is still there."""
    messages = [one.message, *one.followups] if one.message is not None else [*one.followups]
    return [message for message in messages if not message.deleted and not message.loading]


def over(one: Interaction) -> bool:
    """Whether its "is thinking" has gone, or has become an answer."""
    return one.message is not None and (one.message.deleted or not one.message.loading)


def written(channel: Channel, since: int) -> list[float]:
    """When each part of the story was whole, of the messages behind the first so many."""
    new = [message for message in channel.history[since:] if message.author is channel.server.bot_user]
    seen = [message for message in new if not message.deleted and not message.ephemeral and told(message)]
    return sorted(message.edits[-1].at for message in seen)


def read(file: Path, began: float, ended: float) -> list[tuple[float, float]]:
    return [(late, computed) for at, late, computed in json.loads(file.read_text()) if began <= at <= ended]


def figures(found: Run) -> dict[str, object]:
    spread, at_once = found.spread, found.at_once
    return {
        "channels": len(spread.asked), "load_average": round(os.getloadavg()[0], 1),
        **counted("spread", spread), "acknowledged_ms_p99": round(p99(spread.acknowledged) * 1000),
        "loop_late_ms_median": round(statistics.median(late for late, _ in found.late) * 1000, 2),
        "loop_late_ms_p99": round(p99([late for late, _ in found.late]) * 1000, 1),
        "idle_loop_late_ms_p99": round(p99([late for late, _ in found.idle]) * 1000, 1),
        "loop_computes_ms_p99": round(p99([computed for _, computed in found.late]) * 1000, 1),
        **counted("at_once", at_once), "jain": round(jain(at_once.shares), 4),
    }  # fmt: skip


def counted(name: str, crowd: Crowd) -> dict[str, object]:
    return {name: {
        "requests": sum(map(len, crowd.asked.values())), "parts": sum(map(len, crowd.parts.values())),
        "parts_for_the_flooder": len(crowd.parts[crowd.flooder]), "refused": sum(crowd.refused.values()),
        "withheld": sum(crowd.withheld.values()),
        "each_answered_once": crowd.answered_once, "seconds": round(crowd.ended - crowd.began, 1),
        "acknowledged_ms_median": round(statistics.median(crowd.acknowledged) * 1000),
    }}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="in which all requests come")
    parser.add_argument("--tokens", type=int, default=24, help="of the longest reply")
    parser.add_argument("--weights", type=Path, help="by default a tiny model of random weights")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        weights = args.weights.resolve() if args.weights else two_weights(place)[0]
        found = asyncio.run(run(args.channels, args.seconds, weights, place / "data", args.tokens))
    told_figures = figures(found)
    print(json.dumps(told_figures) if args.json else "\n".join(f"{name}: {it}" for name, it in told_figures.items()))
    for text in [*found.spread.other, *found.at_once.other][:5]:
        print(f"neither a part nor a refusal: {text}", file=sys.stderr)
    once = found.spread.answered_once and found.at_once.answered_once
    return 0 if once and jain(found.at_once.shares) >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
