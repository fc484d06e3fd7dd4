"""Where the tasks of a `ChunkedEngine` run, and the rows that stay there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import RowState
from softmargin.engines.rows import ArrayRows
from softmargin.engines.shard import Recipe, Request, Shard

__all__ = ["InProcess", "Runner", "ShardRows"]


class Runner(Protocol):
    """Where tasks run. A handle stands for the result of a task, which stays where it was computed.

    Attributes
    ----------
    n_workers : int
        Number of processes that run tasks.
    """

    n_workers: int

    def load(self, recipes: Sequence[Recipe]) -> list[Any]:
        """Return handles of the shards of these recipes; a shard that is lost is read again."""

    def run(self, task: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
        """Return handles of ``task(*arguments)``, one per row of the ``columns``, whose handles become values."""

    def share(self, request: Request) -> Any:
        """Return the request, or a handle of it, as an argument of many tasks."""

    def collect(self, handles: Sequence[Any]) -> list[Any]:
        """Return the values of handles."""


class InProcess:
    """Runs tasks in this process, one after the other."""

    n_workers = 1

    def load(self, recipes: Sequence[Recipe]) -> list[Any]:
        """Return the shards."""
        return [Shard(recipe) for recipe in recipes]

    def run(self, task: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
        """Return the results."""
        return [task(*arguments) for arguments in zip(*columns, strict=True)]

    def share(self, request: Request) -> Request:
        """Return the request."""
        return request

    def collect(self, handles: Sequence[Any]) -> list[Any]:
        """Return the values, which the handles are."""
        return list(handles)


@dataclass(frozen=True)
class ShardRows:
    """A `RowState` whose rows stay beside their shards.

    Attributes
    ----------
    runner : Runner
    parts : list
        A handle of `ArrayRows` per shard.
    """

    runner: Runner
    parts: list[Any]

    def scaled(self, factor: float) -> ShardRows:
        """Return the rows times a factor."""
        return self._mapped(ArrayRows.scaled, factor)

    def moved(self, target: RowState, step: float, low: float, high: float) -> ShardRows:
        """Return the rows moved towards a target, and clipped."""
        assert isinstance(target, ShardRows)
        others = zip(self.parts, target.parts, strict=True)
        columns = [list(column) for column in zip(*((*pair, step, low, high) for pair in others), strict=True)]
        return ShardRows(self.runner, self.runner.run(ArrayRows.moved, *columns))

    def non_negative(self) -> ShardRows:
        """Return max(rows, 0) in float32."""
        return self._mapped(ArrayRows.non_negative)

    def save(self) -> NDArray[Any]:
        """Return the rows of all shards."""
        return np.concatenate([rows.array for rows in self.runner.collect(self.parts)])

    def _mapped(self, task: Callable[..., ArrayRows], *arguments: Any) -> ShardRows:
        columns = [[argument] * len(self.parts) for argument in arguments]
        return ShardRows(self.runner, self.runner.run(task, self.parts, *columns))
