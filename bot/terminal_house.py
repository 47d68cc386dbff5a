"""The terminal's commands for keeping house: settings of replies, weights, what is kept of a person."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bot.desk import Command, Desk, write_new
from bot.dials import shown
from bot.errors import InputError
from bot.privacy import ASK, NOTICE, export, kept, removed
from bot.upkeep import scope
from bot.weights_page import card_lines

# Settings


async def _settings(desk: Desk, rest: str) -> None:
    session = desk.session
    desk.screen.say("\n".join(held.line for held in desk.services.dials.held(session.channel, session.guild)))


async def _set(desk: Desk, rest: str) -> None:
    name, _, value = rest.partition(" ")
    if not value.strip():
        raise InputError("A name and a value are missing: /settings set NAME VALUE, as /settings show has them.")
    chosen = await desk.services.dials.set(scope(desk.session.channel), name.lower(), value, desk.author)
    desk.screen.say(f"{name.lower()} is {shown(chosen)} from the next reply on.")


async def _preset(desk: Desk, rest: str) -> None:
    await desk.services.dials.preset(scope(desk.session.channel), rest.lower(), desk.author)
    desk.screen.say(f"The preset {rest.lower()} holds from the next reply on.")


async def _clear(desk: Desk, rest: str) -> None:
    await desk.services.dials.clear(scope(desk.session.channel), desk.author)
    desk.screen.say("What was chosen here is forgotten: the default holds.")


# Privacy


async def _privacy(desk: Desk, rest: str) -> None:
    desk.screen.say(f"{NOTICE.replace('**', '')}\n\n{kept(await desk.services.store.belongings(desk.author.id))}")


async def _export(desk: Desk, rest: str) -> None:
    if not rest:
        raise InputError("A file is missing: /privacy export FILE writes it.")
    found = await desk.services.store.belongings(desk.author.id)
    data = export(found, person=desk.author.id, name=desk.author.name, now=time.time())
    path = await write_new(rest, data, private=True)
    desk.screen.say(f"Written to {path}. {kept(found)}")


async def _delete(desk: Desk, rest: str) -> None:
    if rest != "yes":
        raise InputError(f"{ASK} /privacy delete yes does it.")
    desk.screen.say(removed(await desk.services.forget_person(desk.author)))


# Weights


async def _card(desk: Desk, rest: str) -> None:
    entry = desk.services.shelf.entry(rest or desk.services.worker.engine_info.folder.name)
    desk.screen.say("\n".join(f"{title}: {text}" for title, text in card_lines(entry)))


async def _add(desk: Desk, rest: str) -> None:
    name, _, folder = rest.partition(" ")
    if not folder.strip():
        raise InputError("A name and a folder are missing: /weights add NAME FOLDER.")
    source = await asyncio.to_thread(Path(folder.strip()).expanduser)
    desk.screen.hint(f"Copying and checking {name}…")
    entry = await desk.services.shelf.add(name, source, desk.author)
    desk.screen.say(f"{entry.name} is on the shelf: /weights activate {entry.name} lets it write.")


async def _remove(desk: Desk, rest: str) -> None:
    await desk.services.shelf.remove(rest, desk.author)
    desk.screen.say(f"{rest} is gone.")


# The process


async def _status(desk: Desk, rest: str) -> None:
    health = desk.services.health()
    lines = [f"{title}: {text}" for title, text in health.lines]
    troubles = health.trouble_lines or ["No warnings or errors since the start."]
    desk.screen.say("\n".join([*lines, *troubles]))


WEIGHTS = (
    Command("weights show", "[NAME]", "what weights say of themselves: rating, size, licences", _card),
    Command("weights add", "NAME FOLDER", "puts a copy of a folder's weights on the shelf", _add),
    Command("weights remove", "NAME", "takes weights off the shelf and off the disk", _remove),
)
SETTINGS = (
    Command("settings show", "", "how replies are written, and who chose that", _settings),
    Command(
        "settings set",
        "NAME VALUE",
        "changes that: temperature, top_p, top_k, repetition_penalty, length, pins_budget, summary_budget",
        _set,
    ),
    Command("settings preset", "steady | wild | default", "all of it but the length, in one", _preset),
    Command("settings clear", "", "forgets what was chosen", _clear),
)
PRIVACY = (
    Command("privacy show", "", "what is kept of you, how long and where", _privacy),
    Command("privacy export", "FILE", "all of it as JSON", _export),
    Command("privacy delete", "yes", "removes all of it, in every channel of this file", _delete),
)
STATUS = Command("status", "", "how this process is: queue, speed, memory, last errors", _status)
