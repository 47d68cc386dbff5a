"""What `python -m engine bench` measures: decoding speed, time to the first token, memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from functools import partial

from engine.decoder import cores
from engine.generation import Engine
from engine.sampling import SamplingParams

ROUNDS = 5
TOKENS = 96
PROMPT = "Once upon a time, there was a little fox who lived at the edge of the forest. One day, "
SAMPLING = SamplingParams(max_new_tokens=TOKENS, min_new_tokens=TOKENS, seed=0)


def bench(engine: Engine) -> dict[str, float | int | str]:
    """Medians of five rounds, in which what is compared takes turns: the engine as it serves, with guesses; the same
    without them; and the reading of its weights alone, which is the floor under a token that is not guessed. Tokens/s
    count sampling and decoding, not the reading of the prompt."""
    drafts, served, plain, firsts, characters, floors = engine.drafts, [], [], [], [], []
    read = 0
    for _ in range(ROUNDS):
        engine.drafts = drafts
        engine.forget()
        speed, first, written = measure(engine)
        served.append(speed)
        firsts.append(first)
        characters.append(written)
        engine.drafts = False
        plain.append(measure(engine)[0])
        began = time.perf_counter()
        read = engine.read_once()
        floors.append(1 / (time.perf_counter() - began))
    engine.drafts = drafts
    return {
        "tokens_per_second": round(statistics.median(served), 1),
        "characters_per_second": round(statistics.median(characters), 1),
        "first_piece_ms": round(statistics.median(firsts) * 1000, 2),
        "without_drafts": round(statistics.median(plain), 1),
        "share_of_read_floor": round(statistics.median(plain) / statistics.median(floors), 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "weight_mb": round(read / 1e6, 1),
        "backend": engine.info.backend,
        "threads": engine.asked.threads or cores(),
    }


def measure(engine: Engine) -> tuple[float, float, float]:
    """Tokens/s behind the first piece, seconds to it, and characters/s of the whole reply."""
    times: list[float] = []
    began = time.perf_counter()
    done = engine.generate(PROMPT, SAMPLING, on_piece=partial(_mark, times))
    return (done.tokens - 1) / (times[-1] - times[0]), times[0] - began, len(done.text) / done.seconds


def _mark(times: list[float], piece: str) -> None:
    times.append(time.perf_counter())


def peak_rss_mb() -> float:
    """Peak resident memory of this process, in MB of 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
