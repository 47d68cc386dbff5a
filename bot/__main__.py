"""`python -m bot`: the Discord bot where a token is set, else the story in the terminal."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence

from bot.errors import BotError, StartError
from bot.logs import configure, log_file
from config.settings import APP, Settings, SettingsError, load_settings
from engine.errors import EngineError, TokenizerError, WeightsError
from memory.errors import (
    DatabaseDamagedError,
    DatabaseForbiddenError,
    DatabaseTooNewError,
    KeyUnusableError,
    MigrationError,
    StoreError,
)

USAGE = """\
Without MINIATURE_DISCORD_TOKEN a story is written here, in the terminal: type its first sentence, or /help.
With it, the bot goes online on Discord. Settings come from MINIATURE_… variables and a .env file."""

EX_CONFIG = 78  # deploy/ tells systemd not to start it anew
LASTING = (
    StartError, WeightsError, TokenizerError, DatabaseDamagedError, DatabaseForbiddenError, DatabaseTooNewError,
    KeyUnusableError, MigrationError,
)  # fmt: skip

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 at a normal end, 1 where the process fails and another start may mend it, 2 for an option that
    there is not, and 78 (`EX_CONFIG` of sysexits(3)) for what stays as it is until somebody mends it: a setting, the
    token, a right, weights, a database."""
    parser = argparse.ArgumentParser(
        prog="python -m bot", description=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"{APP} {_version()}")
    parser.parse_args(arguments)
    try:
        settings = load_settings()
    except SettingsError as error:
        return _fail(str(error), EX_CONFIG)
    # Read by torch when it is imported. One thread serves small models best: more of them wait for each other, and on
    # a host whose cores are shared that made teaching fifty times slower.
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    try:
        configure(settings, console=settings.has_token)
        return asyncio.run(_run(settings))
    except (BotError, EngineError, StoreError) as error:
        log.info("ended: %s", error)
        return _fail(str(error), EX_CONFIG if isinstance(error, LASTING) else 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        log.exception("ended by an unexpected error")
        return _fail(f"Something unexpected went wrong and the program had to end: see {log_file(settings)}.", 1)


async def _run(settings: Settings) -> int:
    # The engine brings 200 MB with it, so it comes after everything that can be wrong with the settings.
    from bot.services import Services
    from bot.watchdog import watched

    async with await Services.open(settings) as services, watched(services.worker):
        for notice in services.notices:
            print(f"! {notice}", file=sys.stderr)
        if settings.has_token:
            from bot.discord_app import run_bot

            return await run_bot(services)
        from bot.terminal import run_terminal

        return await run_terminal(services)


def _version() -> str:
    try:
        return importlib.metadata.version(APP)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _fail(sentence: str, code: int) -> int:
    print(f"! {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
