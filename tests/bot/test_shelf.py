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
from tests.bot.conftest import ANN


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
    (folder / "more.json").mkdir()


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
    assert [folder.name for folder in own(services).iterdir()] == ["mine"]


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
