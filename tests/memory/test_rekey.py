"""A file and its backups brought under another key, also when that is cut off; never while a bot is on."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memory import DatabaseInUseError, KeyUnusableError, Store
from memory.__main__ import main
from memory.backups import Backups, backups_of
from memory.rekeying import rekey
from tests.memory.material import ANN, everything, key_of, opened, sql
from tests.memory.old_files import old_file

ROOT = Path(__file__).parents[2]
OLD, NEW = bytes(range(32)), bytes(range(100, 132))


class Killed(Exception):
    pass


def killed_at(number: int) -> Callable[[str], None]:
    left = number

    def told(step: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    return told


async def fill(file: Path, key: bytes | None = None) -> None:
    async with await Store.open(file, key=key) as store:
        for word, channel in (("one", 1), ("two", 3)):
            await everything(store, ANN, word, channel)
        await Backups(store, kept=2).take()
        await store.audit(7, 1, "a", "b")


def under_one_data_key(file: Path) -> bool:
    return len(sql(file, "SELECT 1 FROM data_keys")) == 1


async def test_a_drawn_key_takes_the_place_of_the_old_one(file: Path) -> None:
    await fill(file)
    old, values = key_of(file), opened(file, key_of(file))
    done = await rekey(file, old=None)
    new = key_of(file)
    assert new != old
    assert done.files == 2
    assert done.texts > 80
    assert file.with_name("memory.db.key").stat().st_mode & 0o077 == 0
    for path in (file, backups_of(file)[0]):
        with pytest.raises(KeyUnusableError):
            opened(path, old)
        assert under_one_data_key(path)
    assert _texts(opened(file, new)) == _texts(values)
    assert not [path for path in file.parent.rglob("*") if path.suffix in (".new", ".part")]
    async with await Store.open(file):
        pass


def _texts(values: list[str]) -> list[str]:
    return sorted(value for value in values if value.isascii() and value.startswith(("one", "two", "[")))


async def test_from_one_given_key_to_another(file: Path) -> None:
    await fill(file, OLD)
    await rekey(file, old=OLD, new=NEW)
    assert not file.with_name("memory.db.key").exists()
    with pytest.raises(KeyUnusableError):
        await Store.open(file, key=OLD)
    async with await Store.open(file, key=NEW) as store:
        assert (await store.lessons(1))[0].prompt == "one?"
    with pytest.raises(KeyUnusableError, match="Neither"):
        await rekey(file, old=OLD, new=bytes(32))


async def test_what_is_cut_off_goes_on_and_opens_meanwhile(tmp_path: Path) -> None:
    template = tmp_path / "template" / "m.db"
    await fill(template)
    texts = _texts(opened(template, key_of(template)))
    for number in range(1, 1000):
        file = tmp_path / str(number) / "m.db"
        shutil.copytree(template.parent, file.parent)
        told = killed_at(number)
        try:
            await rekey(file, old=None, told=told)
        except Killed:
            if number % 2:  # a bot that is started in between
                async with await Store.open(file) as store:
                    assert (await store.lessons(1))[0].prompt == "one?"
                    await store.set_setting("process", "a", "b")
            await rekey(file, old=None)
        else:
            break
        assert under_one_data_key(file)
        assert under_one_data_key(backups_of(file)[0])
        assert _texts(opened(file, key_of(file))) == texts
        assert opened(backups_of(file)[0], key_of(file))
    assert number > 20


@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
async def test_a_kill_at_any_statement_leaves_files_that_open_and_go_on(tmp_path: Path) -> None:
    template, out = tmp_path / "template" / "m.db", tmp_path / "killed"
    await fill(template)
    texts = _texts(opened(template, key_of(template)))
    command = [sys.executable, "-m", "tests.memory.old_files", str(template), str(out), "rekey"]
    await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True, timeout=300)
    folders = sorted(out.iterdir(), key=lambda folder: int(folder.name))
    assert len(folders) > 15
    for folder in folders:
        file = folder / "m.db"
        async with await Store.open(file) as store:
            assert (await store.lessons(1))[0].prompt == "one?"
        await rekey(file, old=None)
        for path in (file, backups_of(file)[0]):
            assert under_one_data_key(path)
            assert _texts(opened(path, key_of(file))) == texts, folder.name


async def test_it_is_refused_while_a_bot_is_on(store: Store, file: Path) -> None:
    key = key_of(file)
    with pytest.raises(DatabaseInUseError):
        await rekey(file, old=None)
    assert key_of(file) == key


async def test_a_file_that_was_never_sealed_comes_under_the_new_key(file: Path) -> None:
    await old_file(file, 4)
    file.with_name("memory.db.key").unlink(missing_ok=True)
    await rekey(file, old=None, new=NEW)
    async with await Store.open(file, key=NEW) as store:
        assert len(await store.path(1)) == 2


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file, new = tmp_path / "m.db", tmp_path / "new"
    asyncio.run(fill(file))
    assert main(["rekey", str(file)]) == 0
    assert f"the new key is in {file}.key" in capsys.readouterr().out
    new.write_text(NEW.hex())
    new.chmod(0o644)
    assert main(["rekey", str(file), "--new-key-file", str(new)]) == 1
    assert "chmod 600" in capsys.readouterr().err
    new.chmod(0o600)
    assert main(["rekey", str(file), "--new-key-file", str(new)]) == 0
    assert "the old key opens nothing" in capsys.readouterr().out
    assert main(["check", str(file)]) == 1, "the key beside it is the old one"
    assert "not the one" in capsys.readouterr().err
    assert main(["check", str(file), "--key-file", str(new)]) == 0
    assert "texts sealed and readable" in capsys.readouterr().out
    monkeypatch.setenv("MINIATURE_KEY", NEW.hex())
    assert main(["check", str(file)]) == 0
    assert main(["rekey", str(file)]) == 1
    assert "--new-key-file" in capsys.readouterr().err
    monkeypatch.setenv("MINIATURE_KEY", "secret")
    assert main(["check", str(file)]) == 1
    assert "secret" not in capsys.readouterr().err
