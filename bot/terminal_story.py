"""The terminal's commands for the ways through a story's tree, and for the channel's stories."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.branch_tree import tree_lines
from bot.desk import Command, Desk, number, write_new
from bot.errors import InputError
from bot.exports import ENDINGS, Form
from bot.manuscript import MAX_BROUGHT
from bot.memories import NOTE_DEPTH
from bot.modes import LAST_LINE
from bot.wording import NO_STORIES, short, story_about

LINE_END = "\\n"  # two characters, which stand for the end of a line


async def _pick(desk: Desk, rest: str) -> None:
    """With nothing behind it, it lists what there is to choose from."""
    if not rest:
        tries = await desk.session.tries()
        turns = tries.turns if tries is not None else []
        held = tries.index if tries is not None else 0
        lines = [f"{'*' if i == held else ' '} {i + 1}. {short(turn.text)}" for i, turn in enumerate(turns)]
        desk.screen.say("\n".join(lines) or "The story has no text yet.")
        return
    tries = await desk.session.pick(number(rest, "/pick N, as /pick lists them"))
    desk.screen.say(f"Try {tries.number} of {len(tries.turns)}: {tries.turn.text.strip()}")


async def _vote(desk: Desk, rest: str) -> None:
    await desk.session.propose(desk.reply_sink())
    desk.screen.hint("The first one holds; /pick lists them, and /pick N has another one hold.")


async def _edit(desk: Desk, rest: str) -> None:
    """With no text behind it, the turn is given in the form in which it is taken."""
    which, bar, text = rest.partition("|")
    wanted = None if not which.strip() else number(which.strip(), "/edit N | TEXT, as /tree counts")
    turn = await desk.session.to_edit(wanted, desk.author)
    if not bar:
        desk.screen.hint(f"Change what you like in this line, and send it; {LINE_END} stands for the end of a line:")
        line = turn.text.strip().replace("\n", LINE_END)
        desk.screen.say(f"/edit {f'{wanted} ' if wanted else ''}| {line}")
        return
    await desk.session.edit(turn, text.replace(LINE_END, "\n"), desk.author)
    desk.screen.say("Changed; what stood there before is kept beside it.")


async def _tree(desk: Desk, rest: str) -> None:
    tree = await desk.session.tree()
    hidden = [f"{tree.hidden:,} older turns are not shown."] if tree.hidden else []
    desk.screen.say("\n".join([*tree_lines(tree), *hidden]) or "The story has no text yet.")


async def _branch(desk: Desk, rest: str) -> None:
    turn = await desk.session.branch(number(rest, "/branch N, as /tree counts"))
    desk.screen.say(f"The story goes on from: {short(turn.text)}")


async def _note(desk: Desk, rest: str) -> None:
    """With nothing behind it, the note is taken away."""
    if not rest:
        gone = await desk.session.remove_note()
        desk.screen.say(f"The note is gone: {gone.text}")
        return
    text, bar, depth = rest.partition("|")
    lines = number(depth.strip(), "/note TEXT | DEPTH") if bar else NOTE_DEPTH
    note = await desk.session.put_note(text, lines, desk.author)
    desk.screen.say(f"The model sees it {note.depth} lines before the end: {note.text}")


async def _finish(desk: Desk, rest: str) -> None:
    story = await desk.session.finish()
    desk.screen.say(f"{story.title} ends here: {story_about(story)}. /resume {story.id} takes it up again.")
    if story.mode == LAST_LINE:  # nobody has seen it as a whole
        _, content = await desk.session.export("markdown", story.id)
        desk.screen.say(content.decode().rstrip())


async def _resume(desk: Desk, rest: str) -> None:
    story = await desk.session.resume_story(number(rest, "/resume N, as /list counts"))
    text = "".join(turn.text for turn in await desk.session.tail(1))
    desk.screen.say(f"{story.title} goes on. {text.strip()}".strip())


async def _list(desk: Desk, rest: str) -> None:
    stories = await desk.session.stories()
    lines = [f"{' ' if story.finished else '*'} {story.id}. {story.title} ({story_about(story)})" for story in stories]
    desk.screen.say("\n".join(lines) or NO_STORIES)


async def _export(desk: Desk, rest: str) -> None:
    """The file's ending says in which form."""
    if not rest:
        _, content = await desk.session.export()
        desk.screen.say(content.decode().rstrip())
        return
    form: Form = next((form for form, ending in ENDINGS.items() if rest.lower().endswith(ending)), "markdown")
    _, content = await desk.session.export(form)
    path = await write_new(rest, content)
    desk.screen.say(f"Written to {path}.")


async def _import(desk: Desk, rest: str) -> None:
    name, _, title = (part.strip() for part in rest.partition("|"))
    if not name:
        raise InputError("A file is missing: /import FILE, or /import FILE | TITLE.")
    try:
        path, text = await asyncio.to_thread(_read, name)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no text in UTF-8: save it as plain text and try again.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read ({error}): choose another file.") from error
    story = await desk.session.bring(text, desk.author, title=title, file=path.stem)
    desk.screen.say(f"{story.title} begins, with {story_about(story)}.")


def _read(name: str) -> tuple[Path, str]:
    path = Path(name).expanduser()
    with path.open("rb") as file:
        return path, file.read(4 * MAX_BROUGHT + 4).decode("utf-8")


TREE = (
    Command("pick", "[N]", "lists the tries of the last part, or has number N of them hold", _pick),
    Command("vote", "", "the model goes on in three ways; /pick chooses", _vote),
    Command("edit", "[N] [| TEXT]", "gives a part of the story in a line to change, or takes the changed one", _edit),
    Command("tree", "", "where the story parts and ends; * is the story as it stands, ** its end", _tree),
    Command("branch", "N", "goes to turn N; what stood behind it stays in the tree", _branch),
    Command("note", "[TEXT [| DEPTH]]", "steers what comes next by a line that the model sees; nothing: none", _note),
    Command("finish", "", "ends the story", _finish),
    Command("resume", "N", "takes up an earlier story where it stood", _resume),
    Command("list", "", "the stories so far", _list),
)
FILES = (
    Command("export", "[FILE]", "the whole story as Markdown, or in the form of FILE.html or FILE.epub", _export),
    Command("import", "FILE [| TITLE]", "makes a story of a text file", _import),
)
