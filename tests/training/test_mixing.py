"""Mature text is never trained on beside text that has to do with children, whichever way it comes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from config.presets import PresetError, load_preset, preset_names
from tests.training.material import write_preset
from training.__main__ import main
from training.errors import CorpusError
from training.mixing import corpora_of, require_unmixed

MATURE = {"file": "grown.txt", "rating": "mature", "children": "no"}
KINDS = [(rating, children) for rating in ("general", "mature") for children in ("yes", "no", None)]


@pytest.mark.parametrize(("rating", "children"), KINDS)
@pytest.mark.parametrize(("other", "others"), KINDS)
def test_of_all_pairs_those_with_a_mature_one_need_a_word_on_children(
    tmp_path: Path, rating: str, children: str | None, other: str, others: str | None
) -> None:
    path = write_preset(tmp_path / "tiny.toml")
    first, second, rest = path.read_text(encoding="utf-8").split('children = "no"\n')
    said = [f'rating = "{mark}"\n' + (f'children = "{told}"\n' if told else "")
            for mark, told in ((rating, children), (other, others))]  # fmt: skip
    text = "".join((first, said[0], second, said[1], rest))
    path.write_text(text, encoding="utf-8")
    if "mature" in (rating, other) and (children, others) != ("no", "no"):
        with pytest.raises(PresetError, match="is mature and") as refusal:
            load_preset(str(path))
        assert str(refusal.value).count(".txt") == 2
    else:
        assert len(load_preset(str(path)).sources) == 2


def test_the_presets_that_come_along_say_what_their_corpora_hold() -> None:
    for name in preset_names():
        preset = load_preset(name)
        told = [source.children for source in preset.sources if "stories" in source.file or "gutenberg" in source.file]
        assert set(told) <= {"yes"}, name
        assert {source.rating for source in preset.sources} == {"general"}, name


def test_a_folder_of_mature_text_has_to_say_so_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tales"
    folder.mkdir()
    (folder / "a.txt").write_text("A tale.\n<|endoftext|>\nAnother tale.\n", encoding="utf-8")
    (folder / "corpus.toml").write_text('licence = "CC0"\nrating = "mature"\n', encoding="utf-8")
    preset = write_preset(tmp_path / "tiny.toml")
    command = ["prepare", "--preset", str(preset), "--text", str(folder), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "is mature" in capsys.readouterr().err
    assert main([*command, "--children", "yes"]) == 2
    assert not (tmp_path / "out").exists()


def test_no_mature_style_is_trained_for_weights_that_know_children(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(tiny_weights, tmp_path / "base"))
    told = {"file": "tales.txt", "licence": "CC0", "rating": "general", "sha256": "0" * 64, "documents": 1, "bytes": 9,
            "weight": 1.0, "children": "yes"}  # fmt: skip
    (base / "card.json").write_text(json.dumps({"name": "tiny", "rating": "general", "corpora": [told]}), "utf-8")
    (corpus := tmp_path / "grown.txt").write_text("A tale of the sea.\n" * 400, encoding="utf-8")
    said = ["--corpus", str(corpus), "--licence", "CC0", "--rating", "mature", "--children", "no"]
    assert main(["adapt", "--base", str(base), *said, "--out", str(tmp_path / "pack")]) == 2
    assert "tales.txt has to do with children" in capsys.readouterr().err
    assert not (tmp_path / "pack").exists()


def test_what_weights_began_from_counts_as_theirs() -> None:
    card = {"corpora": [MATURE], "begun_from": {"corpora": [{"file": "a"}], "grown_from": {"corpora": [{"file": "b"}]}}}
    assert [corpus["file"] for corpus in corpora_of(card)] == ["grown.txt", "a", "b"]
    with pytest.raises(CorpusError, match=r"grown\.txt is mature and a does not say"):
        require_unmixed(corpora_of(card))
    require_unmixed([MATURE, MATURE])
    require_unmixed([{"file": "a", "rating": "general", "children": "yes"}])
    assert corpora_of({"rating": "mature", "name": "ours"}) == [{"file": "ours", "rating": "mature", "children": "no"}]
