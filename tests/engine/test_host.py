"""What memory there is, and that weights without room are refused before anything is given up for them."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import Context, Engine, SamplingParams, WeightsError
from engine.host import group_limit, require_room
from engine.worker import Worker

MB = 1 << 20
GREEDY = SamplingParams(max_new_tokens=8, temperature=0)


def write_groups(folder: Path, own: str, limits: dict[str, str]) -> tuple[Path, Path]:
    """Control groups as the kernel shows them."""
    for name, limit in limits.items():
        (folder / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name).write_text(f"{limit}\n")
    (folder / "own").write_text(own)
    return folder / "groups", folder / "own"


@pytest.mark.parametrize(
    ("own", "limits", "found"),
    [
        ("0::/\n", {"memory.max": "1000"}, 1000),
        ("0::/system.slice/bot.service\n", {"system.slice/bot.service/memory.max": "1000"}, 1000),
        ("0::/a.slice/b.service\n", {"a.slice/memory.max": "500", "a.slice/b.service/memory.max": "max"}, 500),
        ("0::/a.slice/b.service\n", {"a.slice/memory.max": "max"}, None),
        ("0::/elsewhere\n", {}, None),
        ("5:cpu:/x\n4:memory:/docker/1\n0::/\n", {"memory/docker/1/memory.limit_in_bytes": "700"}, 700),
        ("4:memory:/not/seen\n", {"memory/memory.limit_in_bytes": "800"}, 800),
        ("", {}, None),
    ],
)  # fmt: skip
def test_the_limit_of_a_container_or_unit_is_found(
    tmp_path: Path, own: str, limits: dict[str, str], found: int | None
) -> None:
    assert group_limit(*write_groups(tmp_path, own, limits)) == found


def test_room_is_what_is_free_and_what_is_given_back() -> None:
    require_room(100 * MB, None, 0)
    require_room(100 * MB, 60 * MB, 40 * MB)
    with pytest.raises(WeightsError, match=r"need 101 MB, and 100 MB are there .* go on serving"):
        require_room(101 * MB, 60 * MB, 40 * MB)


# In a process of its own, since what is kept of small blocks never goes back.
SMALL_ARRAYS = """
import ctypes
import numpy as np
from engine.host import keep_memory_together


class Held(ctypes.Structure):  # mallinfo2(3)
    _fields_ = [(f"n{i}", ctypes.c_size_t) for i in range(7)] + [("used", ctypes.c_size_t), ("free", ctypes.c_size_t)]
    _fields_ += [("top", ctypes.c_size_t)]


held = ctypes.CDLL(None).mallinfo2
held.restype = Held
keep_memory_together()
before = held().used
arrays = [np.empty(size, np.uint8) for size in range(1, 1024) for _ in range(20)]
del arrays
print(held().used - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library does not tell what it holds")
def test_small_arrays_that_come_and_go_leave_nothing_behind() -> None:
    told = subprocess.run([sys.executable, "-c", SMALL_ARRAYS], capture_output=True, text=True, check=True)
    assert int(told.stdout) < 200_000  # without being taken at the start, 3,700,000


async def test_weights_without_room_are_refused_and_the_present_ones_go_on(tiny_weights: Path, tmp_path: Path) -> None:
    long = Path(shutil.copytree(tiny_weights, tmp_path / "long"))
    config = json.loads((long / "config.json").read_text())
    # As deep and long as may be: its cache alone would take 60 GB.
    greedy = {"max_position_embeddings": 1 << 18, "num_hidden_layers": 900, "num_attention_heads": 2}
    (long / "config.json").write_text(json.dumps(config | greedy))
    worker = Worker(Engine.load(tiny_weights))
    worker.start()
    try:
        before = await worker.generate(Context(text="Once"), GREEDY).result()
        with pytest.raises(WeightsError, match="go on serving") as refusal:
            await worker.swap(long).result()
        assert str(refusal.value).count(".") == 1
        assert (await worker.generate(Context(text="Once"), GREEDY).result()).text == before.text
        assert worker.engine_info.folder == tiny_weights
    finally:
        await worker.close()
