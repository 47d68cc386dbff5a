"""What the host can still give to this process, and in which dtype a model fits into it.

A container's limit, `prlimit --as` and the host's own memory all count; systems other than Linux are taken at their
word, as they say none of it in one place.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from engine.errors import WeightsError
from engine.shape import GPTConfig

CGROUPS, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's mallopt
LARGE_BLOCK = 64 << 10  # bytes
KEPT_BELOW, KEPT_OF_EACH = 1024, 7  # of freed blocks of less bytes numpy and the C library keep so many of each size
WORKSPACE = 64 << 20  # what reading and writing take beside weights and cache: stacks of threads, copies of one matrix


DtypeName = Literal["float32", "float16", "bfloat16"]
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


def fitting_dtype(config: GPTConfig, wanted: DtypeName | None) -> DtypeName:
    """The dtype to hold and compute a model in: the one that is wanted, else float32 where it leaves as much memory
    again, for teaching and for a change of weights, and float16 where it does not.

    Raises:
        WeightsError: there is not enough memory.
    """
    free = free_bytes()
    if free is None:
        return wanted or "float32"
    if wanted is None and 2 * memory_needed(config, "float32") <= free:
        return "float32"
    dtype: DtypeName = wanted or "float16"
    smaller = "choose float16, " if wanted == "float32" else ""
    require_memory(config, memory_needed(config, dtype), dtype, smaller)
    return dtype


def require_memory(config: GPTConfig, needed: int, dtype: str, smaller: str = "") -> None:
    """Refuse a model for which too little memory is free.

    Args:
        needed: bytes for all of it, in this dtype.
        smaller: what else could be chosen, with a comma behind it.

    Raises:
        WeightsError: there is not enough memory.
    """
    free = free_bytes()
    if free is None or needed <= free:
        return
    cache = cache_bytes(config, "float16" if dtype == "int8" else dtype)
    raise WeightsError(
        f"This model needs {needed >> 20:,} MB in {dtype}, {cache >> 20:,} MB of it for its context of"
        f" {config.block_size:,} tokens, but only {free >> 20:,} MB are free; {smaller}give it a shorter context"
        " (training import --block-size) or more memory."
    )


def require_room(needed: int, free: int | None, given_back: int) -> None:
    """Refuse weights that would have no room even when those that serve now are gone: they would be given up in vain.

    Raises:
        WeightsError: there is not enough memory.
    """
    if free is not None and needed > free + given_back:
        raise WeightsError(
            f"These weights need {needed >> 20:,} MB, and {(free + given_back) >> 20:,} MB are there without the"
            " present ones, which go on serving; choose smaller weights, a shorter context, or more memory."
        )


def free_bytes() -> int | None:
    """Bytes that this process may still take; None where no limit is known."""
    return min((limit for limit in (free_address_space(), free_memory()) if limit is not None), default=None)


def memory_needed(config: GPTConfig, dtype: str) -> int:
    """Bytes of the weights, of the cache, and of the larger of these: one stored matrix while the weights are loaded,
    or what is computed while a full context is read."""
    loading = config.vocab_size * config.n_embd * 4
    reading = config.block_size * (3 * config.n_units + 8 * config.n_embd) * BYTES[dtype]
    return config.n_weights * BYTES[dtype] + cache_bytes(config, dtype) + max(loading, reading) + WORKSPACE


def keep_memory_together() -> None:
    """From now on have the C library serve all threads out of one pool, and take large blocks from the system one by
    one, to give each back as soon as it is free. To be called before there are threads.

    Left to itself it has a pool for each thread, and raises its limit for large blocks with every one that is freed:
    so, in a process that runs for days, the matrices and texts of one moment leave holes among the small blocks of
    another, in each pool, and none of that goes back.
    """
    _set_allocator((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, LARGE_BLOCK))
    fill_small_blocks()
    with contextlib.suppress(OSError):  # it has another name elsewhere
        ctypes.CDLL("libgcc_s.so.1")  # half a megabyte that the C library would load in the middle of things


def fill_small_blocks() -> None:
    """Take at once what will be kept of small blocks that were freed: by numpy 3.7 MB, by the C library 0.2 MB for each
    thread; for the thread that calls it. They never go back, and would come to be one by one over days, each in some
    page that is otherwise free."""
    # The first seven of a size fill numpy; what is left goes to the C library, which has one size for 16 of these.
    blocks = [np.empty(size, np.uint8) for size in range(1, KEPT_BELOW) for _ in range(KEPT_OF_EACH + 1)]
    del blocks


@contextlib.contextmanager
def reusing_memory() -> Iterator[None]:
    """In here large blocks that are freed stay for the next ones, and go back together at the end: for work that takes
    and frees them all the time, which is a quarter slower where each comes from the system."""
    _set_allocator((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30))
    try:
        yield
    finally:
        _set_allocator((M_MMAP_THRESHOLD, LARGE_BLOCK), (M_TRIM_THRESHOLD, 2 * LARGE_BLOCK))
        return_freed_memory()


def _set_allocator(*options: tuple[int, int]) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library has rules of its own
        for option, value in options:
            ctypes.CDLL(None).mallopt(option, value)


def return_freed_memory() -> None:
    """Give back to the system what lies free between blocks that are in use."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library has rules of its own
        ctypes.CDLL(None).malloc_trim(0)


def cache_bytes(config: GPTConfig, dtype: str) -> int:
    return 2 * config.n_layer * config.kv_heads * config.block_size * config.head_dim * BYTES[dtype]


def free_address_space() -> int | None:
    """Bytes that may still be mapped under `ulimit -v` or `prlimit --as`; None where there is no limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    size = _status("VmSize")
    return None if limit == resource.RLIM_INFINITY or size is None else max(0, limit - size)


def free_memory() -> int | None:
    """Bytes that the host, or this container's limit, leaves; None where it is not known."""
    left = [_kib(Path("/proc/meminfo"), "MemAvailable")]
    resident = _status("VmRSS")
    limit = group_limit()
    if limit is not None and resident is not None:
        left.append(max(0, limit - resident))
    return min((bytes_ for bytes_ in left if bytes_ is not None), default=None)


def group_limit(groups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int | None:
    """Bytes that the process's control group, or one around it, may have: a container's limit or a unit's MemoryMax.

    Both versions of control groups are read (https://docs.kernel.org/admin-guide/cgroup-v2.html), each from the
    process's own group up to the root, which is all that is to be seen of them from inside of a container.
    """
    found: list[int] = []
    for line in _lines(own):
        _, controllers, inside = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, file = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
        place = root / inside.lstrip("/")
        for group in (place, *place.parents):
            if group.is_relative_to(root):
                found += [int(limit) for limit in _lines(group / file) if limit.isdecimal()]
    return min(found, default=None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _status(name: str) -> int | None:
    return _kib(Path("/proc/self/status"), name)


def _kib(path: Path, name: str) -> int | None:
    """The number of kB behind a name in a file of `/proc`, as bytes."""
    try:
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
