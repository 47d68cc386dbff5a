"""Files of older formats: all is there afterwards, sealed; a migration that is cut off leaves the old or the new."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memory import MIGRATIONS, Store, StoreError
from tests.memory.material import content, key_of, opened, sql, taught
from tests.memory.old_files import WORD, connector, dying_at, old_file, seen

ROOT = Path(__file__).parents[2]
VERSIONS = range(1, len(MIGRATIONS))


class Fault(Exception):
    pass


def fail() -> None:
    raise Fault


def version_of(file: Path) -> int:
    return int(str(sql(file, "PRAGMA user_version")[0][0]))


async def seen_in(file: Path, version: int) -> dict[str, object]:
    async with await Store.open(file) as store:
        return await seen(store, version)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_old_file_is_sealed_with_all_that_is_in_it(file: Path, version: int) -> None:
    await old_file(file, version)
    assert WORD.encode() in content(file)
    found = await seen_in(file, version)
    assert found["turns"] == [(1, f"{WORD} one", f"{WORD} name", 0), (2, f"{WORD} two", "", 16)]
    assert found["lessons"] == [(4, f"{WORD} prompt", f"{WORD} answer")]
    assert found["acts"] == [(2, "weights.activate", "ember"), (1, "teach.add", "lesson 4")]
    if version >= 2:
        assert found["units"] == {4: f"{WORD} units".encode()}
    for path in file.parent.iterdir():
        assert WORD.encode() not in content(path), path
    assert any(WORD in value for value in opened(file, key_of(file)))
    async with await Store.open(file) as store:
        assert (await taught(store, 1, prompt="Where?")).id == 7, "no number of a lesson that is gone is given again"


@pytest.mark.parametrize("version", [len(MIGRATIONS) - 1])
async def test_a_fault_at_each_statement_leaves_the_old_file_or_the_new(tmp_path: Path, version: int) -> None:
    template = tmp_path / "template" / "m.db"
    await old_file(template, version)
    shutil.copytree(template.parent, tmp_path / "whole")
    expected = await seen_in(tmp_path / "whole" / "m.db", version)
    for number in range(1, 10_000):
        file = tmp_path / str(number) / "m.db"
        shutil.copytree(template.parent, file.parent)
        try:
            store = await Store.open(file, connect=connector(dying_at(number, fail)))
        except (Fault, StoreError):
            assert version <= version_of(file) <= len(MIGRATIONS)
            assert await seen_in(file, version) == expected, number
        else:
            await store.close()
            break
        shutil.rmtree(file.parent)
    assert number > 20


@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_kill_at_each_statement_leaves_the_old_file_or_the_new(tmp_path: Path, version: int) -> None:
    template, out = tmp_path / "template" / "m.db", tmp_path / "killed"
    await old_file(template, version)
    shutil.copytree(template.parent, tmp_path / "whole")
    expected = await seen_in(tmp_path / "whole" / "m.db", version)
    command = [sys.executable, "-m", "tests.memory.old_files", str(template), str(out), str(version + 1)]
    await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True, timeout=300)
    killed = sorted(out.iterdir(), key=lambda folder: int(folder.name))
    versions = [version_of(folder / "m.db") for folder in killed]
    assert versions == sorted(versions)
    assert set(versions) == {version, version + 1}
    for folder in killed:
        assert await seen_in(folder / "m.db", version) == expected, folder.name
        for path in folder.iterdir():
            assert WORD.encode() not in content(path), path
