"""The store as a channel sees it: without what was made as mature, while the channel is not."""

from __future__ import annotations

from typing import Any

from bot.rating import ChannelRating, FrozenError, Kind
from memory import LessonRow, Pin, Store, Story, Table

OPEN = frozenset(  # has nothing to do with the story under way, or goes on without it
    {"setting", "set_setting", "settings", "audit", "audit_rows", "start_story", "import_story", "add_pin", "teach",
     "require_room", "put_units", "forget_author", "reset"}
)  # fmt: skip
NUMBERED: dict[str, tuple[Kind, int]] = {  # has to do with one of these, by its number: which argument that is
    "turns_of_story": ("stories", 0), "resume_story": ("stories", 1), "remove_pin": ("pins", 1),
    "forget": ("lessons", 1),
}  # fmt: skip
NOTHING: dict[str, Any] = {  # what there is of a story where there is none
    "story": None, "recent": (), "summary": None, "summary_versions": (), "vectors": None, "note": None,
    "table": Table(),
}  # fmt: skip


class RatedStore:
    """Stands in for the `Store` of one channel. Whatever is not named above reads or changes the story under way, and
    raises `FrozenError` while that is frozen: so a method that is new is closed until somebody has thought of it."""

    def __init__(self, store: Store, rating: ChannelRating) -> None:
        self._store, self._rating = store, rating

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name in OPEN:
            return method

        async def rated(*args: Any, **options: Any) -> Any:
            if name in NUMBERED:
                kind, at = NUMBERED[name]
                if not await self._rating.shows(kind, args[at]):
                    raise FrozenError
            elif await self._frozen(args[0]):
                if name not in NOTHING:
                    raise FrozenError
                return [] if NOTHING[name] == () else NOTHING[name]
            return await method(*args, **options)

        return rated

    def noting(self, *args: Any) -> RatedStore:
        return RatedStore(self._store.noting(*args), self._rating)

    async def stories(self, channel: int) -> list[Story]:
        found = await self._store.stories(channel)
        return [story for story in found if await self._rating.shows("stories", story.id)]

    async def pins(self, channel: int) -> list[Pin]:
        return [pin for pin in await self._store.pins(channel) if await self._rating.shows("pins", pin.id)]

    async def lessons(self, channel: int) -> list[LessonRow]:
        found = await self._store.lessons(channel)
        return [row for row in found if await self._rating.shows("lessons", row.id)]

    async def units(self, channel: int, base_id: str) -> dict[int, bytes]:
        found = await self._store.units(channel, base_id)
        return {lesson: blob for lesson, blob in found.items() if await self._rating.shows("lessons", lesson)}

    async def _frozen(self, channel: int) -> bool:
        if await self._rating.spotless():
            return False
        story = await self._store.story(channel)
        return story is not None and not await self._rating.shows("stories", story.id)
