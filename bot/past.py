"""The text in front of the windows, of the channels that wrote last, so that a long story is not read anew for a reply.

What stands before a turn never changes, but where a person is deleted: so a text is kept with the turn that follows
it, and is good for as long as that turn is among the story's last ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from memory import Store, Turn

KEPT = 8  # channels; some 120,000 characters each
SHORT = 0.05  # by which a text may be shorter than asked for, after a step back


class _Told(NamedTuple):
    turn: int  # before which the text stands
    begin: int  # of the text, in characters of the story's path
    text: str


class Pasts:
    """Of a process."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._told = kept, OrderedDict[int, _Told]()

    def forget(self) -> None:
        """After texts were changed."""
        self._told.clear()

    async def before(self, store: Store, channel: int, turns: Sequence[Turn], chars: int) -> list[Turn]:
        """These turns, the last of the channel's story, the first of them with the text before it, as much of it as
        makes `chars` characters or as there is."""
        if not turns or not (first := turns[0].chars_before):
            return list(turns)
        begin = max(turns[-1].chars_before + len(turns[-1].text) - chars, 0)
        told = self._told.pop(channel, None)
        short = told is not None and told.begin - begin > chars * SHORT
        if told is None or short or told.turn not in (turn.id for turn in turns):
            text = await store.passage(channel, begin, first)
            told = _Told(turns[0].id, first - len(text), text)
        # Kept up to the middle of what is in sight: neither a step back nor one on leaves it.
        known = next(i for i, turn in enumerate(turns) if turn.id == told.turn)
        middle = max(known, len(turns) // 2)
        text = told.text[max(begin - told.begin, 0) :] + "".join(turn.text for turn in turns[known:middle])
        begin = max(begin, told.begin)
        self._told[channel] = _Told(turns[middle].id, begin, text)
        while len(self._told) > self._kept:
            self._told.popitem(last=False)
        past = text[: first - begin]
        return [replace(turns[0], text=past + turns[0].text, chars_before=begin), *turns[1:]]
