"""python -m benchmarks.memory --text FILE [--weights DIR] [--window 128] [--json]: does the memory carry a story?

On long documents (at least four windows), at places in their third window and later, the same text is predicted by
the same weights with different contexts, all of them in as many positions, `--window`:

- window: the story's last tokens, and nothing else;
- summary: the text summary in front, fewer of the last tokens behind it;
- recollection: the window, mixed with what the text that left it says (`engine.recollection`), which takes no position;
- vectors: the window, mixed with what the model's own states in that text say (`engine.memory_vectors`);
- memory: all of these together;
- stream: the window, read while what has left it was still in the cache (`engine.window`).

`full` reads as many tokens as the weights were trained to, `block_size`: the bound of a model of the same size at that
longer context. gap_closed = (window - memory) / (window - full) in nats per token; placebo is the same with another
story's memory. Brackets are 95 % bootstrap intervals over documents.

entity_recall: a word that was last told of 4, 16 or 64 windows before is chosen among twenty by its likelihood. The
nineteen others are of the same kind, from other documents, and about as likely to the window alone (`entities`).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.entities import OTHERS, Question, find_questions
from engine.decoder import Decoder, choose, read_out
from engine.folder import Stored, default_weights, open_weights
from engine.memory_vectors import MOST, MemoryVectors, States
from engine.prompt import render_memory
from engine.recollection import MOST_PAST_CHARS, Recollection, Words
from engine.shape import Floats
from engine.summary import Summary, summarize
from engine.tokenizer import Tokenizer
from engine.worker import CHARS_PER_TOKEN, SUMMARY_SHARE
from training.corpus import read_documents
from training.scoring import first_ids

PREDICTED_SHARE = 4  # one in so many positions of a window is predicted, behind the others
LONGEST_WORD = 8  # tokens that are left free for a word to choose
DISTANCES = (4, 16, 64)  # windows
MEMORIES = ("window", "recollection", "vectors", "summary", "summary_recollection", "memory")
PAST_TOKENS = MOST_PAST_CHARS // 3  # about what the bot recalls
STREAMED = 8  # windows that are streamed before what is predicted


@dataclass
class Story:
    """A document, and the summaries of its beginnings."""

    text: str
    ids: list[int]
    tokenizer: Tokenizer
    step: int  # tokens that are folded into the summary at a time
    max_chars: int
    _folded: list[Summary] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)  # characters up to the end of each step
    _torn: str = ""  # the sentence that a step ends in, which is folded in with the next

    def summary(self, end: int) -> Summary:
        """Of the text before token `end`, as far as whole steps reach."""
        while len(self._folded) < end // self.step:
            self._fold()
        return self._folded[end // self.step - 1] if end >= self.step else Summary()

    def summary_before(self, chars: int) -> Summary:
        """The same, by characters."""
        while len(self._folded) < len(self.ids) // self.step and (not self._ends or self._ends[-1] <= chars):
            self._fold()
        steps = bisect(self._ends, chars)
        return self._folded[steps - 1] if steps else Summary()

    def _fold(self) -> None:
        begin = len(self._folded) * self.step
        fresh = self.tokenizer.decode(self.ids[begin : begin + self.step])
        self._ends.append(len(fresh) + (self._ends[-1] if self._ends else 0))
        text = self._torn + fresh
        cut = max(text.rfind(mark) + len(mark) for mark in ("\n", ". ", "! ", "? ", '" ')) if " " in text else 0
        text, self._torn = text[:cut], text[cut:]
        self._folded.append(summarize(text, self._folded[-1] if self._folded else None, self.max_chars))


class Reader:
    """One model behind contexts of `window` positions."""

    def __init__(self, stored: Stored, decoder: Decoder, window: int) -> None:
        self.tokenizer, self.decoder, self.window = stored.tokenizer, decoder, window
        self.block_size = stored.config.block_size
        self.start = first_ids(self.tokenizer)
        self.predicted = window // PREDICTED_SHARE
        self.states, self.words = States(read_out(decoder).head), Words(stored.tokenizer)

    def losses(self, rows: Floats, ids: Sequence[int], at: int, memory: Recollection | None) -> float:
        """Nats per token of ids[at:] by the rows (n, V) before each of them."""
        if memory is not None:
            rows = np.stack([memory.mix(row, ids[max(0, at + i - 8) : at + i]) for i, row in enumerate(rows)])  # (n, V)
        top = rows.max(1)  # (n, V) -> (n,)
        total = np.log(np.exp(rows - top[:, None]).sum(1)) + top  # (n,)
        return float((total - rows[np.arange(len(rows)), ids[at : at + len(rows)]]).mean())

    def read(self, story: Story, at: int, count: int, positions: int, prefix: Sequence[int] = ()) -> Floats:
        """Logits (count, V) before each of ids[at : at + count] in that many positions, the prefix among them."""
        head = [*self.start, *prefix]
        begin = max(0, at - (positions - count - len(head)))
        self.decoder.truncate(0)
        return self.decoder.rows([*head, *story.ids[begin : at + count - 1]], every=True)[-count:]  # (n, V)

    def memories(self, ids: list[int], at: int, count: int) -> tuple[Recollection, Recollection, Recollection]:
        """Of what the window before `at`, with `count` positions behind it, no longer holds: recollection, vectors,
        both. The vectors are written with no more than a window in sight."""
        end = max(0, at - (self.window - count - len(self.start)))
        past = ids[max(0, end - PAST_TOKENS) : end]
        vectors = MemoryVectors.empty().with_text(self.decoder, self.states, past[-MOST:], self.start, self.window)
        told, words = (vectors, self.states), self.words
        return Recollection(past, words), Recollection([], None, told), Recollection(past, words, told)

    def prefix(self, summary: Summary) -> list[int]:
        return render_memory(self.tokenizer, (), summary)

    def streamed(self, story: Story, at: int) -> Floats:
        """Logits before ids[at:] where the cache was filled in steps, and its oldest tokens dropped."""
        first, step = len(self.start), self.predicted
        begin = max(0, at - STREAMED * self.window)
        begin += (at - begin) % step
        self.decoder.truncate(0)
        row, filled = self.decoder.rows([*self.start, *story.ids[:begin][-1:]])[-1:], first + (begin > 0)
        for n in range(begin, at + step, step):
            if filled + step > self.window:
                dropped = filled + step - self.window
                self.decoder.drop(first, first + dropped)
                filled -= dropped
            rows = np.concatenate((row, self.decoder.rows(story.ids[n : n + step], every=True)))  # (1 + step, V)
            row, filled = rows[-1:], filled + step
        return rows[:-1]


def places(stories: Sequence[Story], window: int, count: int) -> Iterator[tuple[int, int]]:
    """Documents and tokens in them, from the third window on, the same every time."""
    rng = random.Random(0)
    for d, story in enumerate(stories):
        for _ in range(count):
            yield d, rng.randrange(2 * window, len(story.ids) - window)


def gaps(reader: Reader, stories: Sequence[Story], points: int) -> dict[str, Any]:
    """Losses of all contexts and what follows from them."""
    losses: dict[str, list[float]] = {}
    where: list[int] = []
    for d, at in places(stories, reader.window, points):
        story, other, n, W = stories[d], stories[(d + 1) % len(stories)], reader.predicted, reader.window
        elsewhere = min(at, len(other.ids))
        recollection, vectors, both = reader.memories(story.ids, at, n)
        wrong = reader.memories(other.ids, elsewhere, n)
        plain = reader.read(story, at, n, W)
        told = reader.read(story, at, n, W, reader.prefix(story.summary(at - W // 2)))
        mistold = reader.read(story, at, n, W, reader.prefix(other.summary(elsewhere - W // 2)))
        for name, rows, memory in (
            ("window", plain, None), ("full", reader.read(story, at, n, reader.block_size), None),
            ("stream", reader.streamed(story, at), None), ("recollection", plain, recollection),
            ("vectors", plain, vectors), ("summary", told, None), ("summary_recollection", told, recollection),
            ("memory", told, both), ("placebo_summary", mistold, None), ("placebo_recollection", plain, wrong[0]),
            ("placebo_vectors", plain, wrong[1]), ("placebo", mistold, wrong[2]),
        ):  # fmt: skip
            losses.setdefault(name, []).append(reader.losses(rows, story.ids, at, memory))
        where.append(d)
    table = {name: np.array(values) for name, values in losses.items()}
    figures: dict[str, Any] = {"loss": {name: round(float(values.mean()), 4) for name, values in table.items()}}
    for name in table:
        if name not in ("window", "full"):
            figures[name] = closed(table["window"] - table[name], table["window"] - table["full"], np.array(where))
    return figures


def closed(gain: Floats, gap: Floats, where: Any) -> dict[str, Any]:
    """Share of the gap, and its interval: documents are drawn anew, each with all its places. None where there is no
    gap, as at the longest window."""
    if gap.sum() <= 0:
        return {"closed": None, "interval": None}
    rng, n = np.random.default_rng(0), int(where.max()) + 1
    sums = np.stack([np.bincount(where, weights=values, minlength=n) for values in (gain, gap)])  # (2, documents)
    drawn = sums[:, rng.integers(0, n, (2000, n))].sum(2)  # (2, 2000)
    low, high = np.percentile(drawn[0] / drawn[1], (2.5, 97.5))
    return {
        "closed": round(float(gain.sum() / gap.sum()), 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
    }


def recalled(reader: Reader, stories: Sequence[Story], questions: Sequence[Question], count: int) -> dict[str, Any]:
    """Shares of up to `count` questions that are answered rightly with the window alone and with each memory."""
    right: dict[str, list[bool]] = {name: [] for name in MEMORIES}
    rng = random.Random(0)
    for q in questions:
        story = stories[q.document]
        before = reader.tokenizer.encode(story.text[max(0, q.at - MOST_PAST_CHARS) : q.at - 1])
        window_chars = int(len(story.text) / len(story.ids) * reader.window)
        prefix = reader.prefix(story.summary_before(q.at - window_chars // 2))
        words = [q.word, *q.pool]
        chosen = alike(likelihoods(reader, before, [], words, [None])[0], rng)
        if not chosen or len(right["window"]) == count:
            continue
        words = [words[i] for i in chosen]
        memories = reader.memories(before, len(before), LONGEST_WORD)
        alone = likelihoods(reader, before, [], words, [None, *memories[:2]])
        told = likelihoods(reader, before, prefix, words, [None, memories[0], memories[2]])
        for name, values in zip(MEMORIES, (*alone, *told), strict=True):
            right[name].append(max(range(len(values)), key=values.__getitem__) == 0)
    asked = len(right["window"])
    return {"asked": asked, **{name: rounded(sum(answers), asked) for name, answers in right.items()}}


def rounded(part: float, whole: float) -> float | None:
    """A share, None of nothing."""
    return round(float(part / whole), 3) if whole else None


def likelihoods(
    reader: Reader, before: list[int], prefix: list[int], words: Sequence[str], memories: Sequence[Recollection | None]
) -> list[list[float]]:
    """For each memory the log-likelihood of each word behind the context."""
    head = [*reader.start, *prefix]
    context = [*head, *before[-(reader.window - LONGEST_WORD - len(head)) :]]
    decoder = reader.decoder
    decoder.truncate(0)
    first = decoder.rows(context)[-1:]  # (1, V)
    out: list[list[float]] = [[] for _ in memories]
    for word in words:
        ids = reader.tokenizer.encode(" " + word)[:LONGEST_WORD]
        decoder.truncate(len(context))
        rows = np.concatenate((first, decoder.rows(ids[:-1], every=True))) if len(ids) > 1 else first  # (n, V)
        whole = [*before[-8:], *ids]
        for told, memory in zip(out, memories, strict=True):
            told.append(-len(ids) * reader.losses(rows, whole, len(whole) - len(ids), memory))
    return out


def alike(values: Sequence[float], rng: random.Random) -> list[int]:
    """The first and OTHERS more, those nearest to it in likelihood; how many of them lie above it is drawn, so that by
    these values alone the first is chosen once in twenty times. Nothing where so many do not lie above or below: of
    those questions the window itself answers most."""
    above = sorted((i for i in range(1, len(values)) if values[i] >= values[0]), key=values.__getitem__)
    below = sorted((i for i in range(1, len(values)) if values[i] < values[0]), key=values.__getitem__, reverse=True)
    wanted = rng.randint(0, OTHERS)
    if len(above) < wanted or len(below) < OTHERS - wanted:
        return []
    return [0, *above[:wanted], *below[: OTHERS - wanted]]


def measure(text: Path, weights: Path, window: int, documents: int, points: int, questions: int) -> dict[str, Any]:
    """All figures of a weights folder on the documents of a file that are long enough."""
    began = time.monotonic()
    stored = open_weights(weights)
    chosen = choose(stored, threads=1)
    reader = Reader(stored, chosen.decoder, window)
    max_chars = int(window * SUMMARY_SHARE * CHARS_PER_TOKEN)
    stories = [
        Story(text, ids, stored.tokenizer, window // 2, max_chars)
        for text in read_documents(text)
        if len(ids := stored.tokenizer.encode(text)) >= 4 * window
    ]
    if documents < len(stories):
        stories = random.Random(0).sample(stories, documents)
    if len(stories) < 2:
        raise SystemExit(f"{text} holds fewer than two documents of {4 * window} tokens; name a file with longer ones.")
    figures = gaps(reader, stories, points)
    found = find_questions(
        [story.text for story in stories], DISTANCES,
        [len(story.text) / len(story.ids) * window for story in stories], 2 * questions,
    )  # fmt: skip
    recall = {distance: recalled(reader, stories, asked, questions) for distance, asked in found.items()}
    return {
        "weights": weights.resolve().name, "text": text.name, "decoder": chosen.backend, "window": window,
        "full": f"the same weights at the {reader.block_size} tokens that they were trained to read",
        "documents": len(stories), "places": len(stories) * points, "predicted_tokens": reader.predicted,
        "gap_closed": figures["memory"]["closed"], "placebo": figures["placebo"]["closed"],
        "entity_recall": {str(distance): shares["memory"] for distance, shares in recall.items()},
        **figures, "recall": recall,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="long documents that training never saw")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--window", type=int, default=128, help="positions that a context has")
    parser.add_argument("--documents", type=int, default=40, help="at most so many, drawn at random")
    parser.add_argument("--points", type=int, default=6, help="places in each document")
    parser.add_argument("--questions", type=int, default=60, help="for each distance")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    weights = args.weights or default_weights()
    figures = measure(args.text, weights, args.window, args.documents, args.points, args.questions)
    print(json.dumps(figures) if args.json else json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
