"""python -m benchmarks.process_memory [--weights DIR] [--parts LIST] [--json]: peak memory of our processes.

As Linux counts it (VmHWM), in MB of 10^6 bytes, beside the limits that we set ourselves for the weights `hearth`:
- bot: the real `python -m bot` against a Discord on loopback starts a story, lets the model write, teaches it and
  swaps the weights; after each step the peak so far is read.
- generate: `python -m engine generate` writes with the same weights.
- large: it writes with 190M random parameters, 12 layers of width 768 with a vocabulary of 50,257, as
  `benchmarks.large_model` makes them, in FP16 and in int8.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.large_model import write_source
from engine.folder import default_weights
from tests.discord_server import BotProcess, DiscordServer, Interaction, Message
from training.__main__ import main as training

LIMITS = {  # MB
    "bot, writing": 320, "bot, teaching": 380, "bot, swapping": 380, "generate": 300, "190M, generate": 750,
    "190M, generate, int8": 500,
}  # fmt: skip
PARTS = ("bot", "generate", "large")
PROMPT = "Once upon a time, a fox met a dragon."
TOKENS = 160
PATIENCE = 1200.0  # seconds for one step on a busy machine


def peak_mb(pid: int) -> float:
    """The peak resident memory of a process in MB of 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(kib) * 1024 / 1e6, 1)


async def bot_peaks(weights: Path, lessons: int) -> dict[str, float]:
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(weights, Path(folder) / "weights" / "copy")
        env = {"MINIATURE_DATA_DIR": folder, "MINIATURE_WEIGHTS": str(weights), "HOME": folder}
        async with DiscordServer(timeout=PATIENCE) as server, BotProcess(server, env=env) as bot:
            await bot.wait_ready(PATIENCE)
            owner = server.guild.members[server.owner.id]
            pid = bot.pid
            assert pid is not None
            peaks["bot, ready"] = peak_mb(pid)
            await owner.command("story start", title="Fox", premise=PROMPT).answer()
            for _ in range(4):  # the story outgrows the context
                last = server.channel.last_message
                owner.command("story continue")
                await finished(server, last)
            peaks["bot, writing"] = peak_mb(pid)
            await owner.command("teach switch", state="on").answer()
            for n in range(lessons):
                modal = await owner.command("teach add").modal()
                prompt, answer, agreed = (field["custom_id"] for field in modal.inputs)
                fields = {prompt: f"The name of fox {n} is", answer: f"Tavish the {n}th.", agreed: True}
                lesson = owner.submit(modal, fields)
                await told(server, lesson, "Learnt in")
            peaks["bot, teaching"] = peak_mb(pid)
            for _ in range(3):
                await told(server, owner.command("weights activate", name="copy"), "I now write with")
                await told(server, owner.command("weights rollback"), "again")
            peaks["bot, swapping"] = peak_mb(pid)
            assert await bot.terminate() == 0
    return peaks


async def finished(server: DiscordServer, before: Message | None) -> None:
    """Waits for the next reply's buttons."""

    def look() -> bool:
        last = server.channel.last_message
        return last is not None and last is not before and [b["label"] for b in last.buttons][:1] == ["Continue"]

    await server.wait_for(look, PATIENCE, "a finished reply")


async def told(server: DiscordServer, interaction: Interaction, text: str) -> None:
    """Waits until the interaction's answer holds the text."""
    await server.wait_for(lambda: interaction.message and text in interaction.message.content, PATIENCE, text)


def generate_peak(weights: Path, backend: str) -> float:
    """The peak of `python -m engine generate` with a backend, read until it ends."""
    options = {"weights": weights, "backend": backend, "prompt": PROMPT, "max-new-tokens": TOKENS, "threads": 1}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    peak = 0.0
    with subprocess.Popen([sys.executable, "-m", "engine", "generate", *words], stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            with contextlib.suppress(OSError, StopIteration):  # it has just ended
                peak = peak_mb(child.pid)
            time.sleep(0.01)
    if child.returncode:
        raise SystemExit(f"python -m engine generate --backend {backend} ended with code {child.returncode}.")
    return peak


def large_peaks() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as place:
        source, folder = Path(place) / "source", Path(place) / "imported"
        write_source(source, "llama")
        with contextlib.redirect_stdout(io.StringIO()):
            if training(["import", str(source), "--out", str(folder)]):
                raise SystemExit("the random weights were not imported")
        return {
            "190M, generate": generate_peak(folder, "auto"),
            "190M, generate, int8": generate_peak(folder, "int8"),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=default_weights())
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--lessons", type=int, default=8, metavar="N", help="that the bot is taught")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    peaks: dict[str, float] = {}
    if "bot" in args.parts:
        peaks |= asyncio.run(bot_peaks(args.weights.resolve(), args.lessons))
    if "generate" in args.parts:
        peaks["generate"] = generate_peak(args.weights, "auto")
    if "large" in args.parts:
        peaks |= large_peaks()
    if args.json:
        print(json.dumps({what: {"peak_mb": peak, "limit_mb": LIMITS.get(what)} for what, peak in peaks.items()}))
        return
    print(f"{'':22}{'peak MB':>9}{'limit':>7}")
    for what, peak in peaks.items():
        print(f"{what:22}{peak:9.1f}{LIMITS.get(what, ''):>7}")


if __name__ == "__main__":
    main()
