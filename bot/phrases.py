"""What the bot says in a channel to everybody there, in the language that the channel or its server has chosen.

What only the asker sees is not among it. Nothing may be read back by these words but the line that says who is next,
which `bot.next_line` knows in every language.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

TABLE = Path(__file__).with_name("phrases.toml")
DEFAULT = "English"


@cache
def load_phrases() -> Mapping[str, Mapping[str, str]]:
    """By language and key, with {placeholders}."""
    with TABLE.open("rb") as file:
        found: dict[str, dict[str, str]] = tomllib.load(file)
    return found


@dataclass(frozen=True)
class Phrases:
    language: str
    texts: Mapping[str, str]

    @classmethod
    def of(cls, language: str) -> Self:
        """What a language lacks is English; so is all of one that is not known."""
        table = load_phrases()
        return cls(language, {**table[DEFAULT], **table.get(language, {})})

    def __call__(self, key: str, **values: object) -> str:
        return self.texts[key].format(**values)

    def number(self, value: int) -> str:
        """With the language's own mark between thousands."""
        return f"{value:,}".replace(",", self("thousands"))

    def size(self, chars: int, turns: int) -> str:
        """How long a story is."""
        key = "size_of_one" if turns == 1 else "size"
        return self(key, chars=self.number(chars), turns=self.number(turns))


ENGLISH = Phrases.of(DEFAULT)
