"""`python -m memory`: what an operator does with the file that holds all stories and memory."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from memory import audit, key_file
from memory.copies import Contents, backup, check, check_texts, opened, reading, wrapped_keys
from memory.errors import KeyUnusableError, StoreError
from memory.moving import move
from memory.rekeying import rekey
from memory.restoring import restore


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
    parser = argparse.ArgumentParser(
        prog="python -m memory",
        description=__doc__,
        epilog=f"The key is that of --key-file, else {key_file.VARIABLE} of the environment, else the one in FILE.key.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keyed = argparse.ArgumentParser(add_help=False)
    keyed.add_argument("--key-file", type=Path, metavar="KEY", help="a file of 0600 that holds the key")

    moving = commands.add_parser(
        "move", parents=[keyed], help="moves all of a server from one file to another; no bot may use either"
    )
    moving.add_argument("--from", dest="source", type=Path, required=True, metavar="FILE")
    moving.add_argument("--to", dest="target", type=Path, required=True, metavar="FILE", help="is made if need be")
    moving.add_argument("--guild", type=int, required=True, metavar="ID", help="the server's number in Discord")
    moving.set_defaults(run=_move)

    checking = commands.add_parser("check", parents=[keyed], help="reads all of a file and says whether it is whole")
    checking.add_argument("file", type=Path)
    checking.set_defaults(run=_check)

    copying = commands.add_parser("backup", help="copies a file, also while a bot is using it, and checks the copy")
    copying.add_argument("file", type=Path)
    copying.add_argument("out", type=Path)
    copying.set_defaults(run=_backup)

    restoring = commands.add_parser(
        "restore", parents=[keyed], help="puts a backup in a file's place, which is kept under another name"
    )
    restoring.add_argument("backup", type=Path)
    restoring.add_argument("file", type=Path)
    restoring.set_defaults(run=_restore)

    rekeying = commands.add_parser("rekey", parents=[keyed], help="seals a file and its backups under another key")
    rekeying.add_argument("file", type=Path)
    rekeying.add_argument(
        "--new-key-file", type=Path, metavar="KEY", help="holds the new key; else one is drawn into FILE.key"
    )
    rekeying.set_defaults(run=_rekey)

    auditing = commands.add_parser("audit", help="the log of who changed what")
    acts = auditing.add_subparsers(required=True, metavar="COMMAND")
    verifying = acts.add_parser("verify", parents=[keyed], help="says whether no act was changed, removed or put in")
    verifying.add_argument("file", type=Path)
    verifying.add_argument("--end", metavar="HASH", help="the hash that the log of the process told it to end with")
    verifying.set_defaults(run=_verify)
    showing = acts.add_parser("show", help="the last acts, the oldest of them first")
    showing.add_argument("file", type=Path)
    showing.add_argument("--last", type=int, default=50, metavar="N")
    showing.set_defaults(run=_show)
    return parser


def _move(given: argparse.Namespace) -> str:
    moved = asyncio.run(move(given.source, given.target, given.guild, key=_given_key(given.key_file)))
    return f"Moved from {given.source} to {given.target}: channels {moved.channels:,}, rows {moved.rows:,}."


def _check(given: argparse.Namespace) -> str:
    found = check(given.file)
    key, wrapped = _key(given), wrapped_keys(given.file)
    if not wrapped:
        texts = "its texts are not sealed: the next start of the program seals them"
    elif key is None:
        texts = "its texts were not looked into, as the key is not here"
    else:
        texts = f"texts sealed and readable {check_texts(given.file, key):,}"
    return f"{given.file} is whole: {_told(found)}; {texts}."


def _backup(given: argparse.Namespace) -> str:
    return f"{given.out} is a whole copy: {_told(backup(given.file, given.out))}; its key is that of {given.file}."


def _restore(given: argparse.Namespace) -> str:
    done = asyncio.run(restore(given.backup, given.file, key=_given_key(given.key_file)))
    kept = f" What was there is kept as {done.kept}." if done.kept else ""
    gone = f" People who had been removed since and stay removed: {done.forgotten:,}." if done.forgotten else ""
    return f"{given.file} is {given.backup} now: {_told(done.contents)}.{kept}{gone}"


def _rekey(given: argparse.Namespace) -> str:
    old, new = _given_key(given.key_file), None
    if given.new_key_file is not None:
        new = _read(given.new_key_file)
    elif old is not None:
        raise KeyUnusableError(
            "The key is not the one beside the file, so a new one has no place there: give it with --new-key-file."
        )
    done = asyncio.run(rekey(given.file, old=old, new=new))
    place = f"the new key is in {done.key_file}" if done.key_file else "the old key opens nothing of it any more"
    left = "".join(f" Neither key opens {path}: remove it." for path in done.left)
    return f"Under another key: files {done.files:,}, texts sealed anew {done.texts:,}; {place}.{left}"


def _verify(given: argparse.Namespace) -> str:
    check(given.file)
    if not wrapped_keys(given.file):
        raise StoreError(f"{given.file} is of an older format, whose acts are not chained: start the program once.")
    if (key := _key(given)) is None:
        with reading(given.file) as connection:
            wrong, count = audit.verify(connection, sealed_end=None, known=given.end), audit.count(connection)
    else:
        with opened(given.file, key) as connection:
            end = audit.sealed_end(connection)
            wrong, count = audit.verify(connection, sealed_end=end, known=given.end), audit.count(connection)
    if wrong:
        raise StoreError(" ".join(wrong))
    unsure = "" if key is not None else " Without the key, rows that somebody has put at its end are not found out."
    return f"The log holds together: {count:,} acts.{unsure}"


def _show(given: argparse.Namespace) -> str:
    check(given.file)
    with reading(given.file) as connection:
        rows = connection.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (given.last,)).fetchall()
    return "\n".join(
        f"{row['id']:>6} {datetime.fromtimestamp(row['at'], UTC):%Y-%m-%d %H:%M:%S} {row['action']:<20}"
        f" by {row['actor_id']} in {row['channel'] or 'no channel'} {row['detail']}".rstrip()
        for row in reversed(rows)
    )


def _given_key(file: Path | None) -> bytes | None:
    """The key that the operator gave; None where it is to be found beside the file."""
    if file is not None:
        return _read(file)
    if text := os.environ.get(key_file.VARIABLE, "").strip():
        try:
            return key_file.parse(text)
        except ValueError as error:
            raise KeyUnusableError(f"{key_file.VARIABLE} cannot be used: {error}.") from None
    return None


def _read(file: Path) -> bytes:
    if (key := key_file.read(file)) is None:
        raise KeyUnusableError(f"There is no key file {file}: name the one that holds the key.")
    return key


def _key(given: argparse.Namespace) -> bytes | None:
    """That of the file to look into, if it is anywhere to be found."""
    return _given_key(given.key_file) or key_file.read(key_file.beside(given.file.expanduser().resolve()))


def _told(found: Contents) -> str:
    return (
        f"channels {found.channels:,}, stories {found.stories:,}, turns {found.turns:,}, lessons {found.lessons:,},"
        f" {found.bytes / 1e6:,.1f} MB, format {found.version}"
    )


if __name__ == "__main__":
    sys.exit(main())
