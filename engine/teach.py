"""Teaching: trains the units of one lesson, with the base frozen.

They sit in the feed-forward layer of the last block, which no attention reads. What comes in there and what the stream
holds behind it are therefore known for every position before training begins, and a step costs the head alone: no pass
through the model, and no torch. Meng et al. 2022 (ROME, https://arxiv.org/abs/2202.05262) treat a feed-forward layer
as a memory of keys and values in the same way; their whitened keys are where our units start. That each lesson is
learnt apart from all others follows Hartvigsen et al. 2023 (GRACE, https://arxiv.org/abs/2211.11031).

Loss on the answer only, which has to be likeliest also where the units speak much fainter or louder than in the texts
they are trained on: behind a strange story they do. Around it, and in text that the base itself wrote, what the model
says is held near what it said before (Li & Hoiem 2017, "Learning without Forgetting"): by likelihoods where a unit
disturbs most, and by how strongly the units answer everywhere else. The same base, lesson and settings always give the
same units.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.adapter import Learnt
from engine.gate import count_words, key_of
from engine.lesson import Lesson, TeachParams, units_for, variants
from engine.readout import Curve, ReadOut
from engine.shape import Floats
from engine.tokenizer import Tokenizer
from engine.units import half

BEFORE = 32  # positions before an answer that are held where they were
RIDGE = 1e-3  # of the mean variance, so that directions that the base's text never takes are not blown up
SHARPNESS = 2.0  # of a fresh unit's answer to its own key
LITTLE = 1e-9
LEAST = 1e-3  # of the mean size of a stream: some foreign model has a token whose embedding is all zeros


class Features(Protocol):
    """What a decoder tells of a text (T,): what comes into the last feed-forward, and the stream behind it, each
    (T, C)."""

    def __call__(self, ids: Sequence[int], /) -> tuple[Floats, Floats]: ...


class Positions(NamedTuple):
    """N positions of texts, as the last feed-forward meets them."""

    fed: Floats  # (N, C) what the units read
    stream: Floats  # (N, C) what they add to


@dataclass(frozen=True)
class Usual:
    """Text of the base's own: openings for lessons, and what teaching must leave alone."""

    texts: list[str]
    at: Positions
    words: dict[str, int]  # how often each stands in them


@dataclass(frozen=True)
class Trained:
    learnt: Learnt
    steps: int
    loss: float  # nats per answer token in the last step


class Adam:
    """Adam (Kingma & Ba 2015) over a list of arrays, which it changes in place."""

    def __init__(self, params: list[Floats], betas: tuple[float, float] = (0.9, 0.98), eps: float = 1e-8) -> None:
        self.params, self.betas, self.eps, self.steps = params, betas, eps, 0
        self.mean, self.square = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]

    def step(self, grads: Sequence[Floats], lr: float) -> None:
        self.steps += 1
        b1, b2 = self.betas
        for p, g, mean, square in zip(self.params, grads, self.mean, self.square, strict=True):
            mean += (1 - b1) * (g - mean)
            square += (1 - b2) * (g * g - square)
            p -= lr / (1 - b1**self.steps) * mean / (np.sqrt(square / (1 - b2**self.steps)) + self.eps)


def usual_of(tokenizer: Tokenizer, rows: Sequence[Sequence[int]], features: Features) -> Usual:
    """What lessons are held against, from rows of ids that the base wrote."""
    read = [features(row) for row in rows]
    at = Positions(np.concatenate([fed for fed, _ in read]), np.concatenate([stream for _, stream in read]))
    texts = [tokenizer.decode(row) for row in rows]
    return Usual(texts, at, dict(count_words(texts)))


def train_units(
    tokenizer: Tokenizer,
    lesson: Lesson,
    after: Sequence[int],
    usual: Usual,
    features: Features,
    read_out: ReadOut,
    curve: Curve,
    params: TeachParams,
    *,
    block_size: int,
    on_progress: Callable[[int, float], None] = lambda step, loss: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train from blank.

    Args:
        after: what the base writes behind the lesson; the units must not go on with the answer there.
        on_progress: called after each step with its number and the loss in nats per answer token.
        cancelled: polled before each step; the units so far are given back.
    """
    rng = random.Random(params.seed)
    told, around, targets = shown(tokenizer, lesson, after, usual.texts, features, params, rng, block_size)
    n = len(tokenizer.encode(lesson.joined[1]))
    units = Units(fresh_keys(told.fed[:n], usual.at.fed, units_for(n), params.seed), curve)
    adam, everywhere = Adam([units.key, units.down]), usual.at
    before = read_out.probabilities(around.stream)[0]  # (N, V)
    near_share, share = shares(around.stream), shares(everywhere.stream)  # (N, 1): a change counts by what it changes
    strengths = [strength for strength in (1.0, params.faint, params.loud) if strength]
    loss, settled, step = float("inf"), 0, 0
    while step < params.max_steps and not cancelled():
        change, tape = units.answer(told.fed)  # (N, C)
        loss, right, grads = 0.0, True, list[tuple[Floats, Floats]]()
        for strength in strengths:
            lost, likeliest, grad = answers(read_out, told.stream + np.float32(strength) * change, targets)
            grads.append(units.grads(tape, grad * np.float32(strength / len(strengths))))
            loss, right = loss + lost / len(strengths), right and likeliest

        change, tape = units.answer(around.fed)  # (N, C)
        most = loudest(change, near_share, params.hard)  # the others are too little changed to count
        now, grad = apart(read_out, around.stream[most] + change[most], before[most], params.kl_weight / len(before))
        grads.append(units.grads(tape.at(most), grad))
        near = right and loss < params.sure and nats(before[most], now) / len(before) < params.calm

        change, tape = units.answer(everywhere.fed)  # (N, C)
        pull = change * share  # (N, C)
        grads.append(units.grads(tape, pull * np.float32(2 * params.quiet_weight / len(change))))
        most = loudest(change, share, params.hard)
        stream = everywhere.stream[most]
        old = read_out.probabilities(stream)[0]  # (hard, V)
        _, grad = apart(read_out, stream + change[most], old, params.kl_weight / len(everywhere.fed))
        grads.append(units.grads(tape.at(most), grad))

        step += 1
        on_progress(step, loss)
        settled = settled + 1 if near else 0
        if settled == params.settled:
            break
        total = [np.sum(parts, axis=0) for parts in zip(*grads, strict=True)]
        norm = float(np.sqrt(sum(float(np.sum(g * g)) for g in total)))
        clip = np.float32(min(1.0, params.grad_clip / (norm + LITTLE)))
        adam.step([g * clip for g in total], params.lr * min(1.0, step / 3))
    learnt = Learnt(key_of(*lesson.joined, usual.words), half(units.key), half(units.down))
    return Trained(learnt, step, loss)


class Tape(NamedTuple):
    """What the gradient needs of an answer: what was read (N, C), the units (N, r) and their slopes (N, r)."""

    fed: Floats
    units: Floats
    slope: Floats

    def at(self, which: NDArray[np.int64]) -> Tape:
        """The same of these positions alone."""
        return Tape(*(part[which] for part in self))


class Units:
    """Units of a lesson while they are trained. Each answers to its key k: act(k x) k x, times what it adds."""

    def __init__(self, key: Floats, curve: Curve) -> None:
        self.key, self.curve = key, curve  # (r, C)
        self.down = np.zeros((key.shape[1], key.shape[0]), np.float32)  # (C, r): nothing is changed yet

    def answer(self, fed: Floats) -> tuple[Floats, Tape]:
        """What the units add to the stream (N, C) where they read `fed` (N, C)."""
        read = fed @ self.key.T  # (N, C) -> (N, r)
        value, slope = self.curve(read)
        units = value * read  # (N, r)
        return units @ self.down.T, Tape(fed, units, slope * read + value)  # (N, r) -> (N, C)

    def grads(self, tape: Tape, grad: Floats) -> tuple[Floats, Floats]:
        """The gradients of key (r, C) and down (C, r), of one at what is added (N, C)."""
        of_units: Floats = np.matmul(grad, self.down)  # (N, C) -> (N, r)
        return np.matmul((of_units * tape.slope).T, tape.fed), np.matmul(grad.T, tape.units)


def shares(stream: Floats) -> Floats:
    """What a change of the stream (N, C) counts at each position, (N, 1): by the size of what it changes."""
    size = np.sum(stream**2, -1, keepdims=True)  # (N, C) -> (N, 1)
    shares: Floats = 1 / (np.maximum(size, np.float32(LEAST) * size.mean()) + np.float32(LITTLE))
    return shares


def loudest(change: Floats, share: Floats, most: int) -> NDArray[np.int64]:
    """The positions, at most so many, where the stream is changed most by (N, C)."""
    size = np.sum(change**2, -1) * share[:, 0]  # (N, C) -> (N,)
    found: NDArray[np.int64] = np.argsort(-size, kind="stable")[:most]
    return found


def answers(read_out: ReadOut, stream: Floats, targets: NDArray[np.int64]) -> tuple[float, bool, Floats]:
    """Nats per target (N,), whether each is the likeliest, and the gradient at the stream (N, C)."""
    p, normed, by = read_out.probabilities(stream)  # (N, V)
    rows = np.arange(len(targets))
    loss, right = float(-np.log(p[rows, targets] + LITTLE).mean()), bool((p.argmax(-1) == targets).all())
    p[rows, targets] -= 1
    return loss, right, read_out.back(p / np.float32(len(targets)), normed, by)


def apart(read_out: ReadOut, stream: Floats, old: Floats, weight: float) -> tuple[Floats, Floats]:
    """What comes next (N, V), and the gradient at the stream (N, C) of how far that is from the old probabilities
    (N, V), in nats over all positions, weighted."""
    p, normed, by = read_out.probabilities(stream)  # (N, V)
    return p, read_out.back((p - old) * np.float32(weight), normed, by)


def nats(old: Floats, now: Floats) -> float:
    """How far the probabilities (N, V) have gone from the old ones, over all positions (Kullback & Leibler 1951)."""
    return float((old * np.log((old + LITTLE) / (now + LITTLE))).sum())


def shown(
    tokenizer: Tokenizer,
    lesson: Lesson,
    after: Sequence[int],
    openings: Sequence[str],
    features: Features,
    params: TeachParams,
    rng: random.Random,
    block_size: int,
) -> tuple[Positions, Positions, NDArray[np.int64]]:
    """The lesson in its variants: positions behind which a token of the answer comes, with those tokens, and the
    positions before and behind them. The first positions told are those of the lesson as it stands."""
    told: list[tuple[Floats, Floats]] = []
    around: list[tuple[Floats, Floats]] = []
    targets: list[int] = []
    start = [] if tokenizer.start_of_text is None else [tokenizer.start_of_text]
    for opening, prompt, answer in variants(lesson, openings, params.variants, rng):
        ids = tokenizer.encode(answer)
        room = block_size - len(ids) - len(after)
        before = [*start, *tokenizer.encode(opening + prompt)][-room:]
        before = before or tokenizer.encode("\n")[:1]
        fed, stream = features([*before, *ids, *after])  # each (T, C)
        first, last = len(before) - 1, len(before) - 1 + len(ids)  # the answer's tokens come behind these positions
        told.append((fed[first:last], stream[first:last]))
        around += [(x[max(0, first - BEFORE) : first], y[max(0, first - BEFORE) : first]) for x, y in [(fed, stream)]]
        around.append((fed[last:], stream[last:]))
        targets += ids
    gathered = (Positions(*map(np.concatenate, zip(*some, strict=True))) for some in (told, around))
    return next(gathered), next(gathered), np.array(targets, dtype=np.int64)


def fresh_keys(told: Floats, usual: Floats, r: int, seed: int) -> Floats:
    """Keys (r, C) that answer to what stands before each token of the answer, (n, C), and as little as can be to usual
    text (N, C): the inputs, divided by the covariance of those. Of a long answer each unit takes several tokens."""
    C = usual.shape[1]
    spread = usual.T @ usual / len(usual)  # (N, C) -> (C, C)
    spread += np.eye(C, dtype=np.float32) * (RIDGE * np.trace(spread) / C + LITTLE)
    white = np.linalg.solve(spread, told.T).T  # (n, C)
    white /= np.sum(white * told, -1, keepdims=True) + LITTLE
    n = len(told)
    keys = np.stack([white[i % n :: r].sum(0) if n > r else white[i % n] for i in range(r)])  # (n, C) -> (r, C)
    noise = np.random.default_rng(seed).normal(size=(r, C)) * (0.05 * C**-0.5)  # units of one token must come apart
    fresh: Floats = (keys * SHARPNESS + noise).astype(np.float32)
    return fresh
