"""python -m benchmarks.terminal [--weights DIR] [--threads 2] [--replies N] [--json]: how fast does the terminal write?

Starts the real `python -m bot` without a token, types the same opening again and again, each in a story of its own, and
reads what appears as it appears. Timed from the return key on: the first piece of a reply, and its last. Figures are
medians over replies of at least `LEAST` characters; `seconds_for_800` is 800 characters at such a reply's own pace.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bot.terminal import CYAN, PLAIN
from engine.folder import default_weights

OPENING = "Once upon a time, a fox named Mira found a silver key in the snow."
LEAST, TOKENS = 400, 400
QUIET, START = 1.0, 5.0  # seconds without a character: the reply is over, the bot has started


class Terminal:
    """The bot's channel on a terminal of its own; what the model writes is told from the rest by its colour."""

    def __init__(self, weights: Path, threads: int, folder: str) -> None:
        env = {
            **os.environ, "MINIATURE_DATA_DIR": folder, "MINIATURE_WEIGHTS": str(weights),
            "MINIATURE_DISCORD_TOKEN": "", "MINIATURE_THREADS": str(threads), "MINIATURE_MAX_NEW_TOKENS": str(TOKENS),
            "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1",
        }  # fmt: skip
        env.pop("NO_COLOR", None)
        self.screen, inside = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot"], env=env, stdin=inside, stdout=inside, stderr=inside
        )
        os.close(inside)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.screen, selectors.EVENT_READ)

    def type(self, line: str) -> tuple[list[float], str]:
        """Types a line; seconds from then on to each piece of a reply, until it is quiet, and all of them joined."""
        os.write(self.screen, line.encode())
        self.read(QUIET)  # the line as it is echoed
        began, times, shown = time.perf_counter(), list[float](), ""
        os.write(self.screen, b"\r")
        while self.selector.select(QUIET):
            shown += self.take()
            pieces = shown.count(CYAN)
            times += [time.perf_counter() - began] * (pieces - len(times))
        return times, "".join(part.split(PLAIN)[0] for part in shown.split(CYAN)[1:])

    def read(self, quiet: float) -> None:
        while self.selector.select(quiet):
            self.take()

    def take(self) -> str:
        try:
            return os.read(self.screen, 1 << 16).decode(errors="replace")
        except OSError as error:
            raise SystemExit("The bot has gone; start it by hand with the same settings to see why.") from error

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        os.close(self.screen)


def measure(weights: Path, threads: int, replies: int) -> dict[str, float | int | str]:
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(weights, threads, folder)
        terminal.read(START)  # the greeting
        firsts, paces, lengths = list[float](), list[float](), list[int]()
        for number in range(10 * replies):
            if len(paces) == replies:
                break
            terminal.type(f"/start Story {number}")
            times, text = terminal.type(OPENING)
            if len(text) >= LEAST:
                firsts.append(times[0])
                paces.append(times[-1] / len(text) * 800)
                lengths.append(len(text))
        terminal.close()
    if not paces:
        raise SystemExit(f"No reply had {LEAST} characters; try other weights.")
    return {
        "weights": weights.name, "threads": threads, "replies": len(paces),
        "characters": round(statistics.median(lengths)),
        "first_piece_ms": round(statistics.median(firsts) * 1000, 1),
        "seconds_for_800": round(statistics.median(paces), 3), "slowest_for_800": round(max(paces), 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--replies", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = measure(args.weights or default_weights(), args.threads, args.replies)
    print(json.dumps(figures) if args.json else "\n".join(f"{name:16} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
