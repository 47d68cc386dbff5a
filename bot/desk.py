"""What a command of the terminal channel is, and what it works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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


def switch(text: str, usage: str) -> bool:
    """Raises `InputError` where the text is neither on nor off."""
    if text.lower() not in ("on", "off"):
        raise InputError(f"Say on or off: {usage}.")
    return text.lower() == "on"
