"""Where the tasks of a `ChunkedEngine` run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from softmargin.engines.shard import Recipe, Shard
from softmargin.engines.shard_sums import Request
from softmargin.errors import ClusterError

__all__ = ["InProcess", "ResultsLost", "Runner"]


class ResultsLost(ClusterError):
    """Results that are not made again by themselves were lost with their worker."""


class Runner(Protocol):
    """Where tasks run. A handle stands for the result of a task, which stays where it was computed.

    Attributes
    ----------
    n_workers : int
        Number of threads that run tasks.
    free_bytes : float
        Memory of all workers for rows beside the shards; infinite if it is not limited.
    point_bytes : float
        Largest size of W.
    """

    n_workers: int
    free_bytes: float
    point_bytes: float

    def load(self, recipes: Sequence[Recipe]) -> list[Any]:
        """Return handles of the shards of these recipes; a shard that is lost is read again."""

    def run(self, task: Callable[..., Any], *columns: Sequence[Any], final: bool = False) -> list[Any]:
        """Return handles of ``task(*arguments)``, one per row of the ``columns``, whose handles become values.

        If a result of a ``final`` task is lost, it is not made again, nor is what was computed from it.
        """

    def share(self, request: Request) -> Any:
        """Return the request, or a handle of it, as an argument of many tasks."""

    def lost(self, handles: Sequence[Any]) -> list[int]:
        """Return the numbers of the handles whose values are lost and not made again."""

    def collect(self, handles: Sequence[Any]) -> list[Any]:
        """Return the values of handles, or raise `ResultsLost`."""

    def each(self, task: Callable[..., Any], *columns: Sequence[Any], shared: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield ``task(*row, *shared)`` for each row of the columns, in their order; all end with the iterator."""


class InProcess:
    """Runs tasks in this process, one after the other."""

    n_workers = 1
    free_bytes = point_bytes = float("inf")

    def load(self, recipes: Sequence[Recipe]) -> list[Any]:
        """Return the shards."""
        return [Shard(recipe) for recipe in recipes]

    def run(self, task: Callable[..., Any], *columns: Sequence[Any], final: bool = False) -> list[Any]:
        """Return the results."""
        return [task(*arguments) for arguments in zip(*columns, strict=True)]

    def share(self, request: Request) -> Request:
        """Return the request."""
        return request

    def lost(self, handles: Sequence[Any]) -> list[int]:
        """Return nothing."""
        return []

    def collect(self, handles: Sequence[Any]) -> list[Any]:
        """Return the values, which the handles are."""
        return list(handles)

    def each(self, task: Callable[..., Any], *columns: Sequence[Any], shared: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the results one after the other."""
        return (task(*row, *shared) for row in zip(*columns, strict=True))
