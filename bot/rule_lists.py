"""The lists of the content rules: the built-in ones, and what the operator adds to them outside of the repository.

`MINIATURE_RULES` names a text file (one term a line, `#` for comments), a TOML file with tables as in `rules.toml`, or
a folder of both, where `weapons.txt` adds to the list `weapons`. Operators add terms, lists and pairs of lists; nothing
that they write takes a term away or lifts a list.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bot.errors import StartError
from bot.folding import BUILT_IN

OPERATORS = "the list of this bot's operator"
AT_MOST = 1000  # words between two terms that are refused together
_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
).split()


@dataclass(frozen=True)
class TermList:
    """Terms of one kind."""

    key: str
    name: str  # what people are told; never a term
    terms: tuple[str, ...]
    general_use: bool = False  # lifted where the rating is mature; any other list holds in every mode
    alone: bool = True  # whether a term of it is refused wherever it stands, not only together with another list's


@dataclass(frozen=True)
class Together:
    """Two kinds of terms that are refused near each other, in every mode."""

    name: str
    first: frozenset[str]  # keys of lists
    second: frozenset[str]
    within: int  # words


@dataclass(frozen=True)
class Lists:
    lists: tuple[TermList, ...]
    together: tuple[Together, ...]

    def __or__(self, more: Lists) -> Lists:
        """With the terms and lists of another; a list that both have keeps what it is here."""
        by_key = {each.key: each for each in self.lists}
        for each in more.lists:
            held = by_key.get(each.key)
            by_key[each.key] = each if held is None else replace(held, terms=(*held.terms, *each.terms))
        return Lists(tuple(by_key.values()), (*self.together, *more.together))


def built_in() -> Lists:
    lists = tuple(
        TermList(
            key,
            told["name"],
            (*told["terms"], *_ages(told.get("ages"))),
            told.get("general_use", False),
            told.get("alone", True),
        )
        for key, told in BUILT_IN["lists"].items()
    )
    return Lists(lists, tuple(_together(pair) for pair in BUILT_IN["together"]))


def of_operator(path: Path) -> Lists:
    """What a file, or the files of a folder, add.

    Raises:
        StartError: one of them cannot be read, or says what it may not say.
    """
    files = sorted(file for file in path.iterdir() if file.suffix in (".txt", ".toml")) if path.is_dir() else [path]
    found = Lists((), ())
    for file in files:
        key = file.stem if path.is_dir() else ""
        try:
            text = file.read_text(encoding="utf-8-sig")
            found |= _of_toml(text) if file.suffix == ".toml" else _of_text(text, key)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise StartError(
                f"The list of refused terms {file} cannot be used ({error}): mend MINIATURE_RULES or the file."
            ) from error
    return found


def _of_text(text: str, key: str) -> Lists:
    terms = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return Lists((TermList(_key(key or "operator"), OPERATORS, terms),), ())


def _of_toml(text: str) -> Lists:
    raw = tomllib.loads(text)
    _only(raw, {"lists", "together"}, "the file")
    lists = tuple(_operators_list(_key(key), told) for key, told in _table(raw.get("lists", {}), "lists").items())
    pairs = raw.get("together", [])
    if not isinstance(pairs, list):
        raise ValueError("together must be written as [[together]]")
    known = {each.key for each in (*built_in().lists, *lists)}
    together = tuple(_together(_table(pair, "together")) for pair in pairs)
    if strange := {key for pair in together for key in pair.first | pair.second} - known:
        raise ValueError(f"{min(strange)} under together is no list")
    return Lists(lists, together)


def _operators_list(key: str, told: Any) -> TermList:
    _only(_table(told, key), {"name", "terms", "alone"}, key)
    name, alone, terms = told.get("name", OPERATORS), told.get("alone", True), told.get("terms", [])
    if not isinstance(name, str) or not isinstance(alone, bool) or not _strings(terms):
        raise ValueError(f"{key} has a name, terms and alone = false, as in bot/rules.toml")
    return TermList(key, name, tuple(terms), alone=alone)


def _together(told: dict[str, Any]) -> Together:
    _only(told, {"name", "first", "second", "within"}, "together")
    name, first, second, within = (told.get(key) for key in ("name", "first", "second", "within"))
    fits = isinstance(name, str) and _strings(first) and _strings(second) and first and second
    if not fits or type(within) is not int or not 0 < within <= AT_MOST:
        raise ValueError(f"each together has a name, lists as first and second, and within, 1 to {AT_MOST} words")
    assert isinstance(name, str)
    assert isinstance(first, list)
    assert isinstance(second, list)
    return Together(name, frozenset(first), frozenset(second), within)


def _only(told: dict[str, Any], known: set[str], where: str) -> None:
    if surplus := set(told) - known:
        raise ValueError(f"{min(surplus)} cannot be said of {where}")


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a table")
    return value


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"a list's key is made of small letters, digits and hyphens, and {key[:40]!r} is not")
    return key


def _ages(span: Sequence[int] | None) -> Iterator[str]:
    if span is None:
        return
    for number in range(span[0], span[1] + 1):
        for said in (str(number), _NUMBERS[number - 1]):
            yield from (f"{said} year old", f"{said} years old", f"aged {said}")
