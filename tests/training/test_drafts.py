"""The table of drafts, from prepared data to guesses that hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from benchmarks.speculation import accept
from engine.draft import Drafter
from engine.draft_table import FILE, DraftTable, extend_hash
from engine.tokenizer import Tokenizer
from tests.training.conftest import Ground
from tests.training.material import write_preset
from training.__main__ import main
from training.drafts import CHAR_ORDERS, ORDERS, estimate


@pytest.fixture(scope="module")
def exported(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights") / "tiny"
    assert main(["export", "--run", str(ground.run), "--out", str(out), "--data", str(ground.corpora)]) == 0
    return out


@pytest.fixture
def weights(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "weights"))


def drafts(data: Path, weights: Path, *more: str) -> int:
    return main(["drafts", "--data", str(data), "--weights", str(weights), *more])


def tokens_per_pass(weights: Path, text: str, table: DraftTable | None) -> float:
    ids = Tokenizer.load(weights).encode(text)
    found: float = accept(Drafter(table), [(ids, 1)])["tokens_per_pass"]
    return found


def test_what_was_prepared_is_guessed_where_it_comes_again(
    ground: Ground, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drafts(ground.data, weights, "--max-mb", "0.05") == 0
    told = capsys.readouterr().out
    assert FILE in told
    assert (weights / FILE).stat().st_size <= 50_000
    assert f"{(weights / FILE).stat().st_size:,} bytes" in told
    vocab_size = Tokenizer.load(weights).vocab_size
    table = DraftTable.load(weights, vocab_size)
    assert table is not None
    assert table.orders == ORDERS
    text = (ground.data / "valid.txt").read_text(encoding="utf-8").split("<|endoftext|>")[0]
    assert tokens_per_pass(weights, text, table) > 1.2 * tokens_per_pass(weights, text, None)


def test_the_same_command_writes_the_same_bytes_and_over_an_older_file(ground: Ground, weights: Path) -> None:
    blobs = []
    for size in ("0.02", "0.01", "0.02"):
        assert drafts(ground.data, weights, "--max-mb", size) == 0
        blobs.append((weights / FILE).read_bytes())
    assert blobs[0] == blobs[2] != blobs[1]
    assert sorted(path.name for path in weights.iterdir() if "drafts" in path.name) == [FILE]


def test_characters_are_guessed_by_longer_contexts(ground: Ground, tmp_path: Path) -> None:
    preset, data = write_preset(tmp_path / "char.toml", kind="char", steps=2), tmp_path / "data"
    assert main(["prepare", "--preset", str(preset), "--data", str(ground.corpora), "--out", str(data)]) == 0
    run, weights = tmp_path / "run", tmp_path / "weights"
    assert main(["train", "--preset", str(preset), "--data", str(data), "--out", str(run), "--threads", "1"]) == 0
    assert main(["export", "--run", str(run), "--out", str(weights), "--data", str(ground.corpora)]) == 0
    assert drafts(data, weights, "--max-mb", "0.1") == 0
    table = DraftTable.load(weights, Tokenizer.load(weights).vocab_size)
    assert table is not None
    assert table.orders == CHAR_ORDERS
    text = (data / "valid.txt").read_text(encoding="utf-8").split("<|endoftext|>")[0]
    assert tokens_per_pass(weights, text, table) > 2


def test_data_of_another_vocabulary_is_refused(
    ground: Ground, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(tiny_weights, tmp_path / "other"))
    assert drafts(ground.data, other) == 2
    told = capsys.readouterr().err
    assert "another vocabulary" in told
    assert "--tokenizer" in told
    assert not (other / FILE).exists()


@pytest.mark.parametrize("size", ["0", "-1", "1e-7", "9", "nan", "inf"])
def test_a_size_that_makes_no_sense_is_refused(
    ground: Ground, weights: Path, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drafts(ground.data, weights, f"--max-mb={size}") == 2
    assert "MB cannot be used" in capsys.readouterr().err
    assert not (weights / FILE).exists()


def test_folders_that_hold_nothing_are_refused(
    ground: Ground, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drafts(tmp_path / "none", weights) == 2
    assert "no prepared data" in capsys.readouterr().err
    assert drafts(ground.data, tmp_path / "none") == 2
    assert "tokenizer.json" in capsys.readouterr().err


def test_a_longer_context_decides_as_far_as_it_was_seen() -> None:
    """Behind 1 comes mostly 2; behind 9 1 always 3, seen often; behind 8 1 once a 4, which is hardly believed."""
    ids = torch.tensor([1, 2] * 60 + [9, 1, 3] * 30 + [8, 1, 4] + [7, 1, 2], dtype=torch.uint16)
    shorter, longer = estimate([(ids, 1.0)], (2, 1))
    guesses = {}
    for context in ([1], [9, 1], [8, 1]):
        hashed = 0
        for token in reversed(context):
            hashed = extend_hash(hashed, token)
        found = shorter if len(context) == 1 else longer
        place = found.hashes.tolist().index(hashed)
        guesses[tuple(context)] = (int(found.ids[place]), float(found.probability[place]), float(found.saved[place]))
    assert [guess[0] for guess in guesses.values()] == [2, 3, 4]
    assert guesses[1,][1] == pytest.approx(61 / 92, abs=0.01)
    assert guesses[9, 1][1] > 0.99
    assert guesses[9, 1][2] > guesses[8, 1][2] > 0  # of the two, the first entry saves more


def test_sources_count_by_their_share_of_the_mixture() -> None:
    """The larger source has the smaller share, and what it says is not what is guessed."""
    small, large = (torch.tensor([1, token] * length, dtype=torch.uint16) for token, length in ((2, 50), (3, 5_000)))
    (found,) = estimate([(small, 0.6), (large, 0.4)], (1,))
    place = found.hashes.tolist().index(extend_hash(0, 1))
    assert int(found.ids[place]) == 2
    assert float(found.probability[place]) == pytest.approx(0.6, abs=0.01)
