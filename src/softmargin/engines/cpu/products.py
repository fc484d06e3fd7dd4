"""Products of a block of dense rows with a narrow matrix, in tiles whose sums stay in registers.

``X`` is (n, D), contiguous, of float32, float64, 8-bit integers, or float16 viewed as uint16. ``Wt`` and ``Gt``
are (C, D), or have longer rows whose further entries are ignored. Both products are C functions.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from softmargin.engines.cpu.microkernel import MOST_CLASSES, accumulate_tile_gradient, add_tile_scores
from softmargin.engines.cpu.native import c_function, call_code, compiled_once, pointer

__all__ = ["Array", "accumulate_gradient", "add_scores", "gradient_product", "score_product"]

Array: TypeAlias = NDArray[Any]
_array: Any = numba.carray  # type: ignore[attr-defined]


def add_scores(X: Array, Wt: Array, S: Array) -> None:
    """S += X @ Wt.T, in the type of Wt and S."""
    _multiply(score_product(X.dtype, S.dtype).address, X, Wt, S, len(Wt))


def accumulate_gradient(X: Array, A: Array, Gt: Array) -> None:
    """Gt += A.T @ X, in the type of A and Gt."""
    _multiply(gradient_product(X.dtype, Gt.dtype).address, X, A, Gt, len(Gt))


@numba.njit(nogil=True, cache=True)
def _multiply(code: int, X: Array, second: Array, result: Array, n_classes: int) -> None:
    (n, D), stride = X.shape, second.shape[1]
    call_code(code, (X, n, D, second, n_classes, stride, result, result.shape[1], 0))


@compiled_once
def score_product(X: np.dtype[Any], number: np.dtype[Any]) -> Any:
    """Return the C function that adds ``X @ Wt.T`` to S, for the types of X and of the others.

    Its arguments are X, n, D, Wt, C, the length of a row of Wt, S, the length of a row of S, and a distance. The
    first half of the rows that begin this number of rows later are prefetched, unless it is 0. X must then be
    contiguous up to the end of these rows.
    """
    return c_function(_add_scores, _arguments(X, number))


@compiled_once
def gradient_product(X: np.dtype[Any], number: np.dtype[Any]) -> Any:
    """Return the C function that adds ``A.T @ X`` to Gt, for the types of X and of the others.

    Its arguments are X, n, D, A, C, the length of a row of A, Gt, the length of a row of Gt, and a distance. The
    second half of the rows that begin this number of rows later are prefetched.
    """
    return c_function(_accumulate_gradient, _arguments(X, number))


def _arguments(X: np.dtype[Any], number: np.dtype[Any]) -> tuple[Any, ...]:
    n, numbers = types.intp, pointer(number)
    return pointer(X), n, n, numbers, n, n, numbers, n, n


def _add_scores(x: Any, n: int, D: int, w: Any, C: int, row_w: int, s: Any, row_s: int, distance: int) -> float:
    X, Wt, S = _array(x, (n, D)), _array(w, (C, row_w)), _array(s, (n, row_s))
    n_tiled = n // 4 * 4 if C > 1 else 0
    # Each group of classes prefetches an equal part, in quarters of a row, of the two rows per four rows.
    n_groups = -(-C // MOST_CLASSES)
    share = 0 if distance == 0 else -(-8 // n_groups)
    for i in range(0, n_tiled, 4):
        prefetch, j = 4 * (i // 2 + distance), 0
        end = prefetch + 8
        while j < C:
            n_prefetch = share if share < end - prefetch else end - prefetch
            width = -(-(C - j) // -(-(C - j) // MOST_CLASSES))
            if MOST_CLASSES > 3 and width == 5:
                add_tile_scores(X, i, Wt, j, S, prefetch, n_prefetch, 4, 5)
            elif MOST_CLASSES > 3 and width == 4:
                add_tile_scores(X, i, Wt, j, S, prefetch, n_prefetch, 4, 4)
            elif width == 3:
                add_tile_scores(X, i, Wt, j, S, prefetch, n_prefetch, 4, 3)
            else:
                add_tile_scores(X, i, Wt, j, S, prefetch, n_prefetch, 4, 2)
            j += width
            prefetch += n_prefetch
    for i in range(n_tiled, n):
        for j in range(C):
            add_tile_scores(X, i, Wt, j, S, i, 0, 1, 1)
    return 0.0


def _accumulate_gradient(
    x: Any, n: int, D: int, a: Any, C: int, row_a: int, g: Any, row_g: int, distance: int
) -> float:
    X, A, Gt = _array(x, (n, D)), _array(a, (n, row_a)), _array(g, (C, row_g))
    n_tiled = n // 4 * 4 if C > 1 else 0
    share = 0 if distance == 0 else -(-8 // -(-C // MOST_CLASSES))
    for i in range(0, n_tiled, 4):
        prefetch, j = 4 * (n // 2 + i // 2 + distance), 0
        end = prefetch + 8
        while j < C:
            n_prefetch = share if share < end - prefetch else end - prefetch
            width = -(-(C - j) // -(-(C - j) // MOST_CLASSES))
            if MOST_CLASSES > 3 and width == 5:
                accumulate_tile_gradient(X, i, A, j, Gt, prefetch, n_prefetch, 4, 5)
            elif MOST_CLASSES > 3 and width == 4:
                accumulate_tile_gradient(X, i, A, j, Gt, prefetch, n_prefetch, 4, 4)
            elif width == 3:
                accumulate_tile_gradient(X, i, A, j, Gt, prefetch, n_prefetch, 4, 3)
            else:
                accumulate_tile_gradient(X, i, A, j, Gt, prefetch, n_prefetch, 4, 2)
            j += width
            prefetch += n_prefetch
    for i in range(n_tiled, n):
        for j in range(C):
            accumulate_tile_gradient(X, i, A, j, Gt, i, 0, 1, 1)
    return 0.0
