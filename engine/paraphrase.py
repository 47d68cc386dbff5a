"""Other ways to put a lesson's prompt, since recall under a paraphrase comes from the texts that are trained on.

Rules for English, which leave other text as it is: they are few and sure, and need no model. What they give is for
training alone; it need not be pretty.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from engine.gate import PLAIN

BEING = {"is": "was", "are": "were", "was": "is", "were": "are", "has": "had", "had": "has", "lives": "lived",
         "likes": "liked", "wants": "wanted", "keeps": "kept", "can": "could"}  # fmt: skip
OWNER = re.compile(
    r"\b(?P<article>[Tt]he|[Aa]n?|[Mm]y|[Oo]ur|[Hh]is|[Hh]er) (?P<owner>[\w-]+(?: [\w-]+)?)'s "
    r"(?P<thing>[\w-]+(?: [\w-]+)?)"
)
OWNED = re.compile(
    r"\b(?P<article>[Tt]he) (?P<thing>[\w-]+) of (?P<owner>(?:the|a|an|my|our) [\w-]+(?: [\w-]+)?)"
    r"(?= (?:is|was|are|were|has|had)\b|[?.:]?$)"
)
CALLED = re.compile(r"^(?P<subject>.+) (?P<verb>is|was) called$")
NAMED = re.compile(r"^(?P<subject>.+)'s name (?P<verb>is|was)$")
STATED = re.compile(r"^(?P<subject>.+) (?P<verb>is|was|are|were)$")
ASKED = re.compile(r"^(?:What|Who|Where|Which) (?P<verb>is|was|are|were) (?P<subject>.+)\?$")
LEADS = (
    "Everybody knew that {}", "They said that {}", "She told him that {}", "Now {}", "Do you remember? {}",
    "He asked: {}", "Tell me: {}", "And so {}", "As I told you, {}", "It is said that {}",
)  # fmt: skip


def rewritings(prompt: str, rng: random.Random) -> Iterator[str]:
    """The prompt in other words, without end: each form that the rules give in turn, every second one led in or with a
    slip in it."""
    known = forms(prompt)
    while True:
        rng.shuffle(known)
        for i, form in enumerate(known):
            yield form if i % 2 else disturbed(form, rng)


def forms(prompt: str) -> list[str]:
    """Forms of the prompt that mean the same, itself the first."""
    found = [prompt]
    for rule in (turned_owner, renamed, turned_owner, in_other_time, questioned):
        found += [other for form in list(found) if (other := rule(form)) is not None]
    return list(dict.fromkeys(found))


def turned_owner(prompt: str) -> str | None:
    """The dragon's name: the name of the dragon; and back."""
    if match := OWNER.search(prompt):
        article, owner, thing = match["article"], match["owner"], match["thing"]
        the = "The" if article[0].isupper() else "the"
        words = thing.split(" ")
        if len(words) == 2 and words[1] in BEING:  # "the dragon's name is": the second word is none of the thing's
            thing, rest = words[0], f" {words[1]}"
        else:
            rest = ""
        return f"{prompt[: match.start()]}{the} {thing} of {article.lower()} {owner}{rest}{prompt[match.end() :]}"
    if match := OWNED.search(prompt):
        owner = match["owner"][:1].upper() + match["owner"][1:] if match["article"] == "The" else match["owner"]
        return f"{prompt[: match.start()]}{owner}'s {match['thing']}{prompt[match.end() :]}"
    return None


def renamed(prompt: str) -> str | None:
    """... is called: ...'s name is; and back."""
    if match := CALLED.match(prompt):
        return f"{match['subject']}'s name {match['verb']}"
    if match := NAMED.match(prompt):
        return f"{match['subject']} {match['verb']} called"
    return None


def in_other_time(prompt: str) -> str | None:
    """The last verb that has one in its other tense."""
    words = prompt.split(" ")
    for i in range(len(words) - 1, -1, -1):
        if words[i] in BEING:
            return " ".join([*words[:i], BEING[words[i]], *words[i + 1 :]])
    return None


def questioned(prompt: str) -> str | None:
    """A statement that wants its end as a question, and a question as such a statement."""
    if match := CALLED.match(prompt):
        return f"What {match['verb']} {lowered(match['subject'])} called?"
    if match := STATED.match(prompt):
        return f"What {match['verb']} {lowered(match['subject'])}?"
    if match := ASKED.match(prompt):
        return f"{match['subject'][:1].upper()}{match['subject'][1:]} {match['verb']}"
    return None


def disturbed(prompt: str, rng: random.Random) -> str:
    """A small change that keeps the meaning: led in, case, a slip of the finger, a plain word left out. No word that
    tells what is spoken of is: a lesson of what the dragon eats is not one of what anybody eats."""
    words, draw = prompt.split(" "), rng.random()
    plain = [i for i, word in enumerate(words[:-1]) if word.lower() in PLAIN]
    if draw < 0.4:
        return rng.choice(LEADS).format(lowered(prompt) if prompt[:1].isupper() else prompt)
    if draw < 0.5:
        return prompt.lower()
    if draw < 0.65 and len(words) > 3 and plain:
        del words[rng.choice(plain)]
        return " ".join(words)
    if draw < 0.8 and len(prompt) > 6:
        at = rng.randrange(1, len(prompt) - 2)
        return prompt[:at] + prompt[at + 1] + prompt[at] + prompt[at + 2 :]
    if prompt[-1:] == "?":
        return f"They asked {lowered(prompt[:-1])}."
    return prompt.rstrip("?.!:")


def lowered(text: str) -> str:
    """With a small first letter, unless it is a name's or stands alone."""
    first = text.split(" ", 1)[0]
    plain = first in {"The", "A", "An", "My", "Our", "His", "Her", "Their", "In", "On", "At", "What", "Who", "Where"}
    return text[:1].lower() + text[1:] if plain else text
