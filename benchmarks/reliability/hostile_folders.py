"""Folders that are brought as weights and are none: named cases, each given to the shelf's own intake.

`run_cases` runs them in a child process under `RLIMIT_AS` of 2 GiB, each for at most a minute.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT, PATIENCE = 2 << 30, 60
MODEL, TOKENIZER, CARD, CONFIG = "model.safetensors", "tokenizer.json", "card.json", "config.json"
NORM = "model.norm.weight"

Spoil = Callable[[Path], object]


def header_of(folder: Path) -> tuple[dict[str, Any], bytes]:
    blob = (folder / MODEL).read_bytes()
    length = int.from_bytes(blob[:8], "little")
    return json.loads(blob[8 : 8 + length]), blob[8 + length :]


def put_header(folder: Path, text: str | dict[str, Any], values: bytes) -> None:
    header = (text if isinstance(text, str) else json.dumps(text)).encode()
    (folder / MODEL).write_bytes(len(header).to_bytes(8, "little") + header + values)


def in_header(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        header, values = header_of(folder)
        change(header)
        put_header(folder, header, values)

    return spoil


def as_text(change: Callable[[str], str]) -> Spoil:
    """The header's own letters."""

    def spoil(folder: Path) -> None:
        header, values = header_of(folder)
        put_header(folder, change(json.dumps(header)), values)

    return spoil


def header_without_end(folder: Path) -> None:
    blob = (folder / MODEL).read_bytes()
    (folder / MODEL).write_bytes((2**63).to_bytes(8, "little") + blob[8:])


def in_values(change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(folder: Path) -> None:
        header, values = header_of(folder)
        put_header(folder, header, change(values))

    return spoil


def in_json(name: str, change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return spoil


def write(name: str, content: bytes | str) -> Spoil:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def in_letters(name: str, change: Callable[[str], str]) -> Spoil:
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def instead(name: str, make: Callable[[Path], object]) -> Spoil:
    """Something else under the name of a file."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return spoil


def moved_to_link(folder: Path) -> None:
    (folder / MODEL).rename(folder.parent / "elsewhere")
    (folder / MODEL).symlink_to(folder.parent / "elsewhere")


def hard_linked(folder: Path) -> None:
    secret = folder.parent / "secret.json"
    secret.write_text("{}")
    (folder / CARD).unlink(missing_ok=True)
    os.link(secret, folder / CARD)


def listening(path: Path) -> None:
    there = os.getcwd()
    os.chdir(path.parent)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path.name)
    os.chdir(there)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"a": 1}))


def only_pickles(folder: Path) -> None:
    (folder / MODEL).unlink()
    zipped(folder / "pytorch_model.bin")


def in_index(file: str) -> Spoil:
    """The weights as an index names them."""

    def spoil(folder: Path) -> None:
        names = [name for name in header_of(folder)[0] if name != "__metadata__"]
        (folder / MODEL).rename(folder / "model-00001-of-00001.safetensors")
        shutil.copy(folder / "model-00001-of-00001.safetensors", folder.parent / "up.safetensors")
        index = {"weight_map": dict.fromkeys(names, file)}
        (folder / f"{MODEL}.index.json").write_text(json.dumps(index))

    return spoil


def endless(folder: Path) -> None:
    """A file of a terabyte that takes no room on the disk."""
    with (folder / MODEL).open("r+b") as file:
        file.truncate(1 << 40)


def overlap(header: dict[str, Any]) -> None:
    places = sorted(one["data_offsets"] for one in header.values() if "data_offsets" in one)
    shift = places[1][0] - places[0][0]
    places[1][:] = [place - shift for place in places[1]]


def a_tensor(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = header[NORM]
    return found


def split_by(pattern: str) -> Callable[[dict[str, Any]], object]:
    part = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return lambda raw: raw.update(pre_tokenizer=part)


def replaces(*pairs: tuple[str, str]) -> dict[str, Any]:
    parts = [{"type": "Replace", "pattern": {"String": old}, "content": new} for old, new in pairs]
    return {"type": "Sequence", "normalizers": parts}


def nested(depth: int) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "Lowercase"}
    for _ in range(depth):
        part = {"type": "Sequence", "normalizers": [part]}
    return part


TWICE = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 100,
         "pair": [], "special_tokens": {}}  # fmt: skip
NOTHING = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
NAN, INFINITE = b"\x01\x7e", b"\x00\x7c"
CASES: dict[str, Spoil] = {
    # what is no plain file
    "a link to the weights": moved_to_link,
    "a link to a file of the host": instead(CARD, lambda path: path.symlink_to("/etc/hostname")),
    "a hard link to a file elsewhere": hard_linked,
    "a link to a device": instead(TOKENIZER, lambda path: path.symlink_to("/dev/zero")),
    "a named pipe": instead(CONFIG, lambda path: os.mkfifo(path)),
    "a socket": instead(CARD, listening),
    "a folder for a file": instead(TOKENIZER, Path.mkdir),
    "a terabyte of nothing": endless,
    # what is no safetensors file
    "a pickle": write(MODEL, pickle.dumps({"model": [1, 2, 3]})),
    "a zip": instead(MODEL, zipped),
    "pickles alone": only_pickles,
    "an empty file": write(MODEL, b""),
    "a header of a list": as_text(lambda text: "[]"),
    "a blank before the header": as_text(lambda text: f" {text}"),
    "a header of more than a megabyte": as_text(lambda text: text + " " * (1 << 20)),
    "a header without end": header_without_end,
    "a tensor named twice": as_text(lambda text: text[:-1] + ', "model.norm.weight"' + text.split(f'"{NORM}"')[1]),
    "tensors that overlap": in_header(overlap),
    "a gap between tensors": in_values(lambda values: values + b"\0\0"),
    "cut short": in_values(lambda values: values[:-2]),
    "a shape beyond any memory": in_header(lambda header: a_tensor(header).update(shape=[2**62, 2**62])),
    "a negative place": in_header(lambda header: a_tensor(header).update(data_offsets=[-16, 0])),
    "metadata that nests": as_text(lambda text: '{"__metadata__": ' + '{"a": ' * 5000 + "1" + "}" * 5001),
    # what is not this model
    "a value that is no number": in_values(lambda values: values[:-2] + NAN),
    "a value without end": in_values(lambda values: values[:-2] + INFINITE),
    "integers for weights": in_header(lambda header: a_tensor(header).update(dtype="I16")),
    "a tensor too many": in_header(lambda header: header.update(more=NOTHING)),
    "a tensor of another name": in_header(lambda header: header.update(more=header.pop(NORM))),
    "another width": in_json(CONFIG, lambda raw: raw.update(intermediate_size=17)),
    "more weights than are served": in_json(CONFIG, lambda raw: raw.update(hidden_size=1 << 14, num_hidden_layers=900)),
    # an index that leads elsewhere
    "an index that goes up": in_index("../up.safetensors"),
    "an index of an absolute name": in_index("/etc/hostname"),
    "an index with a null": in_index("model\0.safetensors"),
    # what is no sound JSON
    "a config that nests": write(CONFIG, '{"a": ' * 100_000),
    "a config with a name twice": in_letters(CONFIG, lambda text: text.rstrip()[:-1] + ', "hidden_size": 8}'),
    "a config with no number": in_json(CONFIG, lambda raw: raw.update(rope_theta=float("nan"))),
    "a config with a number of 400 digits": in_json(CONFIG, lambda raw: raw.update(vocab_size=10**400)),
    "a config with text for truth": in_json(CONFIG, lambda raw: raw.update(tie_word_embeddings="false")),
    "a config of ten megabytes": write(CONFIG, b"{" + b" " * (10 << 20) + b"}"),
    "settings for others that are no JSON": write("generation_config.json", "{nan}"),
    "a card with a rating of its own": in_json(CARD, lambda raw: raw.update(rating="harmless")),
    "a card whose name forges a line": in_json(CARD, lambda raw: raw.update(name="x\n2026-01-01 ERROR bot: gone")),
    "drafts that are none": write("drafts.safetensors", b"\xff" * 99),
    # a vocabulary that is a program
    "a pattern that takes forever": in_json(TOKENIZER, split_by("(a+)+$")),
    "replacements that make a book of a letter": in_json(
        TOKENIZER, lambda raw: raw.update(normalizer=replaces(*((chr(97 + i), chr(98 + i) * 64) for i in range(20))))
    ),
    "a template that repeats the text": in_json(TOKENIZER, lambda raw: raw.update(post_processor=TWICE)),
    "normalizers within normalizers": in_json(TOKENIZER, lambda raw: raw.update(normalizer=nested(200))),
    "a normalizer that is a table of bytes": in_json(
        TOKENIZER, lambda raw: raw.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"})
    ),
    "a vocabulary without end": in_json(
        TOKENIZER, lambda raw: raw["model"].update(vocab={str(i): i for i in range(300_000)}, merges=[])
    ),
    "a token beyond the model": in_json(TOKENIZER, lambda raw: raw["model"]["vocab"].update(zzz=2**31)),
    "two tokens of one number": in_json(TOKENIZER, lambda raw: raw["model"]["vocab"].update(zzz=5)),
    "a model of another kind": in_json(TOKENIZER, lambda raw: raw["model"].update(type="Unigram")),
    "merges that are left to chance": in_json(TOKENIZER, lambda raw: raw["model"].update(dropout=0.5)),
}  # fmt: skip


def is_refused(sound: Path, work: Path, spoil: Spoil) -> bool:
    """Whether the intake says no in one sentence and leaves nothing."""
    from bot.errors import InputError
    from bot.intake import take_in

    source, place = work / "source", work / "place"
    shutil.copytree(sound, source)
    spoil(source)
    try:
        take_in(source, place, "mine", reserve=0)
    except InputError as error:
        said = str(error)
        return said.isprintable() and str(work) not in said and not list(place.iterdir())
    return False


def work() -> None:
    """A line for each case."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    from tests.conftest import write_tiny_weights

    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as place:
        sound = write_tiny_weights(Path(place) / "tiny", 1, n_layer=1, n_embd=8, block_size=16)
        for number, (name, spoil) in enumerate(CASES.items()):
            signal.alarm(PATIENCE)
            folder = Path(place) / str(number)
            folder.mkdir()
            print(json.dumps([name, is_refused(sound, folder, spoil)]), flush=True)


def run_cases() -> dict[str, bool]:
    """Which of the cases are refused as they should be; one at which the process ended is not."""
    command = [sys.executable, "-m", "benchmarks.reliability.hostile_folders"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    found = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    return {name: bool(found.get(name)) for name in CASES}


if __name__ == "__main__":
    work()
