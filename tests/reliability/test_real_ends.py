"""The real bot killed, and stopped, in short; `benchmarks.reliability.kills` and `.stopping` are the long forms."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("a process is looked at by /proc", allow_module_level=True)
pytest.importorskip("apsw")

from benchmarks.reliability.kills import POINTS, kills
from benchmarks.reliability.stopping import LIMIT, STATES, stopping

pytestmark = pytest.mark.slow


async def test_a_killed_bot_has_lost_nothing(tmp_path: Path) -> None:
    points = ["between show and store", "backed up by the clock", "learnt"]
    found = await kills(tmp_path, len(points), seed=1, points=points)
    assert found.violations == []
    assert len(found.restarts) == len(points)


@pytest.mark.parametrize("state", ["before READY", "first piece", "teaching"])
async def test_a_stopped_bot_goes_away_in_good_order(state: str) -> None:
    (end,) = await stopping([state])
    assert end.wrong == ""
    assert (end.code, end.seconds <= LIMIT) == (0, True)


def test_the_long_forms_go_through_all_that_is_promised() -> None:
    assert len(STATES) == 12
    named = {"acknowledged", "mid stream", "between show and store", "teaching", "swapping", "summary", "migrating",
             "backing up", "backed up by the clock", "starting", "stopping"}  # fmt: skip
    assert named <= set(POINTS)
