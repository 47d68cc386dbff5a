"""Drafts: what is guessed, when, and that no guess ever changes a text."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from safetensors.torch import load, save

from benchmarks.speculation import OPENINGS, accept, chi_squared, identity, main, texts, two_samples
from engine import Engine, SamplingParams, WeightsError
from engine.draft import Drafter
from engine.draft_table import EMPTY, FILE, DraftTable, context_hashes, dump_table, extend_hash
from engine.tensor_files import file_sha256
from tests.engine.kernel.material import needs_kernel
from training.drafts import Guesses, estimate

ENTRY = {"orders": [2, 1]}


def hash_of(context: list[int]) -> int:
    hashed = 0
    for token in reversed(context):
        hashed = extend_hash(hashed, token)
    return hashed


def write_table(
    folder: Path, entries: list[tuple[list[int], int, float]], *, vocab_size: int, slots: int = 512
) -> Path:
    """A table of these (context, what follows, probability) in a folder that has a tokenizer.json."""
    contexts, ids, probability = zip(*entries, strict=True)
    columns = (torch.tensor([hash_of(context) for context in contexts]), torch.tensor(ids), torch.tensor(probability))
    tokenizer = file_sha256(folder / "tokenizer.json")
    blob = dump_table(columns, slots, vocab_size=vocab_size, tokenizer=tokenizer, about=ENTRY)
    (folder / FILE).write_bytes(blob)
    return folder


@pytest.fixture
def folder(tiny_weights: Path, tmp_path: Path) -> Path:
    """Weights with a table of random guesses, some of them very sure."""
    copied = Path(shutil.copytree(tiny_weights, tmp_path / "weights"))
    generator = torch.Generator().manual_seed(1)
    follows = torch.randint(300, (300,), generator=generator).tolist()
    return write_table(copied, [([i], follows[i], (i % 10) / 10) for i in range(300)], vocab_size=300)


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=40), st.integers(0, 8))
def test_numpy_and_python_hash_a_context_alike(ids: list[int], length: int) -> None:
    length = min(length, len(ids))
    hashes = context_hashes(np.array(ids), length).tolist()
    assert hashes == [hash_of(ids[place : place + length]) for place in range(len(ids) - length)]


@needs_kernel
@pytest.mark.parametrize(("slots", "share"), [(100_000, 0.99), (10_000, 0.7)])
def test_a_table_gives_back_what_was_put_in_but_where_it_is_full(tmp_path: Path, slots: int, share: float) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    chance = random.Random(1)
    contexts = [[chance.randrange(2048) for _ in range(2)] for _ in range(20_000)]
    entries = [(context, sum(context) % 2048, 1.0) for context in contexts[:10_000]]
    table = DraftTable.load(write_table(tmp_path, entries, vocab_size=2048, slots=slots), 2048)
    assert table is not None
    assert len(table) == slots
    drafter, found = Drafter(table, costs=[0.0]), list[list[int]]()
    for context in contexts:
        drafter.begin(context)
        found.append(drafter.guess())
    right = [guesses == [sum(context) % 2048] for guesses, context in zip(found, contexts, strict=True)]
    assert sum(right[:10_000]) >= share * 10_000
    # Contexts that were never put in meet an entry about as often as eight bits of two contexts' slots let them.
    assert sum(map(bool, found[10_000:])) < 240


@needs_kernel
def test_a_text_that_repeats_itself_is_guessed_and_longer_the_surer() -> None:
    drafter, verse = Drafter(costs=[0.1] * 7), [5, 6, 7, 8, 9, 10, 11, 12]
    drafter.begin(verse[:4])
    assert drafter.guess() == []  # nothing has come twice yet
    at, lengths = 4, [0]
    while at < 400:
        pass_ = [verse[(at + i) % 8] for i in range(lengths[-1] + 1)]
        drafter.wrote(pass_)
        at += len(pass_)
        guesses = drafter.guess()
        assert guesses == [verse[(at + i) % 8] for i in range(len(guesses))]
        lengths.append(len(guesses))
    assert lengths[-1] == drafter.most > lengths[5]
    assert drafter.guess(2) == [verse[(at + i) % 8] for i in range(2)]
    assert drafter.guess(0) == drafter.guess(-1) == []


@needs_kernel
def test_guesses_that_never_hold_are_given_up(folder: Path) -> None:
    write_table(folder, [([i], (i + 1) % 300, 0.8) for i in range(300)], vocab_size=300)
    drafter, chance, guessed = Drafter(DraftTable.load(folder, 300), costs=[0.13] * 7), random.Random(1), []
    drafter.begin([1, 2])
    for _ in range(600):
        guessed.append(len(drafter.guess()))
        drafter.wrote([chance.randrange(300)])
    assert sum(guessed[:20]) > 30
    assert sum(guessed[-100:]) < 10


@needs_kernel
def test_what_a_position_costs_decides_how_many_are_guessed(folder: Path) -> None:
    table = DraftTable.load(folder, 300)
    lengths = []
    for cost in (0.0, 0.09, 0.4, 2.0):
        drafter = Drafter(table, costs=[cost] * 7)
        drafter.begin([9])  # its guess is 90 % sure
        lengths.append(len(drafter.guess()))
    assert lengths[0] == drafter.most
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 0


@needs_kernel
def test_the_table_says_what_the_text_cannot(folder: Path) -> None:
    write_table(folder, [([3, 4], 5, 0.9), ([4], 6, 0.9), ([5], 7, 0.9)], vocab_size=300)
    drafter = Drafter(DraftTable.load(folder, 300), costs=[0.1] * 2)
    for text, guesses in (([3, 4], [5, 7]), ([8, 4], [6]), ([8], [])):  # the longest context that is known decides
        drafter.begin(text)
        assert drafter.guess() == guesses


class Writing(RuleBasedStateMachine):
    """Texts of any ids, and passes that hold as many of the guesses as you like, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.drafter = Drafter(costs=[0.1] * 5)
        self.drafter.begin([])
        self.guesses: list[int] = []
        self.seen: set[int] = set()

    @rule(ids=st.lists(st.integers(0, 3), max_size=30))
    def begin(self, ids: list[int]) -> None:
        self.drafter.begin(ids)
        self.guesses, self.seen = [], set(ids)

    @rule(token=st.sampled_from([0, 1, 2, 70_000, 2**40, -1]), times=st.integers(1, 40), singly=st.booleans())
    def write(self, token: int, times: int, singly: bool) -> None:
        for ids in [[token]] * times if singly else [[token] * times]:
            self.drafter.wrote(ids)
        self.seen.add(token)
        self.guesses = []

    @rule(most=st.integers(-1, 9))
    def guess(self, most: int) -> None:
        self.guesses = self.drafter.guess(most)
        assert len(self.guesses) <= max(0, most)
        assert self.drafter.guess(most) == self.guesses  # asking changes nothing

    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        right = data.draw(st.integers(0, len(self.guesses)))
        ids = [*self.guesses[:right], data.draw(st.integers(0, 3))]
        self.drafter.wrote(ids)
        self.seen.update(ids)
        self.guesses = []

    @invariant()
    def guesses_are_ids_of_the_text(self) -> None:
        assert len(self.guesses) <= 5
        assert set(self.guesses) <= self.seen


TestWriting = needs_kernel(Writing.TestCase)
TestWriting.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@needs_kernel
def test_a_text_of_any_length_is_taken_in() -> None:
    """Beyond what the index holds it begins anew, and goes on guessing."""
    chance, drafter = random.Random(1), Drafter(costs=[0.1] * 7)
    drafter.begin([chance.randrange(2000) for _ in range(200_000)])
    for _ in range(40):
        drafter.wrote([1, 2, 3, 4])
    assert drafter.guess(3) == [1, 2, 3]


def test_no_file_is_no_table(tiny_weights: Path) -> None:
    assert DraftTable.load(tiny_weights, 300) is None
    assert len(EMPTY) == 1


def test_a_table_of_another_vocabulary_is_left_aside_with_one_line(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert DraftTable.load(folder, 300) is not None
    with caplog.at_level(logging.WARNING):
        assert DraftTable.load(folder, 301) is None
        tokenizer = folder / "tokenizer.json"
        tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()), indent=3))
        assert DraftTable.load(folder, 300) is None
    assert [("another vocabulary" in line, FILE in line) for line in caplog.messages] == [(True, True)] * 2


def change(spoil: Callable[[dict[str, torch.Tensor]], object], **entry: Any) -> Callable[[Path], None]:
    """Other tensors, and other words about them."""

    def damage(path: Path) -> None:
        blob = path.read_bytes()
        tensors, length = load(blob), int.from_bytes(blob[:8], "little")
        about = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["drafts"]) | entry
        spoil(tensors)
        path.write_bytes(save(tensors, {"drafts": json.dumps(about)}))

    return damage


def rewrite(new: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(new(path.read_bytes()))


def keep(tensors: dict[str, torch.Tensor]) -> None:
    pass


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (rewrite(lambda blob: b""), "no table"),
    "cut": (rewrite(lambda blob: blob[:-9]), "no table"),
    "noise": (rewrite(lambda blob: bytes(range(256)) * 9), "no table"),
    "a header without end": (rewrite(lambda blob: b"\xff" * 8 + blob[8:]), "no table"),
    "too large": (rewrite(lambda blob: blob + bytes(9 << 20)), "more than"),
    "weights": (lambda p: shutil.copy(p.parent / "model.safetensors", p), "no table"),
    "a folder": (make_folder, "cannot be read"),
    "another format": (change(keep, format="drafts 9"), "this version"),
    "orders are no list": (change(keep, orders=3), "length"),
    "no orders": (change(keep, orders=[]), "length"),
    "orders beyond bounds": (change(keep, orders=[10**9, 1]), "length"),
    "orders turned round": (change(keep, orders=[1, 2]), "length"),
    "orders of truth": (change(keep, orders=[True]), "length"),
    "an id too large": (change(lambda t: t["ids"].fill_(300)), "outside of the vocabulary"),
    "signed ids": (change(lambda t: t.update(ids=t["ids"].to(torch.int16))), "other tensors"),
    "tags are floats": (change(lambda t: t.update(tags=t["tags"].float())), "other tensors"),
    "one too few": (change(lambda t: t.pop("sure")), "other tensors"),
    "one too many": (change(lambda t: t.update(more=torch.ones(1))), "other tensors"),
    "of different length": (change(lambda t: t.update(sure=t["sure"][:-1].clone())), "fit each other"),
    "of two dimensions": (change(lambda t: t.update({n: v[None] for n, v in t.items()})), "fit each other"),
    "no slots": (change(lambda t: t.update({n: v[:0].clone() for n, v in t.items()})), "fit each other"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_no_sound_table_is_refused_in_one_sentence(folder: Path, name: str) -> None:
    damage, told = HOSTILE[name]
    damage(folder / FILE)
    with pytest.raises(WeightsError, match=told) as caught:
        DraftTable.load(folder, 300)
    assert FILE in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_kernel
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_byte_may_be_wrong(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    home = tmp_path_factory.mktemp("bytes")
    (home / "tokenizer.json").write_text("{}")
    write_table(home, [([i], i, 0.5) for i in range(20)], vocab_size=300, slots=32)
    blob = bytearray((home / FILE).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(blob) - 1), min_size=1, max_size=3)):
        blob[place] = data.draw(st.integers(0, 255))
    (home / FILE).write_bytes(blob)
    try:
        table = DraftTable.load(home, 300)
    except WeightsError:
        return
    drafter = Drafter(table)
    drafter.begin([1, 2, 3])
    assert all(0 <= guess < 300 for guess in drafter.guess())


@pytest.fixture
def self_taught(folder: Path) -> Path:
    """Weights with a table counted in what they write: its guesses hold often."""
    ids = torch.tensor([token for written, _ in texts(folder, OPENINGS, 100) for token in written]).to(torch.uint16)
    best = [guesses.best(1_000) for guesses in estimate([(ids, 1.0)], (2, 1))]
    hashes, follows, probability, _ = Guesses(*(torch.cat(column) for column in zip(*best, strict=True)))
    tokenizer = file_sha256(folder / "tokenizer.json")
    blob = dump_table((hashes, follows, probability), 4_096, vocab_size=300, tokenizer=tokenizer, about=ENTRY)
    (folder / FILE).write_bytes(blob)
    table = DraftTable.load(folder, 300)
    assert accept(Drafter(table), list(texts(folder, OPENINGS, 60)))["tokens_per_pass"] > 1.3
    return folder


@needs_kernel
@pytest.mark.parametrize("table", ["folder", "self_taught"])
def test_no_guess_good_or_bad_changes_a_text(request: pytest.FixtureRequest, table: str) -> None:
    engine = Engine.load(request.getfixturevalue(table))
    for params in (
        SamplingParams(max_new_tokens=200, temperature=0),
        SamplingParams(max_new_tokens=200, temperature=0, repetition_penalty=1.0),
        SamplingParams(max_new_tokens=200, seed=1),
        SamplingParams(max_new_tokens=200, seed=2, top_k=3, temperature=1.5),
        SamplingParams(max_new_tokens=90, seed=3, stop_at_sentence=True, min_new_tokens=20),
    ):
        both = []
        for engine.drafts in (True, False):
            both.append((done := engine.generate(OPENINGS[0], params)).text)
            assert done.tokens <= params.max_new_tokens
        assert both[0] == both[1]
    assert identity(engine, OPENINGS, 8, 60)["different"] == 0


@needs_kernel
def test_drafts_draw_from_the_same_distribution(self_taught: Path) -> None:
    found = chi_squared(Engine.load(self_taught), OPENINGS, 4_000, top_k=2)
    assert found["degrees_of_freedom"] > 3
    assert found["p"] > 0.01


def test_the_chi_squared_test_sees_a_distribution_that_is_another() -> None:
    same, other = Counter(a=500, b=300, c=200), Counter(a=430, b=360, c=208, rare=2)
    assert two_samples(same, Counter(a=510, b=295, c=193, rare=2))[0] < 3
    statistic, freedom = two_samples(same, other)
    assert (statistic > 9.21, freedom) == (True, 2)  # 9.21: the hundredth part of that distribution lies above


@needs_kernel
def test_the_benchmark_prints_what_was_found(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIATURE_KERNEL_ISA", os.environ.get("MINIATURE_KERNEL_ISA", ""))  # the benchmark sets it
    lines = folder / "openings.yaml"
    lines.write_text("---\n- |-\n  Once upon a time\n\n  there was\n- |-\n  Tom\n", encoding="utf-8")
    asked = ["--weights", folder, "--openings", lines, "--tokens", 20, "--rounds", 1, "--isa", "plain"]
    main([*map(str, asked), "--identity", "3x20", "--chi-squared", "100", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["isa"], row["table"], row["tokens"]) == ("plain", True, 2 * 19)
    assert row["identity"] == {"texts": 3, "tokens_of_each": 20, "different": 0}
    assert row["tokens_per_pass"] >= 1
    assert row["gain_median"] > 0
