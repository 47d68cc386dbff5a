"""How mature a channel's text may be, and what of its state was made under which rating.

A reply is mature only where everything that it comes from is: the channel is age-restricted now, its keepers have
switched mature stories on, and the weights, the style, the lessons and the summary that it is written with are rated
mature. Direct messages are general. What was made while a channel was mature is frozen as soon as it is not: it stays
in the file, and nothing of it is shown, exported or read by the model until the channel is mature again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import IntEnum
from typing import Literal

from engine.worker import Worker
from memory import NoStoryError, Store, Story

Kind = Literal["stories", "pins", "lessons"]
KINDS: tuple[Kind, ...] = ("stories", "pins", "lessons")
MATURE_ON = "mature"  # a server's setting
GENERAL_ONES = "rating.general"  # a channel's setting, once it was mature: ids of what is general, as JSON


class Rating(IntEnum):
    GENERAL = 0
    MATURE = 1


def rated(name: object) -> Rating:
    """What a card says; anything but "mature" is general, "unknown" and nothing at all among it."""
    return Rating.MATURE if name == "mature" else Rating.GENERAL


class FrozenError(NoStoryError):
    """What was asked for was made while the channel was mature, and it is not now."""

    def __init__(self) -> None:
        super().__init__(
            "This was written while mature stories were allowed in this channel, and now they are not, so it rests and"
            " nothing of it is lost: make the channel age-restricted again, or start another story."
        )


class ChannelRating:
    """Of one channel. Asked anew for each request, since a channel may lose its flag at any time."""

    def __init__(
        self, channel: int, guild: int | None, store: Store, worker: Worker, *, flag: Callable[[], bool]
    ) -> None:
        """`flag`: whether the channel is age-restricted now; of the terminal, whether the operator has it mature."""
        self._channel, self._guild, self._store, self._worker, self._flag = channel, guild, store, worker, flag
        self._general: dict[Kind, set[int]] | None = None  # None: all of it is
        self._read = False

    async def place(self) -> Rating:
        """The most that the channel, its server and the weights allow now."""
        if self._channel != 0 and self._guild is None:
            return Rating.GENERAL
        if not self._flag() or rated(self._worker.engine_info.rating) is Rating.GENERAL:
            return Rating.GENERAL
        if self._guild is not None and await self._store.setting(f"guild:{self._guild}", MATURE_ON) != "on":
            return Rating.GENERAL
        return Rating.MATURE

    async def begin(self, story: Story | None = None) -> Rating:
        """The rating of what is now to be written, into this story or beside it. It is stored before the text is, so
        that text which was written as mature never counts as general. Raises `FrozenError`."""
        rating = await self.place()
        if story is not None and await self.of("stories", story.id) > rating:
            raise FrozenError
        if rating is Rating.MATURE:
            held = await self._held() or {}
            there: dict[Kind, set[int]] = {  # an id that is free may come back as that of something mature
                "stories": {one.id for one in await self._store.stories(self._channel)},
                "pins": {pin.id for pin in await self._store.pins(self._channel)},
                "lessons": {row.id for row in await self._store.lessons(self._channel)},
            }
            kept = {kind: there[kind] & held.get(kind, there[kind]) for kind in KINDS}
            if story is not None:
                kept["stories"].discard(story.id)
            await self._put(kept)
        return rating

    async def made(self, kind: Kind, number: int, rating: Rating) -> None:
        """Writes down that something new is general, where that is not said of all."""
        held = await self._held()
        if rating is Rating.GENERAL and held is not None:
            await self._put({**held, kind: held[kind] | {number}})

    async def of(self, kind: Kind, number: int) -> Rating:
        """The rating under which something was made."""
        held = await self._held()
        return Rating.GENERAL if held is None or number in held[kind] else Rating.MATURE

    async def shows(self, kind: Kind, number: int) -> bool:
        """Whether it may be read now."""
        return await self.of(kind, number) is Rating.GENERAL or await self.place() is Rating.MATURE

    async def still(self, rating: Rating) -> None:
        """Raises `FrozenError` where the channel has become less mature than what was begun in it."""
        if rating > Rating.GENERAL and await self.place() < rating:
            raise FrozenError

    async def spotless(self) -> bool:
        """Whether the channel has never been mature."""
        return await self._held() is None

    async def _held(self) -> dict[Kind, set[int]] | None:
        if not self._read:
            told = await self._store.setting(f"channel:{self._channel}", GENERAL_ONES)
            if told is not None:
                found = json.loads(told)
                self._general = {kind: set(found.get(kind, ())) for kind in KINDS}
            self._read = True
        return self._general

    async def _put(self, general: dict[Kind, set[int]]) -> None:
        if general == self._general:
            return
        value = json.dumps({kind: sorted(general[kind]) for kind in KINDS})
        await self._store.set_setting(f"channel:{self._channel}", GENERAL_ONES, value)
        self._general, self._read = general, True
