"""Sums over blocks of rows on several threads, in an order that does not depend on the number of threads.

The rows are divided into *partitions*, whose number depends only on the shape of the problem. Each partition adds
its blocks in order, and the sums of the partitions are added in order. Threads share only the partitions, so the
result is the same to the last bit for any number of threads.

If W is large, one sum per partition would cost more than the products. Then all threads work on one *chunk* of
rows at a time. First, each computes the dual rows of a part of the chunk. Then each adds the products of all rows
to a part of the single sum.
"""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, takewhile
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.in_memory import InMemoryEngine
from softmargin.engines.rows import sum_in_order
from softmargin.losses.base import Floats, Ints
from softmargin.samples import Samples
from softmargin.threads import Workers, default_threads, one_blas_thread

__all__ = ["CHUNK_PARTS", "BlockSums", "PartitionedEngine", "panels"]

_Result = TypeVar("_Result")

_PARTITION_BYTES = 1 << 25
"""Maximum size in bytes of all partial gradients together."""

_PARTITION_ROWS = 1024
"""Minimum number of rows of a partition."""

CHUNK_PARTS = 4
"""Number of parts of a chunk that the threads share. They are few, since BLAS copies W for each part."""

_NARROW, _PANEL, _MOST_PANELS = 768, 512, 8
"""Columns of the gradient (features or classes) per task: wide panels for the same reason, but at least four from
`_NARROW` columns on."""

_SUMMED = 1 << 17
"""Number of dual variables that a task sums by class; starting another thread for fewer would take longer."""


def _add_rows(A: NDArray[Any], y: Ints, sums: Floats, first: int, last: int) -> None:
    """Add the columns first:last of each row of A to ``sums`` (C,), or to row y of ``sums`` (C, C)."""
    _add_to(A, np.zeros(len(y), np.int64) if sums.ndim == 1 else y, sums.reshape(-1, A.shape[1]), first, last)


@numba.njit(nogil=True, cache=True)
def _add_to(A: NDArray[Any], places: Ints, sums: Floats, first: int, last: int) -> None:
    for i in range(A.shape[0]):
        row, total = A[i, first:last], sums[places[i], first:last]
        for j in range(total.size):
            total[j] += row[j]


_Step: TypeAlias = Callable[[Any, Ints, Any], Any]
"""Takes a block of X and its row numbers, fills in the dual rows, and returns a part of the result."""


class BlockSums(NamedTuple):
    """Sums of a pass: the results of the steps in order, ``Σ x aᵀ`` (D, C), and Σ a (C,) or, by class, (C, C)."""

    parts: list[Any]
    features: Floats
    rows: Floats


class PartitionedEngine(InMemoryEngine):
    """Sums over blocks of rows that stay in cache, on several threads, in a fixed order.

    Parameters
    ----------
    samples : Samples
    threads : int or Workers, optional
        Number of threads, by default one per core that this process may use; or existing threads to share.
    classes : ndarray of shape (C,), optional
        The numbers of the classes in the whole data set.
    n_block : int
        Number of rows of a block.
    row_size : int
        Number of stored entries of a row: D if X is dense.
    n_single : int, optional
        Number of rows of a block if products are in float32; by default ``n_block``.
    """

    _order: ClassVar[Literal["C", "F"]] = "C"
    """The memory layout of the (C, D) arrays that the products read and write."""

    def __init__(
        self,
        samples: Samples,
        threads: int | Workers | None,
        classes: Ints | None,
        n_block: int,
        row_size: int,
        n_single: int | None = None,
    ) -> None:
        workers = threads if isinstance(threads, Workers) else Workers(threads or default_threads())
        super().__init__(samples, workers, classes)
        self._n_features = samples.X.shape[1]
        self._n_block = n_block
        self._n_single = n_single or n_block
        self._row_size = row_size

    def _n_partitions(self, size: int, least: int = 4, n_rows: int = _PARTITION_ROWS) -> int:
        """Return the number of partitions.

        Each has a sum of ``size`` numbers and at least ``n_rows`` rows. There are at least ``least`` partitions,
        if there are enough blocks and memory: more partitions give a smaller bound on the rounding error.
        """
        n_blocks = -(-len(self.rows) // self._n_block)
        affordable = max(4 if 8 * size <= _PARTITION_BYTES else 1, min(32, _PARTITION_BYTES // (8 * size)))
        # Clearing and adding the sums of a partition costs about as much as processing a few dozen rows.
        worthwhile = max(least, len(self.rows) * self._row_size // (n_rows * self._n_features))
        return max(1, min(n_blocks, affordable, worthwhile))

    @abstractmethod
    def _block(self, rows: Ints, single: bool = False) -> Any:
        """Return rows of X, in ascending order, in the form that the products read."""

    @abstractmethod
    def _gather(self, rows: Ints) -> Any:
        """Return any rows of X in the form that the products read."""

    @abstractmethod
    def _score_block(self, X: Any, Wt: NDArray[Any], b: Floats, S: NDArray[Any]) -> None:
        """Write ``X @ W + b`` for a block into S; Wt is what `_transposed` returns."""

    @abstractmethod
    def _back_block(self, X: Any, A: Floats, Gt: Floats) -> None:
        """Add ``A.T @ X`` for a block to Gt, in the layout of this engine."""

    def _n_chunk(self, single: bool) -> int:
        """Return the number of rows of a chunk, or 0 if the threads work on separate partitions."""
        return 0

    def _in_place(self, single: bool) -> bool:
        """Whether `_block` returns a view of X."""
        raise NotImplementedError

    def _transposed(self, W: Floats, single: bool = False) -> NDArray[Any]:
        """Return W.T in the layout that `_score_block` reads."""
        return np.asarray(W.T, dtype=np.float32 if single else np.float64, order=self._order)

    def _partition_blocks(self, partition: int, n_partitions: int, n_rows: int) -> Iterator[Ints]:
        n_blocks = -(-len(self.rows) // self._n_block)
        first, last = (n * n_blocks // n_partitions * self._n_block for n in (partition, partition + 1))
        last = min(last, len(self.rows))
        for start in range(first, last, n_rows):
            yield self.rows[start : min(start + n_rows, last)]

    def _run_partitions(
        self, partition_sums: Callable[[Iterator[Ints]], _Result], n_partitions: int, n_rows: int | None = None
    ) -> list[_Result]:
        """Return the results of the partitions in order; one pass.

        Blocks have ``n_rows`` rows, by default the block size of this engine.
        """
        self.count(len(self.rows))

        def task(partition: int, stop: threading.Event) -> _Result:
            blocks = self._partition_blocks(partition, n_partitions, n_rows or self._n_block)
            return partition_sums(takewhile(lambda _: not stop.is_set(), blocks))

        work = len(self.rows) * self._row_size * self.samples.n_classes
        return self.workers.run([partial(task, partition) for partition in range(n_partitions)], work)

    def _summed(
        self, add: Callable[[Ints, Floats], None], shape: tuple[int, ...], n_rows: int | None = None
    ) -> Floats:
        """Return the sum over all blocks of what ``add`` adds for the rows of a block to an array; one pass."""

        def partition(blocks: Iterator[Ints]) -> Floats:
            total = np.zeros(shape, order=self._order)
            for rows in blocks:
                add(rows, total)
            return total

        return sum_in_order(self._run_partitions(partition, self._n_partitions(math.prod(shape)), n_rows))

    def _sums(self, step: _Step, single: bool, by_class: bool = False, gradient: bool = True) -> BlockSums:
        """Return the sums over the steps of all blocks, or only their results if not ``gradient``; one pass."""
        D, C = self._n_features, self.samples.n_classes
        if self._n_chunk(single) > 0:
            with one_blas_thread():
                return self._chunked_sums(step, single, by_class, gradient)

        n_rows = self._n_single if single else self._n_block

        def partition(blocks: Iterator[Ints]) -> BlockSums:
            parts: list[Any] = []
            Gt = np.zeros((C, D) if gradient else (0, 0), order=self._order)
            g = np.zeros((C, C) if by_class else C)
            scratch: Any = np.empty((min(n_rows, len(self.rows)), C), np.float32 if single else np.float64)
            for rows in blocks:
                X, A = self._block(rows, single), scratch[: len(rows)]
                parts.append(step(X, rows, A))
                if gradient:
                    self._back_block(X, A, Gt)
                    _add_rows(A, self.samples.y[rows], g, 0, C)
            return BlockSums(parts, Gt, g)

        size = (D + C if by_class else D) * C if gradient else C
        partitions = self._run_partitions(partition, self._n_partitions(size), n_rows)
        parts = [part for sums in partitions for part in sums.parts]
        G = np.ascontiguousarray(sum_in_order([sums.features for sums in partitions]).T)
        return BlockSums(parts, G, sum_in_order([sums.rows for sums in partitions]))

    def _chunked_sums(self, step: _Step, single: bool, by_class: bool, gradient: bool) -> BlockSums:
        """Return the same as `_sums`, with all threads working on one chunk at a time.

        The gradient of a chunk and the scores of the next are computed at the same time.
        """
        self.count(len(self.rows))
        D, C, n_chunk = self._n_features, self.samples.n_classes, self._n_chunk(single)
        G, g = np.zeros((D, C) if gradient else 0), np.zeros((C, C) if by_class else C)
        shape = (min(n_chunk, len(self.rows)), C)
        buffers: list[Any] = [np.empty(shape, np.float32 if single else np.float64) for _ in range(2)]

        def dual_rows(X: Any, rows: Ints, A: Any, place: slice, stop: threading.Event) -> Any:
            part = self._block(rows[place], single)
            if X is not None:
                X[place] = part
            return step(part, rows[place], A[place])

        def add_features(X: Any, A: Any, panel: slice, stop: threading.Event) -> None:
            G[panel] += X[:, panel].T @ A

        def add_classes(X: Any, A: Any, panel: slice, stop: threading.Event) -> None:
            G[:, panel] += X.T @ A[:, panel]

        def add_rows(A: Any, y: Ints, panel: slice, stop: threading.Event) -> None:
            _add_rows(A, y, g, panel.start, panel.stop)

        parts: list[Any] = []
        tasks: list[Callable[[threading.Event], Any]] = []
        for start in range(0, len(self.rows), n_chunk):
            rows = self.rows[start : start + n_chunk]
            y, A = self.samples.y[rows], buffers[0][: len(rows)]
            copy = None if self._in_place(single) else np.empty((len(rows), D), A.dtype)
            X = self._block(rows, single) if copy is None else copy
            n_before = len(tasks)
            tasks += [partial(dual_rows, copy, rows, A, place) for place in panels(len(rows), CHUNK_PARTS)]
            parts += self.workers.run(tasks, len(rows) * D * C)[n_before:]
            tasks = []
            if gradient:
                add, size = (add_classes, C) if C > 2 * D else (add_features, D)
                n_parts = 2 if size < _NARROW else int(np.clip(size // _PANEL, 4, _MOST_PANELS))
                tasks += [partial(add, X, A, panel) for panel in panels(size, n_parts)]
                n_parts = int(np.clip(A.size // _SUMMED, 1, 8))
                tasks += [partial(add_rows, A, y, panel) for panel in panels(C, n_parts)]
            buffers.reverse()
        self.workers.run(tasks, n_chunk * D * C)
        return BlockSums(parts, G, g)


def panels(n: int, n_parts: int) -> list[slice]:
    """Return slices that divide a range into parts of nearly equal size."""
    return [slice(*part) for part in pairwise(np.unique(np.arange(n_parts + 1) * n // n_parts).tolist())]
