"""What can go wrong is one sentence and exit code 2."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest

from tests.training.conftest import Ground
from tests.training.material import training_command, write_corpora, write_preset
from training.__main__ import main


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("training: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith(".\n")
    return captured.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "missing"),
        (b"", "holds no text"),
        (b"\xff\xfe\x00x", "not readable as UTF-8"),
        (b"<|endoftext|>\n\n", "no text"),
    ],
)
def test_evaluate_refuses_a_text_it_cannot_measure(
    content: bytes | None, said: str, tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    if content is not None:
        text.write_bytes(content)
    assert said in refused(capsys, "evaluate", "--weights", tiny_weights, "--text", text)


def test_evaluate_refuses_damaged_compression_and_a_folder(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = lzma.compress(b"a story " * 1000)
    for name, content in (("cut.xz", whole[:-20]), ("no.xz", b"plain")):
        (tmp_path / name).write_bytes(content)
        assert "not readable" in refused(capsys, "evaluate", "--weights", tiny_weights, "--text", tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert "no .txt file" in refused(capsys, "evaluate", "--weights", tiny_weights, "--text", tmp_path / "empty")
    assert "weights folder" in refused(capsys, "evaluate", "--weights", tmp_path / "none", "--text", __file__)


def test_unknown_presets_and_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpora = write_corpora(tmp_path / "corpora")
    good = write_preset(tmp_path / "good.toml").read_text()
    assert "no preset 'nowhere'" in refused(
        capsys, "prepare", "--preset", "nowhere", "--data", corpora, "--out", tmp_path
    )
    for old, new, said in (
        ("steps = 30", "stepz = 30", "stepz is not a setting"),
        ("steps = 30", "steps = -1", "steps = -1 cannot be used"),
        ("steps = 30\n", "", "steps is missing"),
        ("weight = 0.75", "weight = 1.5", "add up to 1.75"),
        ("n_head = 2", "n_head = 3", "heads"),
        ('kind = "hybrid"', 'kind = "words"', "'words' cannot be used"),
        ("short_block_size = 16", "short_block_size = 64", "exceeds block_size"),
        ("[model]", "[model", "not valid TOML"),
    ):
        bad = tmp_path / "bad.toml"
        bad.write_text(good.replace(old, new))
        assert said in refused(capsys, "prepare", "--preset", bad, "--data", corpora, "--out", tmp_path / "out")


def test_prepare_needs_its_corpora_and_never_writes_over_data(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "missing" in refused(
        capsys, "prepare", "--preset", ground.preset, "--data", tmp_path, "--out", tmp_path / "out"
    )
    taken = refused(capsys, "prepare", "--preset", ground.preset, "--data", ground.corpora, "--out", ground.data)
    assert "holds prepared data already" in taken


def test_train_refuses_what_would_mix_runs(ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def train(*more: object, preset: Path = ground.preset, data: Path = ground.data, out: Path = tmp_path) -> str:
        return refused(capsys, "train", "--preset", preset, "--data", data, "--out", out, "--threads", 1, *more)

    text = ground.preset.read_text()
    wider, mixed, adam = (tmp_path / f"{name}.toml" for name in ("wider", "mixed", "adam"))
    wider.write_text(text.replace("n_ffn = 32", "n_ffn = 64"))
    mixed.write_text(text.replace("0.75", "0.5").replace("0.25", "0.5"))
    adam.write_text(text.replace("muon", "adamw"))
    assert "holds a run already" in train(out=ground.run)
    assert "train first" in train("--resume")
    assert "no prepared data" in train(data=tmp_path)
    assert "another shape" in train("--resume", preset=wider, out=ground.run)
    assert "other corpora" in train(preset=mixed)
    assert "another optimizer" in train("--resume", preset=adam, out=ground.run)
    (tmp_path / "checkpoint.pt").write_bytes((ground.run / "checkpoint.pt").read_bytes()[:5000])
    assert "damaged" in train("--resume")


def test_export_refuses_runs_without_checkpoint_and_folders_in_use(
    ground: Ground, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "train first" in refused(capsys, "export", "--run", tmp_path, "--out", tmp_path / "out")
    assert "holds weights already" in refused(capsys, "export", "--run", ground.run, "--out", tiny_weights)
    bare = refused(capsys, "export", "--run", ground.run, "--out", tmp_path / "out", "--data", ground.data)
    assert "asks for credits" in bare


def test_the_process_ends_with_code_2() -> None:
    for arguments in (["evaluate", "--text", "/nowhere/text.txt"], ["train", "--threads", "0"], []):
        done = subprocess.run(training_command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
