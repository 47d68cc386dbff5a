"""Everything that a store can be asked to write, and all that can be read of it again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from memory import Author, NewTurn, Store, StoreError, Story, Table, Turn
from memory.rows import Mode

GUILD_ID, CHANNELS, BASES = 3, (1, 2), ("base", "other")
PEOPLE = (Author(7, "Ann"), Author(8, "Ben"))
WORDS = ("The fox ran over the hill", "Nobody had seen the key", "It rained", "a door opened", "She laughed")
MODES: tuple[Mode, ...] = ("free", "round robin")
MANY = 99  # lessons that a channel may hold here


class Witness:
    """A store of which each write is noted as soon as it is acknowledged."""

    def __init__(self, store: Store, note: Callable[[], Awaitable[None]]) -> None:
        self._store, self._note = store, note

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def noted(*args: Any, **options: Any) -> Any:
            result = await method(*args, **options)
            if name in WRITES:
                await self._note()
            return result

        return noted

    def noting(self, *act: Any) -> Witness:
        return Witness(self._store.noting(*act), self._note)


@dataclass(frozen=True)
class Scene:
    """A store and the channel in which something is to be done."""

    store: Store | Witness
    channel: int
    chance: random.Random
    size: int = 1  # of what is written: so many times as much as people write

    @property
    def who(self) -> Author:
        return self.chance.choice(PEOPLE)

    def text(self, most: int = 40) -> str:
        return ". ".join(self.chance.choice(WORDS) for _ in range(self.size * self.chance.randint(1, most))) + "."

    def blob(self, most: int = 60_000) -> bytes:
        return self.chance.randbytes(self.chance.randint(most // 2 if self.size > 1 else 1, most))

    async def story(self) -> Story:
        return await self.store.story(self.channel) or await start_story(self)

    async def turn(self) -> Turn:
        """Any turn of the path."""
        await self.story()
        path: list[Turn] = await self.store.path(self.channel) or await append(self)
        return self.chance.choice(path)


Act = Callable[[Scene], Awaitable[object]]


async def start_story(s: Scene) -> Story:
    return await s.store.start_story(s.channel, guild=GUILD_ID, title=s.text(1), premise=s.text(3), author=s.who)


async def import_story(s: Scene) -> Story:
    texts = [s.text() for _ in range(s.chance.randint(1, 9))]
    return await s.store.import_story(s.channel, guild=GUILD_ID, title=s.text(1), texts=texts, author=s.who)


async def resume_story(s: Scene) -> Story:
    await s.story()
    return await s.store.resume_story(s.channel, s.chance.choice(await s.store.stories(s.channel)).id)


async def set_mode(s: Scene) -> Story:
    await s.story()
    return await s.store.set_mode(s.channel, s.chance.choice(MODES))


async def put_table(s: Scene) -> None:
    await s.story()
    await s.store.put_table(s.channel, Table(PEOPLE[: s.chance.randint(0, 2)], s.chance.random(), 60.0))


async def append(s: Scene) -> list[Turn]:
    story = await s.story()
    turns = [NewTurn(s.who, "member", s.text()), NewTurn(None, "model", s.text())]
    return await s.store.append(s.channel, turns, after=story.head)


async def add_sibling(s: Scene) -> Turn:
    story = await s.story()
    head = (await s.store.path(s.channel, 1) or await append(s))[-1]
    assert story.id == head.story
    return await s.store.add_sibling(s.channel, head.id, NewTurn(None, head.kind, s.text()))


async def edit_turn(s: Scene) -> Turn:
    turn = await s.turn()
    return await s.store.edit_turn(s.channel, turn.id, NewTurn(s.who, turn.kind, s.text()))


async def go_to(s: Scene) -> Story:
    await s.turn()
    return await s.store.go_to(s.channel, s.chance.choice(await s.store.outline(s.channel)).id)


async def put_summary(s: Scene) -> object:
    turn = await s.turn()
    author = s.chance.choice([None, *PEOPLE])
    return await s.store.put_summary(s.channel, turn.id, turn.chars_before, s.text(), author)


async def restore_summary(s: Scene) -> object:
    versions = await s.store.summary_versions(s.channel, 9)
    if not versions:
        return await put_summary(s)
    return await s.store.restore_summary(s.channel, s.chance.choice(versions).id, s.who)


async def put_vectors(s: Scene) -> None:
    turn = await s.turn()
    await s.store.put_vectors(s.channel, turn.id, s.chance.choice(BASES), turn.chars_before, s.blob(400_000))


async def put_note(s: Scene) -> object:
    await s.story()
    return await s.store.put_note(s.channel, s.text(1), 3, s.who)


async def remove_pin(s: Scene) -> object:
    pin = s.chance.choice(await s.store.pins(s.channel) or [await s.store.add_pin(s.channel, s.text(1), s.who)])
    return await s.store.remove_pin(s.channel, pin.id)


async def teach(s: Scene) -> int:
    row = await s.store.teach(
        s.channel, guild=GUILD_ID, prompt=s.text(1), answer=s.text(1), author=s.who, base_id=s.chance.choice(BASES),
        blob=s.blob(), per_member=MANY, per_channel=MANY,
    )  # fmt: skip
    return row.id


async def a_lesson(s: Scene) -> int:
    rows = await s.store.lessons(s.channel)
    return s.chance.choice(rows).id if rows else await teach(s)


async def put_units(s: Scene) -> object:
    return await s.store.put_units(await a_lesson(s), s.chance.choice(BASES), s.blob())


async def forget(s: Scene) -> object:
    return await s.store.forget(s.channel, await a_lesson(s))


async def set_setting(s: Scene) -> None:
    value = s.chance.choice([None, s.text(1), s.text(1)])
    await s.store.set_setting(f"channel:{s.channel}", f"key.{s.chance.randint(1, 5)}", value)


async def set_settings(s: Scene) -> None:
    """An act too, of which the row in the audit log comes and goes with the settings."""
    values = {f"key.{number}": s.chance.choice([None, s.text(9)]) for number in range(1, 9)}
    await s.store.noting(s.who.id, s.channel, "settings.set", "some").set_settings(f"channel:{s.channel}", values)


# By the name of the store's method; a test holds that none is missing.
WRITES: Mapping[str, Act] = MappingProxyType(
    {
        "start_story": start_story,
        "import_story": import_story,
        "finish_story": lambda s: s.store.finish_story(s.channel),
        "resume_story": resume_story,
        "set_mode": set_mode,
        "put_table": put_table,
        "append": append,
        "add_sibling": add_sibling,
        "edit_turn": edit_turn,
        "undo": lambda s: s.store.undo(s.channel),
        "redo": lambda s: s.store.redo(s.channel),
        "go_to": go_to,
        "put_summary": put_summary,
        "restore_summary": restore_summary,
        "put_vectors": put_vectors,
        "put_note": put_note,
        "remove_note": lambda s: s.store.remove_note(s.channel),
        "add_pin": lambda s: s.store.add_pin(s.channel, s.text(1), s.who, [s.text(1)]),
        "remove_pin": remove_pin,
        "teach": teach,
        "put_units": put_units,
        "forget": forget,
        "forget_author": lambda s: s.store.forget_author(s.channel, s.who.id),
        "reset": lambda s: s.store.reset(s.channel),
        "set_setting": set_setting,
        "set_settings": set_settings,
        "audit": lambda s: s.store.audit(s.who.id, s.channel, "test.act", "done"),
        "delete_author": lambda s: s.store.delete_author(s.who.id),
    }
)
# Those that take much away come rarely, else there would never be anything to lose.
SELDOM = {"delete_author": 1, "reset": 1, "forget_author": 1, "start_story": 2, "import_story": 2, "append": 12}
WEIGHTS = [SELDOM.get(name, 4) for name in WRITES]


def any_act(chance: random.Random) -> Act:
    return chance.choices(list(WRITES.values()), WEIGHTS)[0]


State = tuple[object, ...]


async def state_of(store: Store) -> State:
    """All that people can see of a store, through its own methods."""
    seen: list[object] = [await store.audit_rows(1_000_000)]
    for channel in CHANNELS:
        stories = await store.stories(channel)
        seen += [stories, [await store.turns_of_story(story.id) for story in stories], await store.outline(channel)]
        seen += [await store.lessons(channel), await store.pins(channel), await store.note(channel)]
        seen += [await store.table(channel)]
        seen += [await store.summary_versions(channel, 1000), await store.settings(f"channel:{channel}")]
        for base in BASES:
            seen += [await store.units(channel, base), await store.vectors(channel, base)]
    return tuple(seen)


async def done(scene: Scene, act: Act) -> bool:
    """Whether it could be done: there may be nothing to undo. What a disk does is raised."""
    try:
        await act(scene)
    except StoreError as error:
        if type(error).__name__ in {"NoStoryError", "NothingToUndoError", "NothingToRedoError", "NotFoundError"}:
            return False
        raise
    return True
