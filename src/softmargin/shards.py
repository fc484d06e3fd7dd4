"""Data sets in several parts that are never joined: rows stay where they are until a task reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import Floats
from softmargin.errors import DataError, ParameterError
from softmargin.sparse import ALL_COLUMNS, Columns
from softmargin.weights import ClassWeight, check_class_weight

__all__ = ["BlockPart", "Part", "Shards", "as_shards"]


class Part(Protocol):
    """Consecutive rows that are stored together, such as a file. It is pickled as a description, without its rows.

    Attributes
    ----------
    name : str
        Its name in messages.
    n_rows : int
    row_bytes : int
        Mean size of a row of X in bytes, as stored.
    mapped : bool
        Whether rows are mapped from a file, and so need no memory of their own.
    """

    @property
    def name(self) -> str: ...

    @property
    def n_rows(self) -> int: ...

    @property
    def row_bytes(self) -> int: ...

    @property
    def mapped(self) -> bool: ...

    def features(self, rows: slice) -> Any:
        """Return some rows of X: an array, or a canonical CSR array.

        Raises
        ------
        DataError
            If the file has changed since it was opened, or cannot be read.
        """

    def labels(self, rows: slice) -> NDArray[Any]:
        """Return the labels of some rows; raise as `features` does."""

    def weights(self, rows: slice) -> Floats:
        """Return the weights of some rows, non-negative."""

    def check(self) -> None:
        """Raise a `DataError` if the file has changed since it was opened."""


@dataclass(frozen=True, repr=False)
class Shards:
    """The parts of a data set, in the order of its rows.

    Attributes
    ----------
    parts : sequence of Part
    n_features : int
        D.
    dtype : dtype
        The type of X.
    is_sparse : bool
        Whether the features of all parts are CSR arrays.
    feature_names : tuple of str, or None
        The columns of tables that are the features.
    label_column, weights_column : str, or None
        The columns of tables that hold labels and weights.
    class_weight : dict or "balanced", optional
        Factors on the weights per class; see `weighted`.
    """

    parts: Sequence[Part]
    n_features: int
    dtype: np.dtype[Any]
    is_sparse: bool = False
    feature_names: tuple[str, ...] | None = None
    label_column: str | None = None
    weights_column: str | None = None
    class_weight: ClassWeight = None
    columns: ClassVar[Columns] = ALL_COLUMNS

    def __repr__(self) -> str:
        sparse = ", sparse" if self.is_sparse else ""
        return f"Shards(shape={self.shape}, dtype={self.dtype}{sparse}, n_parts={len(self.parts)})"

    @property
    def n_samples(self) -> int:
        """Number of rows of all parts."""
        return sum(part.n_rows for part in self.parts)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self.n_samples, self.n_features

    def weighted(self, class_weight: ClassWeight) -> Shards:
        """Return the data set with factors on the weights per class, as in `LinearClassifier`.

        Scores such as the accuracy use the weights without these factors.

        Raises
        ------
        ParameterError
            If ``class_weight`` is not a dict of weights, "balanced" or None.
        """
        return replace(self, class_weight=check_class_weight(class_weight))

    def widened(self) -> Shards:
        """Return the data set with all columns, which it already has."""
        return self


@dataclass(frozen=True)
class BlockPart:
    """A block of rows of dask arrays, as a `Part`.

    Attributes
    ----------
    blocks : tuple
        The blocks of X and y: delayed, or arrays where they have been computed. A cluster passes them to tasks as
        results of other tasks, and not with the part.
    """

    name: str
    n_rows: int
    row_bytes: int
    blocks: tuple[Any, Any] | None
    mapped: bool = False

    def features(self, rows: slice) -> Any:
        """Return some rows of X."""
        return self._block(0)[rows]

    def labels(self, rows: slice) -> NDArray[Any]:
        """Return the labels of some rows."""
        return np.asarray(self._block(1)[rows])

    def weights(self, rows: slice) -> Floats:
        """Return the weight of each row, which is 1."""
        return np.ones(rows.stop - rows.start)

    def check(self) -> None:
        """Do nothing: blocks do not change."""

    def of(self, *blocks: Any) -> BlockPart:
        """Return the part with arrays as its blocks, or with none; raise a `DataError` if they do not fit."""
        for block in blocks:
            self._check(block)
        return replace(self, blocks=tuple(blocks) if blocks else None)

    def _block(self, k: int) -> Any:
        assert self.blocks is not None, "the blocks are passed by the cluster"
        block = self.blocks[k]
        return self._check(block.compute() if hasattr(block, "compute") else block)

    def _check(self, block: Any) -> Any:
        if not isinstance(block, np.ndarray) or block.shape[:1] != (self.n_rows,):
            found = f"{type(block).__name__} of shape {np.shape(block)}"
            raise DataError(f"{self.name} must be NumPy arrays of {self.n_rows} rows, got {found}.")
        return block


def as_shards(X: Any, y: Any, sample_weight: Any = None) -> Shards | None:
    """Return X if it is `Shards`, the blocks of X and y if they are dask arrays, and None for anything else.

    Raises
    ------
    DataError
        If dask arrays do not have the same chunks of rows, X has several chunks of columns, or its blocks are not
        NumPy arrays of real numbers.
    ParameterError
        If labels are given beside `Shards`, or weights beside `Shards` or dask arrays.
    """
    if isinstance(X, Shards):
        if y is not None or sample_weight is not None:
            raise ParameterError("y and sample_weight must be None for shards, which come with their labels.")
        return X
    if not all(hasattr(array, "to_delayed") and hasattr(array, "chunks") for array in (X, y)):
        return None
    if sample_weight is not None:
        raise ParameterError(
            "sample_weight must be None for dask arrays; write weights to a column of parquet files, and use "
            "open_shards(weights_column=...)."
        )
    kind = type(getattr(X, "_meta", np.empty(0)))
    if not issubclass(kind, np.ndarray):
        raise DataError(
            f"X must be a dask array of NumPy blocks, got blocks of type {kind.__name__}; save sparse blocks with "
            f"scipy.sparse.save_npz as CSR shards, and open them with open_shards."
        )
    if X.ndim != 2 or y.ndim != 1 or len(X.chunks[1]) != 1:
        raise DataError(
            f"X and y must be dask arrays of two and one dimensions, and X must not be divided by columns, got "
            f"chunks {X.chunks} and {y.chunks}; use X.rechunk({{1: -1}})."
        )
    if X.dtype.kind not in "biuf" or X.dtype.itemsize > 8 or not X.dtype.isnative:
        raise DataError(
            f"X must hold real numbers of at most 64 bits in native byte order, got dtype {X.dtype}; convert it "
            f"with X.astype."
        )
    X, y = (each if np.isfinite(each.chunks[0]).all() else each.compute_chunk_sizes() for each in (X, y))
    if X.chunks[0] != y.chunks[0]:
        raise DataError(f"X and y must have the same chunks of rows, got {X.chunks[0]} and {y.chunks[0]}.")
    row_bytes, blocks = X.shape[1] * X.dtype.itemsize, zip(X.to_delayed()[:, 0], y.to_delayed(), strict=True)
    parts = [
        BlockPart(f"block {k} of X and y", int(n_rows), row_bytes, pair)
        for k, (n_rows, pair) in enumerate(zip(X.chunks[0], blocks, strict=True))
        if n_rows > 0
    ]
    return Shards(parts, X.shape[1], X.dtype)
