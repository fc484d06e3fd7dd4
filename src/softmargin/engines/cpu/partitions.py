"""How the engines for X in main memory add up: blocks of rows that stay in cache, over several threads.

The rows are cut into *partitions*, whose number depends on the shape of the problem alone. A partition adds up its
blocks in order, the partitions are added up in order, and threads only take turns at the partitions: the same bits
come out for any number of threads.

Where W is large a sum for each partition would cost more than the rows do. There the threads work together
on one *chunk* of rows after the other: they share its rows until these are dual rows, and then the columns of the
one sum that the chunk is multiplied back into.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.in_memory import InMemoryEngine
from softmargin.engines.rows import sum_in_order
from softmargin.losses.base import Floats, Ints
from softmargin.samples import Samples
from softmargin.threads import Workers, one_blas_thread, usable_cores

__all__ = ["CHUNK_PARTS", "PartitionedEngine", "panels"]

_Result = TypeVar("_Result")

_PARTITION_BYTES = 1 << 25
"""All partial gradients together should not exceed this."""

_PARTITION_ROWS = 1024
"""A partition should have at least so many rows."""

CHUNK_PARTS = 4
"""Parts that the rows of a chunk are cut into for the threads: tall ones, for BLAS lays W out anew for each."""

_NARROW, _PANEL, _MOST_PANELS = 768, 512, 8
"""Features or classes, whichever are more, that one task multiplies back: wide ones for the same reason, and four
at least where there are that many."""

_SUMMED = 1 << 17
"""How many dual variables a task adds up by class: one more thread that wakes would take longer."""


@numba.njit(nogil=True, cache=True)
def _add_by_class(A: Floats, y: Ints, sums: Floats, first: int, last: int) -> None:
    """Add each row of A to the row of ``sums`` of its class, in the columns from first to last."""
    for i in range(A.shape[0]):
        row, total = A[i, first:last], sums[y[i], first:last]
        for j in range(total.size):
            total[j] += row[j]


@numba.njit(nogil=True, cache=True)
def _add_up(A: Floats, sums: Floats, first: int, last: int) -> None:
    """Add each row of A to ``sums``, in the columns from first to last."""
    total = sums[first:last]
    for i in range(A.shape[0]):
        row = A[i, first:last]
        for j in range(total.size):
            total[j] += row[j]


_Step: TypeAlias = Callable[[Any, Ints, Any], Any]
"""What makes of a block of X and the numbers of its rows a part of the result, and fills in the dual rows."""


class _Sums(NamedTuple):
    """What a pass adds up: the parts in order, ``Σ x aᵀ`` (D, C), and Σ a (C,) or, by class, (C, C)."""

    parts: list[Any]
    features: Floats
    rows: Floats


class PartitionedEngine(InMemoryEngine):
    """Blocks of rows in cache, over threads, with a fixed order of summation.

    Parameters
    ----------
    samples : Samples
    threads : int or Workers, optional
        Number of threads, by default one for each core this process may use; or those to share.
    classes : ndarray of shape (C,), optional
        The numbers of the classes in the data as a whole.
    n_block : int
        Rows of a block.
    row_size : int
        Numbers that a row takes to read and to multiply: D where all are stored.
    n_single : int, optional
        Rows of a block where the products are made in float32; by default ``n_block``.
    """

    _order: ClassVar[Literal["C", "F"]] = "C"
    """The layout of the (C, D) arrays that the products read and fill."""

    def __init__(
        self,
        samples: Samples,
        threads: int | Workers | None,
        classes: Ints | None,
        n_block: int,
        row_size: int,
        n_single: int | None = None,
    ) -> None:
        workers = threads if isinstance(threads, Workers) else Workers(threads or usable_cores())
        super().__init__(samples, workers, classes)
        self._n_features = samples.X.shape[1]
        self._n_block = n_block
        self._n_single = n_single or n_block
        self._row_size = row_size

    def _n_partitions(self, size: int, least: int = 4, n_rows: int = _PARTITION_ROWS) -> int:
        """Return the number of partitions, each of which adds up this many numbers over at least so many rows.

        There are at least so many partitions for which there are blocks and memory: the more, the smaller the
        bound on the rounding errors of a sum.
        """
        n_blocks = -(-len(self.rows) // self._n_block)
        affordable = max(4 if 8 * size <= _PARTITION_BYTES else 1, min(32, _PARTITION_BYTES // (8 * size)))
        # To clear and add up the sums of a partition costs about as much as to bring in a few dozen rows.
        worthwhile = max(least, len(self.rows) * self._row_size // (n_rows * self._n_features))
        return max(1, min(n_blocks, affordable, worthwhile))

    @abstractmethod
    def _block(self, rows: Ints, single: bool = False) -> Any:
        """Return these rows of X, ascending, in the form that the products take."""

    @abstractmethod
    def _gathered(self, rows: Ints) -> Any:
        """Return any rows of X in the form that the products take."""

    @abstractmethod
    def _score_block(self, X: Any, Wt: NDArray[Any], b: Floats, S: NDArray[Any]) -> None:
        """Write ``X @ W + b`` for a block into S; Wt is W.T as `_laid_out` returns it."""

    @abstractmethod
    def _back_block(self, X: Any, A: Floats, Gt: Floats) -> None:
        """Add ``A.T @ X`` to Gt, in the layout of this engine, for a block."""

    def _n_chunk(self, single: bool) -> int:
        """Return how many rows the threads work on together, or 0 where each has partitions of its own."""
        return 0

    def _in_place(self, single: bool) -> bool:
        """Whether `_block` returns a view of X."""
        raise NotImplementedError

    def _back_panel(self, X: Any, A: NDArray[Any], G: Floats) -> None:
        """Add ``X.T @ A`` to G, for some of the features or of the classes."""
        raise NotImplementedError

    def _laid_out(self, W: Floats, single: bool = False) -> NDArray[Any]:
        """Return W.T as the scores are made with it."""
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
        """Return the result of each partition, in the order of the partitions; one pass.

        The blocks of a partition have ``n_rows``, by default those of this engine.
        """
        self.count(len(self.rows))

        def task(partition: int, stop: threading.Event) -> _Result:
            return partition_sums(
                _until(stop, self._partition_blocks(partition, n_partitions, n_rows or self._n_block))
            )

        work = len(self.rows) * self._row_size * self.samples.n_classes
        return self.workers.run([partial(task, partition) for partition in range(n_partitions)], work)

    def _sums(self, step: _Step, single: bool, by_class: bool = False, back: bool = True) -> _Sums:
        """Return what the steps of all blocks add up to, without ``back`` only their parts; one pass."""
        D, C = self._n_features, self.samples.n_classes
        if self._n_chunk(single) > 0:
            with one_blas_thread():
                return self._chunked_sums(step, single, by_class, back)

        n_rows = self._n_single if single else self._n_block

        def partition(blocks: Iterator[Ints]) -> _Sums:
            parts: list[Any] = []
            Gt = np.zeros((C, D), order=self._order) if back else np.zeros((0, 0))
            g = np.zeros((C, C) if by_class else C)
            scratch: Any = np.empty((min(n_rows, len(self.rows)), C), np.float32 if single else np.float64)
            for rows in blocks:
                X, A = self._block(rows, single), scratch[: len(rows)]
                parts.append(step(X, rows, A))
                if not back:
                    continue
                self._back_block(X, A, Gt)
                if by_class:
                    _add_by_class(A, self.samples.y[rows], g, 0, C)
                else:
                    _add_up(A, g, 0, C)
            return _Sums(parts, Gt, g)

        size = (D + C if by_class else D) * C if back else C
        partitions = self._run_partitions(partition, self._n_partitions(size), n_rows)
        parts = [part for sums in partitions for part in sums.parts]
        G = np.ascontiguousarray(sum_in_order([sums.features for sums in partitions]).T)
        return _Sums(parts, G, sum_in_order([sums.rows for sums in partitions]))

    def _chunked_sums(self, step: _Step, single: bool, by_class: bool, back: bool) -> _Sums:
        """Do what `_sums` says, the threads together on one chunk after the other.

        While some still multiply one chunk back, others score the next.
        """
        self.count(len(self.rows))
        D, C, n_chunk = self._n_features, self.samples.n_classes, self._n_chunk(single)
        G, g = np.zeros((D, C) if back else 0), np.zeros((C, C) if by_class else C)
        shape = (min(n_chunk, len(self.rows)), C)
        buffers: list[Any] = [np.empty(shape, np.float32 if single else np.float64) for _ in range(2)]

        def rows_of(X: Any, rows: Ints, A: Any, place: slice, stop: threading.Event) -> Any:
            part = self._block(rows[place], single)
            if X is not None:
                X[place] = part
            return step(part, rows[place], A[place])

        def features_of(X: Any, A: Any, panel: slice, stop: threading.Event) -> None:
            self._back_panel(X[:, panel], A, G[panel])

        def columns_of(X: Any, A: Any, panel: slice, stop: threading.Event) -> None:
            self._back_panel(X, A[:, panel], G[:, panel])

        def classes_of(A: Any, y: Ints, panel: slice, stop: threading.Event) -> None:
            if by_class:
                _add_by_class(A, y, g, panel.start, panel.stop)
            else:
                _add_up(A, g, panel.start, panel.stop)

        parts: list[Any] = []
        tasks: list[Callable[[threading.Event], Any]] = []
        for start in range(0, len(self.rows), n_chunk):
            rows = self.rows[start : start + n_chunk]
            y, A = self.samples.y[rows], buffers[0][: len(rows)]
            copy = None if self._in_place(single) else np.empty((len(rows), D), A.dtype)
            X = self._block(rows, single) if copy is None else copy
            n_before = len(tasks)
            tasks += [partial(rows_of, copy, rows, A, place) for place in panels(len(rows), CHUNK_PARTS)]
            parts += self.workers.run(tasks, len(rows) * D * C)[n_before:]
            tasks = []
            if back:
                back_of, size = (columns_of, C) if C > 2 * D else (features_of, D)
                n_parts = 2 if size < _NARROW else int(np.clip(size // _PANEL, 4, _MOST_PANELS))
                tasks += [partial(back_of, X, A, panel) for panel in panels(size, n_parts)]
                n_parts = int(np.clip(A.size // _SUMMED, 1, 8))
                tasks += [partial(classes_of, A, y, panel) for panel in panels(C, n_parts)]
            buffers.reverse()
        self.workers.run(tasks, n_chunk * D * C)
        return _Sums(parts, G, g)


def _until(stop: threading.Event, blocks: Iterator[Ints]) -> Iterator[Ints]:
    for block in blocks:
        if stop.is_set():
            return
        yield block


def panels(n: int, n_parts: int) -> list[slice]:
    """Return slices that cut a range into so many parts of about the same size."""
    return [slice(*part) for part in pairwise(np.unique(np.arange(n_parts + 1) * n // n_parts).tolist())]
