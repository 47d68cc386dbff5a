"""The real bot in a Discord of its own (tests/discord_server), through any number of starts on one folder."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import TypeVar

from memory import Store
from tests.conftest import write_tiny_weights
from tests.discord_server import BotProcess, Channel, DiscordServer, Interaction, Member, Message
from tests.discord_server.reading import filled, told

T = TypeVar("T")

CROWN = "Continue"  # the first of the buttons under what is stored
WEIGHTS = {"one": 2, "other": 5}  # with seeds of small random models that hardly ever come to an end
NAMES = tuple(WEIGHTS)
TOKENS = 300  # of a reply, which takes about a second
LIMITED, WHOSE = ("REQUESTS", "DAILY_LESSONS"), ("MEMBER", "CHANNEL", "SERVER")  # 0: without a limit
ENDLESS = 4096
SHAPE, DEEP = (8, 128), (24, 256)  # layers and width; of endless ones, which take half a minute for a reply


class House:
    def __init__(self, server: DiscordServer, folder: Path, command: tuple[str, ...] = ("-m", "bot")) -> None:
        self.server, self.folder, self.command = server, folder, command
        self.channel: Channel = server.channel
        self.owner: Member = server.guild.members[server.owner.id]
        self.bot: BotProcess | None = None
        self.said = 0
        self.settings = {"MINIATURE_TEMPERATURE": "0", "MINIATURE_MAX_NEW_TOKENS": str(TOKENS)}
        self.cpu = 0.0  # seconds that the last start took of processors

    @property
    def file(self) -> Path:
        return self.folder / "memory.sqlite3"

    async def start(self, *, ready: bool = True, folder: Path | None = None) -> float:
        """Starts the bot; gives the seconds until it was ready."""
        env = {
            "MINIATURE_DATA_DIR": str(folder or self.folder),
            "MINIATURE_REPETITION_PENALTY": "1",
            "MINIATURE_LONGEST_REPLY": "4096",
            "MINIATURE_LESSONS_PER_MEMBER": "1000",
            "MINIATURE_LESSONS_PER_CHANNEL": "1000",
            **{f"MINIATURE_{what}_PER_{whose}": "0" for what, whose in product(LIMITED, WHOSE)},
            **self.settings,
        }
        self.bot = BotProcess(self.server, self.command, env=env, cwd=self.folder)
        begin = time.perf_counter()
        await self.bot.start()
        if ready:
            await self.bot.wait_ready()
            self.cpu = _cpu_seconds(self.bot.pid)
        return time.perf_counter() - begin

    async def kill(self) -> None:
        assert self.bot is not None
        await self.bot.kill()

    # What people do

    def add(self) -> Interaction:
        """Text that nobody wrote before."""
        self.said += 1
        return self.owner.command("story add", text=f"Then dax {self.said:05} came.", channel=self.channel)

    async def teach(self) -> Interaction:
        modal = await self.owner.command("teach add").modal()
        await asyncio.sleep(0.2)  # nobody fills it in before the bot knows that it was shown
        self.said += 1
        return self.owner.submit(modal, filled(modal, f"Who is blicket {self.said:05}?", "A small fox.", True))

    # What they see

    def crowned(self) -> list[Message]:
        """Messages that had the buttons once, which tells that their text is stored; the newest last."""
        return [message for message in self.channel.history if turn_of(message) is not None]

    async def next_crowned(self, after: Message | None) -> Message:
        return await self._wait(lambda: _newer(self.crowned(), after), "a reply with its buttons")

    async def streaming(self, *, text: bool = True) -> Message:
        """The message that is being written, once it is there or shows text; one that has its buttons, where it came
        at once."""
        before = self.crowned()[-1] if self.crowned() else None

        def look() -> Message | None:
            if finished := _newer(self.crowned(), before):
                return finished
            last = self.channel.last_message
            there = last is not None and [button["label"] for button in last.buttons] == ["Stop"]
            return last if there and not (text and last and "-# Writing" in last.content) else None

        return await self._wait(look, "a reply that is being written")

    async def shown(self, message: Message) -> None:
        """Waits until all of the reply stands there, which is before it is stored."""
        await self._wait(lambda: message.deleted or "Stop" not in map(_label, message.buttons), "the end of a reply")

    async def said_in(self, interaction: Interaction, pattern: str) -> str:
        def look() -> str | None:
            message = interaction.message
            return message.content if message is not None and re.search(pattern, message.content) else None

        return await self._wait(look, pattern)

    async def go_on(self) -> None:
        """Presses the last button there is; where that story has moved on, the command does it."""
        crowned = [message for message in self.channel.messages if CROWN in map(_label, message.buttons)]
        before = self.crowned()[-1] if self.crowned() else None
        if crowned:
            pressed = self.owner.click(crowned[-1], CROWN)

            def answered() -> object:
                return pressed.followups or _newer(self.crowned(), before)

            await self._wait(answered, "an answer to a button")
        if not crowned or pressed.followups:
            self.owner.command("story continue", channel=self.channel)
            await self.next_crowned(before)

    async def new_story(self) -> None:
        before = self.crowned()[-1] if self.crowned() else None
        await self.owner.command("story start", title="Fox", premise="Once there was a fox.").answer()
        await self.next_crowned(before)

    async def allow_teaching(self) -> None:
        await told(self.owner.command("teach switch", state="on"))

    async def _wait(self, look: Callable[[], T | None], what: str) -> T:
        found = await self.server.wait_for(look, None, what)
        assert found is not None
        return found


@asynccontextmanager
async def a_house(
    folder: Path, command: tuple[str, ...] = ("-m", "bot"), *, endless: bool = False
) -> AsyncIterator[House]:
    """With two weights on the shelf, of which one is active; no bot runs yet. Endless weights write until stopped, and
    cannot be taught."""
    async with DiscordServer(timeout=60) as server:
        house = House(server, folder, command)
        house.settings["MINIATURE_MAX_NEW_TOKENS"] = str(ENDLESS if endless else TOKENS)
        layers, width = DEEP if endless else SHAPE
        for name, seed in WEIGHTS.items():
            place = folder / "weights" / name
            await asyncio.to_thread(write_tiny_weights, place, seed, n_layer=layers, n_embd=width, endless=endless)
        async with await Store.open(house.file) as store:
            await store.set_setting("process", "weights", str(folder / "weights" / NAMES[0]))
        try:
            yield house
        finally:
            if house.bot is not None:
                await house.bot.kill()


def _cpu_seconds(process: int) -> float:
    """In its own code and in the kernel, so far; by proc(5)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def turn_of(message: Message) -> int | None:
    """The turn that was the story's end when the message got its buttons."""
    for components in (*(version.components for version in message.edits), message.components):
        for row in components:
            for button in row["components"]:
                if button.get("label") == CROWN:
                    return int(re.findall(r"\d+$", button["custom_id"])[0])
    return None


def _newer(crowned: list[Message], after: Message | None) -> Message | None:
    return crowned[-1] if crowned and crowned[-1] is not after else None


def _label(button: dict[str, object]) -> object:
    return button.get("label")
