"""`python -m memory`: what an operator does with the file that holds all stories and memory."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from memory.copies import Contents, backup, check
from memory.errors import StoreError
from memory.moving import move


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where it was done, 1 where it could not be, with one sentence that says why."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    try:
        print(given.run(given))
    except StoreError as error:
        print(f"! {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m memory", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    moving = commands.add_parser("move", help="moves all of a server from one file to another; no bot may use either")
    moving.add_argument("--from", dest="source", type=Path, required=True, metavar="FILE")
    moving.add_argument("--to", dest="target", type=Path, required=True, metavar="FILE", help="is made if need be")
    moving.add_argument("--guild", type=int, required=True, metavar="ID", help="the server's number in Discord")
    moving.set_defaults(run=_move)
    checking = commands.add_parser("check", help="reads all of a file and says whether it is whole")
    checking.add_argument("file", type=Path)
    checking.set_defaults(run=_check)
    copying = commands.add_parser("backup", help="copies a file, also while a bot is using it, and checks the copy")
    copying.add_argument("file", type=Path)
    copying.add_argument("out", type=Path)
    copying.set_defaults(run=_backup)
    return parser


def _move(given: argparse.Namespace) -> str:
    moved = asyncio.run(move(given.source, given.target, given.guild))
    return f"Moved from {given.source} to {given.target}: channels {moved.channels:,}, rows {moved.rows:,}."


def _check(given: argparse.Namespace) -> str:
    return f"{given.file} is whole: {_told(check(given.file))}."


def _backup(given: argparse.Namespace) -> str:
    return f"{given.out} is a whole copy: {_told(backup(given.file, given.out))}."


def _told(found: Contents) -> str:
    return (
        f"channels {found.channels:,}, stories {found.stories:,}, turns {found.turns:,}, lessons {found.lessons:,},"
        f" {found.bytes / 1e6:,.1f} MB, format {found.version}"
    )


if __name__ == "__main__":
    sys.exit(main())
