"""Text that a model writes for `evaluate`: what follows held-out openings, and answers to a few fixed prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from engine.generation import Engine, ends_sentence
from engine.sampling import SamplingParams
from engine.summary import split_sentences
from training.choices import MAX_CHARS, spread

OPENING_SENTENCES = 4
MIN_SENTENCES = 8  # of a story, so that there is as much of it behind the opening
ROOM = 2  # a continuation may become so many times as long as the people's
SEED = 1  # counted up from text to text
SAMPLING = SamplingParams(seed=SEED)  # the bot's own
PROMPTS = (
    "Once upon a time, a fox named Mira found a silver key in the snow.",
    "Ben and his sister Lily wanted to build a boat. They took some wood, a rope and",
    'The old lighthouse keeper opened the letter and read it twice. "We have to leave tonight," he said.',
    "Everybody in the village said that the well was dry. Only Osric knew better. One night",
    "Chapter 1\n\nThe train was late, and",
)


class Opening(NamedTuple):
    """A story that people wrote, cut in two."""

    text: str
    rest: str


class Continuation(NamedTuple):
    text: str
    closed: bool  # the model ended its text, and with a whole sentence


def cut_openings(documents: Sequence[str], count: int) -> list[Opening]:
    """At most `count` stories of `MIN_SENTENCES` sentences or more, each cut behind its first `OPENING_SENTENCES`."""
    stories = [
        (document, sentences)
        for document in documents
        if len(document) <= MAX_CHARS and len(sentences := split_sentences(document)) >= MIN_SENTENCES
    ]
    openings = []
    for document, sentences in spread(stories, count):
        end = 0
        for sentence in sentences[:OPENING_SENTENCES]:
            end = document.index(sentence, end) + len(sentence)
        openings.append(Opening(document[:end], document[end:]))
    return openings


def continue_openings(
    engine: Engine, openings: Sequence[Opening], on_progress: Callable[[int], None] = lambda done: None
) -> list[Continuation]:
    """What the model writes behind each opening, as in the bot: the same prompt, window and sampling."""
    written = []
    for number, opening in enumerate(openings):
        room = max(1, ROOM * engine.count(opening.rest))  # tokens
        done = engine.generate(opening.text, replace(SAMPLING, seed=SEED + number, max_new_tokens=room))
        written.append(Continuation(done.text, done.finish_reason == "stop" and ends_sentence(done.text)))
        on_progress(number + 1)
    return written


def answer_prompts(engine: Engine) -> list[dict[str, str]]:
    """`prompt` and `text` of each of the fixed prompts."""
    return [
        {"prompt": prompt, "text": engine.generate(prompt, replace(SAMPLING, seed=SEED + number)).text}
        for number, prompt in enumerate(PROMPTS)
    ]
