"""Lines that take turns: each item once, in order within a line, and nobody waits for more than one of each other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.lines import Lines

Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 5)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("remove"), st.integers(0, 60)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_lines_take_turns(steps: list[Step]) -> None:
    lines: Lines[tuple[int, int]] = Lines()
    waiting: list[tuple[int, int]] = []  # line and number, in the order of their coming
    gone: list[tuple[int, int]] = []
    passed: dict[int, list[int]] = {}  # by line: the lines that had a turn since its head came to be the head
    count = 0
    for what, which in steps:
        if what == "add":
            item = (which, count)
            count += 1
            if not any(line == which for line, _ in waiting):
                passed[which] = []
            waiting.append(item)
            lines.add(item, which)
        elif what == "remove" and which < len(waiting):
            item = waiting.pop(which)
            assert lines.remove(item, item[0])
            assert not lines.remove(item, item[0])
        elif what == "take" and waiting:
            promised = next(iter(lines))
            item = lines.take()
            assert item == promised
            assert item == next(other for other in waiting if other[0] == item[0]), "first come, first served in a line"
            waiting.remove(item)
            gone.append(item)
            passed[item[0]] = []
            for line in {line for line, _ in waiting} - {item[0]}:
                assert item[0] not in passed[line], "a head waits for one item of each other line at most"
                passed[line].append(item[0])
        assert len(lines) == len(waiting)
        assert sorted(lines) == sorted(waiting)
        assert lines.names == {line for line, _ in waiting}
    promised_order = list(lines)
    assert [lines.take() for _ in waiting] == promised_order
    assert len({*gone, *promised_order}) == len(gone) + len(promised_order)


def test_who_comes_later_alone_overtakes_a_crowd() -> None:
    lines: Lines[str] = Lines()
    for number in range(4):
        lines.add(f"a{number}", "a")
    lines.add("b0", "b")
    assert list(lines) == ["a0", "b0", "a1", "a2", "a3"]
    assert lines.take() == "a0"
    lines.add("c0", "c")
    assert list(lines) == ["b0", "a1", "c0", "a2", "a3"]
    assert (lines.waiting("a"), lines.waiting("z")) == (3, 0)
