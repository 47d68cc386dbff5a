"""python -m bot.reference > docs/commands.md: every command, read off the command tree, with its options and who may.

A test compares the page with the tree, so that neither changes without the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from discord import AppCommandOptionType, app_commands

from bot.access import ACTIONS
from bot.extension import COGS
from bot.terminal_commands import GROUPS, SHORT

Command = app_commands.Command[Any, ..., Any]

HEAD = """\
# Commands

Made by `python -m bot.reference > docs/commands.md` from the commands themselves. Behind each name stands the least
role that may use it: everybody, writer, teacher, keeper or owner
([who may do what](../CONTRIBUTING.md#who-may-do-what)). Options in brackets may be left out.

The buttons under a reply do what the command of their name does: Continue, Retry, Undo, Redo, Stop, and
◀ ▶ for `/story pick`.
"""
TERMINAL = """\
## In the terminal

Without a token the same channel opens in the terminal, whose user is owner.
A line that is no command is a turn of the story.
"""
FIRST = ("start", "add", "continue")  # what a reader looks for; the others follow by the role they need


def page() -> str:
    """The whole page, as Markdown."""
    commands = (command for cog in COGS for command in cog.__cog_app_commands__)
    named = sorted(commands, key=lambda command: command.name != "story")  # the story first, then as the cogs come
    return "\n".join([HEAD, *(section(command) for command in named), TERMINAL, *terminal()])


def section(command: Command | app_commands.Group) -> str:
    """A group and its commands, or a command that stands alone."""
    walked = command.walk_commands() if isinstance(command, app_commands.Group) else [command]
    commands = [found for found in walked if isinstance(found, app_commands.Command)]
    commands.sort(key=lambda found: (found.name not in FIRST, list(ACTIONS).index(found.extras["action"])))
    entries = [line for found in commands for line in entry(found)]
    about = f"{command.description}.\n" if isinstance(command, app_commands.Group) else ""
    return "\n".join([f"## /{command.name}", "", *([about] if about else []), *entries])


def entry(command: Command) -> Iterator[str]:
    """A command with its role, and a line for each option."""
    least = ACTIONS[command.extras["action"]]
    calls = [option.display_name if option.required else f"[{option.display_name}]" for option in command.parameters]
    role = "everybody" if least == 0 else least.name.lower()
    yield f"**`{' '.join([f'/{command.qualified_name}', *calls])}`** · {role}  "
    yield command.description
    for option in command.parameters:
        yield f"- `{option.display_name}`: {option.description}{limits(option)}"
    yield ""


def limits(option: app_commands.Parameter) -> str:
    """What Discord lets through for an option, in words; empty where that is anything."""
    if option.choices:
        return f" (one of {', '.join(choice.name for choice in option.choices)})"
    unit = " characters" if option.type is AppCommandOptionType.string else ""
    match option.min_value, option.max_value:
        case None, None:
            return ""
        case None | 0 | 1, most if unit:
            return f" (up to {most:,}{unit})"
        case least, None:
            return f" (at least {least:,}{unit})"
        case least, most:
            return f" ({least:,} to {most:,}{unit})"


def terminal() -> Iterator[str]:
    """The terminal's commands, a table for each group of its help."""
    for title, commands in GROUPS.items():
        yield f"**{title}**\n\n| | |\n|---|---|"
        for command in commands:
            call = command.call.replace("|", "\\|")
            yield f"| `{call}` | {command.help} |"
        yield ""
    yield f"Shorter: {', '.join(f'`/{short}` for `/{name}`' for short, name in SHORT.items())}."


if __name__ == "__main__":
    print(page())
