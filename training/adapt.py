"""python -m training adapt --base WEIGHTS --corpus FILE --licence TEXT --rating general --out PACK [--text STORIES]

Trains a style on a small corpus while the base stands still. `--method units` makes a style pack: new long-term units
beside each feed-forward layer, the parallel adapter of He et al. 2022 (https://arxiv.org/abs/2110.04366), in one file
that `python -m engine generate --pack` puts on. `--method lora` trains as many weights as low-rank changes of the
attention matrices and merges them into a weights folder of its own. Either begins at the base exactly.

What the base says elsewhere is held by a KL term on text that it wrote itself (Li & Hoiem 2017, "Learning without
Forgetting", https://arxiv.org/abs/1606.09282). The same corpus, settings and threads give the same bytes.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from engine.checkpoint import Weights, load_weights, save_weights
from engine.folder import read_card, read_config
from engine.model import GPT, GPTConfig, UnitGroup, attach_units
from engine.pack import MAX_BYTES, MAX_UNITS, dump_pack
from engine.tokenizer import Tokenizer
from training.card import describe
from training.corpus import file_sha256, read_documents
from training.errors import CorpusError, RunError
from training.evaluate import bits_per_byte
from training.export import CREDITS
from training.lora import ATTENTION, add_lora, merge_lora
from training.mixing import corpora_of, require_unmixed
from training.style import MEASURED_CHARS, Replay, Style, batches, encode, read_style, within

UNITS = 32  # of each block: 295 kB on ember
HEADER_BYTES, BLOCK_HEADER_BYTES = 16_384, 512  # of a pack, left for its card and for the names of a block's tensors
WARMUP_STEPS, DECAY_SHARE = 20, 0.5
GRAD_CLIP = 1.0
REPORTS = 10  # lines of progress
CREDITS_SUFFIX = ".credits.tsv"


@dataclass(frozen=True)
class AdaptOptions:
    """What has a default was chosen by the sweep in docs/experiments.md."""

    base: Path
    corpus: Path
    out: Path
    licence: str  # of the corpus
    rating: Literal["general", "mature"]  # of the corpus
    method: Literal["units", "lora"] = "units"
    units: int | None = None  # of each block, or as many weights of LoRA; None: see `choose_units`
    steps: int = 400
    batch_size: int = 8  # windows in a step
    block_size: int = 256  # tokens of a window, at most the model's own
    lr: float = 1e-2
    kl_weight: float = 0.3
    text: Path | None = None  # stories that the style should not cost, measured before and after
    children: Literal["yes", "no"] | None = None  # whether the corpus has to do with them; a mature one must not
    credit: str | None = None  # that the licence asks for, where no list of authors lies beside the corpus
    name: str | None = None  # instead of the file's
    seed: int = 1
    threads: int | None = None  # None: torch's choice
    lora_names: tuple[str, ...] = ATTENTION  # matrices that LoRA changes


def adapt(options: AdaptOptions) -> dict[str, Any]:
    """Write the style pack, or with LoRA the weights folder; returns what it says of itself.

    Raises:
        RunError: `out` is there already, so many units do not fit a pack, or the training ran away.
        CorpusError: the corpus is missing, damaged or too short, or credits that its licence asks for are missing; or
            it is mature, and it or a corpus of the base has to do with children.
        WeightsError, TokenizerError: the base cannot be used.
    """
    if options.out.exists():
        raise RunError(f"{options.out} is there already; name another place.")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    units = choose_units(read_config(options.base), options.units)
    corpus = {"file": options.corpus.name, "rating": options.rating, "children": options.children}
    require_unmixed([corpus, *corpora_of(read_card(options.base))])
    base = load_weights(options.base, n_long_term=units if options.method == "units" else None)
    model, tokenizer = base.model, base.tokenizer
    credited = credits_beside(options)
    stories = within(list(read_documents(options.text)), MEASURED_CHARS) if options.text is not None else []
    style = read_style(options.corpus, stories)
    texts = {"held_out": style.held_out, "stories": stories}
    before = measure(model, tokenizer, texts)

    generator = torch.Generator().manual_seed(options.seed)
    replay = Replay(model, tokenizer, generator) if options.kl_weight else None
    groups: list[UnitGroup | None] | None = None
    if options.method == "units":
        groups = blank_units(model.config, units, generator)
        leaves = [part.requires_grad_() for group in groups if group is not None for part in group]
    else:
        leaves = [*add_lora(model, unit_weights(model.config) * units, generator, options.lora_names)]
    weights = sum(leaf.numel() for leaf in leaves)
    print(f"{options.corpus.name}: {style.bytes:,} bytes to train {weights:,} weights on", flush=True)
    tokens = train(model, groups, leaves, encode(style, tokenizer), replay, generator, options)

    if groups is not None:
        groups = [group and UnitGroup(*(part.detach().half() for part in group)) for group in groups]
        attach_units(model, "long_term", groups)
    else:
        merge_lora(model)
    after = measure(model, tokenizer, texts)  # of the weights as they will be stored and served
    if not all(map(math.isfinite, after.values())) or not all(leaf.half().isfinite().all() for leaf in leaves):
        raise RunError(
            f"The training ran away to numbers that FP16 cannot hold; take a lower --lr than {options.lr:g}."
        )
    about = {
        "name": options.name or options.out.stem, "rating": options.rating,
        "base_id": base.base_id, "corpora": [describe_corpus(options, style)],
        "training": {
            "method": options.method, "weights": weights, "steps": options.steps, "tokens": tokens,
            "lr": options.lr, "kl_weight": options.kl_weight, "seed": options.seed,
        },
        "bits_per_byte": {name: {"before": before[name], "after": after[name]} for name in after},
    }  # fmt: skip
    if groups is None:
        return write_weights(options, base, about, credited)
    return write_pack(options, groups, about | {"units": units}, credited)


def train(
    model: GPT, groups: Sequence[UnitGroup | None] | None, leaves: list[Tensor], ids: Tensor, replay: Replay | None,
    generator: torch.Generator, options: AdaptOptions,
) -> int:  # fmt: skip
    """AdamW on the leaves alone, for the loss on windows of the ids (n,); returns how many ids were read."""
    optimizer = torch.optim.AdamW(leaves, lr=options.lr, betas=(0.9, 0.99), weight_decay=0.0)
    rows_of = batches(ids, options.batch_size, min(options.block_size, model.config.block_size), generator)
    began, tokens = time.monotonic(), 0
    for step in range(options.steps):
        rows = next(rows_of)  # (B, T + 1)
        idx, targets = rows[:, :-1], rows[:, 1:]  # (B, T)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss: Tensor = model(idx, targets, taught=groups)
            drift = replay.drift(model, groups, step) if replay is not None else torch.zeros(())
        (loss + options.kl_weight * drift).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(leaves, GRAD_CLIP)
        for group in optimizer.param_groups:
            group["lr"] = options.lr * rate(step, options.steps)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += idx.numel()
        if (step + 1) * REPORTS // options.steps > step * REPORTS // options.steps:
            speed = tokens / (time.monotonic() - began)
            told = f"step {step + 1}/{options.steps}  loss {loss.item():.4f}  drift {drift.item():.4f}"
            print(f"{told}  {speed:,.0f} tokens/s", flush=True)
    return tokens


def rate(step: int, steps: int) -> float:
    """Share of the full learning rate: warm-up, constant, then a line to zero (WSD, Hu et al. 2024)."""
    return min(1.0, (step + 1) / WARMUP_STEPS, (steps - step) / (DECAY_SHARE * steps))


def measure(model: GPT, tokenizer: Tokenizer, texts: dict[str, list[str]]) -> dict[str, float]:
    """Bits per byte on each of the texts that there are."""
    return {
        name: round(bits_per_byte(model, tokenizer, documents).bits_per_byte, 6)
        for name, documents in texts.items()
        if documents
    }


def choose_units(config: GPTConfig, wanted: int | None) -> int:
    """Units of each block: those wanted, else what the base asks room for, `UNITS`, or the most that a pack can hold.

    Raises:
        RunError: more are wanted than a pack can hold.
    """
    room = MAX_BYTES - HEADER_BYTES - BLOCK_HEADER_BYTES * config.n_layer
    most = min(MAX_UNITS, room // (2 * unit_weights(config)))  # two bytes a weight
    if (wanted or 1) > most:
        raise RunError(
            f"A style pack of these weights holds {most} units a block at most; give --units {most} or less."
        )
    return wanted or min(config.n_long_term or UNITS, most)


def unit_weights(config: GPTConfig) -> int:
    """Weights of one unit in every block."""
    return 3 * config.n_embd * config.n_layer


def blank_units(config: GPTConfig, units: int, generator: torch.Generator) -> list[UnitGroup | None]:
    """Units that change nothing yet: random gates and ups, down all zero."""
    C, std = config.n_embd, config.n_embd**-0.5
    groups: list[UnitGroup | None] = []
    for _ in range(config.n_layer):
        gate, up = (torch.randn(units, C, generator=generator) * std for _ in range(2))  # (r, C)
        groups.append(UnitGroup(gate, up, torch.zeros(C, units)))
    return groups


def describe_corpus(options: AdaptOptions, style: Style) -> dict[str, Any]:
    """As in the card of base weights, but for a share of their mixture."""
    corpus = describe({
        "file": options.corpus.name, "licence": options.licence, "rating": options.rating,
        "sha256": file_sha256(options.corpus), "documents": style.documents, "bytes": style.bytes, "weight": 1.0,
        "children": options.children, "credit": options.credit,
        "removed": {what: count for what, count in style.removed.items() if count},
    })  # fmt: skip
    return {key: value for key, value in corpus.items() if key != "weight"}


def write_pack(
    options: AdaptOptions, groups: Sequence[UnitGroup | None], about: dict[str, Any], credited: Path | None
) -> dict[str, Any]:
    """The pack, and beside it the authors' credits; returns what the pack says of itself."""
    blob = dump_pack(groups, about)
    with aside(options.out) as made:
        made.write_bytes(blob)
    if credited is not None:
        shutil.copyfile(credited, options.out.with_name(options.out.name + CREDITS_SUFFIX))
    return about


def write_weights(options: AdaptOptions, base: Weights, about: dict[str, Any], credited: Path | None) -> dict[str, Any]:
    """The weights that a style was merged into, with the credits of the base's authors too; returns their card."""
    name = str(base.card.get("name") or base.folder.resolve().name)
    rated = str(base.card.get("rating", "unknown"))
    card = {
        **{key: value for key, value in about.items() if key != "base_id"},
        "rating": "mature" if options.rating == "mature" else rated,  # general only where both are known to be
        "parameters": base.model.parameter_count(),
        "about": f"{name}, adapted to {options.corpus.name}",
        "corpora": [*base.card.get("corpora", []), *about["corpora"]],
        "adapted_from": {"name": name, "base_id": base.base_id, "training": base.card.get("training", {})},
    }
    with aside(options.out) as made:
        save_weights(made, base.model, base.tokenizer, card)
        if (base.folder / CREDITS).is_file():
            shutil.copyfile(base.folder / CREDITS, made / CREDITS)
        if credited is not None:
            shutil.copyfile(credited, made / credits_name(options.corpus))
    return card


def credits_beside(options: AdaptOptions) -> Path | None:
    """The list of authors that lies beside the corpus, if there is one.

    Raises:
        CorpusError: the licence asks for credits and there are none.
    """
    path = options.corpus.with_name(credits_name(options.corpus))
    if path.is_file():
        return path
    if "CC BY" in options.licence and not options.credit:
        raise CorpusError(f"{path} is missing, but the licence asks for credits; put it there, or give --credit.")
    return None


def credits_name(corpus: Path) -> str:
    return corpus.name.split(".")[0] + CREDITS_SUFFIX


@contextmanager
def aside(out: Path) -> Iterator[Path]:
    """A place to write what becomes `out` when it is whole; stopped before, nothing of it is left."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        made = Path(folder) / out.name
        yield made
        made.replace(out)
