"""The micro-kernels as plain loops, for compiler versions that `emitted` was not tested with.

The tests compare both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

__all__ = ["LINE", "MOST_CLASSES", "READS_HALF", "accumulate_tile_gradient", "add_tile_scores"]

LINE, MOST_CLASSES, READS_HALF = 64, 3, False
"""As in `emitted`."""

_PRODUCT: Any = register_jitable(fastmath={"reassoc", "contract", "nsz"})


@register_jitable
def half_to_single(bits: Any) -> Any:
    """Convert a float16, viewed as uint16, to float32, in a form that is vectorised on any processor."""
    word = np.uint32(bits)
    # With the same exponent field, the float32 is too small by a factor of 2^112.
    small = np.uint32((word & np.uint32(0x7FFF)) << np.uint32(13)).view(np.float32)
    size = np.float32(small * np.float32(2.0**112))
    special = np.uint32(0x7F800000) if size >= np.float32(65536.0) else np.uint32(0)  # infinity and NaN
    sign = np.uint32((word & np.uint32(0x8000)) << np.uint32(16))
    return np.uint32(size.view(np.uint32) | special | sign).view(np.float32)


def _item(X: Any, i: int, d: int) -> Any:
    """Return an item of X, of the bits of float16 the number."""
    raise NotImplementedError("compiled code only")


@overload(_item, inline="always")
def _choose_item(X: Any, i: Any, d: Any) -> Any:
    def number(X: Any, i: Any, d: Any) -> Any:
        return X[i, d]

    def half(X: Any, i: Any, d: Any) -> Any:
        return half_to_single(X[i, d])

    return half if X.dtype == types.uint16 else number


@_PRODUCT
def add_tile_scores(
    X: Any, i: int, Wt: Any, j: int, S: Any, prefetch: int, n_prefetch: int, n_rows: int, n_classes: int
) -> None:
    """Add the products of rows of X, from i on, with rows of Wt, from j on, to S; without prefetching."""
    number = Wt.dtype.type
    for r in range(i, i + n_rows):
        for c in range(j, j + n_classes):
            total = number(0)
            for d in range(X.shape[1]):
                total += number(_item(X, r, d)) * Wt[c, d]
            S[r, c] += total


@_PRODUCT
def accumulate_tile_gradient(
    X: Any, i: int, A: Any, j: int, Gt: Any, prefetch: int, n_prefetch: int, n_rows: int, n_classes: int
) -> None:
    """Add rows of X, from i on, times their factors in A, columns from j on, to rows of Gt."""
    number = Gt.dtype.type
    for c in range(j, j + n_classes):
        for r in range(i, i + n_rows):
            factor = number(A[r, c])
            for d in range(X.shape[1]):
                Gt[c, d] += number(_item(X, r, d)) * factor
