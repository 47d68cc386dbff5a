"""What the command lines of these programs share: how they are read, and how figures are told."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping


def parser(about: str | None, **numbers: float) -> ArgumentParser:
    """Knows `--json`, and an option for each number, which is its default and of its type."""
    made = ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
    for name, default in numbers.items():
        made.add_argument(f"--{name}", type=type(default), default=default)
    made.add_argument("--json", action="store_true")
    return made


def tell(figures: Mapping[str, object], *, as_json: bool) -> None:
    """On one line as JSON, or each on a line of its own for people."""
    if as_json:
        print(json.dumps(figures))
        return
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        print(f"{name:{width}}  {f'{value:,}' if isinstance(value, int) else value}")
