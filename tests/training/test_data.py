"""What a batch holds: shares of the mixture, order, memory prefixes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from config.presets import load_preset, preset_names
from engine.tokenizer import END_OF_TEXT, MEMORY, STORY, Tokenizer
from tests.training.conftest import Ground
from tests.training.material import write_corpora, write_preset
from training.corpus import held_out, read_documents
from training.data import Mixture, document_numbers, inside_memory, map_tokens, read_manifest
from training.prepare import prepare

M, S = 1, 2  # ids of the memory and the story token


@pytest.mark.parametrize(
    ("targets", "masked"),
    [
        ([5, M, 6, S, 7], [0, 1, 1, 1, 0]),
        ([5, 6, 7, 8, 9], [0, 0, 0, 0, 0]),
        ([6, 6, S, 7, 8], [1, 1, 1, 0, 0]),  # the row begins inside of a prefix
        ([S, 7, 8, M, 6], [1, 0, 0, 1, 1]),  # ends one, begins the next
        ([6, S, 7, M, 6, S, 7], [1, 1, 0, 1, 1, 1, 0]),
        ([7, 7, 7, 7, M], [0, 0, 0, 0, 1]),
        ([M, S, 7, 7, 7], [1, 1, 0, 0, 0]),
    ],
)
def test_memory_is_read_and_never_written(targets: list[int], masked: list[int]) -> None:
    assert inside_memory(torch.tensor([targets]), M, S).int().tolist() == [masked]


def test_rows_are_masked_each_by_itself() -> None:
    rows = torch.tensor([[6, S, 7, 7], [7, 7, 7, 7], [7, M, 6, 6]])
    assert inside_memory(rows, M, S).int().tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]]


def test_a_story_that_is_cut_for_a_memory_prefix_does_not_end_there(ground: Ground) -> None:
    mixture = Mixture(ground.data, seed=1)
    end, memory = (mixture.tokenizer.control[name] for name in (END_OF_TEXT, MEMORY))
    cuts = ends = 0
    for _ in range(40):
        idx, targets = mixture.batch(4, 32)  # (B, T)
        at_cut = (idx[:, 1:-1] == end) & (idx[:, 2:] == memory)  # (B, T - 2): idx holds the targets one place later
        cuts += int(at_cut.sum())
        assert (targets[:, :-2][at_cut] == -1).all()
        ends += int((targets == end).sum())
    assert cuts > 0
    assert ends > 0


def test_batches_follow_the_weights_and_shift_by_one(ground: Ground) -> None:
    mixture = Mixture(ground.data, seed=1)
    for step in range(60):
        idx, targets = mixture.batch(4, 16 if step < 40 else 32)  # (B, T)
        story = targets >= 0
        assert torch.equal(idx[:, 1:][story[:, :-1]], targets[:, :-1][story[:, :-1]])
    drawn = mixture.state()
    assert sum(drawn) == 40 * 4 * 16 + 20 * 4 * 32
    assert drawn[0] / sum(drawn) == pytest.approx(0.75, abs=32 / sum(drawn))


def test_every_window_comes_once_before_any_comes_again(ground: Ground) -> None:
    mixture = Mixture(ground.data, seed=1)
    tokens = mixture.sources[0].tokens.to(torch.int64)
    mixture.sources[1].weight = -1.0  # only the first source is drawn
    per_epoch = (tokens.numel() - 1) // 32 - 1
    epochs = [[tuple(mixture.batch(1, 32)[0][0].tolist()) for _ in range(per_epoch)] for _ in range(3)]
    for epoch in epochs:
        cuts = [tokens[offset : offset + 32 * per_epoch].view(-1, 32).tolist() for offset in range(32)]
        assert sorted(epoch) in [sorted(map(tuple, cut)) for cut in cuts]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_restored_mixture_goes_on_where_the_other_would(ground: Ground) -> None:
    one, two = Mixture(ground.data, seed=1), Mixture(ground.data, seed=1)
    for _ in range(7):
        one.batch(4, 16)
    two.restore(one.state())
    for block_size in (16, 32, 32):
        assert all(torch.equal(a, b) for a, b in zip(one.batch(3, block_size), two.batch(3, block_size), strict=True))


def test_documents_are_numbered_from_where_they_begin() -> None:
    rows = torch.tensor([[7, 7, 0, 7, 0, 0, 7], [0, 7, 7, 7, 7, 7, 7]])
    assert document_numbers(rows, 0).tolist() == [[0, 0, 1, 1, 2, 3, 3], [1] * 7]


def test_prepared_data_holds_documents_memory_and_manifest(ground: Ground) -> None:
    tokenizer, manifest = Tokenizer.load(ground.data), read_manifest(ground.data)
    control = tokenizer.control
    stories, notes = (map_tokens(ground.data / source["bin"]).to(torch.int64) for source in manifest["sources"])
    count = {name: int((stories == control[name]).sum()) for name in (END_OF_TEXT, MEMORY, STORY)}
    assert count[MEMORY] == count[STORY] > 0
    assert manifest["sources"][0]["documents"] == 60
    assert 60 <= count[END_OF_TEXT] <= 60 + 60  # one before a document, one more where it is cut for a memory
    assert stories.numel() == manifest["sources"][0]["tokens"]
    assert int(notes.max()) < tokenizer.vocab_size

    documents = list(read_documents(ground.corpora / "notes_synthetic.txt"))
    held = list(read_documents(ground.data / "held_out.txt"))
    assert held == [document for document in documents if held_out(document, 0.3)]
    assert 0 < len(held) < 40 == len(held) + manifest["sources"][1]["documents"]
    text = tokenizer.decode(notes.tolist())
    assert not any(document in text for document in held)


def test_prepare_gives_the_same_bytes_again(ground: Ground, tmp_path: Path) -> None:
    prepare(load_preset(str(ground.preset)), ground.corpora, tmp_path / "again")
    assert {p.name for p in (tmp_path / "again").iterdir()} == {p.name for p in ground.data.iterdir()}
    assert all(path.read_bytes() == (ground.data / path.name).read_bytes() for path in (tmp_path / "again").iterdir())


def test_documents_without_a_second_sentence_or_any_word(tmp_path: Path) -> None:
    corpora = write_corpora(tmp_path / "corpora")
    odd = ["12345 67890 " * 60, "one sentence that never ends and goes on " * 20, "?" * 500, "é", "\n\n.\n\n" * 200]
    (corpora / "notes_synthetic.txt").write_text("".join(f"{t}\n{END_OF_TEXT}\n" for t in odd * 20), encoding="utf-8")
    preset = write_preset(tmp_path / "odd.toml")
    preset.write_text(preset.read_text().replace("memory_share = 0.5", "memory_share = 1.0").replace("0.3\n", "0.0\n"))
    prepare(load_preset(str(preset)), corpora, tmp_path / "data")
    assert json.loads((tmp_path / "data" / "manifest.json").read_text())["sources"][1]["documents"] == 5  # no twins
    text = Tokenizer.load(tmp_path / "data").decode(map_tokens(tmp_path / "data" / "01-notes_synthetic.bin").tolist())
    assert text.count("12345") >= 60


@pytest.mark.parametrize("name", preset_names())
def test_bundled_presets_load(name: str) -> None:
    preset = load_preset(name)
    assert preset.about
    assert all(source.licence for source in preset.sources)
    assert preset.valid not in {source.file for source in preset.sources}


def test_the_last_steps_are_drawn_by_the_final_weights(ground: Ground) -> None:
    mixture = Mixture(ground.data, seed=1)
    mixture.finish_with([0.25, 0.75], turn=40 * 4 * 16)
    counts = []
    for steps in (40, 40):
        before = mixture.state()
        for _ in range(steps):
            mixture.batch(4, 16)
        counts.append([now - then for now, then in zip(mixture.state(), before, strict=True)])
    total = 40 * 4 * 16
    assert counts[0] == pytest.approx([0.75 * total, 0.25 * total], abs=16)
    assert counts[1] == pytest.approx([0.25 * total, 0.75 * total], abs=32)
