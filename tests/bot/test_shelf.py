"""Weights that come onto the shelf and leave it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import InputError
from bot.intake import take_in
from bot.services import Services
from bot.shelf import ShelfEntry
from bot.weights_page import card_lines
from config.settings import Settings, load_settings
from engine import EngineError
from engine.contents import contents, kept_name, plain_name
from tests.bot.conftest import ANN, Paper
from training.signing import make_key, sign


@pytest.fixture
def arrived(services: Services, other_tiny_weights: Path) -> Path:
    folder = services.settings.arrivals / "fresh"
    shutil.copytree(other_tiny_weights, folder)
    (folder / "notes.txt").write_text("stays where it is")
    return folder


def own(services: Services) -> Path:
    return services.settings.data_dir / "weights"


async def test_added_weights_are_a_checked_copy_that_can_be_activated(services: Services, arrived: Path) -> None:
    shelf, before = services.shelf, services.worker.engine_info
    assert shelf.arrivals() == ["fresh"]
    entry = await shelf.add("mine", shelf.arrival("fresh"), ANN)
    assert (entry.name, entry.problem, entry.active) == ("mine", None, False)
    assert not (entry.folder / "notes.txt").exists()
    shutil.rmtree(arrived)
    assert (await shelf.activate("mine", ANN)).base_id != before.base_id
    with pytest.raises(InputError, match="active"):
        await shelf.remove("mine", ANN)
    with pytest.raises(InputError, match="stays"):
        await shelf.remove("ember", ANN)
    await shelf.rollback(ANN)
    await shelf.remove("mine", ANN)
    assert list(own(services).iterdir()) == []
    with pytest.raises(InputError, match="no earlier weights"):
        await shelf.rollback(ANN)
    acts = [row.action for row in await services.store.audit_rows(9)]
    assert acts == ["weights.remove", "weights.rollback", "weights.activate", "weights.add"]


def without_model(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut(folder: Path) -> None:
    model = folder / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-100])


def infinite(folder: Path) -> None:
    model = folder / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-2] + b"\x00\x7c")


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("hello")


def a_link(folder: Path) -> None:
    card = folder / "card.json"
    card.unlink(missing_ok=True)
    card.symlink_to("/etc/passwd")


def a_folder(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").mkdir()


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("spoil", [without_model, cut, infinite, no_json, a_link, a_folder, empty])
async def test_what_is_no_weights_is_refused_and_leaves_nothing(
    services: Services, arrived: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(arrived)
    with pytest.raises(InputError) as refusal:
        await services.shelf.add("mine", arrived, ANN)
    assert ".unfinished" not in str(refusal.value)
    assert list(own(services).iterdir()) == []
    assert "mine" not in [entry.name for entry in services.shelf.list()]
    assert await services.store.audit_rows(9) == []


def spoil_all(folder: Path) -> None:
    for file in folder.iterdir():
        file.write_bytes(b"?" * file.stat().st_size)


async def test_what_is_done_to_the_files_that_were_brought_changes_nothing(services: Services, arrived: Path) -> None:
    shelf = services.shelf
    entry = await shelf.add("mine", arrived, ANN)
    assert entry.folder.name == kept_name("mine", contents(entry.folder)), "kept under the sha256 of what is in it"
    before = contents(entry.folder)
    spoil_all(arrived)
    assert contents(entry.folder) == before
    await shelf.activate("mine", ANN)
    assert services.worker.engine_info.base_id == before["model.safetensors"]


async def test_a_kept_folder_that_has_changed_is_not_served(services: Services, arrived: Path) -> None:
    shelf = services.shelf
    entry = await shelf.add("mine", arrived, ANN)
    card = entry.folder / "card.json"
    card.chmod(0o600)
    card.write_text('{"rating": "mature"}')
    serving = services.worker.engine_info.base_id
    with pytest.raises(EngineError, match="has changed since it was added"):
        await shelf.activate("mine", ANN)
    assert services.worker.engine_info.base_id == serving


async def test_no_message_names_a_folder_of_the_host(services: Services, arrived: Path) -> None:
    shelf, folder = services.shelf, own(services) / "by hand"
    shutil.copytree(arrived, folder)
    cut(folder)
    told = []
    for work in (shelf.activate("by hand", ANN), shelf.add("mine", arrived / "nowhere", ANN), shelf.rollback(ANN)):
        with pytest.raises((EngineError, InputError)) as refusal:
            await work
        told.append(str(refusal.value))
    no_json(folder)
    told += [entry.problem or "" for entry in shelf.list()]
    with pytest.raises(InputError) as refusal:
        shelf.arrival("elsewhere")
    told.append(str(refusal.value))
    assert "model.safetensors is damaged" in told[0]
    assert any("config.json" in sentence for sentence in told)
    assert not any(str(part) in sentence for sentence in told for part in (arrived.parent, own(services).parent))


async def test_with_keys_only_signed_weights_come_and_serve(
    settings: Settings, tiny_weights: Path, other_tiny_weights: Path, tmp_path: Path
) -> None:
    key, strange_key = tmp_path / "key.pem", tmp_path / "other.pem"
    public, strange = make_key(key), make_key(strange_key)
    serving, brought = tmp_path / "serving", tmp_path / "brought"
    shutil.copytree(tiny_weights, serving)
    shutil.copytree(other_tiny_weights, brought)
    keyed = load_settings(data_dir=settings.data_dir, weights=serving, weights_keys=public, max_new_tokens=8)
    with pytest.raises(EngineError, match="is not signed"):
        await Services.open(keyed)
    sign(serving, key)
    async with await Services.open(keyed) as services:
        with pytest.raises(InputError, match="is not signed"):
            await services.shelf.add("mine", brought, ANN)
        sign(brought, strange_key)
        with pytest.raises(InputError, match="a key that is not trusted"):
            await services.shelf.add("mine", brought, ANN)
        assert strange != public
        sign(brought, key)
        await services.shelf.add("mine", brought, ANN)
        await services.shelf.activate("mine", ANN)
        unsigned = own(services) / "by-hand"
        shutil.copytree(other_tiny_weights, unsigned)
        with pytest.raises(EngineError, match="is not signed"):
            await services.shelf.activate("by-hand", ANN)
        session = services.session(7)
        await session.start("The fox", "Once upon a time, there was a fox.", ANN)
        assert (await session.write(None, ANN, Paper())).generated


async def test_the_disk_is_not_filled(services: Services, arrived: Path) -> None:
    with pytest.raises(InputError, match="of the disk may be filled"):
        take_in(arrived, own(services), "mine", reserve=1 << 60)
    assert list(own(services).iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "x" * 41, "a b", "ö"])
async def test_a_name_leads_nowhere_else(services: Services, arrived: Path, name: str) -> None:
    with pytest.raises(InputError, match="no name"):
        await services.shelf.add(name, arrived, ANN)
    with pytest.raises(InputError, match="no folder of that name"):
        services.shelf.arrival(name)


async def test_a_name_is_taken_once(services: Services, arrived: Path) -> None:
    await services.shelf.add("mine", arrived, ANN)
    for name in ("mine", "ember"):
        with pytest.raises(InputError, match="already"):
            await services.shelf.add(name, arrived, ANN)


async def test_what_was_left_half_done_is_not_seen_and_goes(services: Services, arrived: Path) -> None:
    shutil.copytree(arrived, own(services) / ".unfinished-old")
    assert "old" not in " ".join(entry.name for entry in services.shelf.list())
    await services.shelf.add("mine", arrived, ANN)
    assert [plain_name(folder) for folder in own(services).iterdir()] == ["mine"]


async def test_the_card_is_told_whatever_it_holds(services: Services, arrived: Path) -> None:
    bundled = dict(card_lines(services.shelf.entry("ember")))
    assert bundled["Rating"] == "general"
    assert bundled["Evaluation"] == "0.659 bits per byte on tinystories_valid_sample.txt.xz"
    assert "CDLA-Sharing-1.0" in bundled["Licences of the corpora"]
    assert bundled["Size"].startswith("5.6 million parameters, 11.")
    odd = {"parameters": "many", "corpora": ["x", {"licence": ["a"]}], "evaluation": 7, "about": None, "rating": {}}
    (arrived / "card.json").write_text(json.dumps(odd))
    told = dict(card_lines(ShelfEntry("odd", arrived, False, odd, "It is broken.")))
    assert told["Not usable"] == "It is broken."
    assert (told["Evaluation"], told["Licences of the corpora"]) == ("none", "['a']")
