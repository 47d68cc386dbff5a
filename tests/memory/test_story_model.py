"""The story tree against a plain model of it, in any order of moves."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memory import HeadMovedError, NewTurn, NothingToRedoError, NothingToUndoError, Store, Turn
from tests.memory.material import ANN

T = TypeVar("T")
KEPT_VECTORS = 4  # as the store says
CHANNEL = 4


class StoryMachine(RuleBasedStateMachine):
    """The model: the story stands at a path of turn ids, and `next` is the child that was last visited from a path."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.Runner()
        self.store = self.do(Store.open(Path(self.folder.name) / "m.db"))
        self.turns: dict[int, Turn] = {}
        self.head: tuple[int, ...] = ()
        self.next: dict[tuple[int, ...], int] = {}
        self.summaries: dict[int, list[tuple[str, bool]]] = {}  # by turn: the body, and whether a person wrote it
        self.vectors: dict[tuple[int, str], bytes] = {}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    def teardown(self) -> None:
        self.do(self.store.close())
        self.loop.close()
        self.folder.cleanup()

    def visit(self, path: tuple[int, ...]) -> None:
        self.head = path
        for depth, turn in enumerate(path):
            self.next[path[:depth]] = turn

    def refused(self, work: Coroutine[Any, Any, object], error: type[Exception]) -> None:
        try:
            self.do(work)
        except error:
            return
        raise AssertionError(f"{error.__name__} was expected")

    @initialize(premise=st.sampled_from(["", "A hill."]))
    def start(self, premise: str) -> None:
        self.do(self.store.start_story(CHANNEL, guild=None, title="", premise=premise, author=ANN))
        path = self.do(self.store.path(CHANNEL))
        self.turns |= {turn.id: turn for turn in path}
        self.visit(tuple(turn.id for turn in path))

    @rule(kinds=st.lists(st.sampled_from(["member", "model"]), min_size=1, max_size=3), text=st.text(max_size=5))
    def append(self, kinds: list[Any], text: str) -> None:
        after = self.head[-1] if self.head else None
        new = self.do(self.store.append(CHANNEL, [NewTurn(None, kind, text) for kind in kinds], after=after))
        self.turns |= {turn.id: turn for turn in new}
        self.visit(self.head + tuple(turn.id for turn in new))

    @rule()
    def undo(self) -> None:
        step = self.turns[self.head[-1]].step if self.head else None
        gone: list[int] = []
        rest = list(self.head)
        while rest and self.turns[rest[-1]].step == step and self.turns[rest[-1]].kind != "premise":
            gone.insert(0, rest.pop())
        if not gone:
            self.refused(self.store.undo(CHANNEL), NothingToUndoError)
            return
        assert [turn.id for turn in self.do(self.store.undo(CHANNEL))] == gone
        self.head = tuple(rest)

    @rule()
    def redo(self) -> None:
        path = self.head
        while path in self.next and (
            path == self.head or self.turns[self.next[path]].step == self.turns[path[-1]].step
        ):
            path = (*path, self.next[path])
        if path == self.head:
            self.refused(self.store.redo(CHANNEL), NothingToRedoError)
            return
        assert [turn.id for turn in self.do(self.store.redo(CHANNEL))] == list(path[len(self.head) :])
        self.head = path

    @precondition(lambda self: self.head and self.turns[self.head[-1]].kind != "premise")
    @rule()
    def retry(self) -> None:
        old = self.turns[self.head[-1]]
        new = self.do(self.store.add_sibling(CHANNEL, old.id, NewTurn(None, "model", "again")))
        assert (new.parent, new.step, new.depth) == (old.parent, old.step, old.depth)
        self.turns[new.id] = new
        self.visit((*self.head[:-1], new.id))

    @precondition(lambda self: self.head)
    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        depth = data.draw(st.integers(0, len(self.head) - 1))
        old = self.turns[self.head[depth]]
        self.do(self.store.edit_turn(CHANNEL, old.id, NewTurn(ANN, old.kind, "edited")))
        path = self.do(self.store.path(CHANNEL))
        behind = [self.turns[turn] for turn in self.head[depth + 1 :]]
        assert [turn.text for turn in path[depth:]] == ["edited", *(turn.text for turn in behind)]
        assert [turn.step for turn in path[depth:]] == [old.step, *(turn.step for turn in behind)]
        assert [turn.author_name for turn in path[depth + 1 :]] == [turn.author_name for turn in behind]
        self.turns |= {turn.id: turn for turn in path}
        self.visit(tuple(turn.id for turn in path))

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def go_to(self, data: st.DataObject) -> None:
        turn: int | None = data.draw(st.sampled_from(sorted(self.turns)))
        self.do(self.store.go_to(CHANNEL, turn or 0))
        path: tuple[int, ...] = ()
        while turn is not None:
            path = (turn, *path)
            turn = self.turns[turn].parent
        self.visit(path)

    @precondition(lambda self: self.head)
    @rule(data=st.data(), body=st.text(max_size=3), person=st.booleans())
    def summarise(self, data: st.DataObject, body: str, person: bool) -> None:
        turn = data.draw(st.sampled_from(self.head))
        self.do(self.store.put_summary(CHANNEL, turn, 1, body, ANN if person else None))
        versions = self.summaries.setdefault(turn, [])
        versions[:] = [version for version in versions if version[1] or person] + [(body, person)]

    @precondition(lambda self: self.head)
    @rule(data=st.data(), base=st.sampled_from(["a", "b"]), blob=st.binary(max_size=2))
    def remember(self, data: st.DataObject, base: str, blob: bytes) -> None:
        turn = data.draw(st.sampled_from(self.head))
        self.do(self.store.put_vectors(CHANNEL, turn, base, 1, blob))
        self.vectors.pop((turn, base), None)
        self.vectors[turn, base] = blob
        for old in [key for key in self.vectors if key[1] == base][:-KEPT_VECTORS]:
            del self.vectors[old]

    @rule()
    def reset(self) -> None:
        self.do(self.store.reset(CHANNEL))
        self.summaries.clear()
        self.vectors.clear()

    @precondition(lambda self: len(self.head) > 1)
    @rule()
    def write_at_an_old_head(self) -> None:
        self.refused(self.store.append(CHANNEL, [NewTurn(ANN, "member", "late")], after=self.head[0]), HeadMovedError)

    @invariant()
    def store_and_model_agree(self) -> None:
        path = self.do(self.store.path(CHANNEL))
        assert tuple(turn.id for turn in path) == self.head
        assert path == [self.turns[turn] for turn in self.head]
        before = 0
        for depth, turn in enumerate(path):
            assert (turn.depth, turn.chars_before) == (depth, before)
            before += len(turn.text)
        expected = [version for turn in reversed(self.head) for version in reversed(self.summaries.get(turn, []))]
        versions = self.do(self.store.summary_versions(CHANNEL, 99))
        assert [(row.body, row.author_id is not None) for row in versions] == expected
        assert self.do(self.store.summary(CHANNEL)) == (versions[0] if versions else None)
        for base in ("a", "b"):
            found = self.do(self.store.vectors(CHANNEL, base))
            bound = [self.vectors[turn, base] for turn in self.head if (turn, base) in self.vectors]
            assert (found.blob if found else None) == (bound[-1] if bound else None)
        recent = self.do(self.store.recent(CHANNEL, 6))
        assert recent == path[len(path) - len(recent) :]
        assert sum(len(turn.text) for turn in recent) >= min(6, before)


StoryMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestStoryMachine = StoryMachine.TestCase
