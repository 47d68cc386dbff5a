"""python -m benchmarks.vocabulary --data CORPORA [--vocab 512,1024,2048,2048^,4096,8192] [--train-seconds 600] [--json]

How large should the vocabulary be? First without a model: bytes per token of held-out stories, and how many tokens the
training text hardly shows. With `--train-seconds`, models of equal size then train for as long each (see `race`), and
are compared by bits per byte and by the characters that they write in a second.

A vocabulary is `char`, or the size of a hybrid one; with `^` behind it, upper case is a mark and the small letter, so
that "The" and "the" share a token. The mark is undone by the file's own decoder, and nothing is lost (`with_marks`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from benchmarks.recipe.race import share_of_rate, validation
from config.presets import Preset, load_preset
from engine.checkpoint import save_weights
from engine.generation import Engine
from engine.model import GPT, GPTConfig
from engine.sampling import SamplingParams
from engine.tokenizer import CONTROL_TOKENS, Tokenizer
from training.data import Mixture
from training.evaluate import bits_per_byte
from training.optimizer import clip_gradients, make_optimizers
from training.prepare import prepare, sections, training_documents
from training.train import model_config
from training.vocabulary import train_char, train_hybrid

MARK, ITSELF = "\u2191", "\u2192"  # upper case follows; a mark that stood in the text
RARE = 200  # a token that is shown less often than this cannot be learnt (training/vocabulary.py)
TURNS = 50  # of each model, so that what else the machine does falls on all alike
BATCH_TOKENS, CONTEXT = 4096, 256  # of one step
OPENING = "Once upon a time, there was a little fox named Mira."
WRITTEN, ROUNDS = 150, 3  # tokens of a reply, and replies of each model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the preset's corpora")
    parser.add_argument("--preset", default="ember", help="whose mixture, shape and recipe to take")
    parser.add_argument("--vocab", default="512,1024,2048,2048^,3072,4096,8192", help="char, sizes, sizes with ^")
    parser.add_argument("--sample-mb", type=float, default=10.0, help="text that vocabularies are trained on")
    parser.add_argument("--train-seconds", type=float, help="CPU seconds of training for each; default: no training")
    parser.add_argument("--corpus-mb", type=float, default=40.0, help="text that models are trained on")
    parser.add_argument("--valid-chars", type=int, default=400_000)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args()
    torch.set_num_threads(1)
    preset, names = load_preset(args.preset), args.vocab.split(",")
    sample = [text for source in preset.sources for text in share(args.data, source, args.sample_mb)]
    made = {name: make(name, sample) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        valid = validation(args.data / preset.valid, args.valid_chars)
        rows = {"tokens": [count(name, tokenizer, sample, valid) for name, tokenizer in made.items()]}
        if args.train_seconds is not None:
            small = tuple(replace(s, max_bytes=int(s.weight * args.corpus_mb * 1e6)) for s in preset.sources)
            plain = replace(preset, sources=small, memory_share=0.0)
            racers = [Racer(name, made[name], plain, args.data, Path(folder)) for name in names]
            rows["models"] = race(racers, args.train_seconds, valid, Path(folder))
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for table in rows.values():
        widths = {key: max(len(key), *(len(str(row[key])) for row in table)) + 2 for key in table[0]}
        for row in [dict(zip(widths, widths, strict=True)), *table]:
            print("".join(f"{value!s:>{widths[key]}}" for key, value in row.items()))


def share(data: Path, source: Any, megabytes: float) -> Iterator[str]:
    """A source's part of the sample, in sections."""
    part = replace(source, max_bytes=max(1, int(source.weight * megabytes * 1e6)))
    left = part.max_bytes
    for text, _ in sections(training_documents(data, part)):
        yield text[:left]
        left -= len(text)
        if left <= 0:
            return


def make(name: str, sample: list[str]) -> Tokenizer:
    if name == "char":
        return train_char(sample)
    return with_marks(sample, int(name[:-1])) if name.endswith("^") else train_hybrid(sample, int(name))


def with_marks(texts: list[str], vocab_size: int) -> Tokenizer:
    """A hybrid vocabulary of small letters: " The" becomes MARK + " the", "McA" is MARK + "mc" + MARK + "a", and a MARK
    of the text itself becomes MARK + ITSELF. Behind a mark there is so one of three things, and each has one origin.

    Only A to Z are marked: for other letters upper and lower case are not always pairs (U+0130).
    """
    letters = [(big, big.lower()) for big in string.ascii_uppercase]
    behind_space = [(f" {big}", f"{MARK} {small}") for big, small in letters]
    alone = [(big, MARK + small) for big, small in letters]
    rules = [(MARK, MARK + ITSELF), *behind_space, *alone]
    inner = tokenizers.Tokenizer(models.BPE())
    inner.normalizer = normalizers.Sequence([normalizers.Replace(plain, marked) for plain, marked in rules])
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    undo = [decoders.Replace(marked, plain) for plain, marked in reversed(rules)]
    inner.decoder = decoders.Sequence([decoders.ByteLevel(), *undo])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = list(CONTROL_TOKENS)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    return Tokenizer(inner)


def count(name: str, tokenizer: Tokenizer, sample: list[str], valid: list[str]) -> dict[str, Any]:
    """How a vocabulary cuts text, without any model."""
    began = time.process_time()
    ids = [tokenizer.encode(text) for text in valid]
    seconds = time.process_time() - began
    size = sum(len(text.encode()) for text in valid)
    shown = Counter(i for text in sample for i in tokenizer.encode(text))
    rare = sum(shown[i] < RARE for i in range(tokenizer.vocab_size) if i not in tokenizer.control.values())
    return {
        "vocab": name, "tokens": tokenizer.vocab_size, "bytes_per_token": round(size / sum(map(len, ids)), 3),
        "rare": rare, "unchanged": sum(tokenizer.decode(i) == text for i, text in zip(ids, valid, strict=True)),
        "documents": len(valid), "encode_mb_per_s": round(size / 1e6 / seconds, 2),
    }  # fmt: skip


class Racer:
    """A model with its vocabulary, data and clock."""

    def __init__(self, name: str, tokenizer: Tokenizer, preset: Preset, data: Path, home: Path) -> None:
        self.name, self.tokenizer, self.folder = name, tokenizer, home / name.replace("^", "-marks")
        self.folder.mkdir()
        tokenizer.save(self.folder)
        with redirect_stdout(sys.stderr):
            prepare(preset, data, self.folder / "data", self.folder)
        self.mixture = Mixture(self.folder / "data", preset.train.seed)
        torch.manual_seed(preset.train.seed)
        self.model = GPT(as_large(preset, tokenizer.vocab_size))
        self.model.initialize()
        self.optimizers = make_optimizers(self.model, preset.train)
        self.cpu, self.wall, self.steps = 0.0, 0.0, 0

    def step(self, progress: float) -> None:
        """One optimizer step, at this share of the time."""
        cpu, wall = time.process_time(), time.perf_counter()
        idx, targets = self.mixture.batch(BATCH_TOKENS // CONTEXT, CONTEXT)  # (B, T)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * share_of_rate(progress)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.model(idx, targets)
        loss.backward()
        clip_gradients(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self.cpu, self.wall = self.cpu + time.process_time() - cpu, self.wall + time.perf_counter() - wall


def as_large(preset: Preset, vocab_size: int) -> GPTConfig:
    """The preset's shape with feed-forward layers as wide as it takes for the preset's own number of weights."""
    target = model_config(preset, preset.tokenizer.vocab_size).n_weights
    config = model_config(preset, vocab_size)
    narrow = replace(config, n_ffn=1)
    unit = replace(config, n_ffn=2).n_weights - narrow.n_weights  # weights of a unit in every layer
    config = replace(config, n_ffn=1 + round((target - narrow.n_weights) / unit))
    assert abs(config.n_weights / target - 1) < 0.01
    return config


def race(racers: list[Racer], seconds: float, valid: list[str], home: Path) -> list[dict[str, Any]]:
    """Train all in turns until each has had as many CPU seconds; then measure all, in turns again."""
    for turn in range(1, TURNS + 1):
        for racer in racers:
            while racer.cpu < seconds * turn / TURNS:
                racer.step(racer.cpu / seconds)
    for racer in racers:
        save_weights(racer.folder, racer.model, racer.tokenizer, {"name": racer.name})
    engines = [Engine.load(racer.folder, threads=1) for racer in racers]
    speeds: list[list[float]] = [[] for _ in racers]
    for seed in range(ROUNDS):
        for engine, own in zip(engines, speeds, strict=True):
            written = engine.generate(OPENING, SamplingParams(WRITTEN, min_new_tokens=WRITTEN, seed=seed))
            own.append(len(written.text) / written.seconds)
    rows = []
    for racer, own in zip(racers, speeds, strict=True):
        fit = bits_per_byte(racer.model, racer.tokenizer, valid)
        tokens = racer.steps * BATCH_TOKENS
        rows.append({
            "vocab": racer.name, "parameters": racer.model.parameter_count(), "n_ffn": racer.model.config.n_ffn,
            "cpu": round(racer.cpu, 1), "wall": round(racer.wall, 1), "steps": racer.steps,
            "mb_read": round(tokens * fit.bytes / fit.tokens / 1e6, 1), "unknown": fit.unknown,
            "bits_per_byte": round(fit.bits_per_byte, 4), "chars_per_second": round(statistics.median(own)),
        })  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
