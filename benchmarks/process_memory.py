"""python -m benchmarks.process_memory [--weights DIR] [--json]: peak memory of the bot process, as Linux counts it.

Starts the real `python -m bot` against a Discord on loopback, and in it starts a story, lets the model write, teaches
it and swaps the weights. After each step the process's own peak (VmHWM of Linux) is read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from pathlib import Path

from engine.checkpoint import default_weights
from tests.discord_server import BotProcess, DiscordServer, Interaction, Message

LESSONS = 8
PATIENCE = 300.0  # seconds for one step on a busy machine


def peak_mb(pid: int) -> float:
    """The peak resident memory of a process in MB of 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(kib) * 1024 / 1e6, 1)


async def measure(weights: Path) -> dict[str, float]:
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(weights, Path(folder) / "weights" / "copy")
        env = {"MINIATURE_DATA_DIR": folder, "MINIATURE_WEIGHTS": str(weights), "HOME": folder}
        async with DiscordServer(timeout=PATIENCE) as server, BotProcess(server, env=env) as bot:
            await bot.wait_ready(PATIENCE)
            owner = server.guild.members[server.owner.id]
            pid = bot.pid
            assert pid is not None
            peaks["ready"] = peak_mb(pid)
            await owner.command("story start", title="Fox", premise="Once upon a time, a fox met a dragon.").answer()
            for _ in range(4):  # the story outgrows the context
                last = server.channel.last_message
                owner.command("story continue")
                await finished(server, last)
            peaks["writing"] = peak_mb(pid)
            await owner.command("access teaching", enabled=True).answer()
            for n in range(LESSONS):
                modal = await owner.command("teach").modal()
                prompt, answer, agreed = (field["custom_id"] for field in modal.inputs)
                fields = {prompt: f"The name of fox {n} is", answer: f"Tavish the {n}th.", agreed: True}
                lesson = owner.submit(modal, fields)
                await told(server, lesson, "Learnt in")
            peaks["teaching"] = peak_mb(pid)
            for _ in range(3):
                await told(server, owner.command("weights activate", name="copy"), "I now write with")
                await told(server, owner.command("weights rollback"), "again")
            peaks["swapping"] = peak_mb(pid)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=default_weights())
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    peaks = asyncio.run(measure(args.weights))
    print(json.dumps(peaks) if args.json else "\n".join(f"{step:10} {peak:8} MB" for step, peak in peaks.items()))


if __name__ == "__main__":
    main()
