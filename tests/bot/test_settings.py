from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import SettingsError, load_settings


def test_an_empty_environment_is_enough() -> None:
    settings = load_settings()
    assert not settings.has_token
    assert settings.database_file.parent == settings.data_dir
    assert (settings.temperature, settings.top_k, settings.top_p, settings.repetition_penalty) == (0.8, None, 0.9, 1.15)


def test_settings_come_from_the_environment_and_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MINIATURE_TOP_K=40\nMINIATURE_TOP_P=0.5\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("MINIATURE_TOP_P", "0.7")
    monkeypatch.setenv("MINIATURE_OWNERS", "12, 34")
    monkeypatch.setenv("MINIATURE_DATABASE", "~/story.sqlite3")
    settings = load_settings()
    assert (settings.top_k, settings.top_p, settings.owners) == (40, 0.7, {12, 34})
    assert settings.database_file == Path.home() / "story.sqlite3"


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_token_is_none(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("MINIATURE_DISCORD_TOKEN", token)
    assert not load_settings().has_token


def test_a_token_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIATURE_DISCORD_TOKEN", "very-secret")
    settings = load_settings()
    assert settings.discord_token is not None
    assert settings.discord_token.get_secret_value() == "very-secret"
    assert "very-secret" not in repr(settings) + str(settings.model_dump())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TEMPERATURE", "hot"),
        ("TOP_P", "0"),
        ("QUEUE_SIZE", "-1"),
        ("OWNERS", "me"),
        ("LOG_LEVEL", "loud"),
        ("THREADS", "0"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"MINIATURE_{name}", value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert f"MINIATURE_{name} (" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"MINIATURE_TOP_K=\xff\xfe")
    with pytest.raises(SettingsError, match=r"\.env"):
        load_settings()
