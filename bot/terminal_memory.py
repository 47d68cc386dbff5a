"""The terminal's commands for what the model was taught, remembers and writes with."""

from __future__ import annotations

from bot.desk import Command, Desk, number, switch
from bot.errors import InputError
from bot.memory_page import page_of
from bot.wording import (
    ALWAYS,
    ASK_RESET,
    HISTORY,
    NO_STYLE,
    NO_STYLES,
    NO_VERSIONS,
    NOTHING_TAUGHT,
    PAUSED,
    RESET,
    RESUMED,
    first_words,
    keys_of,
    learnt,
    lesson_line,
    lesson_state,
    local_time,
    pin_line,
    recall_lines,
    short,
    style_about,
    version_by,
    weights_about,
)

# Lessons


async def _teach(desk: Desk, rest: str) -> None:
    prompt, arrow, answer = rest.partition("=>")
    if not arrow:
        raise InputError("A lesson is a prompt and its answer: /teach PROMPT => ANSWER.")
    sink = desk.progress_sink()
    taught = await desk.session.teach(prompt, answer, desk.author, sink)
    await sink.finish("")
    desk.screen.say(learnt(taught))


async def _lessons(desk: Desk, rest: str) -> None:
    view = await desk.session.memory()
    lines = [f"{row.id}. {lesson_line(row)} ({row.author_name}, {lesson_state(view, row)})" for row in view.lessons]
    desk.screen.say("\n".join(lines) or NOTHING_TAUGHT)


async def _forget(desk: Desk, rest: str) -> None:
    gone = await desk.session.forget(number(rest, "/teach forget N, as /teach list counts"), desk.author)
    desk.screen.say(f"Forgotten: {short(gone.prompt)}")


async def _forget_member(desk: Desk, rest: str) -> None:
    """Here somebody goes by the name that stands in the list."""
    name = rest.casefold()
    ids = {row.author_id for row in await desk.session.lessons() if row.author_name.casefold() == name}
    gone = [row for author_id in ids for row in await desk.session.forget_member(author_id, desk.author)]
    if not gone:
        raise InputError("Nobody of that name has taught anything here: /teach list names who did.")
    desk.screen.say("\n".join(f"Forgotten: {short(row.prompt)}" for row in gone))


async def _test(desk: Desk, rest: str) -> None:
    sink = desk.progress_sink()
    results = await desk.session.test_lessons(sink)
    await sink.finish("")
    desk.screen.say("\n".join(recall_lines(results)))


async def _always(desk: Desk, rest: str) -> None:
    on = switch(rest, "/teach always on, or /teach always off")
    await desk.session.set_always_on(on, desk.author)
    desk.screen.say(ALWAYS[on])


async def _switch(desk: Desk, rest: str) -> None:
    raise InputError("Teaching is always on in the terminal: only a server can switch it off.")


# Memory


async def _show(desk: Desk, rest: str) -> None:
    desk.screen.say(page_of(await desk.session.memory()).text)


async def _pin(desk: Desk, rest: str) -> None:
    text, _, keys = rest.partition("|")
    pin = await desk.session.pin(text, desk.author, keys_of(keys))
    desk.screen.say(f"Pinned as {pin_line(pin)}")


async def _unpin(desk: Desk, rest: str) -> None:
    pin = await desk.session.unpin(number(rest, "/memory unpin N, as /memory show counts"), desk.author)
    desk.screen.say(f"No longer pinned: {pin.text}")


async def _edit(desk: Desk, rest: str) -> None:
    """A bar stands for the end of a line; with nothing behind it, the present summary is given in that form."""
    if not rest:
        summary = (await desk.session.memory()).summary
        if summary is None:
            raise InputError("There is no summary yet: /memory edit LINE | LINE writes one, such as Names: Mira, Tom.")
        desk.screen.hint("Change what you like in this line, and send it:")
        desk.screen.say(f"/memory edit {' | '.join(summary.lines())}")
        return
    text = "\n".join(part.strip() for part in rest.split("|"))
    row = await desk.session.edit_summary(text, desk.author)
    desk.screen.say(f"Saved as version {row.id}; /memory history lists the ones before it.")


async def _pause(desk: Desk, rest: str) -> None:
    await desk.session.pause(desk.author)
    desk.screen.say(PAUSED)


async def _resume(desk: Desk, rest: str) -> None:
    await desk.session.resume(desk.author)
    desk.screen.say(RESUMED)


async def _history(desk: Desk, rest: str) -> None:
    rows = await desk.session.summary_versions(HISTORY)
    lines = [f"{row.id}. {local_time(row.created_at)}, {version_by(row)}: {first_words(row)}" for row in rows]
    desk.screen.say("\n".join(lines) or NO_VERSIONS)


async def _restore(desk: Desk, rest: str) -> None:
    version = number(rest, "/memory restore N, as /memory history counts")
    row = await desk.session.restore_summary(version, desk.author)
    desk.screen.say(f"Version {version} is back, as version {row.id}: {first_words(row)}")


async def _reset(desk: Desk, rest: str) -> None:
    if rest != "yes":
        raise InputError(f"{ASK_RESET} /memory reset yes does it.")
    await desk.session.reset(desk.author)
    desk.screen.say(RESET)


# Style and weights


async def _styles(desk: Desk, rest: str) -> None:
    chosen = (await desk.session.memory()).style
    styles = desk.services.styles.list()
    lines = [_listed(style.name, style.name == chosen, style_about(style)) for style in styles]
    desk.screen.say("\n".join(lines) or NO_STYLES)


async def _use_style(desk: Desk, rest: str) -> None:
    if not rest:
        raise InputError("A name is missing: /style use NAME, as /style list has it.")
    await desk.session.set_style(rest, desk.author)
    desk.screen.say(f"The style {rest} is used from the next reply on.")


async def _no_style(desk: Desk, rest: str) -> None:
    await desk.session.set_style(None, desk.author)
    desk.screen.say(NO_STYLE)


async def _weights(desk: Desk, rest: str) -> None:
    entries = desk.services.shelf.list()
    desk.screen.say("\n".join(_listed(entry.name, entry.active, weights_about(entry)) for entry in entries))


async def _activate(desk: Desk, rest: str) -> None:
    if not rest:
        raise InputError("A name is missing: /weights activate NAME, as /weights list has it.")
    info = await desk.services.shelf.activate(rest, desk.author)
    desk.screen.say(f"{info.name} writes from now on.")


async def _rollback(desk: Desk, rest: str) -> None:
    info = await desk.services.shelf.rollback(desk.author)
    desk.screen.say(f"Back to {info.name}.")


def _listed(name: str, active: bool, about: str) -> str:
    return f"{'*' if active else ' '} {name}{f': {about}' if about else ''}"


TEACH = (
    Command("teach add", "PROMPT => ANSWER", "the model learns to answer so; “add” may be left out", _teach),
    Command("teach list", "", "what was taught, and by whom", _lessons),
    Command("teach forget", "N", "forgets lesson N, as if it had never been taught", _forget),
    Command("teach forget-member", "NAME", "forgets all that somebody taught", _forget_member),
    Command("teach test", "", "asks each lesson, and shows what the model says", _test),
    Command("teach always", "on | off", "whether lessons take part in all that is written", _always),
    Command("teach switch", "on | off", "whether a server may teach", _switch),
)
MEMORY = (
    Command("memory show", "", "what the model sees next, and how much room that leaves", _show),
    Command("memory pin", "TEXT [| KEY, KEY]", "a fact that it always sees, or where a key is in the text", _pin),
    Command("memory unpin", "N", "lets pin N go", _unpin),
    Command("memory edit", "[LINE | LINE]", "gives the summary in a line to change, or takes the changed one", _edit),
    Command("memory pause", "", "stops what is remembered by itself; the summary stays as it is", _pause),
    Command("memory resume", "", "lets it go on", _resume),
    Command("memory history", "", "the versions of the summary, the newest first", _history),
    Command("memory restore", "N", "brings version N of it back", _restore),
    Command("memory reset", "yes", "forgets pins, lessons and summaries; the story stays", _reset),
)
STYLE = (
    Command("style list", "", "the style packs there are", _styles),
    Command("style use", "NAME", "writes in that style from now on", _use_style),
    Command("style off", "", "writes without one again", _no_style),
    Command("weights list", "", "which models there are", _weights),
    Command("weights activate", "NAME", "lets another one write", _activate),
    Command("weights rollback", "", "goes back to the one before", _rollback),
)
