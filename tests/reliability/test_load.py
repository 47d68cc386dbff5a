"""Short forms of what `benchmarks` shows of load: counts and order, never seconds."""

from __future__ import annotations

from pathlib import Path

from benchmarks import channels
from benchmarks.reliability.invalid_requests import storm
from benchmarks.reliability.process import slope
from benchmarks.reliability.soak import soak
from benchmarks.reliability.swaps import KINDS, swaps
from benchmarks.reliability.tiny import two_weights
from bot.breaker import MOST_REFUSED


async def test_a_long_life_holds_no_more_files_threads_and_tasks(tmp_path: Path) -> None:
    found = await soak(120, 3, tmp_path, readings=6)
    assert found.jobs >= 120
    assert found.swaps >= 2
    assert len(found.settled) >= 2
    assert found.flat, found.settled


async def test_swaps_that_go_wrong_cost_no_reply(tmp_path: Path) -> None:
    run = await swaps(len(KINDS), tmp_path)
    assert run.swaps == len(KINDS)
    assert run.replies > len(KINDS)
    assert (run.failed, run.mixed, run.wrong) == (0, 0, 0)
    assert run.refused.total() + run.changed.total() == run.swaps
    assert run.changed["sound"] == 1


async def test_a_crowd_is_answered_once_and_only_who_floods_is_refused(tmp_path: Path) -> None:
    """Who has his turn when is held by `tests/engine/test_worker.py`: five channels are soon done, in any order."""
    found = await channels.run(5, 1.0, two_weights(tmp_path)[0], tmp_path / "data", tokens=12, flood=10)
    for crowd in (found.spread, found.at_once):
        assert crowd.answered_once, crowd.other
        assert sum(map(len, crowd.asked.values())) == 4 * 4 + 4 * 10
        assert crowd.refused[crowd.flooder] < 40
        others = [len(parts) for channel, parts in crowd.parts.items() if channel != crowd.flooder]
        assert others == [4] * 4
    assert found.at_once.refused[found.at_once.flooder] > 0, "more at once than a line holds"


async def test_a_storm_of_refusals_ends_itself(tmp_path: Path) -> None:
    found = await storm(tmp_path, channels=150, minutes=12, speed=200)
    assert set(found.kinds) >= {403, 404, 429}
    assert 0 < found.most <= MOST_REFUSED


def test_the_index_and_the_slope() -> None:
    assert channels.jain([3, 3, 3]) == 1
    assert channels.jain([4, 0, 0, 0]) == 0.25
    assert channels.jain([0, 0]) == 0
    assert slope([(0, 1), (1, 3), (2, 5)]) == 2
    assert slope([(1, 1)]) == 0
