"""What checks of long texts came to, by the texts, of which nothing is kept but a digest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Generic, TypeVar

T = TypeVar("T")
Check = Callable[[str, str, bool], T]


class KnownParts(Generic[T]):
    """Carries out a check of a text, of what stands before it, and of whether it may be mature, once for each; the
    outcomes of the last `most` are kept."""

    def __init__(self, check: Check[T], most: int) -> None:
        self._check, self._most = check, most
        self._known: OrderedDict[bytes, T] = OrderedDict()

    def __call__(self, text: str, before: str, mature: bool) -> T:
        said = f"{mature}\0{len(before)}\0{before}{text}"
        digest = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._known:
            self._known.move_to_end(digest)
        else:
            self._known[digest] = self._check(text, before, mature)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return self._known[digest]
