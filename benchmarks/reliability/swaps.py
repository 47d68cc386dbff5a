"""python -m benchmarks.reliability.swaps [--swaps 500]: weights are changed under load, and most changes go wrong.

Two sound folders and eleven kinds of faults, at each step of a change: what is wrong before it begins, what goes wrong
while the new weights are read and while they are tried out, and a change that is called off. Meanwhile lines of
requests are written greedily, so that each reply can be compared with what either of the weights writes alone. Prints
how many swaps ended how; ends with 1 where a reply failed, mixed two weights, or came from others than those that
should have served.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.reliability.command_line import parser, tell
from benchmarks.reliability.tiny import two_weights
from engine import Context, Engine, EngineError, EngineInfo, Job, SamplingParams, Worker

GREEDY = SamplingParams(max_new_tokens=24, min_new_tokens=24, temperature=0.0)
PROMPTS = tuple(f"One day, Mira found {thing}" for thing in ("a key.", "Tom.", "an old house.", "the river."))
LINES = 4  # channels that ask without a pause

Damage = Callable[[Path], None]


def truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def wrong_shape(folder: Path) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"intermediate_size": config["intermediate_size"] * 2}))


def not_a_number(folder: Path) -> None:
    """The last values of the last tensor: FP16 numbers of all ones."""
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-64] + b"\xff" * 64)


def too_large(folder: Path) -> None:
    """Of a context that no host has memory for."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"max_position_embeddings": 1 << 36}))


def without(name: str) -> Damage:
    return lambda folder: (folder / name).unlink(missing_ok=True)


BEFORE: dict[str, Damage] = {
    "damaged file": truncated,
    "wrong shape": wrong_shape,
    "not a number": not_a_number,
    "no tokenizer": without("tokenizer.json"),
    "no memory": too_large,
    "no folder": shutil.rmtree,
}
# By the progress that a change tells: what happens right then, in whatever step the engine's thread is.
AMID: dict[str, tuple[int, Damage | None]] = {
    "the file goes while it is read": (0, without("model.safetensors")),
    "the file is cut while it is read": (0, truncated),
    "called off while it is read": (0, None),
    "the folder goes while it is tried": (1, shutil.rmtree),
}
UNBEGUN, SOUND = "called off before its turn", "sound"
KINDS = (*BEFORE, *AMID, UNBEGUN, SOUND)


@dataclass
class Run:
    swaps: int = 0
    replies: int = 0
    failed: int = 0  # replies that ended in an error
    mixed: int = 0  # that neither of the weights writes
    wrong: int = 0  # written behind a change by others than the weights that it said
    refused: Counter[str] = field(default_factory=Counter)  # by the kind of fault
    changed: Counter[str] = field(default_factory=Counter)

    @property
    def sound(self) -> bool:
        return not (self.failed or self.mixed or self.wrong)


class Load:
    """Lines of requests, and what each of the weights answers them with."""

    def __init__(self, worker: Worker, folders: tuple[Path, Path], run: Run) -> None:
        self._worker, self._run, self._over = worker, run, False
        self.expected: dict[str, dict[str, str]] = {}  # by prompt: the text, and the weights that write it
        for folder in folders:
            engine = Engine.load(folder)
            for prompt in PROMPTS:
                self.expected.setdefault(prompt, {})[engine.generate(prompt, GREEDY).text] = engine.base_id
            engine.close()
        assert all(len(each) == len(folders) for each in self.expected.values()), "the weights are to be told apart"

    async def ask(self, line: int) -> None:
        """Without a pause, until it is over."""
        while not self._over:
            prompt = PROMPTS[(self._run.replies + line) % len(PROMPTS)]
            await self.write(prompt, line)

    async def write(self, prompt: str, line: int) -> str | None:
        """A reply; gives the weights that wrote it."""
        try:
            reply = await self._worker.generate(Context(text=prompt), GREEDY, line=line).result()
        except EngineError as error:
            print(f"a reply failed: {error}", file=sys.stderr)
            self._run.failed += 1
            return None
        self._run.replies += 1
        base = self.expected[prompt].get(reply.text)
        self._run.mixed += base is None
        return base

    async def probe(self) -> None:
        """Whether a reply that is asked for now comes from the weights that are said to serve."""
        self._run.wrong += await self.write(PROMPTS[0], LINES) != self._worker.engine_info.base_id

    def end(self) -> None:
        self._over = True


async def change(worker: Worker, sound: Path, place: Path, kind: str, run: Run) -> None:
    """One change to a copy of the sound weights, with a fault of this kind."""
    folder = Path(shutil.copytree(sound, place / f"swap-{run.swaps}"))
    before = worker.engine_info
    if kind in BEFORE:
        BEFORE[kind](folder)
    job = worker.swap(folder)
    if kind == UNBEGUN:
        job.cancel()
    elif kind in AMID:
        await amid(job, folder, *AMID[kind])
    try:
        info: EngineInfo | None = await job.result()
    except EngineError:
        info = None
        run.refused[kind] += 1
    else:
        run.changed[kind] += 1
    run.swaps += 1
    assert worker.engine_info == (info or before), "what serves is what the change said"
    if kind in (*BEFORE, UNBEGUN):
        assert info is None, f"taken in spite of this: {kind}"
    if kind == SOUND:
        assert info is not None


async def amid(job: Job[EngineInfo], folder: Path, step: int, damage: Damage | None) -> None:
    told = 0
    async for _ in job:
        if told == step:
            if damage is None:
                job.cancel()
            else:
                damage_if_there(damage, folder)
        told += 1


def damage_if_there(damage: Damage, folder: Path) -> None:
    if folder.exists():
        damage(folder)


def tidy(place: Path, serving: Path) -> None:
    """The weights that serve may be read again, as long as they are there; the copies of others go."""
    for folder in place.glob("swap-*"):
        if folder != serving:
            shutil.rmtree(folder, ignore_errors=True)


async def swaps(count: int, place: Path) -> Run:
    """So many changes, of all kinds in a random order."""
    one, other = two_weights(place)
    run, chance = Run(), random.Random(1)
    worker = Worker(Engine.load(one))
    worker.start()
    load = Load(worker, (one, other), run)
    lines = [asyncio.create_task(load.ask(line)) for line in range(LINES)]
    kinds: list[str] = []
    try:
        while run.swaps < count:
            kinds = kinds or chance.sample(KINDS, len(KINDS))
            sound = other if worker.engine_info.name == "one" else one
            await change(worker, sound, place, kinds.pop(), run)
            await load.probe()
            tidy(place, worker.engine_info.folder)
    finally:
        load.end()
        await asyncio.gather(*lines)
        await worker.close()
    return run


def main() -> int:
    args = parser(__doc__, swaps=500).parse_args()
    with tempfile.TemporaryDirectory() as place:
        run = asyncio.run(swaps(args.swaps, Path(place)))
    figures = {
        "swaps": run.swaps, "refused": dict(run.refused), "changed": dict(run.changed), "replies": run.replies,
        "failed": run.failed, "mixed": run.mixed, "wrong_weights": run.wrong,
    }  # fmt: skip
    tell(figures, as_json=args.json)
    return 0 if run.sound else 1


if __name__ == "__main__":
    sys.exit(main())
