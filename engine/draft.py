"""Drafts: guesses of what a model will write next, for it to check several in one pass (lossless speculation).

A guess costs little and is never trusted: the model reads the last written id and the guesses behind it in one pass,
draws an id at each position as it would have without them, and goes on while the drawn id is the guessed one. A guess
is a distribution with all of its mass on one id, so this is the rule of Leviathan et al. 2023 ("Fast inference from
transformers via speculative decoding", https://arxiv.org/abs/2211.17192): the text has exactly the distribution of
plain sampling, however bad the guesses.

Guesses have two sources: the text itself, by what followed the last time the same ids stood there (prompt lookup, after
Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding), and a table made from corpora (`draft_table`).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.draft_table import EMPTY, FACTOR, PRIME, DraftTable

# What one more position adds to a pass of up to eight, in passes of one position, by the kernel's instruction set.
POSITION_COSTS = {"avx512": 0.09, "avx2": 0.2}
POSITION_COST = 0.13  # where that is not known
MOST_GUESSES = 7  # of a pass: the native step reads eight positions at once, more cost much more
TEXT_ORDERS = (3, 2)  # without a table: so many ids must agree for the text to say what follows
TEXT_PRIORS = (0.5, 0.35)  # how often what followed the longer, the shorter agreement follows again; mended as it goes
TIMES = 4  # how often in succession the same id must have followed for nothing more to be learnt of it
BUCKETS = 16  # of the table's probabilities
PRIOR_WEIGHT = 24.0  # a prior counts as much as so many guesses
MEMORY = 512.0  # an estimate of acceptance looks back over so many guesses
RECENT = 0.98  # what a pass keeps of the weight of those before it, in the estimate of speed
MOST_CONTEXTS = 1 << 16  # of the text: a very long one begins its index anew

# A guess is of a kind: of each source, whether it spoke and how firmly, and whether both said the same.
NO_TEXT, NO_TABLE = len(TEXT_PRIORS) * TIMES, BUCKETS
KINDS = (NO_TEXT + 1) * (NO_TABLE + 1)
AGREED, TEXT_ALONE, TABLE_ALONE = 0, KINDS, 2 * KINDS  # where the kinds of these guesses begin


class Drafter:
    """Guesses for one text at a time; what it learns of its guesses it keeps from text to text.

    Args:
        table: None guesses from the text alone.
        position_cost: see `POSITION_COSTS`.
        most: guesses of a pass.
    """

    def __init__(
        self, table: DraftTable | None = None, *, position_cost: float = POSITION_COST, most: int = MOST_GUESSES
    ) -> None:
        self._table = table if table is not None else EMPTY
        self.position_cost, self.most = position_cost, most
        self._table_orders = self._table.orders
        self._text_orders = self._table_orders[:2] or TEXT_ORDERS
        self._reach = max(self._text_orders)
        self._tail: list[int] = []  # the newest ids, `_reach` at least where there are as many
        self._hashes: list[int] = [0]  # of the newest 0, 1, 2 ... ids
        # By the hash of ids of the text: what followed last * TIMES + how often in succession, from 0.
        self._followed: dict[int, int] = {}
        self._accepted = _priors()  # of each kind of guess the share that is right ...
        self._weights = [PRIOR_WEIGHT] * len(self._accepted)  # ... and from how many guesses that is known
        self._kinds: list[int] = []  # of the newest guesses
        self._written = self._spent = 1.0  # ids and costs of the passes of late, in passes of one position

    def begin(self, ids: Sequence[int]) -> None:
        """Forget the text and take this one: all ids that the model reads before it writes."""
        self._tail, self._hashes, self._followed, self._kinds = [], [0], {}, []
        for token in ids:
            self.extend(token)

    def extend(self, token: int) -> None:
        """An id was written behind the text."""
        followed = self._followed
        if len(followed) > MOST_CONTEXTS:
            followed.clear()
        for order in self._text_orders:
            if order < len(self._hashes):
                context = self._hashes[order]
                last, times = divmod(followed.get(context, -1), TIMES)
                followed[context] = token * TIMES + (min(times + 1, TIMES - 1) if last == token else 0)
        self._tail.append(token)
        if len(self._tail) > 256:
            del self._tail[: -self._reach]
        self._hashes = self._hash(self._tail)

    def propose(self) -> list[int]:
        """Guesses of the ids that follow, as many as are worth their time, often none. Where there are any, `judge`
        must be told what became of them before the next call."""
        guesses, kinds, ids, hashes = list[int](), list[int](), self._tail[-self._reach :], self._hashes
        worth = self.position_cost * self._written / self._spent  # ids that a further position's time else writes
        right = 1.0  # probability that all guesses so far are
        while len(guesses) < self.most:
            guess, kind = self._guess(hashes)
            if kind < 0 or (right := right * self._accepted[kind]) < worth:
                break
            guesses.append(guess)
            kinds.append(kind)
            ids.append(guess)
            hashes = self._hash(ids)
        self._kinds = kinds
        if not guesses:
            self._count(1, 1)
        return guesses

    def judge(self, proposed: int, accepted: int) -> None:
        """What became of the newest guesses: so many of them were read, of which the first so many were right."""
        for i, kind in enumerate(self._kinds[: min(proposed, accepted + 1)]):
            self._weights[kind] = weight = min(self._weights[kind] + 1, MEMORY)
            self._accepted[kind] += ((i < accepted) - self._accepted[kind]) / weight
        if proposed:
            self._count(accepted + 1, 1 + self.position_cost * proposed)

    def _count(self, written: int, spent: float) -> None:
        self._written, self._spent = RECENT * self._written + written, RECENT * self._spent + spent

    def _hash(self, ids: list[int]) -> list[int]:
        """Hashes of the newest 0, 1, 2 ... of these ids, as of `extend_hash`; that call would take half of the time."""
        hashed, hashes = 0, [0]
        for token in ids[: -self._reach - 1 : -1]:
            hashed = (hashed + token + 1) * FACTOR % PRIME
            hashes.append(hashed)
        return hashes

    def _guess(self, hashes: list[int]) -> tuple[int, int]:
        """The likelier of what the text and the table say, and of which kind it is: -1 if neither says anything."""
        length, told, firmly = len(hashes), -1, NO_TEXT
        for i, order in enumerate(self._text_orders):
            if order < length and (known := self._followed.get(hashes[order], -1)) >= 0:
                told, firmly = known // TIMES, i * TIMES + known % TIMES
                break
        for order in self._table_orders:
            if order < length and (found := self._table.find(hashes[order])):
                listed = found >> 8
                kind = firmly * (NO_TABLE + 1) + ((found & 255) * BUCKETS >> 8)
                if told == listed:
                    return told, AGREED + kind
                if self._accepted[TEXT_ALONE + kind] > self._accepted[TABLE_ALONE + kind]:
                    return told, TEXT_ALONE + kind
                return listed, TABLE_ALONE + kind
        return (told, TEXT_ALONE + firmly * (NO_TABLE + 1) + NO_TABLE) if told >= 0 else (-1, -1)


def _priors() -> list[float]:
    """For each kind of guess the share that is right, before any was judged: as if text and table knew nothing of each
    other."""
    agreed, text_alone, table_alone = [], [], []
    for firmly in range(NO_TEXT + 1):
        order, times = divmod(firmly, TIMES)
        text = 1 - (1 - TEXT_PRIORS[order]) * (1 - times / (2 * TIMES)) if firmly < NO_TEXT else 0.0
        for bucket in range(NO_TABLE + 1):
            table = (bucket + 0.5) / BUCKETS if bucket < NO_TABLE else 0.0
            agreed.append(1 - (1 - text) * (1 - table))
            text_alone.append(text * (1 - table) / (1 - text * table))  # both cannot be right
            table_alone.append(table * (1 - text) / (1 - text * table))
    return agreed + text_alone + table_alone
