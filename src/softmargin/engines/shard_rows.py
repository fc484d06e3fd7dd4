"""The `RowState` of data in shards: rows that stay beside their shards, and how they came about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from numpy.typing import NDArray

from softmargin.engines.base import RowState
from softmargin.engines.origins import Origin
from softmargin.engines.rows import ArrayRows
from softmargin.engines.runner import Runner
from softmargin.engines.shard_sums import ScaledRows, n_without

__all__ = ["Flags", "Make", "ShardRows"]

Make: TypeAlias = Callable[[Origin, Sequence[int]], list[Any]]
"""Returns handles of rows of this origin for some shards, by their numbers."""


@dataclass(frozen=True)
class ShardRows:
    """Rows (N, C) beside their shards.

    Attributes
    ----------
    runner : Runner
    parts : list
        A handle of `ArrayRows` per shard.
    made : Origin
        How the parts were computed.
    make : callable
        Computes parts again.
    factors : tuple of float
        The rows are the parts times these, one after the other: products are made where they are needed.
    """

    runner: Runner
    parts: list[Any]
    made: Origin = field(repr=False)
    make: Make = field(repr=False)
    factors: tuple[float, ...] = ()

    @property
    def origin(self) -> Origin:
        """How the rows were computed."""
        origin = self.made
        for factor in self.factors:
            origin = origin.scaled(factor)
        return origin

    def of_shard(self, number: int) -> ScaledRows:
        """Return the rows of a shard, as an argument of a task."""
        return self.parts[number], self.factors

    def restore(self) -> None:
        """Compute the parts again that are lost."""
        if lost := self.runner.lost(self.parts):
            for number, part in zip(lost, self.make(self.made, lost), strict=True):
                self.parts[number] = part

    def scaled(self, factor: float) -> ShardRows:
        """Return the rows times a factor."""
        return replace(self, factors=(*self.factors, factor))

    def moved(self, target: RowState, step: float, low: float, high: float) -> ShardRows:
        """Return the rows moved towards a target, and clipped."""
        assert isinstance(target, ShardRows)
        numbers = (step, low, high)
        columns = [target._products(), *([number] * len(self.parts) for number in numbers)]
        return self._after(ArrayRows.moved, columns, self.origin.moved(target.origin, *numbers))

    def non_negative(self) -> ShardRows:
        """Return max(rows, 0) in float32."""
        return self._after(ArrayRows.non_negative, [], self.origin.non_negative())

    def save(self) -> NDArray[Any]:
        """Return how the rows came about, for a checkpoint."""
        return self.origin.save()

    def _products(self) -> list[Any]:
        parts = self.parts
        for factor in self.factors:
            parts = self.runner.run(ArrayRows.scaled, parts, [factor] * len(parts))
        return parts

    def _after(self, task: Callable[..., ArrayRows], columns: list[list[Any]], origin: Origin) -> ShardRows:
        parts = self.runner.run(task, self._products(), *columns, final=True)
        return ShardRows(self.runner, parts, origin, self.make)


@dataclass(frozen=True)
class Flags:
    """A set of samples: their flags stay beside the shards.

    Attributes
    ----------
    runner : Runner
    parts : list
        A handle of an array of bool per shard.
    """

    runner: Runner
    parts: list[Any]

    def n_without(self, other: Any) -> int:
        """Return the number of samples that are in this set but not in the other."""
        return sum(self.runner.collect(self.runner.run(n_without, self.parts, other.parts)))
