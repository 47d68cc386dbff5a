"""People in a transcript become roles, wherever they are named."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training.errors import CorpusError
from training.roles import Roles

EPISODE = """\
MATT: Welcome back. Thanks, Laura, and thank you, laura's mom! LIAM, roll.
LAURA: Love you, Matt Mercer. Where is Marisha? Follow @laurabaileyVO.
SAM and LIAM: Matthew's dice!
ALL: (cheering)
LIAM, SAM, LAURA: Hi, Taliesin.
ALL - SAM - MATT: Bye!
"""
ROLES = """\
GM: Welcome back. Thanks, PLAYER 1, and thank you, PLAYER 1's mom! PLAYER 2, roll.
PLAYER 1: Love you, GM. Where is PLAYER 3? Follow @PLAYER 1.
SAM and LIAM: GM's dice!
ALL: (cheering)
PLAYER 2, PLAYER 4, PLAYER 1: Hi, PLAYER 5.
ALL - PLAYER 4 - GM: Bye!
"""


def rewritten(*documents: str) -> list[str]:
    roles = Roles(documents)
    return [roles(document) for document in documents]


def test_speakers_become_roles_in_the_order_in_which_they_appear() -> None:
    episode = EPISODE.replace("SAM and LIAM", "SAM AND LIAM")
    expected = ROLES.replace("SAM and LIAM", "PLAYER 4 AND PLAYER 2")
    assert rewritten(episode) == [expected]


def test_every_episode_numbers_its_own_players() -> None:
    assert rewritten("SAM: Hi.\nMATT: Roll.\n", "LIAM: Hi, Sam.\n") == [
        "PLAYER 1: Hi.\nGM: Roll.\n",
        "PLAYER 1: Hi, PLAYER 2.\n",
    ]


def test_a_speaker_of_one_episode_is_known_in_all_of_them() -> None:
    first, second = rewritten("ZORA: Hello.\nMATT: Hello.\n", "MATT: Zora is ill; zora's dice are here.\n")
    assert first.startswith("PLAYER 1: ")
    assert second == "GM: PLAYER 1 is ill; PLAYER 1's dice are here.\n"


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        ("Will you come?", "Will you come?"),
        ("I will. Mark my words.", "I will. Mark my words."),
        ("Hunter's Mark on it.", "Hunter's Mark on it."),
        ("Will-o'-wisps!", "Will-o'-wisps!"),
        ("Thank you, Will.", "Thank you, PLAYER 2."),
        ("Mary and Will were here.", "PLAYER 3 and PLAYER 2 were here."),
        ("Will and Mary, hello.", "PLAYER 2 and PLAYER 3, hello."),
        ("It is Will Friedle!", "It is PLAYER 2!"),
        ("It is Wil Wheaton, or Will Wheaton.", "It is PLAYER 3, or PLAYER 3."),
        ("Matter, same, Liambs, Samson.", "Matter, same, Liambs, Samson."),
        ("SAM, Sam's, (sam) Sam-Sam.", "PLAYER 1, PLAYER 1's, (PLAYER 1) PLAYER 1-PLAYER 1."),
    ],
)
def test_a_name_that_is_a_word_too_is_told_from_it(turn: str, expected: str) -> None:
    head = "SAM: Hi.\nWILL: Hi.\n"
    assert rewritten(f"{head}MATT: {turn}\n") == [f"PLAYER 1: Hi.\nPLAYER 2: Hi.\nGM: {expected}\n"]


def test_a_first_name_means_the_one_who_is_there() -> None:
    text = "CHRIS HARDWICK: Hi.\n", "MATT: Hi, Chris.\nCHRIS PERKINS: Hi.\n"
    assert rewritten(*text)[1] == "GM: Hi, PLAYER 1.\nPLAYER 1: Hi.\n"


def test_prose_about_the_players_names_roles_too() -> None:
    prose = "NOTE: a synopsis.\nThe party sleeps.\nTravis rolls a 1, and Matthew Mercer laughs.\nThey go on.\n"
    assert rewritten(prose) == [prose.replace("Travis", "PLAYER 1").replace("Matthew Mercer", "GM")]


def test_it_says_whether_anybody_was_met() -> None:
    roles = Roles(["A tale without people.\n"])
    assert roles("A tale without people.\n") == "A tale without people.\n"
    assert not roles.met


WORDS = st.sampled_from(
    ["Matt", "LAURA", "sam's", "Zora", "O'Brien", "roll", "twenty", "(laughs)", "@orionacaba", "--"]
)
TURN = st.tuples(st.sampled_from(["MATT", "LAURA", "SAM", "ZORA", "ALL", "SAM, ZORA"]), st.lists(WORDS, max_size=6))


@given(episodes=st.lists(st.lists(TURN, min_size=1, max_size=6), min_size=1, max_size=3))
@example(episodes=[[("ALL", ["Zora"])], [("ZORA", [])]])
def test_no_name_is_left_and_nothing_else_is_changed(episodes: list[list[tuple[str, list[str]]]]) -> None:
    documents = ["".join(f"{head}: {' '.join(said)}\n" for head, said in episode) for episode in episodes]
    zora = any("ZORA" in head for episode in episodes for head, _ in episode)
    for before, after in zip(documents, rewritten(*documents), strict=True):
        assert not re.search(r"matt|laura|sam\b|brien|acaba" + ("|zora" if zora else ""), after, re.IGNORECASE)
        names = r"(?i)@orionacaba|\b(?:matt|laura|sam|o'brien" + ("|zora" if zora else "") + r")\b"
        expected = re.sub(names, lambda found: "@#" if found[0].startswith("@") else "#", before)
        assert re.sub(r"GM|PLAYER \d+", "#", after) == expected


def test_a_name_that_cannot_be_replaced_is_refused() -> None:
    roles = Roles(["MATT: Hello.\n"])
    with pytest.raises(CorpusError, match="could not be made a role"):
        roles("MATT: Hello.\nNOBODY KNOWN: Hello.\nMATT: Hello.\n")
