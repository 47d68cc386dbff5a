"""The commands of the terminal channel: one table, from which the help and the completion come too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bot.errors import InputError
from bot.manuscript import MAX_TITLE, typed
from bot.services import Services
from bot.session import ChannelSession, MemoryView, Reply, Sink
from memory import Author

SHOWN = 2000  # characters of the story that /show gives
REMEMBERED = 300  # characters of it that a start gives
UNTITLED = 6  # words of its first sentence that name a story begun without a title


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
    name: str
    usage: str  # what follows the name
    help: str
    run: Callable[[Desk, str], Awaitable[None]]


async def greeting(desk: Desk) -> list[str]:
    """Which model writes, and where the story stands."""
    info = desk.services.worker.engine_info
    size = f"{info.parameters / 1e6:.1f}M" if info.parameters >= 100_000 else f"{info.parameters:,}"
    model = f"{info.name}, {size} parameters, on this machine. /help lists the commands."
    story = await desk.session.story()
    if story is None:
        return [model, "There is no story yet: type its first sentence, or /start TITLE | PREMISE."]
    text = "".join(turn.text for turn in await desk.session.tail(REMEMBERED))
    end = " ".join(text.split())
    return [model, f"{story.title}: {'…' * (len(end) > REMEMBERED)}{end[-REMEMBERED:]}"]


async def obey(desk: Desk, line: str) -> bool:
    """Does what a line says; False where it says to leave. A line that is no command is a turn of the story."""
    line = line.strip()
    if not line.startswith("/"):
        await _turn(desk, line)
        return True
    name, _, rest = line[1:].partition(" ")
    if name == "quit":
        return False
    command = next((command for command in COMMANDS if command.name == name.lower()), None)
    if command is None:
        raise InputError("There is no such command: /help lists those there are.")
    await command.run(desk, rest.strip())
    return True


async def _turn(desk: Desk, text: str) -> None:
    text = typed(text, what="Your text")
    if await desk.session.story() is None:
        await desk.session.start(" ".join(text.split()[:UNTITLED])[:MAX_TITLE], "", desk.author)
    _told(desk, await desk.session.write(text, desk.author, desk.reply_sink()))


def _told(desk: Desk, reply: Reply) -> None:
    if reply.notice is not None:
        desk.screen.hint(reply.notice)


async def _start(desk: Desk, rest: str) -> None:
    title, _, premise = rest.partition("|")
    story = await desk.session.start(title, premise, desk.author)
    desk.screen.say(f"{story.title} begins." + (f" {story.premise}" if story.premise else ""))


async def _continue(desk: Desk, rest: str) -> None:
    _told(desk, await desk.session.write(None, desk.author, desk.reply_sink()))


async def _retry(desk: Desk, rest: str) -> None:
    _told(desk, await desk.session.retry(desk.author, desk.reply_sink()))


async def _undo(desk: Desk, rest: str) -> None:
    gone = await desk.session.undo()
    desk.screen.say(f"Taken back: {_short(''.join(turn.text for turn in gone))}")


async def _redo(desk: Desk, rest: str) -> None:
    back = await desk.session.redo()
    desk.screen.say(f"Back again: {_short(''.join(turn.text for turn in back))}")


async def _stop(desk: Desk, rest: str) -> None:
    desk.screen.say("Stopped." if desk.session.stop() else "Nothing is being written now; Ctrl-C stops a reply.")


async def _show(desk: Desk, rest: str) -> None:
    story = await desk.session.story()
    if story is None:
        raise InputError("There is no story yet: type its first sentence.")
    text = "".join(turn.text for turn in await desk.session.tail(SHOWN)).strip()
    desk.screen.say(f"{story.title}\n\n{'…' * (story.chars > len(text) + 2)}{text}")


async def _export(desk: Desk, rest: str) -> None:
    text = await desk.session.export()
    if not rest:
        desk.screen.say(text.rstrip())
        return
    try:
        path = await asyncio.to_thread(_write_new, rest, text)
    except FileExistsError as error:
        raise InputError(f"{rest} is there already: choose another name.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{rest} cannot be written ({error}): choose another place.") from error
    desk.screen.say(f"Written to {path}.")


def _write_new(name: str, text: str) -> Path:
    path = Path(name).expanduser()
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


async def _teach(desk: Desk, rest: str) -> None:
    prompt, arrow, answer = rest.partition("=>")
    if not arrow:
        raise InputError("A lesson is a prompt and its answer: /teach PROMPT => ANSWER.")
    sink = desk.progress_sink()
    taught = await desk.session.teach(prompt, answer, desk.author, sink)
    await sink.finish("")
    known = (
        "recalls it" if taught.recalled == taught.lessons else f"recalls {taught.recalled} of {taught.lessons} lessons"
    )
    desk.screen.say(f"Learnt in {taught.seconds:.1f} s; the model {known} word for word.")


async def _lessons(desk: Desk, rest: str) -> None:
    rows = await desk.session.lessons()
    desk.screen.say("\n".join(f"{row.id}. {row.prompt} => {row.answer}" for row in rows) or "Nothing was taught yet.")


async def _forget(desk: Desk, rest: str) -> None:
    sink = desk.progress_sink()
    gone = await desk.session.forget(_number(rest, "/forget N, as /lessons counts"), sink, desk.author)
    await sink.finish("")
    desk.screen.say(f"Forgotten: {gone.prompt}")


async def _pin(desk: Desk, rest: str) -> None:
    pin = await desk.session.pin(rest, desk.author)
    desk.screen.say(f"Pinned as {pin.id}: {pin.text}")


async def _unpin(desk: Desk, rest: str) -> None:
    pin = await desk.session.unpin(_number(rest, "/unpin N, as /memory counts"))
    desk.screen.say(f"Unpinned: {pin.text}")


async def _memory(desk: Desk, rest: str) -> None:
    if rest == "reset":
        await desk.session.reset(desk.author)
        desk.screen.say("Lessons, pins and summary are gone; the story stays.")
    elif rest:
        raise InputError("/memory shows the memory, /memory reset clears it.")
    else:
        desk.screen.say("\n".join(memory_lines(await desk.session.memory())))


def memory_lines(view: MemoryView) -> list[str]:
    """What a channel remembers, in words."""
    used = view.pins_tokens + view.summary_tokens + view.text_tokens
    lines = [f"Pin {pin.id}: {pin.text}" for pin in view.pins]
    lines += view.summary.lines() if view.summary else []
    lines.append(f"Lessons: {len(view.lessons)}" + (f" (adapter: {view.adapter})" if view.lessons else ""))
    lines.append(
        f"The model sees next {used} of {view.window} tokens: {view.pins_tokens} of pins, {view.summary_tokens} of"
        f" summary, {view.text_tokens} of text; {view.reply_tokens} are kept for its reply."
    )
    return lines


async def _weights(desk: Desk, rest: str) -> None:
    what, _, name = rest.partition(" ")
    if not rest:
        for entry in desk.services.shelf.list():
            about = entry.problem or ", ".join(
                f"{key.replace('_', ' ')} {entry.card[key]}"
                for key in ("parameters", "bits_per_byte")
                if key in entry.card
            )
            desk.screen.say(f"{'*' if entry.active else ' '} {entry.name}{f': {about}' if about else ''}")
    elif what == "activate" and name.strip():
        info = await desk.services.shelf.activate(name.strip(), desk.author)
        desk.screen.say(f"{info.name} writes from now on.")
    elif rest == "rollback":
        info = await desk.services.shelf.rollback(desk.author)
        desk.screen.say(f"Back to {info.name}.")
    else:
        raise InputError("/weights lists them, /weights activate NAME changes them, /weights rollback goes back.")


async def _help(desk: Desk, rest: str) -> None:
    calls = {f"/{command.name} {command.usage}".strip(): command.help for command in COMMANDS}
    width = max(map(len, calls))
    desk.screen.say("A line that is no command is your turn in the story, and the model goes on from it.")
    desk.screen.say("\n".join(f"{call:<{width}}  {text}" for call, text in calls.items()))


async def _quit(desk: Desk, rest: str) -> None:
    """Stands in the table for the help; `obey` leaves before it is run."""


def _number(text: str, usage: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InputError(f"A number is missing: {usage}.")
    return int(text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:79]}…"


COMMANDS = (
    Command("start", "TITLE [| PREMISE]", "a new story; the old one stays in the file", _start),
    Command("continue", "", "the model goes on by itself", _continue),
    Command("retry", "", "another reply in place of the last one", _retry),
    Command("undo", "", "takes the last step back", _undo),
    Command("redo", "", "brings back what was undone", _redo),
    Command("stop", "", "ends the reply (Ctrl-C while it is being written)", _stop),
    Command("show", "", "the end of the story", _show),
    Command("export", "[FILE]", "the whole story as Markdown", _export),
    Command("teach", "PROMPT => ANSWER", "the model learns to answer so", _teach),
    Command("lessons", "", "what was taught", _lessons),
    Command("forget", "N", "forgets lesson N", _forget),
    Command("pin", "TEXT", "a fact that the model always sees", _pin),
    Command("unpin", "N", "removes pin N", _unpin),
    Command("memory", "[reset]", "what the model remembers, or clears it", _memory),
    Command("weights", "[activate NAME | rollback]", "which models there are, or another one", _weights),
    Command("help", "", "this list", _help),
    Command("quit", "", "ends; the story is kept", _quit),
)
