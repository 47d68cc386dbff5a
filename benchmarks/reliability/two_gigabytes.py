"""python -m benchmarks.reliability.two_gigabytes [--json]: 190M parameters and a change of weights within 2 GB.

Makes two folders of random weights, llamas of 12 layers of width 768 with a vocabulary of 50,257 and a context of
2,048. A process under `RLIMIT_AS` of 2 GiB opens what the bot is made of (store, engine, rules), writes a story with
the first, changes to the second and back, and is asked for weights whose context would take gigabytes, which it has to
refuse while it goes on writing with those it has. Told are the peaks of that process, resident and in address space, in
MB of 10^6 bytes; the exit status is 1 where the resident one is over 1,200 or the weights were not refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reliability.command_line import parser, tell
from engine.errors import WeightsError
from engine.hugging_face import write_shape
from engine.shape import GPTConfig
from engine.stored_shapes import stored_shapes
from engine.tensor_files import WEIGHTS

ROOT = Path(__file__).parents[2]
LIMIT = 2 << 30
MOST_MB = 1200
VOCAB, CONTEXT, TOO_LONG = 50_257, 2048, 1 << 18
SHAPE = GPTConfig(VOCAB, block_size=CONTEXT, n_layer=12, n_head=12, n_embd=768, n_ffn=3072, tie_embeddings=False)
STD = 0.04
PREMISE = "Once upon a time, a fox met a dragon. " * 60


def write_weights(folder: Path, seed: int, config: GPTConfig = SHAPE) -> Path:
    """A folder of random weights; the same seed gives the same bytes."""
    from benchmarks.large_model import write_tokenizer

    folder.mkdir(parents=True)
    write_tokenizer(folder)
    end = config.vocab_size - 1
    (folder / "config.json").write_text(json.dumps(write_shape(config, end, end)))
    card = {"name": folder.name, "rating": "general", "parameters": config.n_weights}
    (folder / "card.json").write_text(json.dumps(card))
    header, place = dict[str, Any](), 0
    for name, shape in (shapes := stored_shapes(config)).items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    rng = np.random.default_rng(seed)
    with (folder / WEIGHTS).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            values = np.ones(shape) if "norm" in name else rng.standard_normal(shape, np.float32) * STD
            file.write(values.astype("<f2").tobytes())
    return folder


def peaks() -> dict[str, float]:
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: round(int(rows[row].split()[0]) * 1024 / 1e6, 1)
            for name, row in (("resident_mb", "VmHWM"), ("address_space_mb", "VmPeak"))}  # fmt: skip


class Nowhere:
    """A reply that nobody reads."""

    async def queued(self, position: int, expected_wait: float) -> None: ...

    async def show(self, text: str) -> None: ...

    async def finish(self, text: str) -> None: ...


async def live(data: Path) -> dict[str, Any]:
    """What the process does; its peaks after each step."""
    from bot.services import Services
    from config.settings import load_settings
    from memory import Author

    ann, told = Author(1, "Ann"), dict[str, Any]()
    settings = load_settings(data_dir=data, weights=data / "weights" / "one", max_new_tokens=32)
    async with await Services.open(settings) as services:
        session = services.session(1)
        await session.start("The fox", PREMISE, ann)
        for step, weights in (("writing", None), ("changed", "two"), ("changed back", "one")):
            if weights is not None:
                await services.shelf.activate(weights, ann)
            reply = await session.write(None, ann, Nowhere())
            assert reply.generated is not None
            told[step] = peaks()
        try:
            await services.shelf.activate("long", ann)
        except WeightsError as error:
            told["refused"] = str(error)
        await session.write(None, ann, Nowhere())
        told["backend"] = services.worker.engine_info.backend
    return {**told, **peaks()}


def child(data: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    logging.disable(logging.CRITICAL)
    print(json.dumps(asyncio.run(live(data))), flush=True)


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        shelf = Path(place) / "weights"
        for seed, name in enumerate(("one", "two")):
            write_weights(shelf / name, seed)
        long = shelf / "long"
        shutil.copytree(shelf / "one", long, copy_function=os.link)
        config = json.loads((long / "config.json").read_text())
        (long / "config.json").unlink()
        (long / "config.json").write_text(json.dumps(config | {"max_position_embeddings": TOO_LONG}))
        (long / "card.json").unlink()
        command = [sys.executable, "-m", "benchmarks.reliability.two_gigabytes", "--child", place]
        environment = os.environ | {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The process ended with code {done.returncode}.")
    figures: dict[str, Any] = json.loads(done.stdout)
    return {"parameters": SHAPE.n_weights, "limit_mb": MOST_MB, **figures}


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
        return 0
    args = parser(__doc__).parse_args()
    figures = measure()
    tell(figures, as_json=args.json)
    return 0 if figures["resident_mb"] <= MOST_MB and "refused" in figures else 1


if __name__ == "__main__":
    sys.exit(main())
