"""Scores of raw features, computed in blocks of rows by NumPy and BLAS."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import check_count
from softmargin.errors import DataError
from softmargin.io.mapped import MappedFile
from softmargin.model.parts import Parts
from softmargin.preprocessing import unit_rows
from softmargin.samples import as_features, check_finite
from softmargin.sparse import issparse, without_empty_columns
from softmargin.threads import INLINE_WORK, default_threads, one_blas_thread, worker_threads

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["checked_features", "class_numbers", "fill_from_scores"]

_BLOCK_ELEMENTS = 1 << 20


def checked_features(X: ArrayLike | csr_array, n_features: int) -> Any:
    """Return X as an array or a canonical CSR array with this number of columns, or raise a `DataError`."""
    array = as_features(X)
    if array.shape[1] != n_features:
        raise DataError(
            f"X must have shape (N, {n_features}), one row per sample and one column per feature, got "
            f"{array.shape}."
        )
    return array


def fill_from_scores(
    parts: Parts,
    X: Any,
    result: NDArray[Any],
    from_scores: Callable[[NDArray[np.float64]], NDArray[Any]],
    n_threads: int | None,
    first_row: int = 0,
) -> NDArray[Any]:
    """Fill ``result`` from the scores of each block of rows, and return it; the blocks depend on X only.

    Parameters
    ----------
    parts : Parts
    X : ndarray or canonical csr_array of shape (N, D)
    result : ndarray of shape (N, ...)
    from_scores : callable
        Computes rows of ``result`` from their scores (n, C).
    n_threads : int or None
        None: one per core that this process may use.
    first_row : int
        Number of the first row of X, for messages.

    Raises
    ------
    DataError
        If X contains NaN or infinity, if scores overflow, or if X is mapped from a truncated file.
    """
    given, (X, columns) = X, without_empty_columns(X)
    W, b = columns.take(parts.W), parts.b
    row_size = X.nnz // max(1, X.shape[0]) + len(b) if issparse(X) else len(W)
    n_rows = max(16, _BLOCK_ELEMENTS // row_size)
    file = MappedFile(X)

    def fill(start: int) -> int | None:
        """Fill one block, and return its first row with scores that are not finite."""
        rows = slice(start, start + n_rows)
        file.check(DataError)
        with np.errstate(all="ignore"):
            block = unit_rows(X[rows]) if parts.unit_rows else X[rows]
            scores = block.astype(np.float64, copy=False) @ W + b
        usable = np.isfinite(scores)
        if not usable.all():
            usable |= scores == b  # a class with a bias of -inf is never predicted
            if not usable.all():
                return start + int(usable.all(axis=1).argmin())
        result[rows] = from_scores(scores)
        return None

    n_threads = default_threads() if n_threads is None else check_count("n_threads", n_threads)
    starts = range(0, X.shape[0], n_rows)
    with one_blas_thread():  # per worker thread
        if n_threads == 1 or len(starts) == 1 or X.shape[0] * row_size * len(b) < INLINE_WORK:
            failures = [fill(start) for start in starts]
        else:
            with worker_threads(n_threads, "softmargin scores") as pool:
                failures = list(pool.map(fill, starts))
    for row in failures:
        if row is not None:
            check_finite(given, parts.feature_names, first_row)  # NaN and infinity in X always reach the scores
            raise DataError(f"Scores of X overflow in row {first_row + row}; scale X as in training.")
    return result


def class_numbers(classes: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class number of each label, -1 if it is not one of the classes."""
    numbers = {label: k for k, label in enumerate(classes.tolist())}
    present, inverse = np.unique(labels, return_inverse=True)
    codes = np.array([numbers.get(label, -1) for label in present.tolist()], dtype=np.int64)
    return codes[inverse]
