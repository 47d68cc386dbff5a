"""What is sent to Discord: nothing in it is live, and every message fits."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reliability.discord_client import live
from benchmarks.reliability.payloads import judge, measure
from bot.output import LIMIT, harmless, label, line, quote, split, story_messages, units

LIVE = re.compile(
    r"<(@[!&]?|#|/[^>]*:|a?:\w+:|t:|id:)\w|@(everyone|here)|https?://|discord://|\]\(|<(mailto|tel|sms|https?):"
    r"|discord(app)?\.(gg|com)|\.gg/",
    re.IGNORECASE,
)
PIECES = [
    "@everyone", "@here", "<@123456789012345678>", "<@!1234>", "<@&99>", "<#12>", "</story start:123>", "<:fox:123>",
    "<a:fox:123>", "<t:1700000000:R>", "<id:customize>", "https://example.org/a", "HTTP://x.y", "<https://x.y>",
    "discord.gg/abc", "DISCORD.COM/invite/abc", "discordapp.com/invite/x", "dsc.gg/x", "[click](https://x.y)",
    "[click] (x)", "<mailto:a@b.c>", "```py\n", "`", "**", "__", "~~", "||", "> ", ">>> ", "# ", "-# ", "- ", "\\",
    "\n", "\n\n", " ", "The fox ran. ", "Mira said: “No!” ", "\u200b", "\u200d", "\ufeff", "\u202e", "\x00", "\x1b[31m",
    "\ud800", "👩‍👩‍👧", "🇩🇪", "👍🏽", "e\u0301", "ß", "語", "@", "<", "]", "(", ":", "/", ".", "gg", "discord",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=40).map("".join)
long_texts = st.builds(lambda text, times: text * times, texts, st.integers(1, 60)).map(lambda text: text[:9000])


@given(texts)
def test_nothing_is_live(text: str) -> None:
    safe = harmless(text)
    assert not LIVE.search(safe)
    assert not LIVE.search(re.sub(r"\\([\W_])", r"\1", safe)), "nor when the platform takes the escapes away"
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_~`|]", safe)
    assert not re.search(r"^\s*(>|#{1,3} |-#? )", safe, re.MULTILINE)
    safe.encode()


@given(st.text(st.sampled_from("abcé語. ,;“”\n?!'9")))
def test_prose_stays_as_it_is(text: str) -> None:
    assert harmless(text) in (text, "")
    assert bool(harmless(text)) == bool(text.strip())


@settings(max_examples=60)
@given(long_texts, st.integers(2, 300))
def test_parts_fit_and_lose_nothing(text: str, first: int) -> None:
    safe = harmless(text)
    parts = split(safe, 300, first=first)
    assert "".join("".join(parts).split()) == "".join(safe.split())
    assert all(part.strip() for part in parts)
    assert [units(part) for part in parts if units(part) > 300] == []
    assert not parts or units(parts[0]) <= first
    assert not any(LIVE.search(part) for part in parts)


@settings(max_examples=60)
@given(texts, long_texts, long_texts)
def test_every_message_of_a_reply_fits(name: str, mine: str, reply: str) -> None:
    messages = story_messages(quote(name, mine), reply)
    assert all(0 < units(message) <= LIMIT for message in messages)
    assert not any(LIVE.search(message) for message in messages)
    assert bool(messages) == bool(harmless(mine) or harmless(reply))


def test_a_short_run_of_the_benchmark_of_payloads() -> None:
    assert measure(1500, seed=7) == (Counter(), [])


@given(texts, texts)
def test_the_oracle_of_the_client_finds_nothing_live(text: str, other: str) -> None:
    assert judge(text, other) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hi @everyone", "mention"), ("<@12>", "mention"), ("<@&12>", "mention"), ("</a b:1>", "mention"),
        ("\\<@12>", "mention"), ("see https://a.example", "link"), ("HTTPS://a.example", "link"),
        ("discord.gg/x", "link"),
        ("<mailto:a@b.example>", "link"), ("[a](https://a.example)", "masked link"), ("```x```", "markdown"),
        ("a *b*", "markdown"),
        ("# a", "block"), ("a\n> b", "block"), ("\\\\*a*", "markdown"),
    ],
)  # fmt: skip
def test_the_oracle_sees_what_is_live(text: str, kind: str) -> None:
    assert kind in live(text)


def test_a_quote_and_the_reply_can_be_told_apart() -> None:
    assert story_messages(quote("Anna", "The fox ran.\nFar."), "\n\nIt slept.") == [
        "> **Anna**\n> The fox ran.\n> Far.\nIt slept."
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One two. Three.\n\nFour five six.", ["One two. Three.", "Four five six."]),
        ("One two three. Four five six seven", ["One two three.", "Four five six seven"]),
        ("one two three four five six seven", ["one two three four", "five six seven"]),
        ("a" * 25, ["a" * 20, "a" * 5]),
        ("👍" * 12, ["👍" * 10, "👍" * 2]),
        ("a" + "🇩🇪" * 6, ["a" + "🇩🇪" * 4, "🇩🇪" * 2]),
        ("a" * 16 + "👩‍👩‍👧b", ["a" * 16, "👩‍👩‍👧b"]),
        ("a" * 19 + "\\*b", ["a" * 19, "\\*b"]),
    ],
)
def test_where_it_cuts(text: str, parts: list[str]) -> None:
    assert split(text, 20) == parts


def test_one_line() -> None:
    assert line("A\n\n b @here") == "A b @\u200bhere"
    assert line("x" * 101) == "x" * 99 + "…"


def test_a_choice_is_shown_as_it_is() -> None:
    assert label("A *b*\n\x07 \u202ec") == "A *b* c"
    assert label("👍" * 51) == "👍" * 49 + "…"
    assert units(label("👍" * 51)) <= 100
