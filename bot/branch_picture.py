"""A story's tree as a picture: a PNG, as Discord shows no SVG, of rectangles, lines and digits, which need no fonts.

The words are in the message beside it, where every language has its letters; the numbers are those of /story branch.
"""

from __future__ import annotations

import struct
import zlib

from bot.branch_tree import Node, Tree

COLUMN, ROW, MARGIN = 92, 40, 20  # pixels
HEIGHT, WIDTH = 26, 52  # of a node
DOT = 2  # pixels of a dot of a digit
_PALETTE = {
    "paper": (0x14, 0x17, 0x1A), "line": (0x4A, 0x50, 0x57), "path": (0xF2, 0xC1, 0x4E), "faint": (0x9A, 0xA0, 0xA6),
    "premise": (0x2F, 0x7D, 0x6B), "member": (0x2F, 0x6F, 0xB5), "model": (0x4B, 0x52, 0x5B),
    "ink": (0xFF, 0xFF, 0xFF),
}  # fmt: skip
_INK = {name: index for index, name in enumerate(_PALETTE)}
_GLYPHS = {  # five dots by seven, a row each, the left dot in the highest bit
    "0": (14, 17, 19, 21, 25, 17, 14), "1": (4, 12, 4, 4, 4, 4, 14), "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14), "4": (2, 6, 10, 18, 31, 2, 2), "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14), "7": (31, 1, 2, 4, 8, 8, 8), "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12), "+": (0, 4, 4, 31, 4, 4, 0),
}  # fmt: skip


class Canvas:
    """Pixels of the palette."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows = [bytearray(width) for _ in range(height)]

    def fill(self, x: int, y: int, width: int, height: int, ink: str) -> None:
        left, right = max(x, 0), min(x + width, self.width)
        for row in self.rows[max(y, 0) : max(y + height, 0)]:
            row[left:right] = bytes([_INK[ink]]) * (right - left)

    def box(self, x: int, y: int, width: int, height: int, ink: str) -> None:
        """A rectangle without its sharpest corners."""
        for inset, cut in ((0, 3), (1, 1), (2, 1)):
            self.fill(x + inset, y + cut, 1, height - 2 * cut, ink)
            self.fill(x + width - 1 - inset, y + cut, 1, height - 2 * cut, ink)
        self.fill(x + 3, y, width - 6, height, ink)

    def write(self, text: str, x: int, y: int, ink: str, dot: int = DOT) -> None:
        for sign in text:
            for line, bits in enumerate(_GLYPHS[sign]):
                for column in range(5):
                    if bits >> (4 - column) & 1:
                        self.fill(x + column * dot, y + line * dot, dot, dot, ink)
            x += 6 * dot

    def png(self) -> bytes:
        """As a file, by the PNG specification (https://www.w3.org/TR/png-3/): one byte a pixel, with a palette."""

        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        colours = b"".join(bytes(colour) for colour in _PALETTE.values())
        pixels = zlib.compress(b"".join(b"\0" + row for row in self.rows), 9)
        chunks = (chunk(b"IHDR", header), chunk(b"PLTE", colours), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def picture(tree: Tree) -> bytes:
    """The tree from left to right, the oldest branch above; the story as it stands is bright, its end framed."""
    places = _places(tree)
    columns = max((column for column, _ in places.values()), default=0) + 1
    rows = max((row for _, row in places.values()), default=0) + 1
    width = 2 * MARGIN + (columns - 1) * COLUMN + WIDTH
    canvas = Canvas(width, 2 * MARGIN + (rows - 1) * ROW + HEIGHT)
    for path in (False, True):  # the bright lines on top of the others
        for node in places:
            if node.parent in places and (node.on_path and node.parent.on_path) == path:
                _join(canvas, places[node.parent], places[node], "path" if path else "line")
    for node, place in places.items():
        _draw(canvas, node, *_corner(place))
    return canvas.png()


def _places(tree: Tree) -> dict[Node, tuple[int, int]]:
    """The column and row of each node: every end has a row of its own, the first child that of its parent."""
    places: dict[Node, tuple[int, int]] = {}
    row = -1
    for node in tree.nodes():
        column = 0 if node.parent is None else places[node.parent][0] + 1
        first = node.parent is not None and node.parent.children[0] is node
        if not first or node.parent is None:
            row += 1
        places[node] = (column, row)
    return places


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return MARGIN + place[0] * COLUMN, MARGIN + place[1] * ROW


def _join(canvas: Canvas, parent: tuple[int, int], child: tuple[int, int], ink: str) -> None:
    """From the right of a node to the left of its child, round a corner."""
    thick = 4 if ink == "path" else 2
    (px, py), (cx, cy) = _corner(parent), _corner(child)
    turn, middle = px + WIDTH + 8, HEIGHT // 2 - thick // 2
    canvas.fill(px + WIDTH, py + middle, turn - px - WIDTH, thick, ink)
    canvas.fill(turn, py + middle, thick, cy - py + thick, ink)
    canvas.fill(turn, cy + middle, cx - turn, thick, ink)


def _draw(canvas: Canvas, node: Node, x: int, y: int) -> None:
    if node.is_head:
        canvas.box(x - 4, y - 4, WIDTH + 8, HEIGHT + 8, "path")
        canvas.box(x - 2, y - 2, WIDTH + 4, HEIGHT + 4, "paper")
    canvas.box(x, y, WIDTH, HEIGHT, node.twig.kind)
    number = str(node.twig.number)
    dot = DOT if len(number) <= 4 else 1
    wide = len(number) * 6 * dot - dot
    canvas.write(number, x + (WIDTH - wide) // 2, y + (HEIGHT - 7 * dot) // 2, "ink", dot)
    if node.skipped:
        text = f"+{node.skipped}"
        canvas.write(text, x - 6 - len(text) * 6, y + HEIGHT // 2 - 11, "faint", 1)
