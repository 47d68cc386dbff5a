"""A preset and corpora of a few kilobytes, and the commands as child processes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

SEPARATOR = "<|endoftext|>"

PRESET = """
about = "for tests"
valid = "valid.txt"
memory_share = 0.5
[tokenizer]
kind = "{kind}"
vocab_size = 300
[model]
n_layer = 2
n_head = 2
n_embd = 16
n_ffn = 32
block_size = 32
[train]
steps = {steps}
batch_size = 4
micro_batch_size = 3
short_block_size = 16
optimizer = "{optimizer}"
lr = 4e-3
warmup_steps = 5
document_masking = true
ema = 0.9
valid_every = 5
save_every = 7
[[source]]
file = "stories.txt.xz"
weight = 0.75
licence = "public domain"
children = "no"
[[source]]
file = "notes_synthetic.txt"
weight = 0.25
licence = "CC BY"
children = "no"
hold_out = 0.3
"""


# A child's name stands in every run of 13 words and belongs to one story, so that no story overlaps another.
NAMES = [f"{a}{b}{c}" for a in ("Mi", "To", "An", "Be", "Li") for b in ("ra", "ma", "li", "no") for c in "abdeklmnrst"]


def story(rng: random.Random, sentences: int, hero: str = "Mira") -> str:
    friend = rng.choice(["Tom", "Anna", "Ben", "Lily"])
    things = ("a key", "an old map", "the red ball", "some bread", "a small stone")
    told = [f"Once upon a time, there was a child named {hero}."]
    told += [f"{hero} found {rng.choice(things)} in the forest and showed it to {friend}." for _ in range(sentences)]
    return " ".join(told)


def write_corpora(folder: Path) -> Path:
    import lzma

    rng = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    heroes = iter(rng.sample(NAMES, len(NAMES)))
    for name, count in (("stories.txt.xz", 60), ("notes_synthetic.txt", 40), ("valid.txt", 4)):
        text = "".join(f"{story(rng, rng.randrange(1, 12), next(heroes))}\n{SEPARATOR}\n" for _ in range(count))
        (folder / name).write_bytes(lzma.compress(text.encode()) if name.endswith(".xz") else text.encode())
    credited = "doc\ttitle\ttext_author\tlicence\n0\tThe Key\tA. Author\tCC BY\n1\tThe Map\tÉ. Other\tCC BY\n"
    (folder / "notes_synthetic.credits.tsv").write_text(credited, encoding="utf-8")
    return folder


def write_preset(path: Path, *, kind: str = "hybrid", optimizer: str = "muon", steps: int = 30) -> Path:
    path.write_text(PRESET.format(kind=kind, optimizer=optimizer, steps=steps), encoding="utf-8")
    return path


def training_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "training", *map(str, arguments)]


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        training_command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
