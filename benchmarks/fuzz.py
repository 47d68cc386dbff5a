"""python -m benchmarks.fuzz [--weights DIR] [--minutes 10] [--seed 1] [--isa NAME] [--json]

Drives the native kernel and the torch reference (float32) through the same random life: prompts that are new, go on, or
lost their beginning; guesses that are verified and cut; cancelled replies; full contexts; adapters taught, swapped and
taken away; resets. Every row of logits that a token could be drawn from is compared; the exit status is 1 where two
rows differ by more than `TOLERANCE` of the row's largest logit.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.checkpoint import read_model
from engine.decoder import Decoder
from engine.folder import default_weights, open_weights
from engine.kernel import Kernel, isas
from engine.model import GPT
from engine.shape import Floats, GPTConfig, UnitGroup
from engine.torch_decoder import TorchDecoder
from engine.window import Window

TOLERANCE = 2e-3
SESSION_UNITS = 16
ADAPTERS = 4


class Life:
    """Two windows that are told the same."""

    def __init__(self, decoders: list[Decoder], config: GPTConfig, rng: random.Random) -> None:
        self.decoders, self.windows = decoders, [Window(decoder) for decoder in decoders]
        self.config, self.rng = config, rng
        self.adapters = [None, *(random_adapter(config, rng.randrange(1 << 30)) for _ in range(ADAPTERS))]
        self.prefix, self.text = self.new_ids(20), self.new_ids(60)
        self.rows, self.worst, self.steps = 0, 0.0, dict[str, int]()

    def new_ids(self, most: int) -> list[int]:
        return [self.rng.randrange(self.config.vocab_size) for _ in range(self.rng.randint(1, most))]

    def compare(self, rows: list[Floats]) -> None:
        """Rows (n, V) or (V,) of both."""
        ours, theirs = rows
        difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        self.rows += 1 if ours.ndim == 1 else len(ours)
        self.worst = max(self.worst, difference)
        if not difference <= TOLERANCE:  # a NaN is not
            raise AssertionError(f"a row differs by {difference:.2e} of its largest logit")

    def step(self) -> None:
        name = self.rng.choices(
            ["prompt", "goes on", "lost its start", "write", "write long", "adapter", "reset"], [3, 4, 4, 6, 1, 2, 1]
        )[0]
        self.steps[name] = self.steps.get(name, 0) + 1
        room = self.config.block_size // 2
        if name == "prompt":
            self.prefix, self.text = self.new_ids(room // 3), self.new_ids(room)
        elif name == "goes on":
            self.text += self.new_ids(12)
        elif name == "lost its start":
            self.text = [*self.text[self.rng.randint(0, len(self.text) // 2) :], *self.new_ids(12)]
        elif name == "adapter":
            adapter = self.rng.choice(self.adapters)
            for decoder, window in zip(self.decoders, self.windows, strict=True):
                window.forget()
                decoder.attach(adapter)
        elif name == "reset":
            for window in self.windows:
                window.forget()
        if name not in ("write", "write long"):
            self.text = self.text[-(self.config.block_size - len(self.prefix) - 8) :]
            self.compare([window.read([*self.prefix, *self.text], len(self.prefix)) for window in self.windows])
            return
        for _ in range(self.config.block_size if name == "write long" else self.rng.randint(1, 30)):
            self.write()

    def write(self) -> None:
        """A token and some guesses, of which a part comes true."""
        if self.windows[0].left == 0:
            for window in self.windows:
                window.make_room()
        tried = self.new_ids(min(8, self.windows[0].left))
        self.compare([window.follow(tried) for window in self.windows])
        right = self.rng.randint(1, len(tried))
        for window in self.windows:
            window.cut(window.length - len(tried) + right)
        self.text += tried[:right]


def random_adapter(config: GPTConfig, seed: int) -> list[UnitGroup | None]:
    generator, C, r = torch.Generator().manual_seed(seed), config.n_embd, config.n_session
    groups: list[UnitGroup | None] = [None] * config.n_layer
    for i in range(config.n_layer // 2, config.n_layer):  # any block may have some
        gate, up, down = (torch.randn(shape, generator=generator) for shape in ((r, C), (r, C), (C, r)))
        groups[i] = UnitGroup(*(part.half().float() for part in (gate * C**-0.5, up * C**-0.5, down * 0.1)))
    return groups


def run(folder: Path, minutes: float, seed: int, isa: str | None) -> dict[str, Any]:
    stored = open_weights(folder, n_session=SESSION_UNITS)
    model: GPT = read_model(stored.config, stored.files, "float32")
    kernel = Kernel.from_model(model, isa=isa)
    life = Life([kernel, TorchDecoder(model)], stored.config, random.Random(seed))
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        life.step()
    return {"isa": kernel.isa, "rows": life.rows, "worst": float(f"{life.worst:.3g}"), "steps": life.steps}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--isa", choices=isas())
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        figures = run(args.weights or default_weights(), args.minutes, args.seed, args.isa)
    except AssertionError as error:
        print(f"fuzz: seed {args.seed}: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(figures))
    else:
        told = ", ".join(f"{count} x {name}" for name, count in figures["steps"].items())
        print(f"{figures['isa']}: {figures['rows']:,} rows, largest difference {figures['worst']:.2e}; {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
