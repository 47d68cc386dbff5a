from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.access import ACTIONS, ALONE, Role, allowed, managers_only, require, role_of
from bot.errors import NotAllowedError

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
HEADER = ["action", *(role.name.lower() for role in Role)]


CELLS = {"yes", "\u2013", "alone"}


def parse_table(markdown: str) -> dict[str, list[str]]:
    """The cells of the one table whose header names all roles."""
    rows = [[cell.strip(" `*") for cell in line.strip().strip("|").split("|")] for line in markdown.splitlines()]
    begin = next(i for i, row in enumerate(rows) if [cell.lower() for cell in row] == HEADER)
    table: dict[str, list[str]] = {}
    for row in rows[begin + 2 :]:
        if len(row) != len(HEADER):
            break
        assert row[0] not in table, f"{row[0]} stands there twice"
        assert set(row[1:]) <= CELLS, row
        table[row[0]] = row[1:]
    return table


def cell(action: str, role: Role) -> str:
    if allowed(action, role):
        return "yes"
    return "alone" if role is Role.KEEPER and allowed(action, role, runs_alone=True) else "\u2013"


def test_the_table_in_contributing_agrees_with_the_code_in_every_cell() -> None:
    table = parse_table(CONTRIBUTING.read_text(encoding="utf-8"))
    assert table == {action: [cell(action, role) for role in Role] for action in ACTIONS}


def test_what_administrators_of_the_only_server_may_is_an_owners_else() -> None:
    assert {action for action, least in ACTIONS.items() if least is Role.OWNER} >= ALONE
    for action in ACTIONS:
        require(action, Role.OWNER)
        assert allowed(action, Role.KEEPER, runs_alone=True) == (allowed(action, Role.KEEPER) or action in ALONE)


def test_discord_hides_only_what_is_for_keepers_and_owners_throughout() -> None:
    for command in {action.split(".")[0] for action in ACTIONS}:
        least = min(role for action, role in ACTIONS.items() if action.startswith(f"{command}."))
        assert managers_only(command) == (least >= Role.KEEPER), command


@given(st.sampled_from(sorted(ACTIONS)), st.sampled_from(Role))
def test_a_refusal_names_the_least_role_that_would_do(action: str, role: Role) -> None:
    if role >= ACTIONS[action]:
        require(action, role)
        return
    with pytest.raises(NotAllowedError, match=rf"role {ACTIONS[action].name.lower()} ") as refusal:
        require(action, role)
    require(action, refusal.value.needed)


def test_an_action_that_was_never_declared_is_a_fault_of_the_program() -> None:
    with pytest.raises(KeyError):
        allowed("story.burn", Role.OWNER)


@pytest.mark.parametrize(
    ("facts", "role"),
    [
        ({}, Role.WRITER),
        ({"assigned": {Role.WRITER: 5}}, Role.STRANGER),
        ({"assigned": {Role.WRITER: 5}, "held": [5]}, Role.WRITER),
        ({"assigned": {Role.TEACHER: 6}}, Role.WRITER),
        ({"assigned": {Role.WRITER: 5, Role.TEACHER: 6}, "held": [6]}, Role.TEACHER),
        ({"assigned": {Role.KEEPER: 7, Role.WRITER: 5}, "held": [5, 7]}, Role.KEEPER),
        ({"assigned": {Role.OWNER: 8}, "held": [8]}, Role.KEEPER),
        ({"manages_server": True, "assigned": {Role.WRITER: 5}}, Role.KEEPER),
        ({"owns_process": True}, Role.OWNER),
    ],
)
def test_the_role_of_a_member(facts: dict[str, object], role: Role) -> None:
    assert role_of(**{"owns_process": False, "manages_server": False, **facts}) is role  # type: ignore[arg-type]
