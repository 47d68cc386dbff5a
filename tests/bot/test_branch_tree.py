"""A story's tree as lines and as a picture, of any size and shape."""

from __future__ import annotations

import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st

from bot.branch_picture import picture
from bot.branch_tree import MAX_DEPTH, MAX_ENDS, Tree, tree_lines, tree_of
from memory import Twig


def twigs(*parents: int | None) -> list[Twig]:
    """A turn for each, by the number of its parent."""
    return [
        Twig(100 + number, number, None if parent is None else 100 + parent, "member" if parent else "premise", 1,
             "Ann", f"Turn {number}.")
        for number, parent in enumerate(parents, start=1)
    ]  # fmt: skip


def pixels(image: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of a PNG of one byte a pixel, as another program would read it."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(image):
        (length,) = struct.unpack_from(">I", image, at)
        kind, data = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", image, at + 8 + length)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 3)
    raw = zlib.decompress(chunks[b"IDAT"])
    assert len(raw) == height * (width + 1)
    rows = [raw[i : i + width + 1] for i in range(0, len(raw), width + 1)]
    assert all(row[0] == 0 and max(row) < len(chunks[b"PLTE"]) // 3 for row in rows)
    return width, height, [row[1:] for row in rows]


def test_a_tree_is_drawn_where_it_parts_and_ends() -> None:
    tree = tree_of(twigs(None, 1, 2, 2, 4, 5, 5), 106)
    assert tree_lines(tree) == [
        "* 1: Turn 1. (Ann)",
        "* 2: Turn 2. (Ann)",
        "├─ 3: Turn 3. (Ann)",
        "└─ * +1 5: Turn 5. (Ann)",
        "   ├─ ** 6: Turn 6. (Ann)",
        "   └─ 7: Turn 7. (Ann)",
    ]
    assert tree.hidden == 0
    assert [node.twig.number for node in tree.ends] == [3, 6, 7]


def test_other_beginnings_stand_beside_each_other() -> None:
    tree = tree_of(twigs(None, None, 2), 103)
    assert tree_lines(tree) == ["1: Turn 1. (Ann)", "* 2: Turn 2. (Ann)", "** 3: Turn 3. (Ann)"]
    assert tree_lines(tree_of([], None)) == []
    assert pixels(picture(Tree([], 0)))[0] > 0


def test_a_large_tree_keeps_what_is_near_to_the_head() -> None:
    parents = [None] + [max(1, number - 1 - number % 2) for number in range(2, 3001)]  # every second turn a retry
    tree = tree_of(twigs(*parents), 3100)
    shown = [node.twig.number for node in tree.nodes()]
    assert 3000 in shown
    assert min(shown) > 2900
    assert tree.hidden > 2900
    width, height, _ = pixels(picture(tree))
    assert width <= 40 + MAX_DEPTH * 92
    assert height <= 40 + MAX_ENDS * 40


@given(st.lists(st.integers(0, 5), max_size=80), st.integers(0, 79))
def test_any_tree_can_be_drawn(back: list[int], head: int) -> None:
    parents: list[int | None] = [number - jump if number - jump > 0 else None for number, jump in enumerate(back)]
    made = twigs(*[parent if parent is None or parent <= index else None for index, parent in enumerate(parents)])
    at = 101 + head % len(made) if made else None
    tree = tree_of(made, at)
    nodes = list(tree.nodes())
    assert len({node.twig.id for node in nodes}) == len(nodes)
    assert sum(node.is_head for node in nodes) == bool(made)
    assert tree.hidden >= 0
    assert len(tree_lines(tree)) == len(nodes)
    pixels(picture(tree))
