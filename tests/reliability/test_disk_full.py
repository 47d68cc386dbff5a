"""A full disk, in short; `python -m benchmarks.reliability.disk_full` is the long form."""

from __future__ import annotations

import inspect
import sys

import pytest

from benchmarks.reliability.acts import WRITES
from memory import Store

if sys.platform == "win32":
    pytest.skip("limits of files and mounts are those of POSIX", allow_module_level=True)

from benchmarks.reliability.disk_full import FAR, MEANS, full_disks

READS = set(
    """story stories table tables_taken siblings outline numbered path path_length recent passage turns_of_story summary
    summary_versions vectors note pins require_room lessons units setting settings settings_beginning audit_rows
    audit_end belongings channels_of open close""".split()
)
OF_COPIES = {"back_up", "cleanse"}  # which do not touch the file itself
ACTS = ("put_vectors", "reset", "open a new file")


@pytest.mark.parametrize("means", MEANS)
def test_a_full_disk_loses_nothing_and_the_store_goes_on(means: str) -> None:
    found = full_disks(means, ACTS, FAR[::7])
    if found.left_out:
        pytest.skip(found.left_out)
    assert found.violations == []
    assert found.full > 0


def test_no_write_of_the_store_is_forgotten() -> None:
    public = {name for name, _ in inspect.getmembers(Store, inspect.iscoroutinefunction) if not name.startswith("_")}
    assert public - READS - OF_COPIES == set(WRITES)
