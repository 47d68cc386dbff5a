"""docs/commands.md tells of the commands there are, as they are."""

from __future__ import annotations

from pathlib import Path

from bot.reference import page

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_of_commands_is_what_the_commands_say_of_themselves() -> None:
    assert PAGE.read_text(encoding="utf-8") == page() + "\n", "run: python -m bot.reference > docs/commands.md"
