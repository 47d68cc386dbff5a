"""The terminal channel: the same session as on Discord, for one person at a keyboard, or for a script in a pipe."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Protocol

from bot.desk import Desk
from bot.errors import BotError
from bot.logs import log_file
from bot.manuscript import visible
from bot.services import Services
from bot.terminal_commands import COMMANDS, greeting, obey
from engine.errors import EngineError
from memory import Author, StoreError

log = logging.getLogger(__name__)

CHANNEL = 0
MAX_LINE = 1_000_000  # bytes of a line that are kept; the session says what a turn may have
CHUNK = 65_536
PLAIN, DIM, RED, CYAN = "\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[36m"


class Screen:
    """Where everything is printed; live text and colours only on a terminal."""

    def __init__(self, *, live: bool) -> None:
        self.live = live
        self._coloured = live and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._open_line = False

    def say(self, text: str) -> None:
        self._line(visible(text))

    def hint(self, text: str) -> None:
        self._line(self._paint(DIM, visible(text)))

    def error(self, text: str) -> None:
        self._line(self._paint(RED, f"! {visible(text)}"))

    def piece(self, text: str) -> None:
        """A part of a line that is being written."""
        self._open_line = True
        print(self._paint(CYAN, text), end="", flush=True)

    def progress(self, text: str) -> None:
        """Takes the place of the progress before it."""
        if self.live:
            self._open_line = True
            print(f"\r\x1b[K{self._paint(DIM, text)}", end="", flush=True)

    def end_line(self) -> None:
        if self._open_line:
            self._open_line = False
            print(flush=True)

    def _line(self, text: str) -> None:
        self.end_line()
        print(text, flush=True)

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{PLAIN}" if self._coloured and text else text


class ReplySink:
    """A reply as it grows, or in a pipe as a whole."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._shown = ""

    async def queued(self, position: int, expected_wait: float) -> None:
        self._screen.progress(f"{position} before this, about {expected_wait:.0f} s")

    async def show(self, text: str) -> None:
        if self._screen.live:
            self._screen.piece(text[len(self._shown) :] if self._shown else text.lstrip())
            self._shown = text

    async def finish(self, text: str) -> None:
        if self._screen.live:
            await self.show(text)
            self._screen.end_line()
        elif text.strip():
            self._screen.say(text.strip())


class ProgressSink:
    """The steps of a training, on a terminal only."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    async def queued(self, position: int, expected_wait: float) -> None:
        self._screen.progress(f"{position} before this, about {expected_wait:.0f} s")

    async def show(self, text: str) -> None:
        self._screen.progress(text)

    async def finish(self, text: str) -> None:
        self._screen.end_line()


class Reader(Protocol):
    async def line(self) -> str | None:
        """The next line, or None at the end."""


class PipeReader:
    """Lines from the standard input, whatever it is, without a thread that could hold up the end of the process."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._ended = False

    async def line(self) -> str | None:
        while b"\n" not in self._rest and not self._ended:
            chunk = await self._chunk()
            self._ended = not chunk
            if len(self._rest) < MAX_LINE or b"\n" in chunk:
                self._rest += chunk
        if not self._rest:
            return None
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace").removeprefix("\ufeff")

    async def _chunk(self) -> bytes:
        loop = asyncio.get_running_loop()
        read: asyncio.Future[bytes] = loop.create_future()

        def give(chunk: bytes) -> None:
            if not read.done():
                read.set_result(chunk)

        def work() -> None:
            try:
                chunk = os.read(self._descriptor, CHUNK)
            except OSError:
                chunk = b""
            with suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(give, chunk)

        # A daemon on the bare descriptor: a blocked read ends with the process, and holds no lock of the interpreter's.
        threading.Thread(target=work, daemon=True, name="input").start()
        return await read


class KeyboardReader:
    """A prompt with history and completion."""

    def __init__(self, services: Services) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import FileHistory

        words = [f"/{command.name}" for command in COMMANDS]
        self._prompt: PromptSession[str] = PromptSession(
            history=FileHistory(str(services.settings.data_dir / "history.txt")),
            completer=WordCompleter(words, sentence=True),
            complete_while_typing=False,
        )

    async def line(self) -> str | None:
        try:
            return await self._prompt.prompt_async("> ", handle_sigint=True)
        except (EOFError, KeyboardInterrupt):
            return None


class Terminal:
    """Reads a line, does what it says, until there are no more."""

    def __init__(self, services: Services, reader: Reader, screen: Screen) -> None:
        self._reader, self._screen = reader, screen
        self._log = log_file(services.settings)
        author = Author(0, os.environ.get("USER") or os.environ.get("USERNAME") or "you")
        self._desk = Desk(
            services, services.session(CHANNEL), author, screen, lambda: ReplySink(screen), lambda: ProgressSink(screen)
        )
        self._leaving = asyncio.Event()
        self._reading: asyncio.Task[str | None] | None = None

    async def run(self) -> int:
        for sentence in await greeting(self._desk):
            self._screen.hint(sentence)
        while (line := await self._next()) is not None:
            with suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._desk.session.stop)
            try:
                if not await obey(self._desk, line):
                    self._leaving.set()
            except (BotError, EngineError, StoreError) as error:
                self._screen.error(str(error))
            except BrokenPipeError:
                raise
            except Exception:
                log.exception("a line failed")
                self._screen.error(f"Something unexpected went wrong, and nothing was stored: see {self._log}.")
            finally:
                with suppress(NotImplementedError):
                    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        return 0

    def leave(self) -> None:
        """What is being written ends and is kept; no further line is read."""
        self._leaving.set()
        self._desk.session.stop()
        if self._reading is not None:
            self._reading.cancel()

    async def _next(self) -> str | None:
        while not self._leaving.is_set():
            self._reading = asyncio.ensure_future(self._reader.line())
            try:
                line = await self._reading
            except asyncio.CancelledError:
                if not self._leaving.is_set():
                    raise
                return None
            finally:
                self._reading = None
            if line is None or line.strip():
                return line
        return None


async def run_terminal(services: Services) -> int:
    """Until the input ends; a SIGTERM ends it in good order."""
    live = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # an old code page must not end the story
    terminal = Terminal(services, KeyboardReader(services) if live else PipeReader(), Screen(live=live))
    with suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminal.leave)
    return await terminal.run()
