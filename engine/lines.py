"""What waits, in lines that take turns: whoever asks a hundred times waits for himself, and nobody else for him.

Within a line first come, first served. The lines are served in rotation, one item each, and a line that comes anew
stands at the end of it: round robin, as J. Nagle shares a gateway among hosts ("On Packet Switches With Infinite
Storage", RFC 970, 1985). So whatever is first in its line waits for at most one item of each other line.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Lines(Generic[T]):
    def __init__(self) -> None:
        self._lines: OrderedDict[Hashable, deque[T]] = OrderedDict()  # none is empty; the first one has its turn next
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        """In the order in which they will be taken if nothing else comes."""
        lines = [iter(items) for items in self._lines.values()]
        while lines:
            left = []
            for items in lines:
                for item in items:
                    yield item
                    left.append(items)
                    break
            lines = left

    @property
    def names(self) -> set[Hashable]:
        """Of the lines in which something waits."""
        return set(self._lines)

    def waiting(self, line: Hashable) -> int:
        """How many stand in this line."""
        return len(self._lines.get(line, ()))

    def add(self, item: T, line: Hashable) -> None:
        self._lines.setdefault(line, deque()).append(item)
        self._count += 1

    def take(self) -> T:
        """The next one. Raises KeyError where nothing waits."""
        line, items = self._lines.popitem(last=False)
        item = items.popleft()
        if items:
            self._lines[line] = items  # at the end of the rotation
        self._count -= 1
        return item

    def remove(self, item: T, line: Hashable) -> bool:
        """Takes one out of its line; False where it is not there."""
        items = self._lines.get(line)
        if items is None or item not in items:
            return False
        items.remove(item)
        if not items:
            del self._lines[line]
        self._count -= 1
        return True
