"""What a command of the terminal channel is, and what it works with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bot.errors import InputError
from bot.services import Services
from bot.session import ChannelSession, Sink
from memory import Author


class Printer(Protocol):
    def say(self, text: str) -> None: ...
    def hint(self, text: str) -> None: ...


@dataclass(frozen=True)
class Desk:
    """What a command works with. The terminal's user is the owner, so that no action is refused for a role."""

    services: Services
    session: ChannelSession
    author: Author
    screen: Printer
    reply_sink: Callable[[], Sink]
    progress_sink: Callable[[], Sink]


@dataclass(frozen=True)
class Command:
    name: str  # one word, or two: the group and what to do in it
    usage: str  # what follows the name
    help: str
    run: Callable[[Desk, str], Awaitable[None]]

    @property
    def call(self) -> str:
        return f"/{self.name} {self.usage}".strip()


def number(text: str, usage: str) -> int:
    """Raises `InputError` where the text is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InputError(f"A number is missing: {usage}.")
    return int(text)


async def write_new(name: str, data: bytes, *, private: bool = False) -> Path:
    """A file that was not there before, `private` for nobody else on this machine to read. Raises `InputError`."""
    path = Path(name)

    def write() -> Path:
        there = path.expanduser()
        with os.fdopen(os.open(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666), "wb") as file:
            file.write(data)
        return there

    try:
        return await asyncio.to_thread(write)
    except FileExistsError as error:
        raise InputError(f"{name} is there already: choose another name.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be written ({error}): choose another place.") from error


def switch(text: str, usage: str) -> bool:
    """Raises `InputError` where the text is neither on nor off."""
    if text.lower() not in ("on", "off"):
        raise InputError(f"Say on or off: {usage}.")
    return text.lower() == "on"
