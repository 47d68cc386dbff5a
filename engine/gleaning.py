"""What a text says in words of its own: its sentences, and the names, places and things that it tells of.

Rules, not a model: a capital in mid-sentence is a name, and places and things are known words behind an article.
"""

from __future__ import annotations

import re
from collections import Counter

MAX_NAMES = 8

SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+[\"')\]]*|\n|$)")
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|Capt|Col|Gen|Lt|Sgt|[A-Z])\.$")  # its point ends no sentence
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
NAMING = re.compile(r"\b(?:named|called|name was|name is)\s+(?:the\s+)?([A-Z][\w'-]+)")
PLACE = re.compile(
    r"\b(?:in|at|to|into|through|near|inside|from|towards?|across|beside)\s+(?:the|a|an|his|her|their|my|our)\s+"
    r"((?:[a-z]+\s+)?(?:forest|woods?|park|garden|house|home|castle|village|town|city|school|kitchen|river|lake|sea"
    r"|ocean|beach|cave|mountains?|hills?|farm|barn|field|meadow|island|ship|boat|tower|palace|church|inn|shop|store"
    r"|market|street|road|bridge|room|hall|library|station|desert|valley|cottage|hut|pond|zoo|playground|attic|cellar"
    r"|harbou?r))\b"
)
THING = re.compile(
    r"\b(?:the|a|an|his|her|their|my|our|your)\s+"
    r"((?:(?:little|old|golden|silver|magic|magical|red|blue|black|white|green|big|broken|lost|secret|stolen)\s+)?"
    r"(?:key|map|letter|ring|sword|crown|treasure|gold|money|box|chest|book|lamp|lantern|stone|jewel|necklace|knife"
    r"|gun|pistol|rifle|bag|basket|bottle|potion|mirror|doll|toy|ball|kite|hat|cloak|coat|shoes|boots|rope|flute|drum"
    r"|bell|clock|watch|purse|ticket|picture|photograph|diary|note|message|will|coin|seed|egg|feather|apple|cake"
    r"|umbrella|wand|shield|axe|bow|arrow|net|cup|bicycle|car|cart|carriage|train|dog|cat|horse|bird|dragon))\b"
)
# Words that open a fact worth keeping: who somebody is, what he wants, what changed hands, what was promised.
CUES = frozenset(
    (
        "named called wanted wants wished promised lost found gave took stole hid secret must never always "
        "because decided became married died born lived loved hated afraid hurt broke saved told treasure key map "
        "letter magic magical"
    ).split()
)
# What a person at the start of a sentence does next.
ACTS = frozenset(
    (
        "and was is had has said says did does saw went ran met took gave told found felt knew thought came made "
        "could would sat stood smiled held heard kept left put got began let flew swam swung sang ate drank fell "
        "grew threw lives"
    ).split()
)
# Capitalised words that are no names.
NOT_NAMES = frozenset(
    (
        "I I'm I'll I've I'd Oh Ah Yes No Hello Hi Hey Please Thanks Thank Wow Sorry Okay Ok Monday Tuesday "
        "Wednesday Thursday Friday Saturday Sunday January February March April May June July August September "
        "October November December Christmas God Lord The A An And But So Then When What Why Who Where How He She "
        "It They We You His Her My Our Your Their This That These Those There Here If As At In On Of To For From "
        "With One Once Let Let's Don't Do Can Not Now Well Everyone Everybody Everything Nobody Nothing Someone "
        "Somebody Something All Both Some Many Most Each Suddenly Finally Soon Later After Before While Chapter "
        "CHAPTER Mr Mrs Miss Dr Sir St Madame Monsieur Lady English French German American"
    ).split()
)


def names_told_of(text: str) -> Counter[str]:
    """The names of people, and how often each is told of; a name that stands there once counts where it is given."""
    counts: Counter[str] = Counter()
    for sentence in split_sentences(text):
        words = [word.removesuffix("'s") for word in WORD.findall(sentence)]
        counts.update(word for word in words[1:] if word[0].isupper() and len(word) > 1)
        # The first word of a sentence is capitalised anyway; it counts where it acts like a person.
        if len(words) > 1 and words[0][0].isupper() and (words[1] in ACTS or words[1].endswith("ed")):
            counts[words[0]] += 1
    counts.update(dict.fromkeys(NAMING.findall(text), 3))
    return Counter({name: n for name, n in counts.items() if name not in NOT_NAMES and not name.isupper()})


def find_names(text: str) -> tuple[str, ...]:
    """The names that are told of more than once, most often first, at most MAX_NAMES."""
    counts = names_told_of(text)
    named = sorted((name for name in counts if counts[name] > 1), key=lambda name: (-counts[name], text.find(name)))
    return tuple(named[:MAX_NAMES])


def places_told_of(text: str) -> Counter[str]:
    return Counter(match.lower() for match in PLACE.findall(text))


def things_told_of(text: str) -> Counter[str]:
    return Counter(match.lower() for match in THING.findall(text))


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each as it stands there; lines without a letter are left out."""
    spans: list[tuple[int, int]] = []
    for match in SENTENCE.finditer(text):
        if spans and ABBREVIATION.search(text, *spans[-1]) and not text[spans[-1][1]].isalnum():
            spans[-1] = (spans[-1][0], match.end())
        else:
            spans.append(match.span())
    pieces = (text[begin:end].strip() for begin, end in spans)
    return [piece for piece in pieces if any(c.isalpha() for c in piece)]
