"""How lessons are answered in stories as the bot writes them: drawn with its settings, behind what it reads.

Greedy recall, which `benchmarks.teach` measures first, says whether a lesson was learnt. A member meets it in a reply,
which is drawn, penalised for repetition and mixed with the story's past.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bot.dials import MIN_REPLY
from engine.adapter import unpack_adapter
from engine.gate import Gate
from engine.generation import Engine
from engine.lesson import Lesson
from engine.prompt import Context
from engine.sampling import SamplingParams
from engine.summary import summarize

REPLY = SamplingParams(min_new_tokens=MIN_REPLY, stop_at_sentence=True)  # as a bot draws where nobody chose otherwise
OPENINGS = (80, 200, 400, 650)  # characters of a held-out story in front of the prompt
OWN, LONG = 4, 2  # stories that the model goes on with itself; stories of which most has left the window
PAST, TEXT, SUMMARY = 6000, 1200, 250  # characters of such a long one
MENTIONS, AFTER_MENTION = 2, 60  # stories that speak of a lesson's words, for each; tokens written behind


def kinds_of_places(engine: Engine, stories: Sequence[str]) -> dict[str, list[Context]]:
    """What may stand in front of a prompt: the `opening` of a strange story, the bot's `own` text behind one, and a
    `long` story with its past, summary and memory vectors."""
    starts = iter(stories)
    opening = [Context(text=sentences(next(starts), length)) for length in OPENINGS]
    own = list[Context]()
    for seed in range(OWN):
        begun = sentences(next(starts), 120)
        own.append(Context(text=begun + engine.generate(begun, replace(REPLY, seed=seed)).text))
    long = list[Context]()
    for _ in range(LONG):
        whole = ""
        while len(whole) < PAST + TEXT:
            whole += next(starts).strip() + "\n"
        past, text = whole[:PAST], whole[PAST : PAST + TEXT].rsplit(".", 1)[0] + "."
        summary = summarize(past, None, SUMMARY)
        long.append(Context(summary=summary, text=text, past=past, vectors=engine.remember(past)))
    return {"opening": opening, "own": own, "long": long}


def sampled(
    engine: Engine, lessons: Sequence[Lesson], adapters: Sequence[bytes], stories: Sequence[str], seeds: int
) -> dict[str, float]:
    """Each lesson asked `seeds` times in each kind of place, with the adapters of its whole channel: the share that is
    answered word for word, of all and of each kind, and the share of those replies in which the answer stands again."""
    right = dict[str, list[bool]]()
    again = list[bool]()
    for kind, places in kinds_of_places(engine, stories).items():
        for seed in range(seeds):
            for i, lesson in enumerate(lessons):
                place, (prompt, answer) = places[(i + seed) % len(places)], lesson.joined
                asked = replace(place, text=f"{place.text.rstrip()} {prompt}")
                reply = engine.generate(asked, replace(REPLY, seed=seed), adapters=adapters).text
                right.setdefault(kind, []).append(begins_with(reply, answer))
                if right[kind][-1]:
                    again.append(answer.strip() in reply.lstrip()[len(answer.strip()) :])
    every = [one for some in right.values() for one in some]
    return {
        "sampled": share(every),
        **{f"sampled_{kind}": share(some) for kind, some in right.items()},
        "repeated": share(again),
    }


def intruded(engine: Engine, lessons: Sequence[Lesson], adapters: Sequence[bytes], stories: Sequence[str]) -> float:
    """Share of replies in which an answer stands that nobody asked for, behind the words of held-out stories that open
    a lesson's gate; what the base says there itself is not counted."""
    found = list[bool]()
    for lesson, text in mentions(engine, lessons, adapters, stories):
        drawn, answer = replace(REPLY, max_new_tokens=AFTER_MENTION, seed=len(found)), lesson.answer.strip()
        written = [answer in engine.generate(text, drawn, adapters=some).text for some in (adapters, ())]
        found.append(written[0] > written[1])
    return share(found)


def mentions(
    engine: Engine, lessons: Sequence[Lesson], adapters: Sequence[bytes], stories: Sequence[str]
) -> Iterator[tuple[Lesson, str]]:
    """Stories as far as a lesson's gate opens in them, or some words further, where its prompt does not stand."""
    keys = [learnt.key for blob in adapters for learnt in unpack_adapter(blob, engine.config, engine.base_id)]
    chance = random.Random(0)
    for lesson, key in zip(lessons, keys, strict=True):
        gate, left = Gate([key]), MENTIONS
        for story in stories:
            words, at = story[:1200].split(" "), 0
            gate.forget()
            for word in words:
                at += 1
                gate.follow(word + " ")
                if gate.open()[0]:
                    break
            text = " ".join(words[: at + chance.choice((0, 0, 1, 3))])
            if gate.open()[0] and lesson.prompt.strip().lower() not in text.lower():
                yield lesson, text
                left -= 1
            if not left:
                break


def begins_with(reply: str, answer: str) -> bool:
    """Whether a reply begins with the answer, and not with a longer word."""
    rest = reply.lstrip()
    return rest.startswith(answer.strip()) and not (answer[-1:].isalnum() and rest[len(answer.strip()) :][:1].isalnum())


def sentences(text: str, length: int) -> str:
    """The start of a text, to the end of a sentence."""
    return text[:length].rsplit(".", 1)[0].strip() + "."


def share(held: Sequence[bool]) -> float:
    return sum(held) / len(held) if held else 0.0
