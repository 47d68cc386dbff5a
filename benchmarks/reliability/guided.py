"""Mutants that `atheris` steers by which lines of the engine they reach, each kind of file in a process of its own.

The mutator is still ours, mixed with that of libFuzzer: bytes changed blindly hardly ever get behind a header. Whatever
the engine lets in and the oracle does not, and whatever is raised that is not the engine's, ends the process.
"""

from __future__ import annotations

import importlib.util
import logging
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = ("model", "config", "tokenizer", "card", "drafts", "pack", "adapter", "vectors")
LIMIT = 4 << 30  # bytes of address space: what counts lines takes some too
MOST = 1 << 16  # bytes of a mutant


class NotSoundError(Exception):
    """A file was let in that is none."""


def run_guided(runs: int, seed: int) -> dict[str, bool]:
    """For each kind of file whether all runs ended well; nothing where `atheris` is not installed."""
    if importlib.util.find_spec("atheris") is None:
        return {}
    ended: dict[str, bool] = {}
    for kind in KINDS:
        command = [sys.executable, "-m", "benchmarks.reliability.guided", kind, str(runs), str(seed)]
        with tempfile.TemporaryDirectory() as place:  # libFuzzer leaves there what it ended with
            ended[kind] = not subprocess.run(
                command, cwd=place, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            ).returncode  # fmt: skip
    return ended


def main() -> None:
    kind, runs, seed = sys.argv[1], sys.argv[2], sys.argv[3]
    import atheris

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    with atheris.instrument_imports(include=["engine"]):
        from benchmarks.reliability.brought_files import Unused, brought_files
    from benchmarks.reliability.mutants import mutate
    from engine.errors import EngineError
    from tests.conftest import write_tiny_weights

    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        kinds = brought_files(write_tiny_weights(Path(folder) / "tiny", 1, n_layer=1, n_embd=8, block_size=16))
        original, check, sound, _ = kinds[kind]

        def one(mutant: bytes) -> None:
            try:
                check(mutant)
            except (EngineError, Unused):
                return
            if mutant != original and not sound(mutant):
                raise NotSoundError

        def change(blob: bytes, most: int, number: int) -> bytes:
            rng = random.Random(number)
            blob = blob if len(blob) > 16 and rng.random() < 0.8 else original
            changed = mutate(blob, rng) if rng.random() < 0.7 else atheris.Mutate(blob, min(most, MOST))
            return bytes(changed[:most])

        words = [sys.argv[0], f"-runs={runs}", f"-seed={seed}", f"-max_len={MOST}", "-timeout=60", "-rss_limit_mb=0"]
        atheris.Setup(words, one, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
