"""Commands in the languages of those who use them, by Discord's own fields; what has no translation stays English."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import discord
from discord import app_commands

TABLE = Path(__file__).with_name("languages.toml")
LANGUAGES: Mapping[discord.Locale, str] = {
    discord.Locale.german: "de",
    discord.Locale.spain_spanish: "es",
    discord.Locale.latin_american_spanish: "es",
    discord.Locale.french: "fr",
    discord.Locale.japanese: "ja",
    discord.Locale.brazil_portuguese: "pt",
}
_PLACES = app_commands.TranslationContextLocation
_NAMES = {_PLACES.command_name, _PLACES.group_name}
_DESCRIPTIONS = {_PLACES.command_description, _PLACES.group_description}

Table = Mapping[str, Mapping[str, Mapping[str, str]]]  # language -> "names" or "about" -> word or command -> text


def load_table() -> Table:
    with TABLE.open("rb") as file:
        return tomllib.load(file)


class Languages(app_commands.Translator):
    """For a tree of our own; a host that wants it sets it on its tree itself."""

    def __init__(self) -> None:
        self._table = load_table()

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,
    ) -> str | None:
        language = self._table.get(LANGUAGES.get(locale, ""))
        if language is None:
            return None
        if context.location in _NAMES:
            return language["names"].get(string.message)
        if context.location in _DESCRIPTIONS and isinstance(context.data, app_commands.Command | app_commands.Group):
            return language["about"].get(context.data.qualified_name)
        return None
