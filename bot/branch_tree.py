"""A story's tree, drawn together: where it parts, where it ends and where the story stands; and as lines of text."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bot.wording import twig_line
from memory import Twig

MAX_DEPTH = 16  # nodes in a row
MAX_ENDS = 24  # of branches


@dataclass(eq=False)
class Node:
    """A turn that is shown, and how many turns before it are not."""

    twig: Twig
    skipped: int
    on_path: bool
    is_head: bool
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)  # the oldest first


@dataclass(frozen=True)
class Tree:
    roots: list[Node]
    hidden: int  # turns that have no room in it

    def nodes(self) -> Iterator[Node]:
        """All of them, each before its children and these from the oldest on."""
        waiting = self.roots[::-1]
        while waiting:
            yield (node := waiting.pop())
            waiting += node.children[::-1]

    @property
    def ends(self) -> list[Node]:
        return [node for node in self.nodes() if not node.children]


def tree_of(twigs: Sequence[Twig], head: int | None, depth: int = MAX_DEPTH, ends: int = MAX_ENDS) -> Tree:
    """The tree of these turns. Where it is too large, what is near to the head and what is new is kept."""
    roots = _condensed(twigs, head)
    roots = _near(roots, depth)
    _cut(roots, depth)
    _prune(roots, ends)
    tree = Tree(roots, 0)
    return Tree(roots, len(twigs) - sum(node.skipped + 1 for node in tree.nodes()))


def _condensed(twigs: Sequence[Twig], head: int | None) -> list[Node]:
    """Every turn where the tree parts, begins or ends, and the head; a parent is always older than its children."""
    parents = {twig.id: twig.parent for twig in twigs}
    counts: dict[int | None, int] = dict.fromkeys(parents, 0)
    for parent in parents.values():
        counts[parent] = counts.get(parent, 0) + 1
    path: set[int] = set()
    at = head
    while at is not None:
        path.add(at)
        at = parents[at]
    roots: list[Node] = []
    shown: dict[int, tuple[Node | None, int]] = {}  # of each turn: the last node up to it, and turns skipped since
    for twig in twigs:
        above, skipped = (None, 0) if twig.parent is None else shown[twig.parent]
        if twig.parent is not None and counts[twig.id] == 1 and twig.id != head:
            shown[twig.id] = (above, skipped + 1)
            continue
        node = Node(twig, skipped, twig.id in path, twig.id == head, above)
        (roots if above is None else above.children).append(node)
        shown[twig.id] = (node, 0)
    return roots


def _near(roots: list[Node], depth: int) -> list[Node]:
    """From a later node of the path on, where the head is too far from the beginning."""
    path = []
    nodes = roots
    while (node := next((node for node in nodes if node.on_path), None)) is not None:
        path.append(node)
        nodes = node.children
    if len(path) <= depth - depth // 4:
        return roots
    root = path[len(path) - (depth - depth // 4)]
    root.parent, root.skipped = None, 0
    return [root]


def _cut(roots: list[Node], depth: int) -> None:
    """What lies too far from the beginning goes."""
    level = roots
    for _ in range(depth - 1):
        level = [child for node in level for child in node.children]
    for node in level:
        node.children = []


def _prune(roots: list[Node], ends: int) -> None:
    """Of too many branches the oldest go; never the path."""
    leaves = [(node.twig.number, node) for node in Tree(roots, 0).ends]
    left, heap = len(leaves), [leaf for leaf in leaves if not leaf[1].on_path]
    heapq.heapify(heap)
    while left > ends and heap:
        _, node = heapq.heappop(heap)
        siblings = roots if node.parent is None else node.parent.children
        siblings.remove(node)
        if siblings or node.parent is None or node.parent.on_path:
            left -= 1
        else:
            heapq.heappush(heap, (node.parent.twig.number, node.parent))


def tree_lines(tree: Tree) -> list[str]:
    """A line for each node: the story as it stands has a star, its end two; +3 are turns in between, not shown."""
    lines = []
    waiting = [(root, "", "") for root in tree.roots[::-1]]
    while waiting:
        node, before, behind = waiting.pop()
        mark = "** " if node.is_head else "* " if node.on_path else ""
        skipped = f"+{node.skipped} " if node.skipped else ""
        lines.append(f"{before}{mark}{skipped}{twig_line(node.twig, 60)}")
        for index, child in enumerate(node.children[::-1]):
            last = index == 0
            turn, line = ("\u2514\u2500 ", "   ") if last else ("\u251c\u2500 ", "\u2502  ")
            # A single child stands below its parent: only where the story parts does the text move to the right.
            alone = len(node.children) == 1
            waiting.append((child, behind if alone else behind + turn, behind if alone else behind + line))
    return lines
