"""Lessons as a decoder takes them, and who lets them in and out while it writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from engine.adapter import units_of, unpack_adapter
from engine.decoder import Decoder
from engine.gate import Gate
from engine.shape import GPTConfig, UnitGroup
from engine.tokenizer import Tokenizer
from engine.writing import BeforePass, Pass

EVERYWHERE = 0.6  # of their strength, for lessons that take part in all text
KEPT = 4  # channels whose lessons are kept as they are attached; some 400 kB each


@dataclass(frozen=True, eq=False)
class Attached:
    """The lessons of one channel."""

    group: UnitGroup  # of all of them, in the last block
    gate: Gate
    units: NDArray[np.int64]  # (lessons,) how many each has

    def porter(self, decoder: Decoder, tokenizer: Tokenizer, text: str) -> BeforePass:
        """Lets each lesson in and out while a text is written behind `text`, which is about to be read."""
        room, pieces = len(self.group.gate), tokenizer.stream()
        inside: NDArray[np.bool_] | None = None

        def before_pass(new: Sequence[int], guesses: Sequence[int]) -> Pass:
            nonlocal inside
            self.gate.follow("".join(map(pieces.push, new)))
            taking = self.gate.open()  # (lessons,)
            if inside is None or (taking != inside).any():
                units = np.repeat(taking, self.units)  # (lessons,) -> (units,)
                decoder.admit(np.pad(units, (0, room - len(units))))  # -> (n_session,)
                inside = taking
            steady = self.gate.steady([tokenizer.decode(guesses[: i + 1]) for i in range(len(guesses))])
            return Pass(steady, bool(taking.any()))

        self.gate.read(text)
        return before_pass


class Channels:
    """The lessons of the channels that wrote last."""

    def __init__(self, config: GPTConfig, base_id: str) -> None:
        self._config, self._base_id = config, base_id
        self._kept: OrderedDict[tuple[bool, tuple[bytes, ...]], Attached] = OrderedDict()  # always on; digests

    def attached(self, adapters: Sequence[bytes], *, always_on: bool = False) -> Attached:
        """The lessons of these blobs, the same object for the same ones as long as it is kept. Those that take part
        everywhere speak fainter, as they were taught to be heard so too.

        Raises:
            AdapterError: one is damaged or belongs to other weights, or there is no room for all.
        """
        key = always_on, tuple(sha256(blob).digest() for blob in adapters)
        if key not in self._kept:
            lessons = [lesson for blob in adapters for lesson in unpack_adapter(blob, self._config, self._base_id)]
            group = units_of(lessons, self._config.n_session)
            self._kept[key] = Attached(
                group._replace(down=group.down * np.float16(EVERYWHERE)) if always_on else group,
                Gate([lesson.key for lesson in lessons]),
                np.array([len(lesson.units) for lesson in lessons]),
            )
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]
