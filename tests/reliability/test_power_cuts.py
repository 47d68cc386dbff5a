"""What a power cut leaves, in short; `python -m benchmarks.reliability.power_cuts` is the long form."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reliability.disk import Event, Names, Plates, Resize, Sync, SyncFolder, Write

pytest.importorskip("apsw", reason="power cuts are made by a file system of apsw's")

from benchmarks.reliability.power_cuts import power_cuts

CONTENT = st.binary(min_size=1, max_size=5000)
CHANGES = st.lists(
    st.builds(Write, st.just(0), st.integers(0, 9000), CONTENT) | st.builds(Resize, st.just(0), st.integers(0, 9000)),
    max_size=6,
)


def after(events: list[Event], seed: int) -> dict[str, bytes]:
    plates = Plates({"a": b"old" * 2000})
    for event in events:
        plates.take(event)
    return plates.after_a_cut(random.Random(seed))


def test_acknowledged_writes_outlive_power_cuts() -> None:
    found = power_cuts(40, seed=3)
    assert found["cuts"] == 40
    assert found["lost"] + found["damaged"] == 0


def test_without_syncs_they_would_not() -> None:
    assert power_cuts(60, seed=3, synchronous="NORMAL")["lost"] > 0


@settings(max_examples=60, deadline=None)
@given(before=CHANGES, later=CHANGES, seed=st.integers(0, 1000))
def test_what_was_synced_is_never_lost(before: list[Event], later: list[Event], seed: int) -> None:
    promised = after([*before, Sync(0)], seed)["a"]
    left = after([*before, Sync(0), *later], seed)["a"]
    sizes = [event.size for event in later if isinstance(event, Resize)]
    touched = set[int]()
    for event in later:
        if isinstance(event, Write):
            touched |= set(range(event.offset, event.offset + len(event.data)))
    least = min([len(promised), *sizes])
    assert len(left) >= least
    assert all(left[at] == promised[at] for at in range(least) if at not in touched)


def test_what_was_not_synced_may_be_there_be_gone_or_be_torn() -> None:
    new = b"new" * 2000
    left = {after([Write(0, 0, new)], seed)["a"] for seed in range(60)}
    assert {b"old" * 2000, new} < left
    assert all(len(content) == len(new) for content in left)


def test_a_name_is_as_sure_as_its_folders_sync() -> None:
    events: list[Event] = [Write(1, 0, b"b"), Sync(1), Names({"b": 1})]
    assert {tuple(sorted(after(events, seed))) for seed in range(20)} == {("a",), ("a", "b")}
    assert {tuple(sorted(after([*events, SyncFolder()], seed))) for seed in range(20)} == {("a", "b")}
    renamed: list[Event] = [*events, SyncFolder(), Names({"b": None, "c": 1})]
    assert {tuple(sorted(after(renamed, seed))) for seed in range(20)} == {("a", "b"), ("a", "c")}, (
        "never both, nor none"
    )
