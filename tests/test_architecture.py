"""The arrows of docs/architecture.md, read from the imports: each file by itself, without running it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from engine.kernel import available

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "bot": {"engine", "memory", "config"},
    "engine": set(),
    "memory": set(),
    "config": set(),
    "training": {"engine", "config"},
}
HOME = {  # a library's rooms; one that stands nowhere is in no room
    "discord": {"bot"},
    "aiohttp": {"bot"},  # the errors of discord.py's connection
    "prompt_toolkit": {"bot"},
    "aiosqlite": {"memory"},
    "sqlite3": {"memory"},
    "cryptography": {"memory", "engine", "training"},
    "torch": {"engine", "training"},
    "numpy": {"engine"},  # what a process that only writes computes with: torch is 200 MB more
    "safetensors": {"engine"},
    "tokenizers": {"engine", "training"},
    "pydantic": {"config"},
    "pydantic_settings": {"config"},
    "platformdirs": {"config"},
}
EVERYWHERE = set(sys.stdlib_module_names) - {"sqlite3"}
DISCORD_FREE = {"bot/session.py"}  # the logic of a session is tested without Discord
MAX_LINES = 400
WRITES = """
import sys
from pathlib import Path
from engine import Engine, Lesson, SamplingParams, TeachParams
engine = Engine.load(Path(sys.argv[1]))
engine.generate("Once", SamplingParams(max_new_tokens=4))
print("torch" in sys.modules)
engine.teach(Lesson("a", "b"), TeachParams(max_steps=1))
print("torch" in sys.modules)
"""
NO_NAMES = {"utils", "common", "helpers", "manager", "handler"}


def modules() -> list[Path]:
    return sorted(path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """First names of all imported modules, those inside of functions too; a relative import is its own room."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(path.relative_to(ROOT).parts[0] if node.level else (node.module or "").split(".")[0])
    return found


def wrong_imports(room: str, found: set[str]) -> set[str]:
    """Those that a module of this room may not have."""
    rooms = {room} | MAY_IMPORT[room]
    return {
        name
        for name in found - EVERYWHERE - rooms
        if name in (*MAY_IMPORT, "tests") or room not in HOME.get(name, set())
    }


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_keeps_to_its_room(path: Path) -> None:
    place = path.relative_to(ROOT)
    found = imports(path)
    assert not wrong_imports(place.parts[0], found)
    if place.as_posix() in DISCORD_FREE:
        assert "discord" not in found
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert path.stem not in NO_NAMES


def test_presets_need_only_the_standard_library() -> None:
    assert imports(ROOT / "config" / "presets.py") <= EVERYWHERE


@pytest.mark.parametrize(
    ("room", "module"),
    [
        ("bot", "torch"), ("bot", "training"), ("bot", "aiosqlite"), ("engine", "bot"), ("engine", "config"),
        ("bot", "numpy"), ("memory", "torch"), ("memory", "engine"), ("config", "engine"), ("training", "memory"),
        ("training", "tests"), ("training", "discord"), ("training", "pydantic_settings"),
    ],
)  # fmt: skip
def test_a_wrong_arrow_is_seen(room: str, module: str) -> None:
    assert wrong_imports(room, {module, "json", room}) == {module}


def test_writing_needs_no_torch(tiny_weights: Path) -> None:
    """Where the kernel decodes, 200 MB stay away until somebody teaches."""
    if not available()[0]:
        pytest.skip(available()[1])
    told = subprocess.run(
        [sys.executable, "-c", WRITES, str(tiny_weights)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert told.split() == ["False", "False"]
