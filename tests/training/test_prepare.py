"""`training prepare`: text of one's own, roles, overlaps, and input that nobody meant to give."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import models

from engine.tokenizer import CONTROL_TOKENS, Tokenizer
from tests.training.gpt2_files import write_gpt2_files
from tests.training.material import write_corpora, write_preset
from tests.training.test_commands import refused
from training.__main__ import main
from training.corpus import join_documents, read_documents
from training.data import map_tokens
from training.prepare import SECTION_CHARS, sections


def tale(number: int, lines: int = 3) -> str:
    """A text that shares no 13 words with that of any other number."""
    return "\n".join(f"On day {number} of the year {number}, the {i}th fox met bear {number}." for i in range(lines))


def write_folder(folder: Path, count: int = 30) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:02d}.txt").write_text(tale(number), encoding="utf-8")
    return folder


def arguments(tmp_path: Path, text: Path, *more: object, licence: str | None = "CC0-1.0", **preset: str) -> list[str]:
    path = write_preset(tmp_path / "tiny.toml", **preset)  # type: ignore[arg-type]
    path.write_text(path.read_text().replace("memory_share = 0.5", "memory_share = 0.0"))
    said = ["--licence", licence] if licence else []
    return [str(a) for a in ("prepare", "--preset", path, "--text", text, "--out", tmp_path / "out", *said, *more)]


def prepared(tmp_path: Path) -> tuple[dict[str, Any], str, list[str]]:
    """The manifest, the text of the packed tokens, and the validation documents."""
    out = tmp_path / "out"
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.load(out)
    ids = map_tokens(out / manifest["sources"][0]["bin"]).tolist()
    text = tokenizer.decode([i if i != tokenizer.end_of_text else tokenizer.encode("\x02")[0] for i in ids])
    return manifest, text, list(read_documents(out / "valid.txt"))


def test_a_folder_of_text_is_parted_by_document(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "tales")
    (folder / "deep").mkdir()
    (folder / "deep" / "more.txt.xz").write_bytes(lzma.compress(join_documents([tale(90), tale(91)]).encode()))
    (folder / "notes.md").write_text("not a text", encoding="utf-8")
    assert main(arguments(tmp_path, folder, "--rating", "mature", "--children", "no")) == 0
    manifest, text, valid = prepared(tmp_path)
    (source,) = manifest["sources"]
    assert (source["file"], source["licence"], source["rating"]) == ("tales", "CC0-1.0", "mature")
    assert manifest["own_text"]
    trained = text.split("\x02")[1:]
    assert 1 <= len(valid) < 10
    assert len(trained) == source["documents"]
    assert sorted(trained + valid) == sorted([*map(tale, range(30)), tale(90), tale(91)])


def test_the_folder_says_what_the_command_line_does_not(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "tales")
    (folder / "corpus.toml").write_text('licence = "CC BY 4.0"\nrating = "mature"\ncredit = "A. Author"\n')
    assert main(arguments(tmp_path, folder, "--rating", "general", licence=None)) == 0
    (source,) = prepared(tmp_path)[0]["sources"]
    assert (source["licence"], source["rating"], source["credit"]) == ("CC BY 4.0", "general", "A. Author")


def test_a_file_named_valid_is_what_is_validated_on(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "tales", count=4)
    (folder / "valid.txt").write_text(join_documents([tale(2), tale(80)]), encoding="utf-8")
    assert main(arguments(tmp_path, folder)) == 0
    manifest, text, valid = prepared(tmp_path)
    assert valid == [tale(2), tale(80)]
    assert manifest["valid"]["file"] == "tales/valid.txt"
    assert sorted(text.split("\x02")[1:]) == [tale(0), tale(1), tale(3)]  # what validation asks is not trained on
    assert manifest["sources"][0]["removed"] == {"duplicates": 0, "overlapping": 1, "overlapping lines": 0}


def test_two_documents_are_enough(tmp_path: Path) -> None:
    assert main(arguments(tmp_path, write_folder(tmp_path / "tales", count=2))) == 0
    _, text, valid = prepared(tmp_path)
    assert sorted([text.removeprefix("\x02"), *valid]) == [tale(0), tale(1)]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no .txt file"),
        ({"notes.md": b"text"}, "holds no .txt file"),
        ({"valid.txt": b"text"}, "holds no .txt file"),
        ({"a.txt": b"", "b.txt": b""}, "holds no text"),
        ({"a.txt": b"one tale"}, "holds one document"),
        ({"a.txt": b"one tale", "b.txt": b"one tale"}, "holds one document"),
        ({"a.txt": b"a", "b.txt": b"\xe9t\xe9"}, "not readable as UTF-8"),
        ({"a.txt": "\ufefftale".encode("utf-16-le"), "b.txt": b"a"}, "not readable as UTF-8"),
        ({"a.txt": "a tale".encode("utf-16-le"), "b.txt": b"a"}, "NUL characters"),
        ({"a.txt": b"a", "b.txt.xz": b"plain"}, "not readable"),
        ({"a.txt": b"a", "b.txt": b"b", "corpus.toml": b"licence = 3"}, "licence = 3 cannot be used"),
        ({"a.txt": b"a", "b.txt": b"b", "corpus.toml": b'weight = "1"'}, "weight = '1' cannot be used"),
        ({"a.txt": b"a", "b.txt": b"b", "corpus.toml": b'rating = "lewd"'}, "rating = 'lewd' cannot be used"),
        ({"a.txt": b"a", "b.txt": b"b", "corpus.toml": b"licence"}, "not valid TOML"),
        ({"a.txt": b"a", "b.txt": b"b", "corpus.toml": b'speakers = "roles"'}, "nobody can be made a role"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    files: dict[str, bytes], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tales"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    assert said in refused(capsys, *arguments(tmp_path, folder))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_licence_is_asked_for_and_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "tales", count=2)
    assert "add --licence" in refused(capsys, *arguments(tmp_path, folder, licence=None))
    assert "is no folder" in refused(capsys, *arguments(tmp_path, folder / "00.txt"))
    with pytest.raises(SystemExit):
        main([*arguments(tmp_path, folder), "--data", str(folder)])


def test_line_breaks_marks_and_twins_are_mended(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "tales", count=3)
    odd = [tale(50, 3), tale(51, 3)]
    (folder / "dos.txt").write_bytes(b"\xef\xbb\xbf" + odd[0].replace("\n", "\r\n").encode())
    (folder / "mac.txt").write_bytes(odd[1].replace("\n", "\r").encode())
    (folder / "twin.txt").write_text(tale(50).upper().replace(".", "!"), encoding="utf-8")
    (folder / "valid.txt").write_text(tale(99), encoding="utf-8")
    assert main(arguments(tmp_path, folder)) == 0
    manifest, text, _ = prepared(tmp_path)
    assert sorted(text.split("\x02")[1:]) == sorted([*map(tale, range(3)), *odd])
    assert manifest["sources"][0]["removed"]["duplicates"] == 1


def test_one_giant_line_comes_through_whole(tmp_path: Path) -> None:
    rng = random.Random(1)
    folder = tmp_path / "tales"
    folder.mkdir()
    spaced = " ".join(str(rng.random()) for _ in range(20_000))
    solid = "".join(str(rng.random())[2:] for _ in range(10_000))
    (folder / "long.txt").write_text(join_documents([spaced, solid]), encoding="utf-8")
    (folder / "valid.txt").write_text(tale(99), encoding="utf-8")
    assert main(arguments(tmp_path, folder)) == 0
    assert sorted(prepared(tmp_path)[1].split("\x02")[1:]) == sorted([spaced, solid])


@given(text=st.text(st.sampled_from("ab \n"), max_size=40), stretch=st.integers(1, SECTION_CHARS // 3))
@example(text="a\n" * 20, stretch=SECTION_CHARS)
@example(text="a" * 7, stretch=SECTION_CHARS)
def test_sections_are_bounded_and_join_to_the_text(text: str, stretch: int) -> None:
    whole = "".join(c * stretch if c != "\n" else c for c in text)
    cut = list(sections(iter([whole])))
    assert "".join(section for section, _ in cut) == whole
    assert [continues for _, continues in cut] == [i > 0 for i in range(len(cut))]
    assert all(0 < len(section) <= 2 * SECTION_CHARS for section, _ in cut)


def test_players_of_a_transcript_become_roles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "crd3_tales"
    folder.mkdir()
    for number in range(12):
        text = f"MATT: Roll, Laura, on day {number} of year {number}.\nLAURA: {number}, Matt!\nSAM: {number}!\n"
        (folder / f"{number:02d}.txt").write_text(text, encoding="utf-8")
    assert 'speakers = "roles"' in refused(capsys, *arguments(tmp_path, folder))
    (folder / "corpus.toml").write_text('speakers = "roles"\n')
    assert main(arguments(tmp_path, folder)) == 0
    _, text, valid = prepared(tmp_path)
    for document in [*text.split("\x02")[1:], *valid]:
        assert document.startswith("GM: Roll, PLAYER 1, on day ")
        assert not {"matt", "laura", "sam"} & set(document.lower().replace(":", " ").replace(",", " ").split())


def test_a_preset_may_name_a_folder_and_transcripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpora = write_corpora(tmp_path / "corpora")
    write_folder(corpora / "tales")
    (corpora / "crd3.txt").write_text("MATT: Hello, Sam.\nSAM: Hello.\n", encoding="utf-8")
    preset = write_preset(tmp_path / "mixed.toml")
    text = preset.read_text().replace("notes_synthetic.txt", "tales").replace("stories.txt.xz", "crd3.txt")
    preset.write_text(text)
    command = ["prepare", "--preset", preset, "--data", corpora, "--out", tmp_path / "out"]
    assert "names real people" in refused(capsys, *command)
    preset.write_text(text.replace('licence = "public domain"', 'licence = "public domain"\nspeakers = "roles"'))
    assert main([str(part) for part in command]) == 0
    assert prepared(tmp_path)[1].removeprefix("\x02") == "GM: Hello, PLAYER 1.\nPLAYER 1: Hello.\n"


@pytest.mark.parametrize("told", [True, False])
def test_gpt2s_own_files_are_taken(told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpora = write_corpora(tmp_path / "corpora")
    files = tmp_path / "gpt2" if told else corpora
    files.mkdir(exist_ok=True)
    size = write_gpt2_files(files, tale(1))
    preset = write_preset(tmp_path / "large.toml", kind="bpe")
    command = ["prepare", "--preset", preset, "--data", corpora, "--out", tmp_path / "out"]
    command += ["--tokenizer", files] if told else []
    assert main([str(part) for part in command]) == 0
    assert f"tokenizer: {size + 2} tokens, from {files}" in capsys.readouterr().out
    tokenizer = Tokenizer.load(tmp_path / "out")
    assert tokenizer.end_of_text == size - 1
    assert [tokenizer.control[name] for name in CONTROL_TOKENS] == [size - 1, size, size + 1]


def test_without_files_a_large_vocabulary_is_trained(tmp_path: Path) -> None:
    assert main(arguments(tmp_path, write_folder(tmp_path / "tales"), kind="bpe")) == 0
    assert prepared(tmp_path)[0]["vocab_size"] == 300


def test_a_tokenizer_that_cannot_be_used_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, given = write_folder(tmp_path / "tales", count=4), tmp_path / "gpt2"
    given.mkdir()
    assert "tokenizer.json is missing" in refused(capsys, *arguments(tmp_path, folder, "--tokenizer", given))
    (given / "vocab.json").write_text("{", encoding="utf-8")
    (given / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    assert "make no tokenizer" in refused(capsys, *arguments(tmp_path, folder, "--tokenizer", given))
    (given / "vocab.json").write_text('{"a": 0}', encoding="utf-8")
    assert "lacks 255 of the 256 bytes" in refused(capsys, *arguments(tmp_path, folder, "--tokenizer", given))
    bare = tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    bare.save(str(given / "tokenizer.json"))
    assert "lacks <|endoftext|>" in refused(capsys, *arguments(tmp_path, folder, "--tokenizer", given))
