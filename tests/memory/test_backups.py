"""Backups by the clock, and a backup put in a file's place."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from memory import (
    Author,
    DatabaseDamagedError,
    DatabaseInUseError,
    DatabaseUnavailableError,
    KeyUnusableError,
    Store,
    StoreError,
)
from memory.__main__ import main
from memory.backups import Backups, backups_of, folder_of
from memory.copies import check
from memory.restoring import restore
from tests.memory.material import ANN, BEN, content, everything, key_of, opened, overwrite, step, story, texts
from tests.memory.old_files import old_file


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_the_oldest_go_and_the_next_is_due_by_the_newest(store: Store, file: Path) -> None:
    clock = Clock()
    backups = Backups(store, kept=2, clock=clock)
    assert backups.due(3600) == 0
    taken = []
    for _ in range(4):
        taken.append(await backups.take())
        assert backups.due(3600) == 3600
        clock.now += 3600
    assert backups.due(3600) == 0
    assert backups_of(file) == [taken[3], taken[2]]
    assert sorted(os.listdir(folder_of(file))) == [path.name for path in (taken[2], taken[3])]
    assert taken[3].name == "memory-20270115T110000Z.db"
    assert {path.stat().st_mode & 0o077 for path in (folder_of(file), *backups_of(file))} == {0}


async def test_two_within_one_second_both_stay(store: Store, file: Path) -> None:
    """One by the clock and one that somebody asked for; both wait for nothing."""
    clock = Clock()
    backups, others = Backups(store, kept=3, clock=clock), Backups(store, kept=3, clock=clock)
    one, two = await backups.take(), await others.take()
    assert backups_of(file) == [two, one], "the newest first"
    assert [check(path).turns for path in (one, two)] == [0, 0]
    assert backups.due(3600) == 3601
    assert len({*await asyncio.gather(backups.take(), backups.take()), one, two}) == 4
    assert len(backups_of(file)) == 3


async def test_other_files_in_the_folder_stay_and_what_was_cut_off_goes(store: Store, file: Path) -> None:
    folder = folder_of(file)
    folder.mkdir()
    for name in ("memory-mine.db", "notes.txt", "memory-20270115T110000Z.db.new"):
        (folder / name).write_text("x")
    backups = Backups(store, kept=1)
    await backups.take()
    await asyncio.sleep(0)
    assert {"memory-mine.db", "notes.txt"} < set(os.listdir(folder))
    assert len(os.listdir(folder)) == 3


async def test_others_write_while_one_is_taken(store: Store) -> None:
    await story(store)
    backup = asyncio.ensure_future(Backups(store, kept=1).take())
    written = 0
    while not backup.done():
        await step(store)
        written += 1
    assert written > 0
    found = check(await backup)
    assert (found.turns - 1) % 2 == 0


async def test_a_backup_takes_the_place_of_a_damaged_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with await Store.open(file) as store:
        for _ in range(40):
            await story(store)
            await step(store)
        backup = await Backups(store, kept=1).take()
        await step(store, member="after it")
    whole = content(file)
    overwrite(file, whole[:4096] + b"\xa5" * 8192 + whole[12288:])
    damaged = content(file)
    with pytest.raises(DatabaseDamagedError, match=f"python -m memory restore BACKUP {file}") as caught:
        await Store.open(file)
    assert str(file) in str(caught.value)
    assert content(file) == damaged
    assert await asyncio.to_thread(main, ["restore", str(backup), str(file)]) == 0
    said = capsys.readouterr().out
    kept = next(path for path in file.parent.iterdir() if "before-restore" in path.name)
    assert f"What was there is kept as {kept}." in said
    assert content(kept) == damaged
    async with await Store.open(file) as store:
        assert await texts(store) == ["A hill.", "She ran.", "The wind ran."]
        assert (await store.audit_rows(1))[0].action == "file.restore"
    assert not [path for path in file.parent.iterdir() if ".restored" in path.name]


async def test_who_was_deleted_since_is_not_back_and_acts_are_not_lost(file: Path) -> None:
    async with await Store.open(file) as store:
        await everything(store, ANN, "blicket", 1)
        await everything(store, BEN, "dax", 11)
        await store.audit(7, 1, "before", "")
        backup = await Backups(store, kept=1).take()
        away = shutil.copy2(backup, file.parent / "away.db")  # where no cleansing reaches it
        await store.delete_author(ANN.id)
        await everything(store, Author(9, "Cleo"), "wug", 21)
    done = await restore(Path(away), file)
    assert done.forgotten == 1
    values = opened(file, key_of(file))
    assert not [value for value in values if "blicket" in value or "wug" in value]
    assert sum("dax" in value for value in values) > 15
    assert main(["audit", "verify", str(file)]) == 0
    async with await Store.open(file) as store:
        assert [act.action for act in await store.audit_rows(9)] == ["file.restore", "privacy.delete", "before"]
        assert done.kept is not None
    assert any("wug" in value for value in opened(done.kept, key_of(file)))


async def test_what_cannot_be_restored_changes_nothing(store: Store, file: Path, tmp_path: Path) -> None:
    await story(store)
    backup = await Backups(store, kept=1).take()
    with pytest.raises(DatabaseInUseError):
        await restore(backup, file)
    await store.close()
    before = content(file)
    junk = tmp_path / "junk"
    junk.write_bytes(b"no backup")
    none = tmp_path / "none"
    for wrong, error in ((junk, DatabaseDamagedError), (none, DatabaseUnavailableError), (file, StoreError)):
        with pytest.raises(error):
            await restore(wrong, file)
    with pytest.raises(KeyUnusableError):
        await restore(backup, file, key=bytes(32))
    assert content(file) == before
    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["backups", "memory.db", "memory.db.key", "memory.db.lock"]


@pytest.mark.parametrize("step_", ["copied", "made", "set aside", "in place"])
async def test_a_restore_that_is_cut_off_leaves_a_whole_file(file: Path, step_: str) -> None:
    async with await Store.open(file) as store:
        await story(store)
        backup = await Backups(store, kept=1).take()
        await step(store)

    def cut(said: str) -> None:
        if said == step_:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await restore(backup, file, told=cut)
    async with await Store.open(file) as store:
        assert len(await store.path(1)) == (1 if step_ == "in place" else 3)
    await restore(backup, file)
    async with await Store.open(file) as store:
        assert len(await store.path(1)) == 1


async def test_a_backup_of_an_older_format_or_to_an_empty_place(file: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new" / "m.db"
    await old_file(old, 3)
    await restore(old, new)
    async with await Store.open(new) as store:
        assert len(await store.path(1)) == 2
    assert check(old).version == 3, "the backup itself stays"
    assert b"blicket" not in content(new)
