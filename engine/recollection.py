"""What the part of a story that has left the window still says of the next token.

The window of a small model is short, but the story behind it is stored, word for word. Where the last few tokens stood
in it before, what followed them then is likely again: a name is spelt as it was, "the old mill by the" goes on as it
did. So each token's distribution is mixed with those that are counted in the past behind contexts of one to four
tokens, the longest first, each taking its share of what longer ones left, and behind the beginning of a word with how
such words went on: interpolation as in Witten & Bell 1991 ("The
zero-frequency problem"), over the unbounded cache of Grave et al. 2017 (https://arxiv.org/abs/1711.02604).

It takes no position of the window and has nothing to train. Nothing is stored for it but the text, so that undoing a
turn undoes what is recalled of it, and other weights can use it at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from copy import copy
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.memory_vectors import MemoryVectors, States
from engine.shape import Floats
from engine.tokenizer import WORD_MARKS, Tokenizer

WORD_SHARE = 0.3  # behind the beginning of a word that began words in the past: for how those went on
# Where COPIED tokens in a row stand as they stood in the past, contexts of FAINT tokens at most count, so that no story
# writes its own sentences again.
COPIED, FAINT = 8, 2
ENOUGH = 500  # places that are counted, where there are more

Ids: TypeAlias = NDArray[np.int32]

MOST_PAST_CHARS = 120_000  # of a story that are recalled: 64 windows of 512 tokens
SEAM_CHARS = 200  # by which the beginning of a text is found in another
SEAMS = 50  # places at which such a beginning may stand, of a text that repeats itself
PIECE_CHARS = 4_000  # that are encoded at a time
ROOM = 80_000  # ids: those of a long past, where one is for one and a half characters
KEPT_BYTES = 4 << 20  # of pasts, for channels that take turns: encoding a long one anew takes a tenth of a second
# Of the probability, behind 1, 2, 3 and 4 tokens that stood in the past often. No longer contexts: they would gain
# nothing, and would help a story to repeat its own sentences.
SHARES = (0.05, 0.1, 0.2, 0.3)


class Words:
    """Which ids of a vocabulary begin a word, and which go on with one: two masks (V,)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        names = [tokenizer.token_name(i) or " " for i in range(tokenizer.vocab_size)]
        self.begins = np.array(
            [name[0] in WORD_MARKS for name in names]
        )  # the mark alone, too, stands before rare words
        self.go_on = np.array([name[0].isalpha() for name in names]) & ~self.begins

    def length(self, ids: Sequence[int]) -> int:
        """How many ids at the end are a word so far; 0 where none begins among them."""
        for n, token in enumerate(reversed(ids), 1):
            if self.begins[token]:
                return n
            if not self.go_on[token]:
                break
        return 0


class Recollection:
    """The past of one story.

    Args:
        past: ids (P,) of the text that stands before the window, in story order.
        words: how words begin and go on; None: no word is known by its beginning.
        vectors: the model's own states at places of that past, and how to read them off logits.
        shares: for contexts of 1, 2, ... tokens, what they get of the probability where they were seen very often.
    """

    def __init__(
        self,
        past: Sequence[int] | Ids,
        words: Words | None = None,
        vectors: tuple[MemoryVectors, States] | None = None,
        shares: Sequence[float] = SHARES,
    ) -> None:
        self._words, self._vectors, self._shares = words, vectors, shares
        self._ids = np.full(COPIED + len(past), -1, dtype=np.int32)  # (COPIED + P,): nothing reaches over the beginning
        self._ids[COPIED:] = past
        places = np.arange(COPIED, max(len(self._ids) - 1, COPIED), dtype=np.int32)  # that something stands behind
        self._order(places[self._pairs(places).argsort(kind="stable")])

    def _pairs(self, places: Ids) -> NDArray[np.int64]:
        """What stands at these places and before them, (n,), as one number each."""
        return self._ids[places] * np.int64(1 << 32) + self._ids[places - 1]

    def _order(self, places: Ids) -> None:
        self._places = places  # (P - 1,), by what stands there, then by what stands before it
        self._starts = np.cumsum(np.bincount(self._ids[COPIED:-1] + 1, minlength=1))  # in _places, of each id

    @property
    def ids(self) -> Ids:
        """Of the past, (P,)."""
        return self._ids[COPIED:]

    def with_vectors(self, vectors: tuple[MemoryVectors, States] | None) -> Self:
        """The same past beside other vectors, or beside none."""
        if vectors is self._vectors:
            return self
        other = copy(self)
        other._vectors = vectors
        return other

    def going_on(self, gone: int, fresh: Ids) -> Self:
        """The past without its first `gone` ids and with others behind, as if it were made of them, but that only what
        is new is put in its order."""
        other, kept = copy(self), self.ids[gone:]
        other._ids = np.concatenate((self._ids[:COPIED], kept, fresh))
        # The first has another before it than it had, and the last has something behind it now.
        stay = self._places[self._places > COPIED + gone] - np.int32(gone)
        come = np.arange(COPIED + max(len(kept) - 1, 0), len(other._ids) - 1, dtype=np.int32)
        if len(kept) > 1:
            come = np.concatenate((np.array([COPIED], np.int32), come))
        pairs = other._pairs(come)
        order = pairs.argsort(kind="stable")
        at = other._pairs(stay).searchsorted(pairs[order], "right")
        other._order(np.insert(stay, at, come[order]))
        return other

    def move(self, room: Ids | None) -> None:
        """Has the past lie in this room (2, n), as far as it has room, or in memory of its own again."""
        if room is None:
            if self._ids.base is not None:  # it lies in a room
                self._ids, self._places = self._ids.copy(), self._places.copy()
        elif len(self._ids) <= room.shape[1]:
            (ids, places), n, m = room, len(self._ids), len(self._places)
            ids[:n], places[:m] = self._ids, self._places
            self._ids, self._places = ids[:n], places[:m]

    @property
    def nbytes(self) -> int:
        """Of what is kept to find places of the past."""
        return self._ids.nbytes + self._places.nbytes + self._starts.nbytes

    def mix(self, row: Floats, ids: Sequence[int]) -> Floats:
        """Logits (V,) behind `ids`, mixed with what followed the end of `ids` in the past: those of tokens that did
        not stay as they are, bit for bit. `ids` may be as little as its last COPIED."""
        ids = ids[-COPIED:]
        left, counted, parts = 1.0, list[Ids](), list[float]()
        for share, places in self._contexts(ids):
            some = places[:: 1 + len(places) // ENOUGH]
            counted.append(some)
            parts.append(left * share / len(some))  # of the probability, for each place
            left *= 1 - share
        tokens, weights = self._ids[:0], np.zeros(0)
        if counted:
            tokens = self._ids[np.concatenate(counted) + 1]  # (n,)
            weights = np.repeat(parts, [len(some) for some in counted])  # (n,)
        if self._vectors is not None and len(self._vectors[0].keys):
            vectors, states = self._vectors
            followed, like = vectors.like(states(row[None])[0])  # 2 x (m,)
            tokens = np.concatenate((tokens, followed))  # (n + m,)
            weights = np.concatenate((weights * (1 - vectors.share), like * vectors.share))  # (n + m,)
            left *= 1 - vectors.share
        if not len(tokens):
            return row
        recalled = np.bincount(tokens, weights, len(row))  # (V,)
        which = recalled.nonzero()[0]  # (u,)
        top = row.max()
        p = np.exp(row - top)  # (V,)
        mixed = row.copy()
        mixed[which] = top + np.log(p[which] + recalled[which] * (p.sum() / left))
        return mixed

    def _contexts(self, ids: Sequence[int]) -> Iterator[tuple[float, Ids]]:
        """The places (n,) where contexts of `ids` stand, n > 0, the likest first, and what share of what is left they
        get; the more, the more often they stand there."""
        standing = self._standing(ids)
        length = self._words.length(ids) if self._words is not None else 0
        if self._words is not None and 0 < length <= len(standing):
            all_places = standing[length - 1]
            places = all_places[self._words.go_on[self._ids[all_places + 1]]]
            if len(places):
                yield WORD_SHARE * len(places) / (len(all_places) + 0.5), places
        for share, places in reversed(list(zip(self._shares, standing, strict=False))):
            yield share * len(places) / (len(places) + 1), places

    def _standing(self, ids: Sequence[int]) -> list[Ids]:
        """For contexts of 1, 2, ... tokens, the places (n,) in the past where the end of `ids` stands, as far as it
        stands there at all; short ones alone where the last COPIED tokens all do."""
        if not ids or ids[-1] + 1 >= len(self._starts):
            return []
        begin, end = self._starts[ids[-1] : ids[-1] + 2]
        found = [self._places[begin:end]]
        if len(ids) > 1:
            before = self._ids[self._places[begin:end] - 1]
            begin, end = begin + np.searchsorted(before, np.array((ids[-2], ids[-2] + 1), np.int32))
            found.append(self._places[begin:end])
        for n in range(2, len(ids)):
            if not len(found[-1]):
                break
            found.append(found[-1][self._ids[found[-1] - n] == ids[-1 - n]])
        if len(found) == COPIED and len(found[-1]):
            found = found[:FAINT]
        return [places for places in found[: len(self._shares)] if len(places)]


class _Past(NamedTuple):
    """A text that was encoded, and what was made of it."""

    text: str
    made: Recollection  # without vectors: they are the reply's, and half a megabyte that `nbytes` does not count

    @property
    def nbytes(self) -> int:
        return sys.getsizeof(self.text) + self.made.nbytes


class Recollector:
    """Makes recollections of texts that mostly go on where one of the last ones ended, and encodes only what is new.

    Args:
        most: bytes of pasts that are kept for that, the newest always among them; a long one is 0.7 MB.
    """

    def __init__(self, tokenizer: Tokenizer, most: int = KEPT_BYTES) -> None:
        self._tokenizer, self._words, self._most = tokenizer, Words(tokenizer), most
        self._pasts: list[_Past] = []  # the one that was asked for last at the end
        # In which that one lies: as much as a story comes to take in time is taken when the process starts.
        self._room = np.full((2, ROOM), -1, dtype=np.int32)

    def of(self, past: str, vectors: tuple[MemoryVectors, States] | None = None) -> Recollection | None:
        """Of the last MOST_PAST_CHARS of this text, and of vectors if there are any; None where there is neither. In a
        vocabulary of characters four tokens say too little, and the text is not looked up. What was given before is
        good no longer."""
        past = past[-MOST_PAST_CHARS:] if self._words.begins.any() else ""
        if not past and vectors is None:
            return None
        known = self._taken(past)
        if known is None:
            known = _Past(past, Recollection(self._encoded(past), self._words))
        elif known.text != past:
            known = _Past(past, self._going_on(known, past))
        if self._pasts:
            self._pasts[-1].made.move(None)
        known.made.move(self._room)
        self._pasts.append(known)
        while len(self._pasts) > 1 and sum(one.nbytes for one in self._pasts) > self._most:
            del self._pasts[0]
        return known.made.with_vectors(vectors)

    def _taken(self, past: str) -> _Past | None:
        """Out of those that are kept the one that this text goes on from, the newest first."""
        for i in reversed(range(len(self._pasts))):
            if _gone(self._pasts[i].text, past) is not None:
                return self._pasts.pop(i)
        return None

    def _going_on(self, known: _Past, past: str) -> Recollection:
        """Of a text that goes on from one that is known."""
        gone = _gone(known.text, past) or 0
        fresh = self._encoded(past[len(known.text) - gone :])
        return known.made.going_on(len(self._tokenizer.encode(known.text[:gone])), fresh)

    def _encoded(self, text: str) -> Ids:
        pieces = (np.array(self._tokenizer.encode(piece), dtype=np.int32) for piece in _pieces(text))
        return np.concatenate((np.zeros(0, dtype=np.int32), *pieces))


def _gone(text: str, past: str) -> int | None:
    """How many characters of `text` are left behind where `past` goes on from it; None where it does not."""
    if not text or not past:
        return 0 if text == past else None
    gone = text.find(past[:SEAM_CHARS])  # the beginning of a long story is left behind
    for _ in range(SEAMS):
        if gone < 0 or past.startswith(text[gone:]):
            break
        gone = text.find(past[:SEAM_CHARS], gone + 1)
    return gone if gone >= 0 and past.startswith(text[gone:]) else None


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces of some PIECE_CHARS that end in front of a space: what an encoder makes on its way to the ids is
    a hundred times as large as they are, and is not to be there for all of a long text at once."""
    begin = 0
    while begin < len(text):
        end = text.find(" ", begin + PIECE_CHARS)
        yield text[begin : end if end >= 0 else len(text)]
        begin = end if end >= 0 else len(text)
