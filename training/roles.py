"""The people who play in a transcript become roles: GM, PLAYER 1, PLAYER 2 ...

In CRD3 (Rameshkumar & Bailey 2020, "Storytelling with Dialogue: A Critical Role Dungeons and Dragons Dataset") a line
is a turn, "NAME: text", and the names are those of real people. Each of them becomes one role of the episode, numbered
in the order in which they appear, at the heads of turns and wherever the name is said. Names are those at the heads of
all turns of a corpus and, for CRD3 and its synopses, the further ones that its people are called by in between.

A few names are words too ("Will you go?"). They are taken for a person where they have a capital and the sentence does
not go on with them; what is left of those is the word, as far as a rule can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from training.errors import CorpusError

GAME_MASTER = "MATT"
# The name at the head of a person's turns, and what else CRD3 calls that person.
CAST = """
MATT: Matthew Mercer, Matt Mercer, Matthew, Mercer, Matty, Mattie
LAURA: Laura Bailey, Bailey, Laurs
MARISHA: Marisha Ray, Marish
SAM: Sam Riegel, Riegel, Sammy
TRAVIS: Travis Willingham, Willingham, WillingBlam
LIAM: Liam O'Brien, O'Brien, Voice of O'Brien
TALIESIN: Taliesin Jaffe, Jaffe, executivegoth
ASHLEY: Ashley Johnson, Johnson, Ahsley
ORION: Orion Acaba, Acaba
WILL: Will Friedle, Friedle
WIL: Wil Wheaton, Will Wheaton, Wheaton, Wilw
MARY: Mary Elizabeth McGlynn, Mary Elizabeth, Mary McGlynn, McGlynn
FELICIA: Felicia Day
PATRICK ROTHFUSS: Patrick, Rothfuss, Pat
CHRIS HARDWICK: Chris, Hardwick
CHRIS PERKINS: Chris, Perkins
CHRIS PRAMAS: Chris, Pramas
CHRIS WILLMOTT: Chris, Willmott, Chris Wilmont, Wilmont
BRIAN: Brian Wayne Foster, Brian W. Foster, Brian W Foster, Brian Foster, Foster
KIT: Kit Buss, Buss
JON: Jon Heder, Heder
KHARY: Khary Payton, Payton
SUMALEE: Sumalee Montano, Montano
NOELLE: Noelle Stevenson
DARIN: Darin De Paul, De Paul
JOE: Joe Manganiello, Manganiello
MARK: Mark Hulmes, Mark Holmes, Mark Humes, Mark Kuro, Hulmes
JASON: Jason Charles Miller, Jason Miller
ZAC: Zac Eubank, Eubank
IVAN: Ivan Van Norman, Van Norman
HECTOR: Hector Navarro, Navarro, Hectorisfunny
BECCA: Becca Scott
IFY: Ify Nwadiwe, Nwadiwe
TAYLOR: Taylor Carol
RYAN: Ryan Green
KEVIN: Kevin Areopagita, Areopagita
KAI: Kai Norman, KommissarProps
BABS: Babs Tarr, babsdraws
ALEC:
AMANDINE:
DENISE:
ERIKA:
JOEL:
JORE:
LUCAS:
STEVE:
"""
WORDS_TOO = frozenset("ART BILL DAWN FAITH GRACE GRANT HOPE JACK KIT MARK MAY PAT ROSE WILL".split())
# Heads behind which there is no single person; they stay.
VOICES = frozenset(
    "ALL|ANNOUNCER|AUDIENCE|AUDIENCE MEMBER|COMPUTER|CREW|DM|EVERYONE|GENERATED VOICE|GM|IPHONE|NARRATOR|OFFSCREEN"
    "|PRODUCER|SCREEN|SOUND|TOY IN BAG".split("|")
)
ROLE = re.compile(r"GM|PLAYER \d+")
JOINT = re.compile(r"(\s*[,&/]\s*|\s+-\s+|\s+AND\s+)")  # between people who speak at once
LETTERS = re.compile(r"[^\W\d_]+")
MAX_HEAD = 100  # characters


class Roles:
    """Rewrites the documents of one corpus; `met` says whether anybody was found in them.

    Args:
        documents: all of them; read once, for the names at the heads of their turns.
    """

    def __init__(self, documents: Iterable[str]) -> None:
        self._people: dict[str, list[str]] = {}  # a name in capitals -> whom it may mean
        for row in CAST.strip().splitlines():
            person, further = row.split(":")
            for name in filter(None, (person, *further.strip().split(", "))):
                self._people.setdefault(name.upper(), []).append(person)
        for document in documents:
            for person in speakers(document):
                self._people.setdefault(person, [person])
        names = sorted(self._people.keys() - WORDS_TOO, key=lambda name: (-len(name), name))
        # An address in the net may be a whole name without its gaps, with more before and behind.
        self._runs = {re.sub(r"\W", "", name).lower(): name for name in names if not name.isalpha()}
        self._words = frozenset(name.lower() for name in names if name.isalpha())
        self._first = frozenset(word for name in self._people for word in LETTERS.findall(name.lower())[:1])
        self._name = re.compile(
            rf"(?P<run>\w*(?:{'|'.join(self._runs)})\w*)"
            rf"|(?<![^\W\d_])(?:{'|'.join(map(re.escape, names))})(?![^\W\d_])"
            rf"|(?-i:{word_name_pattern(WORDS_TOO & self._people.keys())})",
            re.IGNORECASE,
        )
        self.met = False

    def __call__(self, document: str) -> str:
        """The document with roles for names.

        Raises:
            CorpusError: a name would be left; nothing of the corpus may be used then.
        """
        here = {person for name in speakers(document) for person in self._people.get(name, [])}
        roles = {GAME_MASTER: "GM"}
        transcript = bool(here)

        def role(name: str) -> str:
            people = self._people[name]
            person = next((person for person in people if person in here), people[0])
            self.met = True
            return roles.setdefault(person, f"PLAYER {len(roles)}")

        def said(match: re.Match[str]) -> str:
            if match["run"] is None:
                return role(match[0].upper())
            return role(next(name for run, name in self._runs.items() if run in match[0].lower()))

        told = []
        for line in document.splitlines(keepends=True):
            head, text = split_head(line) if transcript else ("", line)
            told += [role(part) if part in self._people else part for part in JOINT.split(head)]
            told.append(self._name.sub(said, text) if self._may_name(text) else text)
        self._check(rewritten := "".join(told))
        return rewritten

    def _may_name(self, text: str) -> bool:
        """Whether it is worth while to look for names: most turns say none."""
        lower = text.lower()
        return not self._first.isdisjoint(LETTERS.findall(lower)) or any(run in lower for run in self._runs)

    def _check(self, rewritten: str) -> None:
        """Looks for names by other means than those that replaced them."""
        lower = rewritten.lower()
        left = self._words.intersection(LETTERS.findall(lower)) or {run for run in self._runs if run in lower}
        left = left or {name for name in speakers(rewritten) if not ROLE.fullmatch(name)}
        if left:
            raise CorpusError(f"A speaker's name, {min(left)!r}, could not be made a role; take this corpus out.")


def speakers(document: str) -> Iterator[str]:
    """The names at the heads of a transcript's turns, in capitals, in their order and as often as they stand there.

    A document most of whose lines have no head is no transcript, and has none.
    """
    heads = [split_head(line)[0] for line in document.splitlines() if line.strip()]
    if sum(map(bool, heads)) * 2 > len(heads):
        for head in filter(None, heads):
            parts = JOINT.split(head)[::2]
            yield from (name for name in parts if name not in VOICES and len(name) > 1)


def split_head(line: str) -> tuple[str, str]:
    """A turn as the names before its colon and the rest; no names where there is no colon, or no capitals before."""
    head, colon, _ = line.partition(":")
    is_head = colon and head[:1].isalpha() and head == head.upper() and len(head) <= MAX_HEAD
    return (head, line[len(head) :]) if is_head else ("", line)


def word_name_pattern(names: Iterable[str]) -> str:
    """Where one of the names, which are words too, means a person: in mid-sentence, or with no word behind it."""
    name = f"(?:{'|'.join(sorted(name.capitalize() for name in names))})"
    alone = r"(?! (?!and\b)\w)"  # "Will and Mary", but not "Will you"
    return rf"(?<![^\W\d_])(?<!'s )(?<!the )(?:(?<=[a-z,] ){name}|{name}{alone})(?![^\W\d_]|-)"
