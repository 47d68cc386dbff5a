"""python -m benchmarks.reliability.invalid_requests [--minutes 60] [--speed 120]: how many requests Discord refuses.

Our own bot, as a process, against the loopback Discord that answers 403, 404 and 429 to each request about 300
channels, while the bot asks for all of them again and again, by a clock that runs `speed` times as fast. Prints the
most refusals in any ten minutes of that clock, and how many there were without the breaker. Ends with 1 where the first
is over 100.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.command_line import parser, tell
from benchmarks.reliability.tiny import two_weights
from bot.breaker import MOST_REFUSED, REFUSALS, WINDOW
from tests.discord_server import BotProcess, DiscordServer

FAULTS = {403: r"/channels/\d*[0-3]/", 404: r"/channels/\d*[4-6]/", 429: r"/channels/\d*[7-9]/"}
FOR_EVER = 1 << 60


@dataclass(frozen=True)
class Storm:
    sent: int  # requests that reached the platform
    kinds: dict[int, int]  # by the status of their answers
    most: int  # refusals within any ten minutes


async def storm(place: Path, *, channels: int, minutes: float, speed: float, breaker: bool = True) -> Storm:
    async with DiscordServer(timeout=minutes * 60 / speed + 120) as server:
        for method in ("POST", "PATCH"):
            server.fail_next(method, FAULTS[403], 403, FOR_EVER, 50001)
            server.fail_next(method, FAULTS[404], 404, FOR_EVER, 10003)
            server.rate_limit_next(method, FAULTS[429], FOR_EVER, retry_after=10 / speed)
        ids = [server.new_id() + number for number in range(channels)]  # with every last digit
        env = {
            "MINIATURE_DATA_DIR": str(place / f"data-{breaker}"), "MINIATURE_WEIGHTS": str(two_weights(place)[0]),
            "STORM_CHANNELS": " ".join(map(str, ids)), "STORM_MINUTES": str(minutes), "STORM_SPEED": str(speed),
        }  # fmt: skip
        command = ["-m", "benchmarks.reliability.storm_bot", *([] if breaker else ["without"])]
        async with BotProcess(server, command, env=env) as bot:
            code = await bot.wait()
            assert code == 0, bot.output
        times = sorted(payload.at for payload in server.payloads if payload.status in REFUSALS)
        window = WINDOW / speed
        most = max((bisect_left(times, at + window) - index for index, at in enumerate(times)), default=0)
        kinds = Counter(payload.status or 0 for payload in server.payloads)
        return Storm(len(server.payloads), dict(kinds), most)


def main() -> int:
    args = parser(__doc__, minutes=60.0, speed=120.0, channels=300).parse_args()  # minutes of the fast clock
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        for name, breaker, minutes in (("with", True, args.minutes), ("without", False, min(10.0, args.minutes))):
            found = asyncio.run(storm(
                Path(place), channels=args.channels, minutes=minutes, speed=args.speed, breaker=breaker
            ))  # fmt: skip
            figures[name] = {"minutes": minutes, "sent": found.sent, "answers": found.kinds, "most_in_ten": found.most}
    tell({f"{name} the breaker": each for name, each in figures.items()}, as_json=args.json)
    return 0 if figures["with"]["most_in_ten"] <= MOST_REFUSED else 1


if __name__ == "__main__":
    sys.exit(main())
