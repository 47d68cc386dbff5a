"""What stands in deploy/ and in the documents about settings: names that there are, limits that were promised."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bot.__main__ import EX_CONFIG
from bot.watchdog import PATIENCE, SIGNS
from config.settings import PREFIX, Settings
from memory.__main__ import build_parser
from training.__main__ import build_parser as training_parser

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "deploy" / "miniature-memory@.service"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
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


def pairs_of(unit: Path, name: str | None = None) -> dict[str, str]:
    """What a unit says; of one name that comes often, what each says in turn."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    if name is not None:
        pairs = [value.split("=", 1) for key, value in pairs if key == name]
    return {pair[0]: pair[1] for pair in pairs}


def test_the_unit_keeps_to_its_memory_and_to_itself() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    pairs = pairs_of(UNIT)
    assert pairs["MemoryMax"] == "1536M"
    assert pairs["ExecStart"].endswith("python -m bot")
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictSUIDSGID"):
        assert pairs[name] == "yes"
    assert all(line.startswith(("#", "[")) or "=" in line for line in lines if line)


def test_documented_commands_of_memory_parse() -> None:
    page = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
    found = re.findall(r"(python -m memory [^`\n]+)", page)
    assert len(found) == 9
    for line in found:
        build_parser().parse_args(shlex.split(line.replace(" ID", " 1"))[3:])


def test_documented_commands_of_training_parse() -> None:
    page = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
    found = re.findall(r"^(python -m training [^`\n]+)$", page, flags=re.MULTILINE)
    assert found
    for line in found:
        assert training_parser().parse_args(shlex.split(line)[3:]).run_command


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, each on one line."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_unit_is_watched_and_knows_how_long() -> None:
    unit = pairs_of(UNIT)
    assert (unit["Type"], unit["NotifyAccess"]) == ("notify", "main")
    assert SIGNS * int(unit["WatchdogSec"]) <= PATIENCE, "a sound engine is given more time than the loop"
    assert unit["Restart"] == "on-failure"
    assert unit["RestartPreventExitStatus"] == str(EX_CONFIG), "what no start mends"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_the_unit_gives_away_no_right_that_it_does_not_need(tmp_path: Path) -> None:
    unit = tmp_path / "miniature-memory@.service"
    unit.write_text(UNIT.read_text(encoding="utf-8"))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    if found is None:
        pytest.skip(f"systemd-analyze cannot tell: {done.stderr.strip()[:100]}")
    assert float(found[1]) <= 1.5


def test_everything_that_the_image_copies_is_there() -> None:
    copied = [rest.split() for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    sources = [name for words in copied for name in words[:-1]]
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert all((ROOT / name).exists() for name in sources)
    assert {line[1:] for line in ignored if line.startswith("!")} == set(sources)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {room.rstrip("*") for room in rooms} <= set(sources)


def test_the_image_has_the_projects_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = dict(instructions())
    assert f'image.version="{project["version"]}"' in said["LABEL"]
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    assert len(bases) == 1, "both stages have one Python"
    version = re.fullmatch(r"python:(\d+)\.(\d+)-slim-\w+", bases.pop())
    least = re.fullmatch(r">=(\d+)\.(\d+)", project["requires-python"])
    assert version is not None
    assert least is not None
    assert tuple(map(int, version.groups())) >= tuple(map(int, least.groups()))


def test_the_image_runs_for_nobody_in_particular_and_writes_in_one_place() -> None:
    said = dict(instructions())
    assert said["USER"] == "10001:10001"
    assert said["VOLUME"] == said["WORKDIR"] == "/data"
    assert "MINIATURE_DATA_DIR=/data" in said["ENV"]
    assert "MINIATURE_METRICS_PORT=9100" in said["ENV"]
    assert "127.0.0.1:9100/metrics" in said["HEALTHCHECK"]
    assert json.loads(said["ENTRYPOINT"]) == ["python", "-m", "bot"]
    assert json.loads(said["HEALTHCHECK"].split("CMD ")[1])[0] == "python"
    secrets = {f"{PREFIX}{name.upper()}" for name, field in Settings.model_fields.items() if "Secret" in str(field)}
    assert not any(f"{secret}=" in text for secret in secrets for _, text in instructions())


def test_a_volume_keeps_its_key_to_itself() -> None:
    """Kubernetes adds the group's rights to all of a volume at each start, unless it is told not to."""
    assert "fsGroupChangePolicy: OnRootMismatch" in (ROOT / "deploy" / "statefulset.yaml").read_text(encoding="utf-8")


def test_the_ways_to_run_the_image_are_one() -> None:
    def runs(page: Path) -> str:
        text = page.read_text(encoding="utf-8").replace("\n# ", "\n")
        found = re.search(r"docker run -d (?:.*\\\n)*.*miniature-memory$", text, re.MULTILINE)
        assert found is not None
        return " ".join(found[0].replace("\\", "").split())

    assert runs(DOCKERFILE) == runs(ROOT / "docs" / "hosting.md")
    assert {"--init", "--read-only"} <= set(runs(DOCKERFILE).split())


def test_freed_memory_goes_back_wherever_the_bot_is_started() -> None:
    assert pairs_of(UNIT, "Environment")["MALLOC_ARENA_MAX"] == "2"
    assert "MALLOC_ARENA_MAX=2" in dict(instructions())["ENV"]
    assert re.search(r'name: MALLOC_ARENA_MAX\s+value: "2"', (ROOT / "deploy" / "statefulset.yaml").read_text())
    assert "MALLOC_ARENA_MAX=2 $(python) -m bot" in (ROOT / "Makefile").read_text()


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="there is no prlimit here")
def test_two_gigabytes_of_address_space_are_enough_for_a_story(tmp_path: Path) -> None:
    """The terminal channel with the bundled weights, which also a host without any other limit can give."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment |= {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_MAX_NEW_TOKENS": "24", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["prlimit", f"--as={2 << 30}", "--", sys.executable, "-m", "bot"],
        cwd=ROOT, env=environment, input="Once upon a time, a fox named Mira found a key.\n/quit\n",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    reply = " ".join(done.stdout.splitlines()[2:])  # behind what it says at its start
    assert len(reply.split()) > 5, done.stdout
