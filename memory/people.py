"""What a person has left in the file: to be given to that person, or removed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from memory import story_tree, summaries
from memory.rows import Removed
from memory.transaction import Transaction, Value

REMOVED = "[removed]"
DELETION = "privacy.delete"  # in the audit log

Belongings = dict[str, list[dict[str, Value]]]

# Each kind with the statement that finds it by the person's id. A column that ends in "_at" holds Unix seconds.
OWN: Mapping[str, str] = MappingProxyType(
    {
        "stories": "SELECT channel, title, created_at FROM open_stories WHERE author_id = ? ORDER BY id",
        "turns": """SELECT s.channel, s.title AS story, t.created_at, t.author_name AS name, t.kind, t.text
            FROM open_turns t JOIN open_stories s ON s.id = t.story WHERE t.author_id = ? ORDER BY t.id""",
        "summaries": """SELECT s.channel, s.title AS story, m.created_at, m.author_name AS name, m.body
            FROM open_summaries m JOIN turns t ON t.id = m.turn JOIN open_stories s ON s.id = t.story
            WHERE m.author_id = ? ORDER BY m.id""",
        "lessons": """SELECT channel, created_at, author_name AS name, prompt, answer
            FROM open_lessons WHERE author_id = ? ORDER BY id""",
        "pins": """SELECT channel, created_at, author_name AS name, text, keys
            FROM open_pins WHERE author_id = ? ORDER BY id""",
        "notes": """SELECT s.channel, s.title AS story, n.created_at, n.author_name AS name, n.text
            FROM open_notes n JOIN open_stories s ON s.id = n.story WHERE n.author_id = ? ORDER BY n.story""",
        "seats": """SELECT s.channel, s.title AS story, p.author_name AS name
            FROM open_seats p JOIN open_stories s ON s.id = p.story WHERE p.author_id = ? ORDER BY p.story""",
        "settings": "SELECT key, value FROM settings WHERE scope = 'user:' || ? ORDER BY key",
        "acts": "SELECT at AS done_at, channel, action, detail FROM audit WHERE actor_id = ? ORDER BY id",
    }
)


async def belongings(tx: Transaction, author: int) -> Belongings:
    return {kind: [dict(row) for row in await tx.all(sql, author)] for kind, sql in OWN.items()}


async def channels(tx: Transaction, author: int) -> list[int]:
    sql = """SELECT s.channel FROM turns t JOIN stories s ON s.id = t.story WHERE t.author_id = ?1
        UNION SELECT s.channel FROM summaries m JOIN turns t ON t.id = m.turn JOIN stories s ON s.id = t.story
            WHERE m.author_id = ?1
        UNION SELECT channel FROM stories WHERE author_id = ?1
        UNION SELECT s.channel FROM notes n JOIN stories s ON s.id = n.story WHERE n.author_id = ?1
        UNION SELECT s.channel FROM seats p JOIN stories s ON s.id = p.story WHERE p.author_id = ?1
        UNION SELECT channel FROM lessons WHERE author_id = ?1
        UNION SELECT channel FROM pins WHERE author_id = ?1 ORDER BY 1"""
    return [row["channel"] for row in await tx.all(sql, author)]


async def deletions(tx: Transaction) -> dict[str, int]:
    """Whoever was ever deleted, by the hash of that row of the audit log."""
    rows = await tx.all("SELECT hash, actor_id FROM audit WHERE action = ? ORDER BY id", DELETION)
    return {row["hash"].hex(): row["actor_id"] for row in rows}


async def delete_author(tx: Transaction, author: int) -> Removed:
    # What was made from their text goes with it: summaries of the stories in which they wrote, a turn or a summary.
    touched = await tx.all(
        """SELECT story FROM turns WHERE author_id = ?1
            UNION SELECT t.story FROM summaries s JOIN turns t ON t.id = s.turn WHERE s.author_id = ?1""",
        author,
    )
    stories = [row["story"] for row in touched]
    turns = await tx.all(
        """UPDATE turns SET text = sealed('turns.text', id, ?1), chars = ?2,
            author_name = sealed('turns.author_name', id, ?1), author_id = NULL WHERE author_id = ?3 RETURNING id""",
        REMOVED,
        len(REMOVED),
        author,
    )
    for story in stories:
        await story_tree.count_again(tx, story)
    summed = await summaries.forget_stories(tx, stories)
    titles = await tx.all(
        """UPDATE stories SET title = sealed('stories.title', id, ?), author_id = NULL
            WHERE author_id = ? RETURNING id""",
        REMOVED,
        author,
    )
    lessons = await tx.all("DELETE FROM lessons WHERE author_id = ? RETURNING id", author)
    unpinned = await tx.all("DELETE FROM pins WHERE author_id = ? RETURNING id", author)
    notes = await tx.all("DELETE FROM notes WHERE author_id = ? RETURNING story", author)
    await tx.all("DELETE FROM seats WHERE author_id = ?", author)
    await tx.all("DELETE FROM settings WHERE scope = ?", f"user:{author}")
    return Removed(
        turns=len(turns),
        lessons=len(lessons),
        pins=len(unpinned),
        summaries=summed,
        notes=len(notes),
        titles=len(titles),
    )
