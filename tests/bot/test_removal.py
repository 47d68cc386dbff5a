"""What is left on the disk of what people said through the bot: sealed while they are there, nothing when they go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.__main__ import EX_CONFIG
from bot.services import Services
from config.settings import Settings
from memory import Author, copies
from memory.backups import backups_of
from memory.sealing import SEALED, opening
from tests.bot.conftest import Paper

ROOT = Path(__file__).parents[2]
KEY = "5e" * 32
PEOPLE = {word: Author(number, f"{word} name") for number, word in enumerate(("blicket", "wuggle", "daxen"), start=61)}


def on_disk(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written_by_people(file: Path, key: bytes) -> list[str]:
    """Every value in the file, opened, but for what the model wrote."""
    found: list[str] = []
    with copies.opened(file, key) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
            of_people = " WHERE kind <> 'model'" if table == "turns" else ""
            for row in connection.execute(f"SELECT {opening(table, columns)} FROM {table}{of_people}"):
                found += [v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in tuple(row)]
    return found


async def say_everything(services: Services, word: str, who: Author, own: int) -> None:
    """Each way in which a person's text comes into the file, in a channel of their own and in one of all."""
    session = services.session(own, 3)
    await session.start(f"{word} title", f"The {word} began.", who)
    await session.write(f"The {word} ran.", who, Paper())
    await session.edit(await session.to_edit(None, who), f"The {word} hid.", who)
    await session.retry(who, Paper())
    await session.propose(Paper())
    await session.undo()
    await session.put_note(f"The {word} is tired.", 2, who)
    await session.edit_summary(f"Names: {word}", who)
    await session.restore_summary((await session.summary_versions(1))[0].id, who)
    await session.pin(f"The {word} is small.", who, [f"{word}s"])
    await session.pin(f"The {word} is blue.", who)
    await session.teach(f"The {word} is called", f"{word} Tom.", who, Paper())
    await session.bring(f"A {word} came.\n\nIt left.", who, title=f"{word} file")
    everyones = services.session(1, 3)
    if await everyones.story() is None:
        await everyones.start(f"{word} together", "", who)
    await everyones.write(f"And the {word} sang.", who, Paper())


async def test_nothing_of_a_person_is_left_and_nobody_else_loses_a_word(settings: Settings) -> None:
    settings = settings.model_copy(update={"max_new_tokens": 8})
    async with await Services.open(settings) as services:
        for own, (word, who) in enumerate(PEOPLE.items(), start=10):
            await say_everything(services, word, who, own)
        await services.idle()
        file, folder = settings.database_file, settings.data_dir
        key = bytes.fromhex((folder / "memory.sqlite3.key").read_text())
        for name, raw in on_disk(folder).items():
            assert not [word for word in PEOPLE if word.encode() in raw], name
        await services.backups.backups.take()
        before = {word: sum(word in value for value in written_by_people(file, key)) for word in PEOPLE}
        assert min(before.values()) > 15
        await services.forget_person(PEOPLE["wuggle"])
        copies_of_it = backups_of(file)
        for path in (file, *copies_of_it):
            assert not [value for value in written_by_people(path, key) if "wuggle" in value], path
        for path in (file, copies_of_it[0]):
            values = written_by_people(path, key)
            left = {word: sum(word in value for value in values) for word in ("blicket", "daxen")}
            # Summaries of the story that all wrote were made of their words too, and go.
            assert all(before[word] - 3 <= count <= before[word] for word, count in left.items()), (before, left)
        with copies.opened(file, key) as connection:
            for table in SEALED:
                columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
                if "author_id" in columns:
                    own_rows = f"SELECT count(*) FROM {table} WHERE author_id = {PEOPLE['wuggle'].id}"
                    assert connection.execute(own_rows).fetchone()[0] == 0, table
        assert (await services.store.audit_rows(1))[0].action == "privacy.delete"


ACTS = {  # what is done by it in the test below
    "teach.add", "teach.forget", "teach.forget_member", "teach.always", "style.off", "memory.edit", "memory.restore",
    "memory.pause", "memory.resume", "memory.reset", "memory.unpin", "settings.set", "settings.clear",
    "weights.activate", "weights.rollback", "privacy.delete",
}  # fmt: skip


async def test_acts_are_noted_without_texts(settings: Settings, other_tiny_weights: Path) -> None:
    (settings.data_dir / "weights").mkdir(parents=True)
    (settings.data_dir / "weights" / "other").symlink_to(other_tiny_weights)
    word, who = "blicket", Author(61, "blicket name")
    async with await Services.open(settings) as services:
        await say_everything(services, word, who, 10)
        session = services.session(10, 3)
        pin = (await services.store.pins(10))[0]
        await session.unpin(pin.id, who)
        await session.set_always_on(True, who)
        await session.set_style(None, who)
        await session.pause(who)
        await session.resume(who)
        await session.forget((await session.lessons())[0].id, who)
        await session.teach(f"The {word} is called", f"{word} Tom.", who, Paper())
        await session.forget_member(who.id, who)
        await services.dials.set("channel:10", "length", "12", who)
        await services.dials.clear("channel:10", who)
        await services.shelf.activate("other", who)
        await services.shelf.rollback(who)
        await session.reset(who)
        await services.forget_person(who)
        rows = await services.store.audit_rows(999)
        assert {row.action for row in rows} == ACTS
        assert not [row for row in rows if word in row.detail]
        assert {row.actor_id for row in rows} == {who.id}


@pytest.mark.slow
def test_neither_texts_nor_the_key_stand_in_any_file_of_a_process(tmp_path: Path, tiny_weights: Path) -> None:
    data = tmp_path / "data"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINIATURE_")}
    environment = kept | {
        "HOME": str(tmp_path), "USER": "blicketname", "PYTHONPATH": str(ROOT), "MINIATURE_DATA_DIR": str(data),
        "MINIATURE_WEIGHTS": str(tiny_weights), "MINIATURE_MAX_NEW_TOKENS": "8", "MINIATURE_LOG_LEVEL": "DEBUG",
        "MINIATURE_KEY": KEY,
    }  # fmt: skip
    lines = ["/start blicket | A blicket ran.", "The blicket hid.", "/memory pin The blicket is blue.",
             "/teach The blicket is called => blicket Tom.", "/show", "/undo", "/redo"]  # fmt: skip

    def run(*script: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bot"]
        text = "".join(f"{line}\n" for line in script)
        env = environment | more
        return subprocess.run(command, cwd=tmp_path, env=env, input=text, capture_output=True, text=True, timeout=120)

    done = run(*lines)
    assert done.returncode == 0, done.stderr
    files = on_disk(data)
    assert {"log.txt", "memory.sqlite3"} <= set(files)
    assert "memory.sqlite3.key" not in files
    for name, raw in files.items():
        for secret in (b"blicket", KEY.encode(), bytes.fromhex(KEY)):
            assert secret not in raw, name
    assert b"the audit log ends at act" in files["log.txt"]
    assert len([name for name in files if name.startswith("backups/")]) == 1
    wrong = run("/show", MINIATURE_KEY="00" * 32)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (EX_CONFIG, "", 1)
    assert "is not the one that sealed" in wrong.stderr
    none = run("/show", MINIATURE_KEY="")
    assert "its key is not here" in none.stderr
    assert run("/show", MINIATURE_KEY="short").stderr.startswith("! These settings cannot be used")
    assert "blicket" in run("/show").stdout
    assert run("/privacy delete yes").returncode == 0
    with copies.opened(data / "memory.sqlite3", bytes.fromhex(KEY)) as connection:
        assert connection.execute("SELECT count(*) FROM pins").fetchone()[0] == 0
