"""What stands in deploy/ and in the documents about settings: names that there are, limits that were promised."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from config.settings import PREFIX, Settings
from memory.__main__ import build_parser

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "deploy" / "miniature-memory@.service"
PAGES = [
    *sorted((ROOT / "deploy").iterdir()),
    *(ROOT / page for page in ("README.md", "docs/discord.md", "docs/hosting.md")),
]


def table() -> dict[str, str]:
    """README's table of settings: name -> its row."""
    rows = re.findall(r"^\| (`MINIATURE_.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    names: dict[str, str] = {}
    for row in rows:
        first, *more = re.findall(r"`([A-Z_]+)`", row.split(" | ")[0])
        short = [first] if len(more) == 0 else [first, *(_full(first, each) for each in more)]
        names |= dict.fromkeys(short, row)
    return names


def _full(first: str, ending: str) -> str:
    """`_PER_CHANNEL` behind `MINIATURE_LESSONS_PER_MEMBER`, `_TOP_K` behind `MINIATURE_TEMPERATURE`."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    parts = first.split("_")
    tries = ["_".join(parts[:end]) + ending for end in range(len(parts) - 1, 0, -1)]
    return next(name for name in tries if name in known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"MINIATURE_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8"))) <= known


def test_every_setting_is_in_the_table() -> None:
    assert set(table()) == {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def test_the_unit_keeps_to_its_memory_and_to_itself() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    pairs = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert pairs["MemoryMax"] == "1536M"
    assert pairs["ExecStart"].endswith("python -m bot")
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictSUIDSGID"):
        assert pairs[name] == "yes"
    assert all(line.startswith(("#", "[")) or "=" in line for line in lines if line)


def test_documented_commands_of_memory_parse() -> None:
    page = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
    found = re.findall(r"(python -m memory [^`\n]+)", page)
    assert len(found) == 3
    for line in found:
        build_parser().parse_args(shlex.split(line.replace(" ID", " 1"))[3:])
