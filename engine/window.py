"""What a decoder has read, so that a prompt is read only where it is new.

Three things are reused: a beginning that did not change (pins and summary stand first for that); the end of a story
whose oldest text has left the prompt, which moves forward in the cache; and, while a text grows past the end of the
context, all but its oldest quarter. Text that leaves this way is dropped out of the cache behind the kept prefix
(Xiao et al. 2023, https://arxiv.org/abs/2309.17453), so that nothing is read twice. What stays was read when the
dropped text still stood before it, and remembers some of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.decoder import Decoder
from engine.shape import Floats

DROPPED_SHARE = 4  # one in so many positions behind the prefix leaves at once: each key is turned few times in its life
SEAM = 2  # ids at a cut that may differ: a word at the start of a text is written without its space
LEAST_MOVED = 24  # ids that must agree before a text counts as the one that was read


class Window:
    """The ids in a decoder's cache, in order. `kept` of them, the prefix, are never dropped."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._movable = decoder.config.model_type != "gpt2"  # learned positions cannot be turned
        self._ids: list[int] = []
        self._kept = 0

    @property
    def length(self) -> int:
        """Positions that are filled."""
        return len(self._ids)

    @property
    def left(self) -> int:
        """Positions that are free."""
        return self._decoder.config.block_size - len(self._ids)

    def forget(self) -> None:
        """After a change of the units: what was read with others counts no more."""
        self.cut(0)

    def read(self, ids: Sequence[int], kept: int = 0) -> Floats:
        """Read a whole prompt, whose first `kept` ids are its prefix; logits (V,) behind its last id."""
        same = agreeing(self._ids, ids)
        # Only behind the same prefix: what an older one held, a pin that is gone perhaps, must not stay in the cache.
        if kept == self._kept and kept <= same < len(ids) - 1 and self._movable:
            same = self._move(ids, kept, same)
        self.cut(min(same, len(ids) - 1))  # the last is read again: its logits are not kept
        self._kept = kept
        row: Floats = self.follow(ids[len(self._ids) :])[-1]
        return row

    def follow(self, ids: Sequence[int]) -> Floats:
        """Read ids behind what is there, which `left` has room for; logits (n, V), or (1, V) of many."""
        few = len(ids) <= 16  # guesses to be verified, not a prompt of which only the last row counts
        rows = self._decoder.rows(ids, every=few)  # (n, V) or (1, V)
        self._ids.extend(ids)
        return rows

    def cut(self, length: int) -> None:
        """Forget the ids from `length` on."""
        self._decoder.truncate(length)
        del self._ids[length:]

    def make_room(self) -> None:
        """The context is full: the oldest text behind the prefix goes."""
        if self._movable:
            self._drop(max(1, (len(self._ids) - self._kept) // DROPPED_SHARE))
            return
        newest = self._ids[self._kept + len(self._ids) // 2 :]  # half a context goes, since the rest is read again
        self.cut(self._kept)
        self.follow(newest)

    def _move(self, ids: Sequence[int], kept: int, same: int) -> int:
        """Look for the prompt's text further back in the cache and move it up to the prefix; how many ids of the prompt
        the cache then holds, give or take the seam, where a cut text begins otherwise than it did."""
        text, cached = ids[kept:], self._ids[kept:]
        for seam in range(SEAM + 1):
            for at in starts(cached, text[seam : seam + LEAST_MOVED]):
                if at < seam:
                    continue
                moved = agreeing(cached[at:], text[seam:])
                if moved > same - kept:
                    self.cut(kept + at + moved)
                    self._drop(at - seam)
                    self._ids[kept : kept + seam] = text[:seam]  # what was read in their place says the same
                    return kept + seam + moved
        return same

    def _drop(self, count: int) -> None:
        self._decoder.drop(self._kept, self._kept + count)
        del self._ids[self._kept : self._kept + count]


def agreeing(a: Sequence[int], b: Sequence[int]) -> int:
    """How many ids two lists have in common from their start."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def starts(ids: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Every place where `wanted` stands in `ids`; none where it is too short to tell."""
    n = len(wanted)
    if n < LEAST_MOVED:
        return []
    return [i for i in range(len(ids) - n + 1) if ids[i] == wanted[0] and list(ids[i : i + n]) == list(wanted)]
