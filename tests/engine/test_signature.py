"""Who vouches for a weights folder, and what no longer holds when it changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.contents import SIGNATURE
from engine.errors import WeightsError
from engine.signature import check_signature
from training.__main__ import main


@pytest.fixture
def signed(tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """A folder that was signed from the command line, and the public key that was shown."""
    folder, key = tmp_path / "weights", tmp_path / "key.pem"
    shutil.copytree(tiny_weights, folder)
    assert main(["keygen", "--out", str(key)]) == 0
    public = capsys.readouterr().out.split()[-1]
    assert key.stat().st_mode & 0o777 == 0o600
    assert main(["sign", "--weights", str(folder), "--key", str(key)]) == 0
    assert public in capsys.readouterr().out
    return folder, public


def test_a_signed_folder_is_known_by_its_key(signed: tuple[Path, str]) -> None:
    folder, public = signed
    check_signature(folder, {"0" * 64, public})
    with pytest.raises(WeightsError, match="a key that is not trusted"):
        check_signature(folder, {"0" * 64})


def about(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        said = json.loads((folder / SIGNATURE).read_text())
        change(said)
        (folder / SIGNATURE).write_text(json.dumps(said))

    return spoil


def flipped(text: str) -> str:
    return ("1" if text[0] != "1" else "2") + text[1:]


MAP = "special_tokens_map.json"
SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no signature": (lambda f: (f / SIGNATURE).unlink(), "is not signed"),
    "another card": (lambda f: (f / "card.json").write_text("{}"), "card.json is not what was signed"),
    "a file more": (lambda f: (f / MAP).write_text("{}"), f"{MAP} is not what was signed"),
    "a file fewer": (lambda f: (f / "generation_config.json").unlink(), "is not what was signed"),
    "a file of tensors more": (lambda f: (f / "odd.safetensors").write_bytes(b""), "odd.safetensors is not what was"),
    "a link": (lambda f: (f / MAP).symlink_to("/etc/hostname"), "cannot be read"),
    "another signature": (about(lambda said: said.update(signature=flipped(said["signature"]))), "is no signature"),
    "sums of other files": (
        about(lambda said: said["files"].update({"card.json": flipped(said["files"]["card.json"])})), "was signed",
    ),
    "a signature of no digits": (about(lambda said: said.update(signature="x" * 128)), "that this version knows"),
    "another format": (about(lambda said: said.update(format="2")), "that this version knows"),
    "files that are a list": (about(lambda said: said.update(files=[])), "that this version knows"),
    "noise": (lambda f: (f / SIGNATURE).write_bytes(b"\xff{"), "is no signature"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_what_was_not_signed_so_is_refused_in_one_sentence(signed: tuple[Path, str], name: str) -> None:
    folder, public = signed
    spoil, told = SPOILT[name]
    spoil(folder)
    with pytest.raises(WeightsError, match=told) as refusal:
        check_signature(folder, {public})
    assert str(refusal.value).isprintable()


def test_a_key_is_kept_and_kept_to_oneself(
    signed: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, key = signed[0], tmp_path / "key.pem"
    before = key.read_bytes()
    assert main(["keygen", "--out", str(key)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert key.read_bytes() == before
    for spoil, told in ((lambda: key.chmod(0o644), "chmod 600"), (lambda: key.write_text("?"), "holds no key")):
        spoil()
        assert main(["sign", "--weights", str(folder), "--key", str(key)]) == 2
        assert told in capsys.readouterr().err
        key.chmod(0o600)
    assert main(["sign", "--weights", str(folder), "--key", str(tmp_path / "none.pem")]) == 2
    assert "keygen" in capsys.readouterr().err


def test_what_the_engine_would_not_serve_is_not_signed(
    signed: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = signed[0]
    (folder / SIGNATURE).unlink()
    (folder / "config.json").write_text("{}")
    assert main(["sign", "--weights", str(folder), "--key", str(tmp_path / "key.pem")]) == 2
    assert "config.json" in capsys.readouterr().err
    assert not (folder / SIGNATURE).exists()


def test_what_is_no_part_of_the_weights_is_not_signed(signed: tuple[Path, str]) -> None:
    folder, public = signed
    (folder / "notes.txt").write_text("never read")
    check_signature(folder, {public})
