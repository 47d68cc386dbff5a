"""What the model sees next, as a page: everything in it, and in Discord one message that fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.memory_page import CELLS, FREE, Page, Part, as_message, bar, fair_shares
from bot.output import LIMIT, units
from tests.bot.test_discord_output import LIVE, PIECES

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=30).map("".join)
long_texts = st.builds(lambda text, times: text * times, texts, st.integers(1, 60))
parts = st.builds(Part, st.sampled_from("█▓▒░"), st.just("Title"), st.integers(0, 999), long_texts, st.booleans())
pages = st.lists(parts, min_size=1, max_size=7).map(lambda found: Page(found, FREE * CELLS, "5 of 10 tokens"))


@given(pages)
def test_a_page_is_one_message_with_nothing_live_in_it(page: Page) -> None:
    text, _ = as_message(page)
    assert units(text) <= LIMIT
    assert not LIVE.search(text)
    assert text.endswith("5 of 10 tokens")
    assert text.count("**█") + text.count("**▓") + text.count("**▒") + text.count("**░") >= len(page.parts)


def test_what_is_short_stays_whole_beside_what_is_long() -> None:
    long = " ".join(f"word{number}" for number in range(900))
    page = Page([Part("█", "Pins", 9, "3: Mira is a fox."), Part("▒", "Text", 900, long, from_end=True),
                 Part("░", "Summary", 90, long)], "", "")  # fmt: skip
    text, cut = as_message(page)
    assert cut
    assert "3: Mira is a fox." in text
    assert "word899" in text
    assert "… " in text
    assert "word0 " in text
    assert LIMIT - 20 < units(text) <= LIMIT
    assert long in page.text
    short = Page(page.parts[:1], "", "")
    assert as_message(short) == ("**█ Pins (9 tokens)**\n3: Mira is a fox.\n``\n-# ", False)


@pytest.mark.parametrize(
    ("tokens", "cells"),
    [
        ([], ""),
        ([("█", 1), ("▒", 0), ("░", 50)], "█" + "░" * 20),
        ([("█", 40), ("▒", 60)], "█" * 16 + "▒" * 24),
        ([("█", 1), ("▒", 1), ("░", 98)], "█▒" + "░" * 38),
    ],
)
def test_the_bar_shows_shares_of_the_window(tokens: list[tuple[str, int]], cells: str) -> None:
    assert bar(tokens, 100) == f"{cells:{FREE}<{CELLS}}"


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=8), st.integers(0, 3000))
def test_room_is_shared_out_fairly(wanted: list[int], room: int) -> None:
    shares = fair_shares(wanted, room)
    assert all(share <= size for share, size in zip(shares, wanted, strict=True))
    assert sum(shares) <= room
    short_of = [share for share, size in zip(shares, wanted, strict=True) if share < size]
    assert max(short_of, default=0) - min(short_of, default=0) <= 1
    assert not short_of or all(share <= max(short_of) for share in shares)
