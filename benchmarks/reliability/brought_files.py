"""Every kind of file that somebody can bring: a small sound one, the engine's own check of it, and an oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.reliability import file_oracle as oracle
from engine.adapter import Learnt, pack_adapter, unpack_adapter
from engine.contents import CARD, CONFIG
from engine.draft_table import FILE as DRAFTS
from engine.draft_table import DraftTable, dump_table
from engine.folder import open_weights, read_card, read_config
from engine.gate import key_of
from engine.memory_vectors import WIDTH, MemoryVectors
from engine.pack import dump_pack, load_pack
from engine.shape import UnitGroup
from engine.stored_shapes import stored_shapes
from engine.tensor_files import WEIGHTS, TensorFiles, file_sha256
from engine.tokenizer import Tokenizer

UNITS, VOCAB = 4, 300


class Brought(NamedTuple):
    """A kind of file."""

    original: bytes
    check: Callable[[bytes], Any]  # raises EngineError where it is refused
    sound: oracle.Oracle
    share: int  # of the mutants, in parts of a hundred


def brought_files(folder: Path) -> dict[str, Brought]:
    """By name, around a folder of tiny weights (one layer of width 8), to which files are added."""
    stored = open_weights(folder)
    config, base_id, shapes = stored.config, stored.base_id, stored_shapes(stored.config)
    rng = np.random.default_rng(3)

    def draw(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float16)

    (folder / DRAFTS).write_bytes(
        dump_table(
            (rng.integers(0, 2**31, 40), rng.integers(0, VOCAB, 40), rng.random(40)),
            64,
            vocab_size=VOCAB,
            tokenizer=file_sha256(folder / "tokenizer.json"),
            about={"orders": [2, 1]},
        )
    )
    groups = [UnitGroup(draw(UNITS, 8), draw(UNITS, 8), draw(8, UNITS))]
    about = {"name": "verse", "base_id": base_id, "units": UNITS, "rating": "general", "corpora": []}
    pack, packed = folder / "verse.safetensors", dump_pack(groups, about)
    lesson = Learnt(key_of("The fox is called", "Mira", {}), draw(3, 8), draw(8, 3))
    adapter = pack_adapter([lesson, lesson], base_id)
    vectors = MemoryVectors(draw(6, WIDTH).astype(np.float32), np.arange(6, dtype=np.int32)).dump(base_id)
    roomy = open_weights(folder, n_long_term=UNITS).config

    def on_disk(path: Path, check: Callable[[], Any]) -> Callable[[bytes], Any]:
        def look(blob: bytes) -> Any:
            path.write_bytes(blob)
            return check()

        return look

    def model() -> None:
        files = TensorFiles.find(folder)
        files.check(shapes)
        for _ in files.read():
            pass

    def shape() -> None:
        stored.files.check(stored_shapes(read_config(folder)))

    def content(name: str) -> bytes:
        return (folder / name).read_bytes()

    vocabulary = folder / "other"
    vocabulary.mkdir()
    weights, drafts, tokens = content(WEIGHTS), content(DRAFTS), content("tokenizer.json")
    return {
        "model": Brought(weights, on_disk(folder / WEIGHTS, model), oracle.tensors_of(weights, floats=True), 36),
        "config": Brought(content(CONFIG), on_disk(folder / CONFIG, shape), oracle.json_of(oracle.Config), 14),
        "tokenizer": Brought(
            tokens, on_disk(vocabulary / "tokenizer.json", lambda: Tokenizer.load(vocabulary)), oracle.tokenizer, 10
        ),
        "card": Brought(
            content(CARD), on_disk(folder / CARD, lambda: read_card(folder)), oracle.json_of(oracle.Card), 8
        ),
        "drafts": Brought(
            drafts, on_disk(folder / DRAFTS, lambda: _table(folder)),
            oracle.tensors_of(drafts, key="drafts", kind=oracle.Drafts, ids={"ids": VOCAB}, free=True), 8,
        ),
        "pack": Brought(
            packed, on_disk(pack, lambda: load_pack(pack, roomy, base_id)),
            oracle.tensors_of(packed, key="pack", kind=oracle.Pack), 8,
        ),
        "adapter": Brought(
            adapter, lambda blob: unpack_adapter(blob, config, base_id),
            oracle.tensors_of(adapter, key="adapter", kind=oracle.Adapter, free=True), 8,
        ),
        "vectors": Brought(
            vectors, lambda blob: MemoryVectors.load(blob, base_id, VOCAB),
            oracle.tensors_of(vectors, key="memory_vectors", kind=oracle.Entry, ids={"followed": VOCAB}, free=True), 8,
        ),
    }  # fmt: skip


class Unused(Exception):
    """A table of another vocabulary, which the engine does without."""


def _table(folder: Path) -> DraftTable:
    table = DraftTable.load(folder, VOCAB)
    if table is None:
        raise Unused
    return table
