"""What the bot says in a channel, in every language: complete, of the same shape, and within the platform's limits."""

from __future__ import annotations

import string

import pytest

from bot.modes import ABOUT, MODES
from bot.next_line import parted, says_next, with_foot
from bot.phrases import DEFAULT, ENGLISH, Phrases, load_phrases
from bot.sharing import Standing
from bot.views import ARROWS, VERBS
from memory import Table
from tests.bot.conftest import ANN, BEN

LABEL = 80  # characters of a button, the platform's limit
TABLE = load_phrases()


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("language", TABLE)
def test_each_language_says_the_same(language: str) -> None:
    texts = TABLE[language]
    assert list(texts) == list(TABLE[DEFAULT])
    for key, text in texts.items():
        assert placeholders(text) == placeholders(TABLE[DEFAULT][key]), (language, key)
        assert text, (language, key)
        assert "\n" not in text, (language, key)
        assert key == "thousands" or text == text.strip(), (language, key)


@pytest.mark.parametrize("language", TABLE)
def test_buttons_have_room_for_their_words_and_differ(language: str) -> None:
    say = Phrases.of(language)
    labels = [say(verb) for verb in VERBS if verb not in ARROWS]
    labels += [say("count_now"), say("place", number=9999, count=9999)]
    assert all(0 < len(label) <= LABEL for label in labels)
    assert len(set(labels)) == len(labels)


def test_modes_are_told_as_elsewhere() -> None:
    assert {mode: ENGLISH(f"mode_{mode.replace(' ', '_')}") for mode in MODES} == {
        mode: f"{mode}, {about}" for mode, about in ABOUT.items()
    }


def test_what_a_language_lacks_is_english() -> None:
    assert Phrases.of("Blicket").texts == ENGLISH.texts
    assert Phrases.of("German").size(12345, 1) == "12.345 Zeichen in 1 Teil"
    assert ENGLISH.size(12345, 1200) == "12,345 characters in 1,200 turns"


def test_names_with_braces_are_only_names() -> None:
    assert ENGLISH("took_back", name="{words}", words="{name} {0}") == "{words} took back: {name} {0}"


@pytest.mark.parametrize("language", TABLE)
def test_who_is_next_is_known_again_after_another_language_was_chosen(language: str) -> None:
    standing = Standing("round robin", Table((ANN, BEN)), 60.0)
    foot, english = says_next(standing, 100.0, Phrases.of(language)), says_next(standing, 100.0)
    assert "Ann" in foot
    assert "Ben" in foot
    assert parted(f"She ran.\n{foot}") == ("She ran.", foot)
    assert with_foot(f"She ran.\n{foot}", english) == f"She ran.\n{english}"
    assert with_foot(f"She ran.\n{english}", foot) == f"She ran.\n{foot}"


@pytest.mark.parametrize("language", TABLE)
def test_no_other_line_passes_for_the_one_that_says_who_is_next(language: str) -> None:
    for key, text in TABLE[language].items():
        if key != "next":
            shown = f"-# {text}"
            assert parted(shown) == (shown, ""), (language, key)
