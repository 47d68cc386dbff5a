"""Drafts: guesses of what a model will write next, for it to check several in one pass (lossless speculation).

A guess costs little and is never trusted: the model reads the last written id and the guesses behind it in one pass,
draws an id at each position as it would have without them, and goes on while the drawn id is the guessed one. A guess
is a distribution with all of its mass on one id, so this is the rule of Leviathan et al. 2023 ("Fast inference from
transformers via speculative decoding", https://arxiv.org/abs/2211.17192): the text has exactly the distribution of
plain sampling, however bad the guesses.

Guesses have two sources: the text itself, by what followed the last time the same ids stood there (prompt lookup, after
Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding), and a table made from corpora (`draft_table`). The
work is done in C (`engine/kernel/draft.c`): guesses pay where the native kernel runs, and nowhere else.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from ctypes import byref, c_double, c_int32, c_int64, c_void_p

from engine.draft_table import EMPTY, DraftTable
from engine.kernel.library import Drafts, address, check, library, usual_isa

# What the first, second ... guess adds to a pass, in passes of one position, by the kernel's instruction set: where its
# registers run out, one more is dear. More than these are never made.
COSTS = {
    "avx512": (0.02, 0.02, 0.02, 0.07, 0.11, 0.22, 0.12),
    "avx2": (0.02, 0.07, 0.4, 0.22, 0.17, 0.58, 0.17),
}
COST = (0.13,) * 7  # where that is not known
TEXT_ORDERS = (3, 2)  # without a table: so many ids must agree for the text to say what follows


class Drafter:
    """Guesses for one text at a time; what it learns of its guesses it keeps from text to text.

    Args:
        table: None guesses from the text alone.
        costs: what each guess of a pass adds to it; None: see `COSTS`. A pass has at most so many.

    Raises:
        KernelError: the native kernel was not built.
    """

    def __init__(
        self,
        table: DraftTable | None = None,
        *,
        costs: Sequence[float] | None = None,
    ) -> None:
        self._handle: int | None = None
        self._library = library()
        self._table = table if table is not None else EMPTY  # its arrays are read as long as there are guesses
        self.costs = tuple(costs) if costs is not None else COSTS.get(usual_isa(), COST)
        self.most = len(self.costs)
        tags, ids, sure = self._table.arrays
        orders = self._table.orders
        drafts = Drafts(
            address(tags), address(sure), address(ids), len(self._table), ids.itemsize, len(orders),
            (c_int32 * 8)(*orders),
        )  # fmt: skip
        of_text, each = (c_int32 * 2)(*(orders[:2] or TEXT_ORDERS)), (c_double * self.most)(*self.costs)
        handle = c_void_p()
        code = self._library.drafter_new(byref(drafts), of_text, each, self.most, byref(handle))
        check(code, f"a table of drafts, or {self.most} guesses")
        self._handle = handle.value
        self._guesses = (c_int64 * self.most)()

    def begin(self, ids: Sequence[int]) -> None:
        """Forget the text and take this one: all ids that the model reads before it writes."""
        text = array("q", ids)
        self._library.drafter_begin(self._handle, text.buffer_info()[0], len(text))

    def guess(self, most: int | None = None) -> list[int]:
        """At most so many guesses of the ids that follow, as many as are worth their time, often none."""
        found = self._library.drafter_guess(self._handle, self.most if most is None else most, self._guesses)
        return self._guesses[:found]

    def wrote(self, ids: Sequence[int]) -> None:
        """These ids were written behind the text, in the pass that read the newest guesses: so those are judged."""
        new = array("q", ids)
        self._library.drafter_wrote(self._handle, new.buffer_info()[0], len(new))

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.drafter_free(self._handle)
            self._handle = None
