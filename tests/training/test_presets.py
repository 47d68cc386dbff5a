"""The presets that come with the project, and mixtures that several of them share."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.presets import MIXTURES, PresetError, load_preset, preset_names
from engine.model import GPT
from tests.training.material import write_preset
from training.train import model_config

SHAPES = {  # kind of blocks and vocabulary, layers, heads, width, feed-forward width, context
    "nanogpt-lite": ("gpt2", "char", 7, 4, 256, 1024, 256),
    "microformer": ("llama", "char", 2, 4, 128, 256, 128),
    "tiny-tale": ("llama", "bpe", 6, 6, 384, 1024, 256),
    "minigpt": ("gpt2", "char", 2, 4, 128, 512, 128),
    "narrative-190m": ("llama", "bpe", 12, 12, 768, 3072, 2048),
    "ember": ("llama", "hybrid", 6, 4, 256, 768, 512),
    "hearth": ("llama", "hybrid", 10, 6, 384, 1280, 512),
}
PARAMETERS = {"narrative-190m": (189e6, 192e6), "ember": (5.5e6, 5.7e6), "hearth": (21e6, 21.5e6)}


@pytest.mark.parametrize("name", SHAPES)
def test_a_preset_has_its_shape(name: str) -> None:
    preset = load_preset(name)
    shape, kind = preset.model, preset.tokenizer.kind
    numbers = (shape.n_layer, shape.n_head, shape.n_embd, shape.n_ffn, shape.block_size)
    assert (shape.model_type, kind, *numbers) == SHAPES[name]
    if name in PARAMETERS:
        least, most = PARAMETERS[name]
        config = model_config(preset, preset.tokenizer.vocab_size)
        matrices = 4 * config.n_embd**2 + 3 * config.n_embd * config.n_ffn
        tables = config.vocab_size * config.n_embd * (1 if config.tie_embeddings else 2)
        assert least < config.n_layer * matrices + tables < most


def test_every_preset_and_mixture_is_read() -> None:
    assert set(preset_names()) == set(SHAPES)
    for name in preset_names():
        preset = load_preset(name)
        assert preset.about
        assert preset.valid not in [source.file for source in preset.sources]
    assert {path.stem for path in MIXTURES.glob("*.toml")} == {"stories", "simple-stories", "fiction"}


def test_settings_that_the_sources_gave() -> None:
    tale, narrative, micro = (load_preset(name) for name in ("tiny-tale", "narrative-190m", "microformer"))
    assert (tale.train.lr, tale.train.warmup_steps, tale.tokenizer.vocab_size) == (3e-4, 1000, 8192)
    assert tale.train.gradient_checkpointing
    assert (narrative.train.schedule, narrative.train.lr, narrative.train.weight_decay) == ("one_cycle", 5e-4, 0.01)
    assert (narrative.train.autocast, narrative.train.compile) == ("bf16", True)
    assert narrative.tokenizer.vocab_size == 50257
    assert (micro.model.n_long_term, micro.model.n_session) == (32, 32)
    speakers = [source.speakers for source in narrative.sources if source.file == "crd3_dialogue_train.txt.xz"]
    assert speakers == ["roles"]


def test_room_for_units_is_part_of_the_model() -> None:
    model = GPT(model_config(load_preset("microformer"), 100))
    assert next(model.layers()).feed_forward.group("long_term").gate.shape == (32, 128)
    assert next(model.layers()).feed_forward.group("session").down.shape == (128, 32)


def test_a_mixture_of_ones_own_is_named_by_its_path(tmp_path: Path) -> None:
    text = write_preset(tmp_path / "own.toml").read_text(encoding="utf-8")
    head, sources = text.split("[[source]]", 1)
    whole = load_preset(str(tmp_path / "own.toml"))
    (tmp_path / "mine.toml").write_text('valid = "valid.txt"\n[[source]]' + sources, encoding="utf-8")
    shared = head.replace('valid = "valid.txt"', 'mixture = "mine.toml"')
    (tmp_path / "own.toml").write_text(shared, encoding="utf-8")
    assert load_preset(str(tmp_path / "own.toml")) == whole


@pytest.mark.parametrize(
    ("preset", "mixture", "said"),
    [
        ('mixture = "nowhere"', "", "no mixture 'nowhere'"),
        ("mixture = 7", "", "no mixture 7"),
        ('mixture = "mine.toml"\n[[source]]', "", "sources of its own and names a mixture"),
        ('mixture = "mine.toml"', "steps = 3", "steps is not a setting"),
        ('mixture = "mine.toml"', "=", "not valid TOML"),
        ('mixture = "mine.toml"', 'valid = "valid.txt"', "add up to 0"),
        ("[model]\nn_kv_head = 3", "", "does not divide"),
        ("[train]\nema = 1.0", "", "for ever"),
    ],
)
def test_what_is_wrong_with_a_mixture_or_a_setting_is_said(
    tmp_path: Path, preset: str, mixture: str, said: str
) -> None:
    text = write_preset(tmp_path / "own.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(mixture, encoding="utf-8")
    if preset.startswith("mixture"):
        head = text.split("[[source]]", 1)[0].replace('valid = "valid.txt"\n', "")
        text = head.replace('about = "for tests"', f'about = "for tests"\n{preset.split(chr(10))[0]}')
        text += "[[source]]\n" if "source" in preset else ""
    else:
        section = preset.split("\n")[0]
        text = text.replace("ema = 0.9\n", "").replace(section, preset)
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PresetError, match=said):
        load_preset(str(tmp_path / "own.toml"))
