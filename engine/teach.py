"""Teaching: trains the session units of a channel on its lessons, with the base frozen.

Every lesson is seen alone, behind story openings and with small rewrites of its prompt, since recall under a
paraphrase comes from the data. Loss on the answer only. A KL term keeps what the model says elsewhere near the base:
the elsewhere is text that the base itself wrote (Li & Hoiem 2017, "Learning without Forgetting"). The same base,
lessons and settings always give the same adapter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.adapter import taught_blocks
from engine.checkpoint import read_model
from engine.folder import Stored
from engine.host import keep_nothing_freed
from engine.lesson import Lesson, TeachParams
from engine.model import GPT, attach_units
from engine.shape import GPTConfig, UnitGroup
from engine.tokenizer import Tokenizer

SMALL = 10_000_000  # weights; fewer are taught within 350 MB anyway, in half the time that being frugal takes
MAX_BYTES = 24 << 20  # of what is kept for the gradient of texts trained on at once: 40 would need 250 MB on ember


@dataclass(frozen=True)
class TrainedUnits:
    groups: list[UnitGroup | None]
    steps: int
    loss: float  # nats per answer token in the last step


class Adam:
    """Adam (Kingma & Ba 2015) over a list of tensors; `torch.optim` would add 75 MB to the serving process."""

    def __init__(self, params: list[Tensor], betas: tuple[float, float] = (0.9, 0.99), eps: float = 1e-8) -> None:
        self.params, self.betas, self.eps, self.steps = params, betas, eps, 0
        self.mean = [torch.zeros_like(p) for p in params]
        self.square = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor], lr: float) -> None:
        self.steps += 1
        (b1, b2), grads = self.betas, list(grads)
        torch._foreach_lerp_(self.mean, grads, 1 - b1)
        torch._foreach_mul_(self.square, b2)
        torch._foreach_addcmul_(self.square, grads, grads, 1 - b2)
        scale = [v.sqrt().div_((1 - b2**self.steps) ** 0.5).add_(self.eps) for v in self.square]
        torch._foreach_addcdiv_(self.params, self.mean, scale, -lr / (1 - b1**self.steps))


def borrow_model(stored: Stored, style: Sequence[UnitGroup | None] | None, threads: int | None) -> GPT:
    """The model of a folder as it is taught: stored in half precision, computed in float32, wearing its style.

    Raises:
        WeightsError: the folder is damaged.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if stored.config.n_weights > SMALL:
        keep_nothing_freed()
    model = read_model(stored.config, stored.files, "float16")
    model.widened = True
    attach_units(model, "long_term", style)
    return model


def train_units(
    model: GPT,
    tokenizer: Tokenizer,
    lessons: Sequence[Lesson],
    replay: Sequence[Sequence[int]],
    params: TeachParams,
    *,
    on_progress: Callable[[int, float], None] = lambda step, loss: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainedUnits:
    """Train from blank; the model itself is not changed, and must have no session units attached.

    Args:
        replay: rows of ids (B, T) that the base wrote; they serve as openings and hold the KL term.
        on_progress: called after each step with its number and the loss in nats per answer token.
        cancelled: polled before each step; the units so far are given back.
    """
    rng, generator = random.Random(params.seed), torch.Generator().manual_seed(params.seed)
    groups = blank_units(model, generator)
    leaves = [tensor.requires_grad_(True) for group in groups if group is not None for tensor in group]
    adam = Adam(leaves)
    openings = [tokenizer.decode(row) for row in replay]
    read = torch.tensor(replay)  # (B, T)
    rows = max(1, most_tokens(model.config) // read.size(1))  # of the replay that are read at once
    with torch.no_grad():
        base = torch.cat(
            [F.log_softmax(model(own).float(), -1) for own in torch.split(read, rows)]
        )  # (B, T) -> (B, T, V)
    loss, settled, step = float("inf"), 0, 0
    while step < params.max_steps and settled < params.settled and not cancelled():
        per_lesson = max(2, min(params.variants, params.max_rows // len(lessons)))
        variants = [variant(lesson, openings, rng, plain=i == 0) for lesson in lessons for i in range(per_lesson)]
        texts = [answer_ids(tokenizer, *text, model.config.block_size) for text in variants]
        loss, drift, right = 0.0, 0.0, True
        grads = tuple(torch.zeros_like(leaf) for leaf in leaves)
        for own, before in zip(torch.split(read, rows), torch.split(base, rows), strict=True):  # (b, T), (b, T, V)
            now = F.log_softmax(model(own, taught=groups).float(), -1)  # (b, T, V)
            apart = F.kl_div(now, before, log_target=True, reduction="none").sum(-1).sum() / read.numel()  # -> ()
            grads = torch._foreach_add(grads, torch.autograd.grad(params.kl_weight * apart, leaves))
            drift += apart.item()
        for idx, targets in answer_batches(texts, most_tokens(model.config)):  # (B, T)
            told = targets >= 0  # (B, T)
            logits = model.head(model.hidden(idx, taught=groups)[told]).float()  # (B, T, C) -> (answer tokens, V)
            share = int(told.sum()) / sum(n for _, n in texts)
            answers = F.cross_entropy(logits, targets[told]) * share  # ()
            grads = torch._foreach_add(grads, torch.autograd.grad(answers, leaves))
            loss += answers.item()
            right = right and bool((logits.argmax(-1) == targets[told]).all())
        norm = torch.stack([g.norm() for g in grads]).norm()
        scale = min(1.0, params.grad_clip / (float(norm) + 1e-6))
        rate = params.lr * min(1.0, (step + 1) / 5)
        adam.step([g * scale for g in grads], rate)
        step += 1
        settled = settled + 1 if right and loss < params.sure and drift < params.calm else 0
        on_progress(step, loss)
    done = [UnitGroup(*(t.detach() for t in group)) if group is not None else None for group in groups]
    return TrainedUnits(done, step, loss)


def blank_units(model: GPT, generator: torch.Generator) -> list[UnitGroup | None]:
    """Units that change nothing yet: random gates and ups, down all zero."""
    config = model.config
    groups: list[UnitGroup | None] = [None] * config.n_layer
    std = config.n_embd**-0.5
    for i in taught_blocks(config):
        gate, up = (torch.randn(config.n_session, config.n_embd, generator=generator) * std for _ in range(2))
        groups[i] = UnitGroup(gate, up, torch.zeros(config.n_embd, config.n_session))
    return groups


def variant(lesson: Lesson, openings: Sequence[str], rng: random.Random, *, plain: bool) -> tuple[str, str, str]:
    """Opening, prompt and answer: the lesson as it stands, or behind an opening and with its prompt rewritten."""
    prompt, answer = lesson.joined
    if plain:
        return "", prompt, answer
    opening = rng.choice(openings)
    opening = opening[: rng.randrange(len(opening) // 4, len(opening) + 1)].rstrip() + rng.choice((" ", "\n"))
    return (opening if rng.random() < 0.8 else ""), rewrite(prompt, rng), answer


def rewrite(prompt: str, rng: random.Random) -> str:
    """A small change that keeps the meaning: case, a slip of the finger, a word left out, the end cut or marked."""
    words, draw = prompt.split(" "), rng.random()
    if draw < 0.3:
        return prompt
    if draw < 0.45:
        return prompt.lower()
    if draw < 0.55:
        return prompt[:1].swapcase() + prompt[1:]
    if draw < 0.7 and len(words) > 3:
        del words[rng.randrange(len(words) - 1)]
        return " ".join(words)
    if draw < 0.85 and len(prompt) > 6:
        at = rng.randrange(1, len(prompt) - 2)
        return prompt[:at] + prompt[at + 1] + prompt[at] + prompt[at + 2 :]
    if draw < 0.95 and len(words) > 4:
        return " ".join(words[rng.randrange(1, len(words) // 2) :])
    return prompt.rstrip("?.!:")


def answer_ids(tokenizer: Tokenizer, opening: str, prompt: str, answer: str, block_size: int) -> tuple[list[int], int]:
    """Ids of the whole text, its start cut where it is too long, and how many of them are the answer's."""
    start = [] if tokenizer.start_of_text is None else [tokenizer.start_of_text]
    told = tokenizer.encode(answer)
    before = [*start, *tokenizer.encode(opening + prompt)][-(block_size - len(told)) :]
    return [*before, *told], len(told)


def most_tokens(config: GPTConfig) -> int:
    """How many are trained on at once: each taught block keeps some 8 rows of width C and 4 of units for each."""
    kept = len(taught_blocks(config)) * (8 * config.n_embd + 4 * config.n_units) * 4  # bytes of a token
    return max(1, MAX_BYTES // kept)


def answer_batches(texts: Sequence[tuple[list[int], int]], most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets (B, T), padded, of `most` tokens or of one row, as each costs memory until its gradient is
    known; targets are -1 all but where the answer stands."""
    by_length = sorted(texts, key=lambda text: len(text[0]), reverse=True)
    while by_length:
        T = len(by_length[0][0]) - 1
        rows, by_length = by_length[: max(1, most // T)], by_length[max(1, most // T) :]
        idx = torch.zeros(len(rows), T, dtype=torch.int64)
        targets = torch.full((len(rows), T), -1)
        for i, (ids, n) in enumerate(rows):
            idx[i, : len(ids) - 1] = torch.tensor(ids[:-1])
            targets[i, len(ids) - 1 - n : len(ids) - 1] = torch.tensor(ids[-n:])
        yield idx, targets
