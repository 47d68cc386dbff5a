"""python -m benchmarks.reliability.secrets [--inputs N] [--seed N] [--json]: no secret and no forged line in the log.

A process with the bot's own logging (`bot.logs.configure`, at DEBUG, to the file and to the standard error) logs
records of our loggers and of the libraries': names of members, channels and files that hold line ends, escapes, whole
forged lines; and in messages, arguments, addresses, headers, nested values and tracebacks of chained errors the secrets
of its settings. Each record carries its number. Counted in what came out are
- leaks: places where a secret stands, in large or small letters,
- forged lines: lines that begin as a record does and are none of those that were logged, and control characters.
The exit status is 1 unless both are 0 and every record is there.
"""

from __future__ import annotations

import json
import logging
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.command_line import parser, tell

ROOT = Path(__file__).parents[2]
BEHIND = "  | "  # begins the lines of a record but for its first
FIRST = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ['\"]?#(\d+) ")
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
LOGGERS = ("bot", "bot.gate", "engine.worker", "memory.store", "discord.http", "discord.gateway", "aiohttp.client",
           "asyncio", "aiosqlite", "somebody.else")  # fmt: skip
LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
BREAKS = ("\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1b[2K\x1b[1G", "\x1b]0;x\x07", "\x00",
          "\x9b1A", "\u202e", "\ud800", "\b" * 40, "\x7f", "\t")  # fmt: skip
FORGED = "2026-11-21 12:00:00,000 ERROR bot.gate: #{} the owner has left"


def secrets_of(seed: int) -> dict[str, str]:
    rng = random.Random(seed)

    def letters(count: int) -> str:
        return "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", k=count))

    return {"discord_token": f"M{letters(25)}.{letters(6)}.{letters(38)}", "key": rng.randbytes(32).hex()}


class Rude:
    """Something whose own text is rude, or that has none."""

    def __init__(self, text: str, *, fails: bool) -> None:
        self._text, self._fails = text, fails

    def __str__(self) -> str:
        if self._fails:
            raise ValueError(self._text)
        return self._text

    __repr__ = __str__


def hostile(rng: random.Random, secrets: list[str]) -> str:
    """A name as somebody may have chosen it, or a text that should never have come near the log."""
    parts = []
    for _ in range(rng.randint(1, 5)):
        parts.append(
            rng.choice((
                lambda: rng.choice(BREAKS), lambda: rng.choice(BREAKS) + FORGED.format(rng.randrange(10**6)),
                lambda: rng.choice(secrets), lambda: rng.choice(secrets).swapcase(),
                lambda: "".join(map(chr, rng.choices(range(0x250), k=6))),
                lambda: rng.choice(("fox", "/etc/x", "%s", "{}")),
                lambda: f"https://discord.com/api/webhooks/1/{rng.choice(secrets)}/messages",
                lambda: json.dumps({"token": rng.choice(secrets), "name": rng.choice(BREAKS)}),
                lambda: repr({"Authorization": f"Bot {rng.choice(secrets)}"}),
                lambda: f"Authorization: Bot {rng.choice(secrets)}",
            ))()
        )  # fmt: skip
    return "".join(parts)


def raise_chain(rng: random.Random, secrets: list[str]) -> None:
    try:
        raise KeyError(hostile(rng, secrets))
    except KeyError as error:
        problem = RuntimeError(hostile(rng, secrets), {"headers": hostile(rng, secrets)})
        problem.add_note(hostile(rng, secrets))
        if rng.random() < 0.5:
            raise problem from error
        raise problem from None


def log_one(number: int, rng: random.Random, secrets: list[str]) -> bool:
    """Logs a record; whether it should come out."""
    log, level = logging.getLogger(rng.choice(LOGGERS)), rng.choice(LEVELS)
    text, name = hostile(rng, secrets), hostile(rng, secrets)
    rude = Rude(text, fails=rng.random() < 0.3)
    ways: list[Callable[[], object]] = [
        lambda: log.log(level, f"#{number} {name} wrote {text}"),
        lambda: log.log(level, "#%d %s wrote %r", number, name, text),
        lambda: log.log(level, "#%d %s", number, {"name": name, "more": [text, text.encode("utf-8", "replace")]}),
        lambda: log.log(level, f"#{number} %s %d", name, text),  # the parts do not fit
        lambda: log.log(level, f"#{number} %s", rude),
        lambda: log.log(level, "#%d %s", number, name, stack_info=True),
    ]  # fmt: skip
    if rng.random() < 0.3:
        try:
            raise_chain(rng, secrets)
        except RuntimeError:
            log.log(level, "#%d it failed: %s", number, name, exc_info=True)
    else:
        rng.choice(ways)()
    return log.isEnabledFor(level)


def child(folder: Path, inputs: int, seed: int) -> None:
    from bot.logs import Troubles, configure
    from config.settings import load_settings

    secrets = secrets_of(seed)
    settings = load_settings(data_dir=folder, log_level="DEBUG", **secrets)
    configure(settings, console=True)
    troubles = Troubles(settings.secrets)
    troubles.attach(["", *LOGGERS])
    rng, kept = random.Random(seed), list[str]()
    known = [*secrets.values(), secrets["key"].upper()]
    logged: list[int] = []
    for number in range(inputs):
        if log_one(number, rng, known):
            logged.append(number)
        kept += [trouble.what for trouble in troubles.last if number % 50 == 0]
    print(settings, repr(settings), settings.model_dump())
    print(json.dumps({"logged": logged, "troubles": kept}))


def measure(inputs: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place, (Path(place) / "err").open("w+b") as err:
        command = [sys.executable, "-m", "benchmarks.reliability.secrets", "--child", place, str(inputs), str(seed)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=err, check=False)
        if done.returncode:
            raise SystemExit(f"The process ended with code {done.returncode}.")
        out = done.stdout.decode()
        told = json.loads(out.splitlines()[-1])
        err.seek(0)
        console = err.read().decode("utf-8", "surrogateescape")
        files = "".join(file.read_text(encoding="utf-8") for file in sorted(Path(place).glob("log.txt*")))
    lines = console.removesuffix("\n").split("\n")
    first = [line for line in lines if not line.startswith(BEHIND)]
    numbers = [int(found[1]) if (found := FIRST.match(line)) else None for line in first]
    missing = len(told["logged"]) - len(set(told["logged"]) & set(numbers))
    forged = len(numbers) - len(told["logged"]) + missing if numbers != told["logged"] else 0
    everything = "\n".join([out, console, files, *told["troubles"]]).casefold()
    leaks = sum(everything.count(secret.casefold()) for secret in secrets_of(seed).values())
    control = len(CONTROL.findall(console)) + sum(len(CONTROL.findall(each)) for each in told["troubles"])
    return {
        "inputs": inputs, "seed": seed, "logged": len(told["logged"]), "missing": missing, "lines": len(lines),
        "leaks": leaks, "forged_lines": forged, "control_characters": control,
    }  # fmt: skip


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        return 0
    args = parser(__doc__, inputs=100_000, seed=1).parse_args()
    figures = measure(args.inputs, args.seed)
    tell(figures, as_json=args.json)
    return 1 if any(figures[name] for name in ("missing", "leaks", "forged_lines", "control_characters")) else 0


if __name__ == "__main__":
    sys.exit(main())
