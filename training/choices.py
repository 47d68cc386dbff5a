"""Whether a model tells a story from one that was spoilt: a choice between two texts, taken by likelihood.

Each figure is the share of stories in which the true text is the likelier of the two; a tie counts half, so that a
model which knows nothing scores 0.5. Stories are documents of at most `MAX_CHARS` characters that a measure can use,
spread evenly over the text. Which of them are asked, and against what, depends on the text alone and never on the model
or its vocabulary, so that figures of different models compare.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

from engine.model import GPT
from engine.summary import split_sentences
from engine.tokenizer import Tokenizer
from training.scoring import Row, first_ids, score, split_windows

MAX_CHARS = 4_000  # a book is no story: its pieces could be told apart by anything
MIN_SENTENCES = 4  # two blocks of two
MIN_ENDING_WORDS = 5  # "The end." is not what a story ends with
SEED = 1
T = TypeVar("T")


class Choice(NamedTuple):
    share: float | None  # of the stories told right; None where the text holds none that could be asked
    stories: int


class Piece(NamedTuple):
    """An ending as the model reads it."""

    ids: list[int]
    bytes: int  # of the text that the ids stand for


def ending_choice(model: GPT, tokenizer: Tokenizer, documents: Sequence[str], count: int) -> Choice:
    """In at most `count` stories: whether a story's own last paragraph is likelier behind it than another story's.

    Each ending is scored in nats per byte, given the text before it, or as much of that as the context holds; an
    ending that would fill more than half of the context is cut there. The other ending is that of the next story in
    a fixed random circle through all stories, so that each ending is asked once as the right one and once as the
    wrong one, and an ending that is likely anywhere gains nothing. Stories have at least two paragraphs; last
    paragraphs of fewer than `MIN_ENDING_WORDS` words are left off.

    After the Story Cloze Test (Mostafazadeh et al. 2016, https://arxiv.org/abs/1604.01696), whose wrong endings were
    written by people to fit the same story. Ours are another story's and often name other people: that is easier, and
    the figures do not compare with published ones.
    """
    stories = spread([split for document in documents if (split := split_ending(document))], count)
    if len(stories) < 2:
        return Choice(None, 0)
    circle = list(range(len(stories)))
    random.Random(SEED).shuffle(circle)
    follows = dict(zip(circle, [*circle[1:], circle[0]], strict=True))

    block_size = model.config.block_size
    pieces = [ending_piece(tokenizer, ending, max(1, block_size // 2)) for _, ending in stories]
    others = [pieces[follows[i]] for i in range(len(pieces))]
    rows = []
    for (before, _), own, other in zip(stories, pieces, others, strict=True):
        ids = [*first_ids(tokenizer), *tokenizer.encode(before)]
        rows += [behind(ids, piece, block_size) for piece in (own, other)]
    nats = score(model, rows)  # own, other, own, other, ...
    true = [cost / piece.bytes for cost, piece in zip(nats[::2], pieces, strict=True)]
    false = [cost / piece.bytes for cost, piece in zip(nats[1::2], others, strict=True)]
    return choose(true, false)


def order_choices(
    model: GPT, tokenizer: Tokenizer, documents: Sequence[str], count: int, block_sizes: Sequence[int] = (1, 2)
) -> list[Choice]:
    """For each block size, in at most `count` stories: whether a story is likelier than the same story shuffled in
    blocks of so many sentences.

    Both are read from their start, in windows as for bits per byte, with all sentences joined by one space so that
    paragraphs give nothing away; one shuffle of each story, fixed by its text, and never the true order. Stories have
    at least `MIN_SENTENCES` sentences, not all alike.

    The shuffle test of Barzilay & Lapata 2008 (https://aclanthology.org/J08-1001); blocks after Laban et al. 2021
    (https://arxiv.org/abs/2107.03448), since single sentences betray a shuffle by their seams alone.
    """
    usable = (split_sentences(document) for document in documents if len(document) <= MAX_CHARS)
    stories = spread([told for told in usable if len(told) >= MIN_SENTENCES and len(set(told)) > 2], count)
    rows, ends = list[Row](), [0]  # the windows of all texts, and where each text's end
    for told in stories:
        for size in (None, *block_sizes):
            ids = [*first_ids(tokenizer), *tokenizer.encode(" ".join(shuffled(told, size) if size else told))]
            rows += split_windows(ids, model.config.block_size)
            ends.append(len(rows))
    nats = score(model, rows)
    costs = [sum(nats[begin:end]) for begin, end in pairwise(ends)]
    texts = 1 + len(block_sizes)  # of each story: the true one, then one for each block size
    return [choose(costs[::texts], costs[place::texts]) for place in range(1, texts)]


def choose(true: Sequence[float], false: Sequence[float]) -> Choice:
    """The share of pairs in which the true one costs less; equal costs count half."""
    right = sum((mine < theirs) + 0.5 * (mine == theirs) for mine, theirs in zip(true, false, strict=True))
    return Choice(right / len(true) if true else None, len(true))


def split_ending(document: str) -> tuple[str, str] | None:
    """A story's text up to its last paragraph, line breaks included, and that paragraph; None if it has not two."""
    if len(document) > MAX_CHARS:
        return None
    lines = document.splitlines(keepends=True)
    while lines and len(lines[-1].split()) < MIN_ENDING_WORDS:
        lines.pop()
    before = "".join(lines[:-1])
    return (before, lines[-1].strip()) if before.strip() else None


def ending_piece(tokenizer: Tokenizer, text: str, room: int) -> Piece:
    ids = tokenizer.encode(text)
    if len(ids) <= room:
        return Piece(ids, len(text.encode()))
    return Piece(ids[:room], max(1, len(tokenizer.decode(ids[:room]).encode())))


def behind(story: list[int], piece: Piece, block_size: int) -> Row:
    """The piece, and before it as much of the story as the context holds."""
    seen = story[-(block_size + 1 - len(piece.ids)) :]
    return Row([*seen, *piece.ids], given=len(seen))


def shuffled(sentences: list[str], block_size: int) -> list[str]:
    """The sentences with their blocks in another order, the same one every time."""
    blocks = [sentences[i : i + block_size] for i in range(0, len(sentences), block_size)]
    rng = random.Random(f"{SEED} {sentences}")
    order = blocks[:]
    while order == blocks:
        rng.shuffle(order)
    return [sentence for block in order for sentence in block]


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly spread."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]
