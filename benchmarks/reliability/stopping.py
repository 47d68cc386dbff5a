"""python -m benchmarks.reliability.stopping [--states NAME ...] [--json]: does the bot go away in good order?

The real bot is brought into each state and sent SIGTERM. It runs in Python's development mode with `ResourceWarning` as
an error, through a program that tells at the end which threads are left. Printed for each state: the exit code, the
seconds to the end, and what was out of place: more than 10 s, another code than 0, a thread, a warning of something
left open, a traceback, or a file that is not whole. A bot that is still starting has nothing to end in order: the
signal ends it at once, with the code -15 that a shell and systemd show as SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.reliability.command_line import parser
from benchmarks.reliability.house import NAMES, House, a_house
from memory.copies import check
from memory.errors import StoreError

LIMIT = 10.0  # seconds
PROGRAM = """
import sys, threading
from bot.__main__ import main
code = main([])
print("threads left:", [t.name for t in threading.enumerate() if t is not threading.main_thread()])
sys.exit(code)
"""
COMMAND = ("-X", "dev", "-W", "error::ResourceWarning", "-c", PROGRAM)
NONE_LEFT = "threads left: []"
OUT_OF_PLACE = ("Traceback", "ResourceWarning", "Exception ignored", "was never awaited", "was destroyed", "unexpected")


def main() -> int:
    reading = parser(__doc__)
    reading.add_argument("--states", nargs="+", choices=list(STATES), default=list(STATES), metavar="NAME")
    options = reading.parse_args()
    ends = asyncio.run(stopping(options.states))
    if options.json:
        print(json.dumps([asdict(end) for end in ends]))
    else:
        for end in ends:
            print(f"{end.state:15} code {end.code:3}  {end.seconds:5.1f} s  {end.wrong or 'in order'}")
    return int(any(end.wrong for end in ends))


@dataclass(frozen=True)
class End:
    state: str
    code: int
    seconds: float
    wrong: str


async def stopping(states: Iterable[str]) -> list[End]:
    return [await _stopped(state) for state in states]


async def _stopped(state: str) -> End:
    with tempfile.TemporaryDirectory() as folder:
        # Replies that do not come to an end, but for weights that have to learn.
        async with a_house(Path(folder), COMMAND, endless=state not in TAUGHT) as house, AsyncExitStack() as until_then:
            await STATES[state](house, until_then)
            assert house.bot is not None
            begin = time.perf_counter()
            house.bot.signal(signal.SIGTERM)
            try:
                code = await house.bot.wait(3 * LIMIT)
            except AssertionError:
                return End(state, 0, 3 * LIMIT, "it did not end")
            seconds = time.perf_counter() - begin
            return End(state, code, round(seconds, 1), "; ".join(_wrong(house, state, code, seconds)))


def _wrong(house: House, state: str, code: int, seconds: float) -> list[str]:
    assert house.bot is not None
    output, found = house.bot.output, list[str]()
    if seconds > LIMIT:
        found.append("it took too long")
    if code != (-signal.SIGTERM if state == "starting" else 0):
        found.append(f"code {code}")
    if state != "starting" and NONE_LEFT not in output:
        found.append("threads were left")
    found += [line for line in output.splitlines() if any(words in line for words in OUT_OF_PLACE)]
    try:
        check(house.file)
    except StoreError as error:
        found.append(str(error))
    return found


# The states


async def _starting(house: House, until_then: AsyncExitStack) -> None:
    await house.start(ready=False)
    await asyncio.sleep(random.uniform(0.1, 1.0))


async def _before_ready(house: House, until_then: AsyncExitStack) -> None:
    """Discord does not answer the login."""
    held = until_then.enter_context(house.server.hold("GET", "^/users/@me$"))
    await house.start(ready=False)
    await held.reached()


async def _idle(house: House, until_then: AsyncExitStack) -> None:
    await house.start()
    await house.new_story()


async def _streaming(house: House, until_then: AsyncExitStack) -> None:
    await _idle(house, until_then)
    house.add()
    await house.streaming()


async def _queued(house: House, until_then: AsyncExitStack) -> None:
    """Two wait, in this channel and in another, for one that is being written."""
    await _streaming(house, until_then)
    house.owner.command("story continue", channel=house.channel)
    other = house.server.guild.add_channel("other")
    await house.owner.command("story start", title="Hen", premise="A hen.", channel=other).answer()
    house.owner.command("story continue", channel=other)
    await house.server.wait_for(lambda: other.last_message and "In the queue" in other.last_message.content)


async def _first_piece(house: House, until_then: AsyncExitStack) -> None:
    """The first message of a reply is never answered."""
    await _idle(house, until_then)
    held = until_then.enter_context(house.server.hold("POST", r"^/channels/\d+/messages$"))
    house.add()
    await held.reached()


async def _teaching(house: House, until_then: AsyncExitStack) -> None:
    await _idle(house, until_then)
    await house.allow_teaching()
    await house.said_in(await house.teach(), "Learning: step")


async def _swapping(house: House, until_then: AsyncExitStack) -> None:
    await _idle(house, until_then)
    await house.owner.command("weights activate", name=NAMES[1], channel=house.channel).acknowledged()


async def _summarising(house: House, until_then: AsyncExitStack) -> None:
    """Behind a reply, the moment it has its buttons."""
    await _idle(house, until_then)
    for _ in range(3):
        before = house.crowned()[-1]
        house.add()
        await house.next_crowned(before)


async def _voting(house: House, until_then: AsyncExitStack) -> None:
    house.settings["MINIATURE_TEMPERATURE"] = "1"  # else all three ways are the same
    await _idle(house, until_then)
    house.owner.command("story vote", seconds=600, channel=house.channel)
    await house.server.wait_for(
        lambda: house.channel.last_message and any("1" in b["label"] for b in house.channel.last_message.buttons),
        None,
        "a ballot",
    )


async def _backing_up(house: House, until_then: AsyncExitStack) -> None:
    """Another process is copying the file."""
    await _streaming(house, until_then)
    arguments = ("-m", "memory", "backup", str(house.file), str(house.folder / "copy.sqlite3"))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.DEVNULL)
    until_then.push_async_callback(process.wait)
    await asyncio.sleep(0.1)


async def _reconnecting(house: House, until_then: AsyncExitStack) -> None:
    """The gateway is gone, in the middle of a reply, and does not come back."""
    await _streaming(house, until_then)
    house.server.refuse_gateway(1000)
    await house.server.drop()
    await house.server.wait_for(lambda: house.server.gateway.refused > 0, None, "an attempt to come back")


State = Callable[[House, AsyncExitStack], Awaitable[None]]
STATES: Mapping[str, State] = MappingProxyType(
    {
        "starting": _starting,
        "before READY": _before_ready,
        "idle": _idle,
        "queued": _queued,
        "first piece": _first_piece,
        "streaming": _streaming,
        "teaching": _teaching,
        "swapping": _swapping,
        "summarising": _summarising,
        "voting": _voting,
        "backing up": _backing_up,
        "reconnecting": _reconnecting,
    }
)
TAUGHT = ("teaching", "summarising", "voting")  # states that need replies which come to an end

if __name__ == "__main__":
    sys.exit(main())
