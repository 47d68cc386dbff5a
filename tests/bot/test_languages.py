"""The translations of our commands: complete, of our commands alone, and within the platform's limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
from discord import app_commands
from discord.ext import commands

from bot.languages import LANGUAGES, Languages, load_table
from tests.discord_server.payloads import Check, check_commands

LIMITS = {"names": 32, "about": 100}


@pytest.fixture
async def bot(tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[commands.Bot]:
    monkeypatch.setenv("MINIATURE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MINIATURE_WEIGHTS", str(tiny_weights))
    bot = commands.Bot(commands.when_mentioned, intents=discord.Intents.none())
    await bot.load_extension("bot.extension")
    yield bot
    await bot.close()


async def test_the_platform_takes_all_languages(bot: commands.Bot) -> None:
    translator = Languages()
    payloads = [await found.get_translated_payload(bot.tree, translator) for found in bot.tree.get_commands()]
    check = Check()
    check_commands(check, payloads)
    assert check.errors == []
    story = next(payload for payload in payloads if payload["name"] == "story")
    assert story["name_localizations"] == {
        "de": "geschichte", "es-ES": "historia", "es-419": "historia", "fr": "histoire", "ja": "物語",
        "pt-BR": "história",
    }  # fmt: skip
    start = next(option for option in story["options"] if option["name"] == "start")
    assert start["description_localizations"]["de"] == "Beginnt eine neue Geschichte in diesem Kanal"
    for locale in {str(locale) for locale in LANGUAGES}:
        for payload in payloads:  # names in one group have to differ
            names = [each["name_localizations"].get(locale, each["name"]) for each in payload.get("options", [])
                     if each["type"] == 1]  # fmt: skip
            assert len(set(names)) == len(names), (locale, payload["name"], names)


async def test_all_languages_tell_of_the_same_commands_that_there_are(bot: commands.Bot) -> None:
    named: list[app_commands.Command[Any, ..., Any] | app_commands.Group] = list(bot.tree.walk_commands())
    tables = load_table()
    assert set(tables) == set(LANGUAGES.values())
    for language, table in tables.items():
        assert set(table["about"]) <= {found.qualified_name for found in named}, language
        assert set(table["names"]) <= {found.name for found in named}, language
        assert {kind: set(table[kind]) for kind in LIMITS} == {kind: set(tables["de"][kind]) for kind in LIMITS}
        for kind, limit in LIMITS.items():
            assert all(0 < len(text) <= limit for text in table[kind].values())
            assert all(text == text.strip() for text in table[kind].values())
