"""What stories may not contain, met in whatever clothes it comes, at each of the four places where text goes by.

`PROMPT`: what people write. `CONTEXT`: what the model is about to see. `TEACHING`: lessons. `OUTPUT`: what the model
wrote, before anything of it is shown. Text that is rated mature may have what the lists for general use refuse, and
nothing else: every other list, and every pair of lists, holds whatever anybody sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from bot.errors import RefusedError, StartError
from bot.known_parts import KnownParts
from bot.rule_lists import OPERATORS, Lists, TermList, Together, built_in, of_operator
from bot.vocabulary import MAX_TERM, Met, Vocabulary

__all__ = ["OPERATORS", "Checkpoint", "ContentRules", "Refusal", "StreamRules", "TermList", "Together"]

LOOK_BACK = 200  # characters before a text with which a term in it may have begun
PART, KNOWN_PARTS = 2000, 500  # characters of a long text that are checked at once; parts whose outcome is kept
MAX_HELD = 400  # characters that a stream holds back at most
_PER_WORD = 10  # characters, for how far back a word may stand that is refused together with one in the text
_SENTENCE_ENDS = '.!?\u2026"\u201d'


class Checkpoint(Enum):
    """Where a text is checked; each catches what comes in by no other."""

    PROMPT = "prompt"
    CONTEXT = "context"
    TEACHING = "teaching"
    OUTPUT = "output"


@dataclass(frozen=True)
class Refusal:
    """`category` is fit to be shown; the term that was met is not kept."""

    category: str


class ContentRules:
    """Lists of terms, and which of them are refused together."""

    def __init__(
        self, lists: Mapping[str, Iterable[str]] | Sequence[TermList], together: Sequence[Together] = ()
    ) -> None:
        """`lists`: or terms by category, all of which hold in every mode. Raises `ValueError`."""
        if isinstance(lists, Mapping):
            lists = [TermList(name, name, tuple(terms)) for name, terms in lists.items()]
        self._vocabulary = Vocabulary({each.key: each.terms for each in lists})
        self._names = {each.key: each.name for each in lists}
        alone = {each.key for each in lists if each.alone}
        lifted = {each.key for each in lists if each.general_use}
        self._refused = {False: alone, True: alone - lifted}  # by whether the text is rated mature
        # What one of the two is refused for by itself needs no looking for the other.
        self._pairs = {
            mature: [pair for pair in together if pair.first - refused and pair.second - refused]
            for mature, refused in self._refused.items()
        }
        told_of = {each.key for each in lists if each.terms}
        self.guards_mature = all(pair.second & told_of for pair in together if pair.first & lifted)
        """Whether each list that a lifted one may not come near has terms: of real people only the operator knows."""
        self._known = KnownParts(self._check_part, KNOWN_PARTS)
        self._at_seam = lru_cache(maxsize=KNOWN_PARTS)(self._seam)
        self._widest = max((pair.within for pair in together), default=0) * _PER_WORD

    @classmethod
    def load(cls, operators: Path | None = None) -> ContentRules:
        """The built-in lists, and what the operator adds to them.

        Raises:
            StartError: the operator's lists cannot be read, or hold a term that can never be met.
        """
        lists = built_in() if operators is None else built_in() | of_operator(operators)
        try:
            return cls.of(lists)
        except ValueError as error:
            raise StartError(f"{operators}: {error}") from error

    @classmethod
    def of(cls, lists: Lists) -> ContentRules:
        return cls(lists.lists, lists.together)

    def check(self, text: str, before: str = "", *, mature: bool = False, seam: bool = True) -> Refusal | None:
        """What is wrong with `text` where it stands behind `before`, whose own words are not judged again.

        `seam`: a message ends with `before`, so that half a word may stand at the end of it.
        """
        tail = _tail(before, LOOK_BACK)
        if tail and self._judge(self._vocabulary.find(tail), mature) is not None:
            tail = ""  # it was written under other rules; nobody could go on from it else
        met = self._vocabulary.find(tail + text)
        if seam and before.rstrip()[-1:] not in _SENTENCE_ENDS:
            met += self._vocabulary.joined(before.rstrip(), text.lstrip())
        category = self._judge(met, mature)
        if category is None and met and self._may_pair(met, mature):
            category = self._paired(text, before, mature)
        return None if category is None else Refusal(category)

    def require(
        self,
        text: str,
        where: str = "your text",
        before: str = "",
        *,
        at: Checkpoint = Checkpoint.PROMPT,
        mature: bool = False,
        seam: bool = True,
    ) -> None:
        """Raises `RefusedError` where `check` finds something. `at` tells a subclass which of the four this is."""
        if (refusal := self.check(text, before, mature=mature, seam=seam)) is not None:
            raise RefusedError(refusal.category, where)

    def require_long(self, text: str, where: str, begin: int, *, at: Checkpoint, mature: bool = False) -> None:
        """The same for a long text that is checked again and again while it grows; `begin` is its offset in the whole.

        What was found in its parts is kept, so that only what is new takes time.
        """
        cuts = [0, *(cut - begin for cut in range(_ceiling(begin + 1), begin + len(text), PART)), len(text)]
        for start, end in pairwise(cuts):
            before = text[max(start - LOOK_BACK, 0) : start]
            check = self._known if end - start == PART else self._check_part  # both ends change with each reply
            if (refusal := check(text[start:end], before, mature)) is not None:
                raise RefusedError(refusal.category, where)

    def require_seams(self, messages: Sequence[str], where: str, *, at: Checkpoint, mature: bool = False) -> None:
        """The same for what two messages, one behind the other, make of the halves of a word."""
        for before, behind in pairwise(messages):
            if (refusal := self._at_seam(before[-MAX_TERM:].rstrip(), behind[:MAX_TERM].lstrip(), mature)) is not None:
                raise RefusedError(refusal.category, where)

    def _seam(self, before: str, behind: str, mature: bool) -> Refusal | None:
        met = [] if before[-1:] in _SENTENCE_ENDS else self._vocabulary.joined(before, behind)
        category = self._judge(met, mature)
        return None if category is None else Refusal(category)

    def _check_part(self, text: str, before: str, mature: bool) -> Refusal | None:
        return self.check(text, before, mature=mature, seam=False)

    def stream(self, before: str = "", where: str = "the reply", *, mature: bool = False) -> StreamRules:
        """For a reply that comes in pieces behind `before`."""
        return StreamRules(self, before, where, mature)

    def ends_openly(self, chunk: str) -> bool:
        """Whether what follows a chunk of text (no blanks in it) could make a term of it."""
        return self._vocabulary.ends_openly(chunk)

    @property
    def looks_back(self) -> int:
        """How many characters before a text have to do with whether it is refused."""
        return max(LOOK_BACK, self._widest)

    def _judge(self, met: Sequence[Met], mature: bool) -> str | None:
        refused = self._refused[mature]
        return next((self._names[key] for key, _ in met if key in refused), None)

    def _may_pair(self, met: Sequence[Met], mature: bool) -> bool:
        return any(key in pair.first or key in pair.second for pair in self._pairs[mature] for key, _ in met)

    def _paired(self, text: str, before: str, mature: bool) -> str | None:
        """Whether a term in `text` stands near one in it, or before it, that it may not stand near."""
        earlier, tail = _tail(before, self._widest), _tail(before, LOOK_BACK)
        old = _shifted(self._vocabulary.find(earlier), -len(earlier.split()))
        new = _shifted(self._vocabulary.find(tail + text), -len(tail.split()))
        known = set(_shifted(self._vocabulary.find(tail), -len(tail.split())))
        mine = [met for met in new if met.at >= 0 or met not in known]  # in the text, or over its border
        for pair in self._pairs[mature]:
            for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
                places = [met.at for met in mine if met.list in one]
                near = [met.at for met in (*new, *old) if met.list in other]
                if any(abs(a - b) <= pair.within for a in places for b in near):
                    return pair.name
        return None


def _ceiling(offset: int) -> int:
    """The next offset at which a part of a long text ends."""
    return -(-offset // PART) * PART


class StreamRules:
    """Lets through what can no longer become part of a refused term, and so lags a word or two behind."""

    def __init__(self, rules: ContentRules, before: str, where: str, mature: bool = False) -> None:
        self._rules, self._where, self._mature = rules, where, mature
        self._kept = rules.looks_back
        self._before = self._earlier = before[-self._kept :]
        self._given = self._held = ""

    def push(self, piece: str) -> str:
        """The text that may be shown now, behind what was given out before; possibly none. Raises `RefusedError`."""
        self._held += piece
        finished = _last_blank(self._held)
        if any(sign.isspace() for sign in piece):
            self._require(self._held[:finished])
        cut = self._safe(finished)
        if len(self._held) - cut > MAX_HELD:  # one endless word, or single letters without end
            cut = len(self._held) - 2 * MAX_TERM
            self._require(self._held[:cut])
        return self._release(cut)

    def finish(self) -> str:
        """The rest of the text, when no more pieces come. Raises `RefusedError`."""
        self._require(self._held)
        return self._release(len(self._held))

    def _require(self, text: str) -> None:
        at, mature = Checkpoint.OUTPUT, self._mature
        self._rules.require(text, self._where, self._before, at=at, mature=mature, seam=False)
        if len(self._given) < MAX_TERM:  # it may be the other half of what the message before began
            self._rules.require_seams((self._earlier, self._given + text), self._where, at=at, mature=mature)

    def _safe(self, finished: int) -> int:
        cut = finished
        for chunk in reversed(list(_CHUNK.finditer(self._held, 0, finished))):
            if not self._rules.ends_openly(chunk.group()):
                break
            cut = chunk.start()
        return cut

    def _release(self, cut: int) -> str:
        given, self._held = self._held[:cut], self._held[cut:]
        self._before = (self._before + given)[-self._kept :]
        self._given = self._given if len(self._given) >= MAX_TERM else self._given + given
        return given


_CHUNK = re.compile(r"\S+")


def _shifted(met: Sequence[Met], words: int) -> list[Met]:
    return [Met(each.list, each.at + words) for each in met]


def _tail(before: str, length: int) -> str:
    if len(before) < length:
        return before
    # Begins behind a blank: the end of a cut word is no word.
    tail = before[-length:]
    return tail[m.end() :] if (m := re.search(r"\s", tail)) else ""


def _last_blank(text: str) -> int:
    """The offset behind the last blank."""
    return next((i for i in range(len(text), 0, -1) if text[i - 1].isspace()), 0)
