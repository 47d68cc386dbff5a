"""What `python -m engine bench` measures: decoding speed, time to the first token, memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from functools import partial

import torch

from engine.generation import Engine
from engine.sampling import SamplingParams

ROUNDS = 5
TOKENS = 96
PROMPT = "Once upon a time, there was a little fox who lived at the edge of the forest. One day, "


def bench(engine: Engine) -> dict[str, float | int | str]:
    """Medians of five rounds; tokens/s count sampling and decoding, not the reading of the prompt."""
    sampling = SamplingParams(max_new_tokens=TOKENS, min_new_tokens=TOKENS, seed=0)
    speeds, firsts, characters = [], [], []
    for _ in range(ROUNDS):
        times: list[float] = []
        began = time.perf_counter()
        done = engine.generate(PROMPT, sampling, on_piece=partial(_mark, times))
        firsts.append(times[0] - began)
        speeds.append((done.tokens - 1) / (times[-1] - times[0]))
        characters.append(len(done.text) / done.seconds)
    read = read_bandwidth(engine)
    weight_bytes = sum(p.numel() * p.element_size() for p in engine.model.parameters())
    speed = statistics.median(speeds)
    return {
        "tokens_per_second": round(speed, 1),
        "characters_per_second": round(statistics.median(characters), 1),
        "first_piece_ms": round(statistics.median(firsts) * 1000, 2),
        "share_of_read_floor": round(speed / (read / weight_bytes), 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "weight_mb": round(weight_bytes / 1e6, 1),
        "compute_dtype": engine.info.compute_dtype,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _mark(times: list[float], piece: str) -> None:
    times.append(time.perf_counter())


def read_bandwidth(engine: Engine) -> float:
    """Bytes a second at which this process can read weights of this size once: the floor under any decoding."""
    size = sum(p.numel() * p.element_size() for p in engine.model.parameters())
    block = torch.ones(size // 4, dtype=torch.float32)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - began)
    return size / statistics.median(seconds)


def peak_rss_mb() -> float:
    """Peak resident memory of this process, in MB of 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
