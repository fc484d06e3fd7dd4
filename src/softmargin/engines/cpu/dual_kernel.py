"""The kernel of dual ascent: it visits the rows of some blocks one by one.

For a block of rows, the products of their features are a small Gram matrix. So the dual can be maximised over one
row after the other without reading W, and one product adds the changes of the block to W.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import register_jitable

from softmargin.engines.cpu.native import call_code
from softmargin.engines.cpu.products import Array
from softmargin.losses.base import Floats, Ints
from softmargin.losses.rows import CONTRACTED

__all__ = ["SMALLEST_CURVATURE", "TILE_BYTES", "TILE_ROWS", "Scratch", "multiply_within", "visit"]

_FEW = 8
"""The changes of a row are processed as a list of entries if at most 1/8 of its entries changed."""

_COST_OF_ENTRY = 4
"""Cost of adding a single changed entry to W, relative to its part of the cost of the full product."""

TILE_ROWS = 12

SMALLEST_CURVATURE = 1e-200

TILE_BYTES = 1 << 20
"""Up to this size of W in bytes, compiled tiles multiply, which are faster than BLAS for short blocks."""


class Scratch(NamedTuple):
    """Buffers of `visit` for blocks of n rows; ``scores`` and ``steps`` have the type of the products.

    Attributes
    ----------
    scores, changes, steps : ndarray of shape (n, C)
        ``steps`` are what is added to the rows of W: minus the changes.
    row : ndarray of shape (4, C)
    entries : ndarray of shape (n, few)
        The changed entries of rows with few of them: a margin loss changes few entries.
    numbers : ndarray of shape (3, n)
    """

    scores: Array
    changes: Floats
    steps: Array
    row: Floats
    entries: Ints
    numbers: Ints

    @classmethod
    def empty(cls, n: int, n_classes: int, dtype: Any) -> Scratch:
        """Return new buffers for blocks of ``n`` rows."""
        scores, steps = np.zeros((n, n_classes), dtype), np.zeros((n, n_classes), dtype)
        entries = np.zeros((n, max(2, n_classes // _FEW)), np.int64)
        return cls(
            scores, np.zeros(scores.shape), steps, np.zeros((4, n_classes)), entries, np.zeros((3, n), np.int64)
        )


@numba.njit(nogil=True, cache=True, fastmath=set(CONTRACTED), error_model="numpy")
def visit(
    codes: tuple[int, int, int], numbers: Floats, Z: Array, products: Array, Wt: Array, b: Floats, sums: Floats,
    A: Array, rows: Ints, y: Ints, weights: Floats, factor: float, pull: float, scratch: Scratch, values: Floats,
    gaps: Floats,
) -> bool:  # fmt: skip
    """Maximise the dual over the rows of some blocks, one by one.

    ``products`` (blocks, rows, rows) are the Gram matrices of the blocks, and ``pull`` is the square of the
    constant feature. ``values`` and ``gaps`` become the weighted losses and gaps of the rows before their visit.
    ``codes`` are the addresses of `ascent_code`, `score_product` and `gradient_product`. If the last two are 0,
    there must be a single block, the scores without b are given, and the caller adds ``steps.T @ Z`` to W if the
    result is true.
    """
    scores, changes, steps, row_buffers, entries, places = scratch
    s, change, work, gap = row_buffers[0], row_buffers[1], row_buffers[2], row_buffers[3]
    n_entries, full, listed = places[0], places[1], places[2]
    n_block, n_classes, D, few = products.shape[1], Wt.shape[0], Z.shape[1], entries.shape[1]
    by_product = False
    for block in range(products.shape[0]):
        first = block * n_block
        n = len(rows) - first
        n = n_block if n_block < n else n
        X, K = Z[first : first + n], products[block]
        if codes[1] != 0:
            for i in range(n):
                for j in range(n_classes):
                    scores[i, j] = 0.0
            call_code(codes[1], (X, n, D, Wt, n_classes, D, scores, n_classes, 0))
        n_full = n_listed = n_changed = 0
        for i in range(n):
            row, k = first + i, K[i]
            for j in range(n_classes):
                s[j] = b[j] + scores[i, j]
            for m in range(0, n_full - 3, 4):
                i0, i1, i2, i3 = full[m], full[m + 1], full[m + 2], full[m + 3]
                k0, k1, k2, k3 = k[i0] + pull, k[i1] + pull, k[i2] + pull, k[i3] + pull
                c0, c1, c2, c3 = changes[i0], changes[i1], changes[i2], changes[i3]
                for j in range(n_classes):
                    s[j] -= (k0 * c0[j] + k1 * c1[j]) + (k2 * c2[j] + k3 * c3[j])
            for m in range(n_full // 4 * 4, n_full):
                c0, k0 = changes[full[m]], k[full[m]] + pull
                for j in range(n_classes):
                    s[j] -= k0 * c0[j]
            for m in range(n_listed):
                other = listed[m]
                product = k[other] + pull
                for e in range(n_entries[other]):
                    j = entries[other, e]
                    s[j] -= product * changes[other, j]
            weight = weights[row]
            q = factor * weight * (k[i] + pull)
            q = q if q > SMALLEST_CURVATURE else SMALLEST_CURVATURE
            value = call_code(codes[0], (numbers, s, A[rows[row]], n_classes, y[row], q, change, work, gap))
            values[row], gaps[row] = weight * value, 0.0
            found = 0
            for j in range(n_classes):
                changes[i, j] = factor * weight * change[j]
                steps[i, j] = -changes[i, j]
                found += 1 if change[j] != 0.0 else 0
            n_entries[i] = found
            n_changed += found
            if found == 0:
                continue
            gaps[row] = weight * (gap[0] if gap[0] > 0.0 else 0.0)
            if found > few:
                full[n_full] = i
                n_full += 1
            else:
                listed[n_listed] = i
                n_listed += 1
                e = 0
                for j in range(n_classes):
                    if change[j] != 0.0:
                        entries[i, e] = j
                        e += 1
        by_product = _COST_OF_ENTRY * n_changed > n * n_classes
        if by_product and codes[2] != 0:
            call_code(codes[2], (X, n, D, steps, n_classes, n_classes, Wt, D, 0))
        for m in range(n_full):
            i = full[m]
            for j in range(n_classes):
                b[j] -= pull * changes[i, j]
                sums[j] += changes[i, j] / factor
            if not by_product:
                for j in range(n_classes):
                    if changes[i, j] != 0.0:
                        _add_row(Wt[j], X[i], steps[i, j])
        for m in range(n_listed):
            i = listed[m]
            for e in range(n_entries[i]):
                j = entries[i, e]
                b[j] -= pull * changes[i, j]
                sums[j] += changes[i, j] / factor
                if not by_product:
                    _add_row(Wt[j], X[i], steps[i, j])
    return by_product


@register_jitable(fastmath=set(CONTRACTED))
def _add_row(w: Array, x: Array, factor: float) -> None:
    for d in range(w.size):
        w[d] += factor * x[d]


@numba.njit(nogil=True, cache=True)
def multiply_within(code: int, Z: Array, products: Array) -> None:
    """Add the products of each row with itself and the earlier rows of its block to ``products``.

    ``code`` is the address of `score_product`.
    """
    size, D = products.shape[1], Z.shape[1]
    for block in range(len(products)):
        X, K = Z[block * size : (block + 1) * size], products[block]
        for i in range(0, size, TILE_ROWS):
            call_code(code, (X[i:], TILE_ROWS, D, X, i + TILE_ROWS, D, K[i:], size, 0))
