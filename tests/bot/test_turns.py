"""Whose turn it is: the rules of a table by themselves, in any order of what people do, with a clock of the test's."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.errors import InputError
from bot.turns import MAX_SEATS, at_turn, due, handed_on, joined, left, patience_of, rests, settled, taken_by
from memory import Author, NewTurn, Store, Table
from tests.bot.conftest import ANN, BEN

T = TypeVar("T")

CLEO = Author(13, "Cleo")
PATIENCE = 60.0


def seated(*who: Author, patience: float | None = PATIENCE) -> Table:
    table = Table(patience=patience)
    for each in who:
        table = joined(table, each, 0.0)
    return table


def test_a_turn_goes_round_and_names_who_has_it() -> None:
    table = seated(ANN, BEN, CLEO)
    for who in (BEN, CLEO, ANN):
        table = handed_on(table, 1.0)
        assert at_turn(table) == who
    with pytest.raises(InputError, match="It is Ann's turn: yours comes"):
        taken_by(table, BEN, 2.0)
    with pytest.raises(InputError, match="It is Ann's turn: /story join"):
        taken_by(left(table, BEN.id, 2.0), BEN, 2.0)
    assert at_turn(left(table, ANN.id, 2.0)) == BEN, "who leaves in their turn hands it on"
    assert taken_by(Table(), BEN, 2.0) == Table(), "nobody is there, and anybody may write"


def test_a_turn_that_takes_too_long_is_handed_on_once_round() -> None:
    table = seated(ANN, BEN)
    assert due(table) == PATIENCE
    assert at_turn(settled(table, PATIENCE - 1, 0)) == ANN
    assert at_turn(settled(table, PATIENCE, 0)) == BEN
    silent = settled(table, 50 * PATIENCE, 0)
    assert rests(silent)
    assert (at_turn(silent), due(silent)) == (ANN, None), "as nobody is there, nothing goes on"
    assert at_turn(taken_by(silent, BEN, 51 * PATIENCE)) == BEN, "who comes first has the turn"
    with pytest.raises(InputError, match="Ann's turn"):
        taken_by(silent, CLEO, 51 * PATIENCE)


def test_time_in_which_no_process_ran_counts_for_nobody() -> None:
    table = seated(ANN, BEN)
    assert at_turn(settled(table, 10_000.0, awake=9_990.0)) == ANN
    assert at_turn(settled(table, 9_990.0 + PATIENCE, awake=9_990.0)) == BEN
    assert at_turn(settled(seated(ANN, BEN, patience=0), 10**9, awake=0)) == ANN, "any time"


def test_a_clock_that_is_set_back_does_not_lengthen_a_turn() -> None:
    table = settled(handed_on(seated(ANN, BEN), 5_000.0), 100.0, 0)
    assert due(table) == 100.0 + PATIENCE


def test_what_cannot_be() -> None:
    table = seated(*(Author(number, f"Member {number}") for number in range(MAX_SEATS)))
    with pytest.raises(InputError, match="25 seats"):
        joined(table, Author(99, "Late"), 0)
    with pytest.raises(InputError, match="already"):
        joined(seated(ANN), ANN, 0)
    with pytest.raises(InputError, match="no seat to leave"):
        left(seated(ANN), BEN.id, 0)
    for minutes in (-1, 0.01, 20_000, float("nan")):
        with pytest.raises(InputError, match="0 for any time"):
            patience_of(minutes)
    assert (patience_of(None), patience_of(0), patience_of(2)) == (None, 0, 120.0)
    assert due(seated(ANN, patience=None)) == 15 * 60


class TurnsMachine(RuleBasedStateMachine):
    """A table in a real store, against those who have waited longest; a restart reads it anew."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "memory.sqlite3"
        self._now, self._awake = 1_000.0, 1_000.0
        self._store = self._run(Store.open(self._file))
        self._run(self._store.start_story(1, guild=2, title="Hill", premise="A hill.", author=ANN, patience=PATIENCE))
        self._head = self._run(self._store.path(1))[-1].id
        self._waiting: list[int] = []  # at the table: who has had the last turn, or came, longest ago, first
        self._begun = 0.0  # when the present turn did
        self._missed = 0
        self._written = 0

    def teardown(self) -> None:
        self._run(self._store.close())
        self._loop.close()
        self._folder.cleanup()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def _table(self) -> Table:
        return settled(self._run(self._store.table(1)), self._now, self._awake)

    def _put(self, table: Table) -> None:
        self._run(self._store.put_table(1, table))

    @property
    def _rests(self) -> bool:
        return 0 < len(self._waiting) <= self._missed

    def _turn_ends(self) -> None:
        self._waiting.append(self._waiting.pop(0))
        self._begun = self._now

    @initialize()
    def empty(self) -> None:
        assert self._table().seats == ()

    @rule(member=st.integers(0, 4))
    def join(self, member: int) -> None:
        if member in self._waiting:
            with pytest.raises(InputError):
                joined(self._table(), Author(member, f"M{member}"), self._now)
            return
        self._put(joined(self._table(), Author(member, f"M{member}"), self._now))
        if self._rests or not self._waiting:
            self._begun = self._now
        self._waiting.append(member)
        self._missed = 0

    @rule(member=st.integers(0, 4))
    def leave(self, member: int) -> None:
        if member not in self._waiting:
            with pytest.raises(InputError):
                left(self._table(), member, self._now)
            return
        self._put(left(self._table(), member, self._now))
        if self._waiting[0] == member or self._rests:
            self._begun = self._now
        self._waiting.remove(member)
        self._missed = 0

    @precondition(lambda self: bool(self._waiting))
    @rule()
    def skip(self) -> None:
        self._put(handed_on(self._table(), self._now))
        self._turn_ends()
        self._missed = 0

    @rule(member=st.integers(0, 4))
    def write(self, member: int) -> None:
        """With the text the turn is handed on, in one transaction."""
        who, table = Author(member, f"M{member}"), self._table()
        if self._waiting and self._waiting[0] != member and not (self._rests and member in self._waiting):
            with pytest.raises(InputError, match=f"M{self._waiting[0]}'s turn"):
                taken_by(table, who, self._now)
            return
        after = handed_on(taken_by(table, who, self._now), self._now)
        text = NewTurn(who, "member", f" Words {self._written}.")
        self._head = self._run(self._store.append(1, [text], after=self._head, table=after))[-1].id
        self._written += 1
        if self._waiting:
            while self._waiting[0] != member:  # only where all have let a turn go by
                self._waiting.append(self._waiting.pop(0))
            self._turn_ends()
            self._missed = 0

    @rule(seconds=st.floats(0, 4 * PATIENCE, allow_nan=False))
    def time_goes_by(self, seconds: float) -> None:
        self._now += seconds
        while self._waiting and not self._rests and self._begun + PATIENCE <= self._now:
            begun = self._begun + PATIENCE
            self._turn_ends()
            self._begun = begun
            self._missed += 1

    @rule(down=st.floats(0, 10 * PATIENCE, allow_nan=False), looked=st.booleans())
    def restart(self, down: float, looked: bool) -> None:
        if looked:
            self._put(self._table())
        elif self._missed:  # else what has gone by since is for the next process to see
            return
        self._run(self._store.close())
        self._now += down
        self._awake = self._begun = self._now
        self._store = self._run(Store.open(self._file))

    @invariant()
    def exactly_one_is_at_turn(self) -> None:
        table = self._table()
        assert [seat.id for seat in table.seats] == self._waiting, "nobody is skipped, and nobody is lost"
        first = at_turn(table)
        assert (first is None) == (not self._waiting)
        for member in self._waiting[1:]:
            if not rests(table):
                with pytest.raises(InputError):
                    taken_by(table, Author(member, f"M{member}"), self._now)

    @invariant()
    def nothing_is_lost(self) -> None:
        texts = [turn.text for turn in self._run(self._store.path(1))]
        assert texts == ["A hill.", *(f" Words {number}." for number in range(self._written))]


TurnsMachine.TestCase.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_in_any_order_one_is_at_turn_and_nobody_is_skipped = TurnsMachine.TestCase
