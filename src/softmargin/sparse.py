"""Sparse arrays of any format as canonical CSR, with the checks that SciPy leaves out."""

from __future__ import annotations

from typing import Any

from scipy.sparse import csr_array

from softmargin.errors import DataError

__all__ = ["canonical_csr"]


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
    csr = csr_array(given.shape, dtype=given.dtype)
    csr.data, csr.indices, csr.indptr = given.data, given.indices, given.indptr
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


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
