"""The tasks over all shards of a data set: readings that return sums, and rows that stay beside the shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from softmargin.engines import shard_sums as tasks
from softmargin.engines.origins import Origin
from softmargin.engines.rows import aligned
from softmargin.engines.runner import ResultsLost, Runner
from softmargin.engines.shard import Fold, Recipe
from softmargin.engines.shard_rows import ShardRows
from softmargin.engines.shard_sums import Request
from softmargin.engines.tree import Add

__all__ = ["ShardTasks"]

_DRIVER_BYTES, _MERGED = 1 << 26, 8
"""If the sums of all shards are larger than this, tasks first add those of this many shards."""

_MOST_LOSSES = 8
"""Number of times that the offsets of a shard may be lost in a pass."""


class ShardTasks:
    """The shards of a data set, and what is computed where they are.

    Parameters
    ----------
    runner : Runner
    recipes : sequence of Recipe
    sum_bytes : int
        Size of a sum of one request.

    Attributes
    ----------
    loaded : list
        A handle per shard.
    """

    def __init__(self, runner: Runner, recipes: Sequence[Recipe], sum_bytes: int) -> None:
        self._runner, self._recipes, self._sum_bytes = runner, recipes, sum_bytes
        self.loaded = runner.load(recipes)

    def on_all(self, task: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what a task returns for each shard and these arguments."""
        return self._runner.collect(self.started(task, *arguments))

    def started(self, task: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return handles of what a task returns for each shard and these arguments."""
        return self._runner.run(task, self.loaded, *([each] * len(self.loaded) for each in arguments))

    def sums(self, wanted: Sequence[tuple[Request, ShardRows | None]]) -> list[tuple[Any, ...]]:
        """Return the totals of several requests, each with its offsets, from one reading."""
        requests = [self._runner.share(request) for request, _ in wanted]

        def nodes(shards: Sequence[int]) -> list[Any]:
            offsets = [[rows and rows.of_shard(k) for _, rows in wanted] for k in shards]
            return self._runner.run(tasks.sums, self._some(shards), [requests] * len(shards), offsets)

        return self._totals(nodes, [request.add for request, _ in wanted], [rows for _, rows in wanted if rows])

    def kept(
        self, request: Request, offsets: ShardRows | None, origin: Origin
    ) -> tuple[tuple[Any, ...], ShardRows]:
        """Return the total of a request, and the rows that its term returns last, which have this origin."""
        shared, pairs = self._runner.share(request), dict[int, Any]()

        def nodes(shards: Sequence[int]) -> list[Any]:
            of_shards = [offsets and offsets.of_shard(k) for k in shards]
            found = self._runner.run(tasks.kept, self._some(shards), [shared] * len(shards), of_shards)
            pairs.update(zip(shards, found, strict=True))
            return self._runner.run(itemgetter(0), found)

        [total] = self._totals(nodes, [request.add], [] if offsets is None else [offsets])
        parts = self._runner.run(itemgetter(1), [pairs[k] for k in range(len(pairs))])
        return total, ShardRows(self._runner, parts, origin, partial(self._made, request.fold))

    def rows(self, origin: Origin, fold: Fold | None) -> ShardRows:
        """Return rows of an origin, for the samples of a fold."""
        parts = self._made(fold, origin, range(len(self.loaded)))
        return ShardRows(self._runner, parts, origin, partial(self._made, fold))

    def _made(self, fold: Fold | None, origin: Origin, shards: Sequence[int]) -> list[Any]:
        """Return handles of rows of some shards, from one reading of them for all steps."""
        if origin.step == "zeros":
            recipes = [self._recipes[k] for k in shards]
            shapes = [(recipe.piece.n_rows, len(recipe.labels)) for recipe in recipes]
            return self._runner.run(tasks.zeros, shapes, final=True)
        request = self._runner.share(Request(tasks.replay, (origin.save(),), fold=fold))
        pairs = self._runner.run(tasks.kept, self._some(shards), [request] * len(shards))
        return self._runner.run(itemgetter(1), pairs, final=True)

    def _some(self, shards: Sequence[int]) -> list[Any]:
        return [self.loaded[k] for k in shards]

    def _totals(
        self, start: Callable[[Sequence[int]], list[Any]], add: Sequence[Add], offsets: Sequence[ShardRows]
    ) -> list[tuple[Any, ...]]:
        """Return the totals of the nodes that ``start`` computes for some shards, also if offsets are lost."""
        nodes, losses = start(range(len(self.loaded))), Counter[int]()
        while True:
            try:
                return self._total(nodes, add)
            except ResultsLost:
                lost = self._runner.lost(nodes)
                losses.update(lost)
                if not lost or max(losses.values()) > _MOST_LOSSES:
                    raise
                for rows in offsets:
                    rows.restore()
                for k, node in zip(lost, start(lost), strict=True):
                    nodes[k] = node

    def _total(self, nodes: Sequence[Any], add: Sequence[Add]) -> list[tuple[Any, ...]]:
        size, n_chunks = self._sum_bytes * len(add), self._recipes[0].n_chunks
        while len(nodes) > _MERGED and size * len(nodes) > _DRIVER_BYTES:
            groups = [nodes[k : k + _MERGED] for k in range(0, len(nodes), _MERGED)]
            nodes = self._runner.run(tasks.merged, groups, [n_chunks] * len(groups), [add] * len(groups))
        found = tasks.merged(self._runner.collect(nodes), n_chunks, add)
        totals = [next(iter(of_request.values())) for of_request in found]
        return [tuple(aligned(x) if isinstance(x, np.ndarray) else x for x in total) for total in totals]
