"""The commands of the terminal channel: one table, from which the help and the completion come too."""

from __future__ import annotations

from bot.desk import Command, Desk
from bot.errors import InputError
from bot.manuscript import MAX_TITLE, typed
from bot.modes import FREE, mode_of
from bot.replying import LENGTHS, Length
from bot.session import Reply
from bot.terminal_house import PRIVACY, SETTINGS, STATUS, WEIGHTS
from bot.terminal_memory import MEMORY, STYLE, TEACH
from bot.terminal_story import FILES, TREE
from bot.terminal_together import TOGETHER, tell_next, writer
from bot.wording import passages, short

SHOWN = 2000  # characters of the story that /show gives
REMEMBERED = 300  # characters of it that a start gives
UNTITLED = 6  # words of its first sentence that name a story begun without a title


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
    if line.split()[0] == "/quit":
        return False
    command, rest = _find(line[1:])
    if rest and not command.usage:
        raise InputError(f"/{command.name} takes nothing more: /help lists what there is.")
    await command.run(desk, rest)
    return True


def _find(line: str) -> tuple[Command, str]:
    """The command that a line calls by its name of two words or of one, and what stands behind the name."""
    first, rest = _word(line)
    second, behind = _word(rest)
    if first == "teach" and second != "add" and "=>" in rest:  # a lesson may begin with any word
        return _NAMED["teach add"], rest
    for name, left in ((f"{first} {second}", behind), (SHORT.get(first, first), rest)):
        if name in _NAMED:
            return _NAMED[name], left
    raise InputError("There is no such command: /help lists those there are.")


def _word(text: str) -> tuple[str, str]:
    """The first word, in lower case, and the rest."""
    word, _, rest = text.strip().partition(" ")
    return word.lower(), rest.strip()


async def _turn(desk: Desk, text: str) -> None:
    text = typed(text, what="Your text")
    if await desk.session.story() is None:
        await desk.session.start(" ".join(text.split()[:UNTITLED])[:MAX_TITLE], "", desk.author)
    await _told(desk, await desk.session.write(text, await writer(desk), desk.reply_sink()))


async def _told(desk: Desk, reply: Reply) -> None:
    if reply.notice is not None:
        desk.screen.hint(reply.notice)
    await tell_next(desk)


async def _start(desk: Desk, rest: str) -> None:
    title, premise, mode = (part.strip() for part in [*rest.split("|", 2), "", ""][:3])
    story = await desk.session.start(title, premise, desk.author, mode_of(mode) if mode else FREE)
    desk.screen.say(f"{story.title} begins." + (f" {story.premise}" if story.premise else ""))
    await tell_next(desk)


async def _continue(desk: Desk, rest: str) -> None:
    length, style = _asked(rest)
    await _told(desk, await desk.session.write(None, await writer(desk), desk.reply_sink(), length, style))


async def _retry(desk: Desk, rest: str) -> None:
    length, style = _asked(rest)
    await _told(desk, await desk.session.retry(await writer(desk), desk.reply_sink(), length, style))


def _asked(rest: str) -> tuple[Length, str | None]:
    """The length of a reply, and behind "in" its style, each for this once; either may be missing."""
    words = rest.split()
    style = words.pop() if len(words) > 1 and words[-2].lower() == "in" else None
    asked = " ".join(words[:-1] if style else words).lower() or "medium"
    length = next((length for length in LENGTHS if length == asked), None)
    if length is None:
        raise InputError(f"There is no such length: choose one of {', '.join(LENGTHS)}.")
    return length, style


async def _undo(desk: Desk, rest: str) -> None:
    gone = await desk.session.undo()
    desk.screen.say(f"Taken back: {short(''.join(turn.text for turn in gone))}")


async def _redo(desk: Desk, rest: str) -> None:
    back = await desk.session.redo()
    desk.screen.say(f"Back again: {short(''.join(turn.text for turn in back))}")


async def _stop(desk: Desk, rest: str) -> None:
    desk.screen.say("Stopped." if desk.session.stop() else "Nothing is being written now; Ctrl-C stops a reply.")


async def _show(desk: Desk, rest: str) -> None:
    """With "writers" behind it, each part with who wrote it."""
    if rest not in ("", "writers"):
        raise InputError("That shows the end of the story: /show, or /show writers.")
    story = await desk.session.story()
    if story is None:
        raise InputError("There is no story yet: type its first sentence.")
    turns = await desk.session.tail(SHOWN)
    if rest:
        desk.screen.say("\n\n".join([story.title, *(f"{who}: {words}" for who, words in passages(turns))]))
        return
    text = "".join(turn.text for turn in turns).strip()
    desk.screen.say(f"{story.title}\n\n{'…' * (story.chars > len(text) + 2)}{text}")


async def _help(desk: Desk, rest: str) -> None:
    desk.screen.say("A line that is no command is your turn in the story, and the model goes on from it.")
    width = max(len(command.call) for command in COMMANDS)
    for title, commands in GROUPS.items():
        calls = [f"  {command.call:<{width}}  {command.help}" for command in commands]
        desk.screen.say("\n".join([title, *calls]))
    desk.screen.say(f"Shorter: {', '.join(f'/{short} for /{name}' for short, name in SHORT.items())}.")


async def _quit(desk: Desk, rest: str) -> None:
    """Stands in the table for the help; `obey` leaves before it is run."""


STORY = (
    Command("start", "TITLE [| PREMISE [| MODE]]", "a new story; the old one stays in the file", _start),
    Command("continue", "[short | long] [in STYLE]", "the model goes on by itself", _continue),
    Command("retry", "[short | long] [in STYLE]", "another reply in place of the last one", _retry),
    Command("undo", "", "takes the last step back", _undo),
    Command("redo", "", "brings back what was undone", _redo),
    Command("stop", "", "ends the reply (Ctrl-C while it is being written)", _stop),
    Command("show", "[writers]", "the end of the story, with who wrote each part", _show),
)
HERE = (
    STATUS,
    Command("help", "", "this list", _help),
    Command("quit", "", "ends; the story is kept", _quit),
)
GROUPS = {
    "The story": STORY,
    "Together": TOGETHER,
    "Its branches": TREE,
    "Its files": FILES,
    "Lessons": TEACH,
    "Memory": MEMORY,
    "Style and weights": STYLE + WEIGHTS,
    "Settings": SETTINGS,
    "Privacy": PRIVACY,
    "This program": HERE,
}
COMMANDS = tuple(command for commands in GROUPS.values() for command in commands)
SHORT = {
    "teach": "teach add",
    "lessons": "teach list",
    "forget": "teach forget",
    "pin": "memory pin",
    "unpin": "memory unpin",
    "memory": "memory show",
    "style": "style list",
    "weights": "weights list",
    "settings": "settings show",
    "privacy": "privacy show",
}
_NAMED = {command.name: command for command in COMMANDS}
