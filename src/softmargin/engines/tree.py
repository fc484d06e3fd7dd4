"""A sum in the order of one binary tree: its bits do not depend on which process adds which parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["Add", "Nodes", "Tree", "added"]

Nodes: TypeAlias = dict[tuple[int, int], Any]
"""Values of nodes, by level and number. The leaves have level 0."""

Add: TypeAlias = Callable[[Any, Any], Any]
"""Returns the sum of two values: that of the left child and that of the right."""


class Tree:
    """The sum of n leaves, as far as their values are known.

    Node i of a level is the sum of the nodes 2i and 2i + 1 of the level below. If that has an odd number of nodes,
    the last node has no right child, and is equal to its left child. So the order of all additions depends on n
    alone, not on the order in which values come, nor on where they were added.

    Parameters
    ----------
    n_leaves : int
    add : callable
        Adds two values. A value of None stands for an empty sum and is skipped.
    """

    def __init__(self, n_leaves: int, add: Add) -> None:
        self._n_leaves, self._add = n_leaves, add
        self.nodes: Nodes = {}

    def put(self, level: int, number: int, value: Any) -> None:
        """Set the value of a node, and add it to that of its sibling as often as that is known."""
        while (width := -(-self._n_leaves >> level)) > 1:
            sibling = number ^ 1
            if sibling < width:
                if (level, sibling) not in self.nodes:
                    break
                other = self.nodes.pop((level, sibling))
                left, right = (value, other) if number < sibling else (other, value)
                value = right if left is None else left if right is None else self._add(left, right)
            level, number = level + 1, number // 2
        self.nodes[level, number] = value

    def update(self, nodes: Nodes) -> None:
        """Set the values of several nodes."""
        for (level, number), value in nodes.items():
            self.put(level, number, value)

    @property
    def total(self) -> Any:
        """The sum of all leaves, once all of them are known."""
        assert len(self.nodes) == 1, f"nodes without a sibling: {sorted(self.nodes)}"
        return next(iter(self.nodes.values()))


def added(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the sums of the entries of two tuples of numbers and arrays."""
    return tuple(x + y for x, y in zip(left, right, strict=True))
