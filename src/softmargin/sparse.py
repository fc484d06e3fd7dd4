"""Sparse arrays as canonical CSR, with the checks that SciPy leaves out, and without empty columns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from softmargin.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["ALL_COLUMNS", "Columns", "canonical_csr", "csr_view", "issparse", "without_empty_columns"]

_LARGEST_SHARE = 0.5
"""Empty columns are left out if at most this share of the columns holds entries."""


class Columns(NamedTuple):
    """Which columns of a sparse X were kept; the others are empty, and their weights are 0.

    Attributes
    ----------
    kept : ndarray of shape (D',), or None
        Numbers of the kept columns, ascending; None if these are all.
    n_columns : int
        D; 0 if all are kept.
    """

    kept: NDArray[Any] | None = None
    n_columns: int = 0

    def take(self, wide: NDArray[Any]) -> NDArray[Any]:
        """Return the rows (D', ...) of an array (D, ...) that belong to the kept columns."""
        return wide if self.kept is None else wide[self.kept]

    def spread(
        self, values: NDArray[Any], fill: NDArray[Any] | float = 0.0, order: Literal["C", "F"] = "C"
    ) -> NDArray[Any]:
        """Return an array (D, ...) of these values (D', ...), and of ``fill`` for the empty columns.

        A new array has this memory ``order``.
        """
        if self.kept is None:
            return values
        # Pages of zeros that are not written take no memory.
        wide = np.zeros((self.n_columns, *values.shape[1:]), values.dtype, order)
        if np.ndim(fill) or fill:
            wide[...] = fill
        wide[self.kept] = values
        return wide

    def rest(self, wide: NDArray[Any]) -> NDArray[Any]:
        """Return an array (D, ...) with zeros for the kept columns; a single 0 if all are kept."""
        if self.kept is None:
            return np.zeros(())
        rest = wide.copy()
        rest[self.kept] = 0.0
        return rest

    def widen(self, X: Any) -> Any:
        """Return X (N, D') with its empty columns, (N, D)."""
        if self.kept is None:
            return X
        return scipy.sparse.csr_array((X.data, self.kept[X.indices], X.indptr), shape=(X.shape[0], self.n_columns))


ALL_COLUMNS = Columns()


def issparse(X: object) -> bool:
    """Return whether X is a sparse array or matrix, without an import of `scipy.sparse`, which takes long."""
    return "scipy.sparse" in sys.modules and bool(scipy.sparse.issparse(X))


def without_empty_columns(X: Any) -> tuple[Any, Columns]:
    """Return an X (N, D) without its empty columns if it is sparse and at least half are empty.

    Only the column numbers are copied. At least one column is kept.
    """
    if not issparse(X) or X.shape[1] == 1:
        return X, ALL_COLUMNS
    holds = np.zeros(X.shape[1], np.bool_)
    holds[X.indices] = True
    holds[0] |= not len(X.indices)
    n_kept = int(np.count_nonzero(holds))
    if n_kept > _LARGEST_SHARE * X.shape[1]:
        return X, ALL_COLUMNS
    kept = np.flatnonzero(holds).astype(X.indices.dtype)
    numbers = np.empty(X.shape[1], X.indices.dtype)
    numbers[kept] = np.arange(n_kept)
    narrow = scipy.sparse.csr_array((X.data, numbers[X.indices], X.indptr), shape=(X.shape[0], n_kept))
    return narrow, Columns(kept, X.shape[1])


def canonical_csr(X: Any, name: str = "X") -> csr_array:
    """Return a sparse X (N, D) as a CSR array with sorted columns and without duplicates.

    It shares the memory of X where X has this form; X itself is not changed. An X whose indices leave its shape
    raises a `DataError` that begins with ``name``.
    """
    if not hasattr(X, "indptr") and not hasattr(X, "coords"):
        X = X.tocsr()  # SciPy checks the other formats
    _check_sparse(X, name)
    given = X.tocsr()
    # A new object around the same memory, because sorting sets attributes of the object.
    csr = scipy.sparse.csr_array(given.shape, dtype=given.dtype)
    csr.data, csr.indices, csr.indptr = given.data, given.indices, given.indptr
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def csr_view(X: Any, rows: slice) -> csr_array:
    """Return some consecutive rows of a CSR array, whose entries are not copied."""
    start, stop = X.indptr[rows.start], X.indptr[rows.stop]
    view = scipy.sparse.csr_array((rows.stop - rows.start, X.shape[1]), dtype=X.dtype)
    view.data, view.indices = X.data[start:stop], X.indices[start:stop]
    view.indptr = X.indptr[rows.start : rows.stop + 1] - start
    return view


def _check_sparse(X: Any, name: str) -> None:
    """Raise a `DataError` if a sparse X (N, D) has entries outside its shape, which SciPy does not check."""
    start = f"{name} is not a valid {X.format.upper()} matrix"
    indices, limits = list(getattr(X, "coords", ())), list(X.shape)
    if hasattr(X, "indptr"):
        block = getattr(X, "blocksize", (1, 1))
        major, minor = (X.shape[0] // block[0], X.shape[1] // block[1]) if X.format != "csc" else X.shape[::-1]
        limits, indptr = [minor], X.indptr
        steps = len(indptr) == major + 1 and indptr[0] == 0 and bool((indptr[1:] >= indptr[:-1]).all())
        if not (steps and indptr[-1] <= min(len(X.indices), len(X.data))):
            raise DataError(f"{start}: inconsistent indptr.")
        indices = [X.indices[: indptr[-1]]]
    for found, limit in zip(indices, limits, strict=False):
        for index in (int(found.max()), int(found.min())) if len(found) else ():
            if not 0 <= index < limit:
                raise DataError(f"{start}: indices must lie in 0 … {limit - 1}, got {index}.")
