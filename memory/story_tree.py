"""The tree of a story's turns, as functions on an open transaction.

The head is the turn that the story stands at. Each turn remembers as `preferred` the child that was last on the path
(the story itself, as `first`, its root), so every turn of the path is the preferred child of the one before it:
undo only moves the head up, and redo follows the preferred children down.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory.errors import HeadMovedError, NoStoryError, NothingToRedoError, NothingToUndoError, no_such
from memory.rows import Author, Mode, NewTurn, Story, Turn, Twig
from memory.transaction import Row, Transaction

_STORIES = """SELECT s.id, s.channel, s.guild, s.title, root.text AS premise, s.head, s.created_at, s.finished,
    s.mode, s.author_id,
    coalesce(head.depth + 1, 0) AS turns, coalesce(head.chars_before + head.chars, 0) AS chars
    FROM open_stories s
    LEFT JOIN open_turns root ON root.id = s.first AND root.kind = 'premise'
    LEFT JOIN turns head ON head.id = s.head """

# The walk carries ids only: a text that is carried along is copied at every step. What a condition compares with is
# `?2`: a statement with a number of its own would be prepared anew each time, and each is kept, some 13 kB.
_PATH = """WITH RECURSIVE up(id, parent, depth) AS (
    SELECT id, parent, depth FROM turns WHERE id = ?1
    UNION ALL SELECT t.id, t.parent, t.depth FROM up JOIN turns t ON t.id = up.parent WHERE {condition})
    SELECT t.* FROM up JOIN open_turns t ON t.id = up.id ORDER BY up.depth"""


async def active(tx: Transaction, channel: int) -> Story | None:
    row = await tx.one(_STORIES + "WHERE s.channel = ? AND s.finished = 0", channel)
    return None if row is None else _story(row)


async def stories(tx: Transaction, channel: int) -> list[Story]:
    return [_story(row) for row in await tx.all(_STORIES + "WHERE s.channel = ? ORDER BY s.id DESC", channel)]


async def under_way(tx: Transaction, channel: int) -> Story:
    story = await active(tx, channel)
    if story is None:
        raise NoStoryError("There is no story in this channel yet: start one first.")
    return story


async def start(
    tx: Transaction,
    channel: int,
    *,
    guild: int | None,
    title: str,
    premise: str,
    author: Author,
    now: float,
    mode: Mode = "free",
    patience: float | None = None,
) -> Story:
    await tx.all("UPDATE stories SET finished = 1 WHERE channel = ? AND finished = 0", channel)
    row = await tx.insert(
        "stories",
        channel=channel,
        guild=guild,
        title=title,
        author_id=author.id,
        created_at=now,
        mode=mode,
        patience=patience,
    )
    if premise:
        await _grow(tx, row["id"], None, 1, [NewTurn(author, "premise", premise)], now)
    return await under_way(tx, channel)


async def finish(tx: Transaction, channel: int) -> Story:
    story = await under_way(tx, channel)
    await tx.all("UPDATE stories SET finished = 1 WHERE id = ?", story.id)
    return story


async def resume(tx: Transaction, channel: int, story_id: int) -> Story:
    if await tx.one("SELECT id FROM stories WHERE id = ? AND channel = ?", story_id, channel) is None:
        raise no_such("story", story_id)
    await tx.all("UPDATE stories SET finished = 1 WHERE channel = ? AND finished = 0", channel)
    await tx.all("UPDATE stories SET finished = 0 WHERE id = ?", story_id)
    return await under_way(tx, channel)


async def append(tx: Transaction, channel: int, turns: Sequence[NewTurn], after: int | None, now: float) -> list[Turn]:
    if not turns or any(turn.kind == "premise" for turn in turns):
        raise ValueError("a step is one turn or more of the kinds member and model")
    story = await under_way(tx, channel)
    _expect_head(story, after)
    parent = None if story.head is None else await _turn(tx, story, story.head)
    step = (await tx.all("SELECT coalesce(max(step), 0) + 1 FROM turns WHERE story = ?", story.id))[0][0]
    return await _grow(tx, story.id, parent, step, turns, now)


async def bring(tx: Transaction, channel: int, texts: Sequence[str], author: Author, now: float) -> None:
    """Adds each text as a step of its own behind the head."""
    story = await under_way(tx, channel)
    parent = None if story.head is None else await _turn(tx, story, story.head)
    for step, text in enumerate(texts, start=2):
        parent = (await _grow(tx, story.id, parent, step, [NewTurn(author, "member", text)], now))[0]


async def add_sibling(tx: Transaction, channel: int, of: int, turn: NewTurn, now: float) -> Turn:
    _expect_head(await under_way(tx, channel), of)
    return await edit(tx, channel, of, turn, now)


async def edit(tx: Transaction, channel: int, of: int, turn: NewTurn, now: float) -> Turn:
    """Branches off beside `of`, which is on the path: `turn` takes its place and step, and copies of those behind it
    follow, each in its own step and under its author's name."""
    story = await under_way(tx, channel)
    old = await _turn(tx, story, of)
    behind = await path(tx, story.head, floor=old.depth)
    if [t.id for t in behind][:1] != [of]:
        raise no_such("turn", of, "on the story's present path")
    if (turn.kind == "premise") != (old.kind == "premise"):
        raise ValueError("a premise is replaced by a premise, and nothing else is")
    parent = None if old.parent is None else await _turn(tx, story, old.parent)
    new = (await _grow(tx, story.id, parent, old.step, [turn], now))[0]
    if len(behind) > 1:
        await _copy(tx, story, new, old, count=len(behind) - 1)
    return new


async def _copy(tx: Transaction, story: Story, new: Turn, old: Turn, count: int) -> None:
    # One statement however long the story: the copies' ids follow that of `new`, and each prefers the next.
    await tx.all(
        """WITH RECURSIVE up(id, parent, depth) AS (
            SELECT id, parent, depth FROM turns WHERE id = ?1
            UNION ALL SELECT t.id, t.parent, t.depth FROM up JOIN turns t ON t.id = up.parent WHERE t.depth > ?2)
            INSERT INTO turns (id, story, parent, step, author_id, author_name, kind, text, created_at, depth, chars,
                chars_before, preferred)
            SELECT ?3 + t.depth - ?2, t.story, ?3 + t.depth - ?2 - 1, t.step, t.author_id,
                sealed('turns.author_name', ?3 + t.depth - ?2, t.author_name), t.kind,
                sealed('turns.text', ?3 + t.depth - ?2, t.text), t.created_at, t.depth, t.chars, t.chars_before + ?4,
                CASE WHEN t.id = ?1 THEN NULL ELSE ?3 + t.depth - ?2 + 1 END
            FROM up JOIN open_turns t ON t.id = up.id ORDER BY t.depth""",
        story.head,
        old.depth,
        new.id,
        len(new.text) - len(old.text),
    )
    await tx.all("UPDATE turns SET preferred = ? WHERE id = ?", new.id + 1, new.id)
    await tx.all("UPDATE stories SET head = ? WHERE id = ?", new.id + count, story.id)


async def undo(tx: Transaction, channel: int) -> list[Turn]:
    story = await under_way(tx, channel)
    step = [] if story.head is None else await tx.all(_PATH.format(condition="t.step = (SELECT step FROM turns"
        " WHERE id = up.id)"), story.head)  # fmt: skip
    # A premise whose text was edited together with what follows it shares their step, and stays all the same.
    gone = [turn for turn in map(_row_turn, step) if turn.kind != "premise"]
    if not gone:
        raise NothingToUndoError("There is nothing to undo: the story stands at its beginning.")
    await tx.all("UPDATE stories SET head = ? WHERE id = ?", gone[0].parent, story.id)
    return gone


async def redo(tx: Transaction, channel: int) -> list[Turn]:
    story = await under_way(tx, channel)
    back = await tx.all(
        """WITH RECURSIVE down(id, preferred, step) AS (
            SELECT id, preferred, step FROM turns WHERE id =
                CASE WHEN ?1 IS NULL THEN (SELECT first FROM stories WHERE id = ?2)
                     ELSE (SELECT preferred FROM turns WHERE id = ?1) END
            UNION ALL
            SELECT t.id, t.preferred, t.step FROM down JOIN turns t ON t.id = down.preferred WHERE t.step = down.step)
            SELECT t.* FROM down JOIN open_turns t ON t.id = down.id ORDER BY t.depth""",
        story.head,
        story.id,
    )
    if not back:
        raise NothingToRedoError("There is nothing to redo: nothing was undone here.")
    turns = [_row_turn(row) for row in back]
    await tx.all("UPDATE stories SET head = ? WHERE id = ?", turns[-1].id, story.id)
    return turns


async def go_to(tx: Transaction, channel: int, turn: int) -> Story:
    story = await under_way(tx, channel)
    await _turn(tx, story, turn)
    await tx.all(
        """WITH RECURSIVE up(id, parent) AS (
            SELECT id, parent FROM turns WHERE id = ?
            UNION ALL SELECT t.id, t.parent FROM up JOIN turns t ON t.id = up.parent)
            UPDATE turns SET preferred = up.id FROM up WHERE turns.id = up.parent""",
        turn,
    )
    root = (await path(tx, turn))[0]
    await tx.all("UPDATE stories SET head = ?, first = ? WHERE id = ?", turn, root.id, story.id)
    return await under_way(tx, channel)


async def siblings(tx: Transaction, channel: int, of: int) -> list[Turn]:
    story = await under_way(tx, channel)
    turn = await _turn(tx, story, of)
    rows = await tx.all("SELECT * FROM open_turns WHERE story = ? AND parent IS ? ORDER BY id", story.id, turn.parent)
    return [_row_turn(row) for row in rows]


async def outline(tx: Transaction, channel: int, words: int) -> list[Twig]:
    story = await active(tx, channel)
    if story is None:
        return []
    rows = await tx.all(
        """SELECT id, parent, kind, author_id, author_name, substr(text, 1, ?2) AS words,
            row_number() OVER (ORDER BY id) AS number FROM open_turns WHERE story = ?1 ORDER BY id""",
        story.id,
        words,
    )
    return [
        Twig(r["id"], r["number"], r["parent"], r["kind"], r["author_id"], r["author_name"], r["words"]) for r in rows
    ]


async def numbered(tx: Transaction, channel: int, number: int) -> Turn:
    story = await under_way(tx, channel)
    sql = "SELECT * FROM open_turns WHERE story = ? ORDER BY id LIMIT 1 OFFSET ?"
    row = None if number < 1 else await tx.one(sql, story.id, number - 1)
    if row is None:
        raise no_such("turn", number, "in this story")
    return _row_turn(row)


async def path(tx: Transaction, head: int | None, *, floor: int = 0) -> list[Turn]:
    """From the turn at depth `floor` (the root: 0) to `head`."""
    if head is None:
        return []
    return [_row_turn(row) for row in await tx.all(_PATH.format(condition="t.depth >= ?2"), head, floor)]


async def recent(tx: Transaction, story: Story, chars: int) -> list[Turn]:
    if story.head is None or chars <= 0:
        return []
    begin = max(story.chars - chars, 0)
    sql = _PATH.format(condition="(SELECT chars_before FROM turns WHERE id = up.id) > ?2")
    return [_row_turn(row) for row in await tx.all(sql, story.head, begin)]


async def passage(tx: Transaction, story: Story, begin: int, end: int) -> str:
    rows = await tx.all(
        """WITH RECURSIVE up(id, parent) AS (
            SELECT id, parent FROM turns WHERE id = ?1
            UNION ALL SELECT t.id, t.parent FROM up JOIN turns t ON t.id = up.parent
                WHERE (SELECT chars_before FROM turns WHERE id = up.id) > ?2)
            SELECT t.text, t.chars_before FROM up JOIN open_turns t ON t.id = up.id
                WHERE t.chars_before < ?3 ORDER BY t.depth""",
        story.head,
        begin,
        end,
    )
    first = rows[0]["chars_before"] if rows else 0
    return "".join(row["text"] for row in rows)[max(begin - first, 0) : max(end - first, 0)]


async def of_story(tx: Transaction, story_id: int) -> list[Turn]:
    row = await tx.one("SELECT head FROM stories WHERE id = ?", story_id)
    if row is None:
        raise no_such("story", story_id)
    return await path(tx, row["head"])


async def count_again(tx: Transaction, story_id: int) -> None:
    """Sets `chars_before` of all turns of the story from their `chars`, after texts have changed their length."""
    await tx.all(
        """WITH RECURSIVE down(id, before, chars) AS (
            SELECT id, 0, chars FROM turns WHERE story = ? AND parent IS NULL
            UNION ALL SELECT t.id, down.before + down.chars, t.chars FROM down JOIN turns t ON t.parent = down.id)
            UPDATE turns SET chars_before = down.before FROM down WHERE turns.id = down.id""",
        story_id,
    )


async def _grow(
    tx: Transaction, story_id: int, parent: Turn | None, step: int, turns: Sequence[NewTurn], now: float
) -> list[Turn]:
    # Adds a chain of turns below `parent` and moves the head to its end.
    grown: list[Turn] = []
    for turn in turns:
        row = await tx.insert(
            "turns",
            story=story_id,
            parent=None if parent is None else parent.id,
            step=step,
            author_id=None if turn.author is None else turn.author.id,
            author_name="" if turn.author is None else turn.author.name,
            kind=turn.kind,
            text=turn.text,
            created_at=now,
            depth=0 if parent is None else parent.depth + 1,
            chars=len(turn.text),
            chars_before=0 if parent is None else parent.chars_before + len(parent.text),
        )
        new = _row_turn(row)
        if parent is None:
            await tx.all("UPDATE stories SET first = ? WHERE id = ?", new.id, story_id)
        else:
            await tx.all("UPDATE turns SET preferred = ? WHERE id = ?", new.id, parent.id)
        grown.append(new)
        parent = new
    await tx.all("UPDATE stories SET head = ? WHERE id = ?", grown[-1].id, story_id)
    return grown


async def _turn(tx: Transaction, story: Story, turn: int) -> Turn:
    row = await tx.one("SELECT * FROM open_turns WHERE id = ? AND story = ?", turn, story.id)
    if row is None:
        raise no_such("turn", turn)
    return _row_turn(row)


def _expect_head(story: Story, seen: int | None) -> None:
    if story.head != seen:
        raise HeadMovedError("The story has moved on since this was begun, so nothing was added: look and try again.")


def _story(row: Row) -> Story:
    return Story(
        id=row["id"],
        channel=row["channel"],
        title=row["title"],
        premise=row["premise"],
        head=row["head"],
        created_at=row["created_at"],
        finished=bool(row["finished"]),
        guild=row["guild"],
        turns=row["turns"],
        chars=row["chars"],
        mode=row["mode"],
        host=row["author_id"],
    )


def _row_turn(row: Row) -> Turn:
    return Turn(
        id=row["id"],
        story=row["story"],
        parent=row["parent"],
        step=row["step"],
        author_id=row["author_id"],
        author_name=row["author_name"],
        kind=row["kind"],
        text=row["text"],
        created_at=row["created_at"],
        depth=row["depth"],
        chars_before=row["chars_before"],
    )
