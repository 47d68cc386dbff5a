"""The vocabularies here are invented words: the real lists are never needed to test how a word is met."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import RefusedError, StartError
from bot.rules import OPERATORS, Checkpoint, ContentRules, TermList, Together

RULES = ContentRules({"invented": ["frobozz", "zilk", "grue snuff", "plugh*", "zzork", "\u9b54\u8bcd"]})

WORDS = tomllib.loads(Path(__file__).with_name("dressed_words.toml").read_text(encoding="utf-8"))
EVASIVE, INNOCENT = WORDS["evasive"], WORDS["innocent"]


@pytest.mark.parametrize("text", EVASIVE)
def test_a_listed_term_is_met_in_every_dress(text: str) -> None:
    refusal = RULES.check(f"Then she said {text} to him.")
    assert refusal is not None
    assert refusal.category == "invented"


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_passes(text: str) -> None:
    assert RULES.check(text) is None


@pytest.mark.parametrize("text", ["Essex and Sussex", "a sextant on the wall", "Scunthorpe", "the Middlesex road"])
def test_the_built_in_lists_know_places_and_instruments(text: str) -> None:
    assert ContentRules.load().check(text) is None


def test_the_refusal_does_not_say_the_word_back() -> None:
    with pytest.raises(RefusedError) as refusal:
        RULES.require("a zilk", "the lesson")
    assert "zilk" not in str(refusal.value)
    assert "The lesson" in str(refusal.value)


def test_a_term_over_the_border_of_two_texts_is_met_and_an_old_one_is_not_judged_again() -> None:
    assert RULES.check("snuff was there", before="They saw that the grue") is not None
    assert RULES.check("lk", before="They saw the zi") is not None
    assert RULES.check(" snuff was there", before="The end was near") is None
    assert RULES.check(" and they went home", before="the zilk") is None
    assert RULES.check("b", before=f"{'x' * 300}zilk ") is None


@given(st.sampled_from(EVASIVE), st.lists(st.integers(0, 60), max_size=6), st.sampled_from(["", "Then he saw "]))
def test_a_stream_never_shows_a_whole_term_however_it_is_cut(term: str, cuts: list[int], before: str) -> None:
    text = f"Once there was {term} in the woods."
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    shown, refused = _shown([text[begin:end] for begin, end in pairwise(places)], before)
    assert refused
    assert text.startswith(shown)
    assert RULES.check(shown) is None


def _shown(pieces: Iterable[str], before: str) -> tuple[str, bool]:
    stream, shown = RULES.stream(before), ""
    try:
        for piece in pieces:
            shown += stream.push(piece)
        return shown + stream.finish(), False
    except RefusedError:
        return shown, True


@given(st.lists(st.text(alphabet="abz .!\n\u00e9", max_size=12), max_size=30))
def test_a_stream_gives_back_all_of_an_innocent_text(pieces: list[str]) -> None:
    stream = RULES.stream()
    assert "".join([*(stream.push(piece) for piece in pieces), stream.finish()]) == "".join(pieces)


def test_a_stream_lags_a_word_behind_and_not_a_chapter() -> None:
    stream = RULES.stream()
    assert stream.push("The fox ran ho") == "The fox ran "
    assert len(stream.push("o" * 5000)) > 4000
    stream = RULES.stream()
    assert sum(len(stream.push("a ")) for _ in range(1000)) > 1000


def test_the_operators_list(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("\ufeff# ours\n\nxyzzy\nfoo barz\n", encoding="utf-8")
    rules = ContentRules.load(file)
    refusal = rules.check("he said x y z z y")
    assert refusal is not None
    assert refusal.category == OPERATORS
    assert rules.check("FOO BARZ") is not None
    assert rules.check("# ours") is None


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"!!!\n", b"x" * 100])
def test_an_operators_list_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartError):
        ContentRules.load(file)


PAIRS = ContentRules(
    [TermList("grown", "grown", ("blicket",), general_use=True), TermList("young", "young", ("kidlet",), alone=False)],
    [Together("young among grown", frozenset({"grown"}), frozenset({"young"}), 10)],
)


def test_only_lists_for_general_use_are_lifted_where_text_may_be_mature() -> None:
    assert PAIRS.check("a blicket") is not None
    assert PAIRS.check("a blicket", mature=True) is None
    assert RULES.check("a zilk", mature=True) is not None


@pytest.mark.parametrize("text", ["the blicket and a kidlet", "kidlets. Then, far away, a bl1cket", "Blicket! Kidlet?"])
def test_two_words_that_may_not_stand_near_each_other_never_do(text: str) -> None:
    refusal = PAIRS.check(text, mature=True)
    assert refusal is not None
    assert refusal.category == "young among grown"
    for cut in range(1, len(text.rstrip("?!"))):
        assert PAIRS.check(text[cut:], text[:cut], mature=True, seam=False) is not None, "over a border too"
    stream = PAIRS.stream(mature=True)
    with pytest.raises(RefusedError):
        "".join([*map(stream.push, text), stream.finish()])


def test_words_that_stand_far_apart_have_nothing_to_do_with_each_other() -> None:
    apart = " and so on" * 20
    assert PAIRS.check(f"a blicket{apart} a kidlet", mature=True) is None
    assert PAIRS.check(" a kidlet", f"a blicket{apart}", mature=True) is None
    assert PAIRS.check("a kidlet") is None
    assert PAIRS.check(" and they went home", "a blicket, a kidlet", mature=True) is None, "nothing new"


def test_the_built_in_pairs_hold_where_text_may_be_mature() -> None:
    rules = ContentRules.load()
    assert rules.check("an orgasm", mature=True) is None
    for who in ("the child", "a 12-year-old", "a twelve year old", "the schoolboys", "somebody aged 16"):
        refusal = rules.check(f"{who}, an orgasm", mature=True)
        assert refusal is not None, who
        assert "minors" in refusal.category
    assert rules.check("a 40-year-old, an orgasm", mature=True) is None


def test_operators_fill_the_lists_by_category(tmp_path: Path) -> None:
    (tmp_path / "weapons.txt").write_text("xyzzy\n", encoding="utf-8")
    (tmp_path / "more.toml").write_text(
        """
        [lists.real-people]
        terms = ["Nim Plover"]
        [lists.house]
        name = "what this house does not want"
        terms = ["gronk"]
        [[together]]
        name = "gronk near people"
        first = ["house"]
        second = ["real-people"]
        within = 5
        """,
        encoding="utf-8",
    )
    (tmp_path / "notes.md").write_text("zilk\n", encoding="utf-8")
    rules = ContentRules.load(tmp_path)

    def category(text: str, mature: bool = True) -> str | None:
        refusal = rules.check(text, mature=mature)
        return None if refusal is None else refusal.category

    assert category("an xyzzy") == "instructions for weapons, drugs or attacks"
    assert category("a gronk") == "what this house does not want"
    assert category("Nim Plover had tea") is None
    assert category("Nim Plover, an orgasm") == "sexual content about real people"
    assert category("zilk") is None


@pytest.mark.parametrize(
    "content",
    [
        "[lists.sexual]\nterms = []\ngeneral_use = true",
        "[lists.ours]\nterms = ['a']\nrating = 'mature'",
        "[lists.weapons]\nterms = 'a'",
        "[lists.Weapons]\nterms = ['a']",
        "[lists]\nweapons = 1",
        "off = true",
        "lists = 1",
        "together = 1",
        "[[together]]\nname = 'a'\nfirst = ['sexual']\nsecond = ['nowhere']\nwithin = 5",
        "[[together]]\nname = 'a'\nfirst = ['sexual']\nsecond = ['minors']\nwithin = 0",
        "[[together]]\nname = 'a'\nfirst = []\nsecond = ['minors']\nwithin = 3",
        "[lists.weapons",
    ],
)
def test_a_list_that_says_what_it_may_not_is_one_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(StartError, match="MINIATURE_RULES"):
        ContentRules.load(file)


def test_a_long_text_is_checked_in_parts_as_it_would_be_whole() -> None:
    story = "They went on and on. " * 300
    for at in (0, 1, 1995, 1999, 2000, 2003, len(story) - 20):
        text = f"{story[:at]} grue snuff {story[at:]}"
        for begin in (0, 7, 1990):
            with pytest.raises(RefusedError):
                RULES.require_long(text, "the story", begin, at=Checkpoint.CONTEXT)
    RULES.require_long(story, "the story", 5, at=Checkpoint.CONTEXT)
    RULES.require_long("", "the story", 0, at=Checkpoint.CONTEXT)
