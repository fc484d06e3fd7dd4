"""The kernel of dual ascent: it visits the rows of some blocks one by one.

For a block of rows, the products of their features are a small Gram matrix. So the dual can be maximised over one
row after the other without reading W, and one product adds the changes of the block to W.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import register_jitable

from softmargin.engines.cpu.row_code import call_code
from softmargin.engines.cpu.tiles import Array, accumulate_gradient, add_scores
from softmargin.losses.base import Floats, Ints
from softmargin.losses.rows import ANY_ORDER

__all__ = ["SMALLEST_CURVATURE", "TILE_BYTES", "TILE_ROWS", "multiply_within", "visit"]

_FEW = 8
"""The changes of a row are processed as a list of entries if at most 1/8 of its entries changed."""

_COST_OF_ENTRY = 4
"""Cost of adding a single changed entry to W, relative to its part of the cost of the full product."""

TILE_ROWS = 12

SMALLEST_CURVATURE = 1e-200

TILE_BYTES = 1 << 20
"""Up to this size of W in bytes, compiled tiles multiply, which are faster than BLAS for short blocks."""


@numba.njit(nogil=True, cache=True)
def visit(
    code: int, numbers: Floats, Z: Array, products: Array, Wt: Array, b: Floats, sums: Floats, A: Array,
    rows: Ints, y: Ints, weights: Floats, factor: float, pull: float, values: Floats, gaps: Floats,
) -> None:  # fmt: skip
    """Maximise the dual over the rows of some blocks, one by one.

    ``products`` (blocks, rows, rows) are the Gram matrices of the blocks, and ``pull`` is the square of the
    constant feature. ``values`` and ``gaps`` become the weighted losses and gaps of the rows before their visit.
    """
    n_block, n_classes = products.shape[1], Wt.shape[0]
    scores = np.empty((n_block, n_classes), Z.dtype)
    changes = np.empty((n_block, n_classes))
    s, change, scratch, gap = np.empty(n_classes), np.empty(n_classes), np.empty(n_classes), np.empty(1)
    # A margin loss changes few entries of a row; such rows are processed by a list of these entries.
    few = max(2, n_classes // _FEW)
    entries, n_entries = np.empty((n_block, few), np.int64), np.empty(n_block, np.int64)
    full, listed = np.empty(n_block, np.int64), np.empty(n_block, np.int64)
    for block in range(products.shape[0]):
        first = block * n_block
        n = min(n_block, len(rows) - first)
        part, K = Z[first : first + n], products[block]
        if Wt.nbytes <= TILE_BYTES:
            scores[:] = Z.dtype.type(0)
            add_scores(part, Wt, scores, 0)
        else:
            np.dot(part, Wt.T, scores[:n])
        n_full = n_listed = 0
        for i in range(n):
            for j in range(n_classes):
                s[j] = b[j] + scores[i, j]
            _subtract_changes(s, K[i], pull, changes, full[:n_full])
            for k in listed[:n_listed]:
                product = K[i, k] + pull
                for j in entries[k, : n_entries[k]]:
                    s[j] -= product * changes[k, j]
            row = first + i
            weight = weights[row]
            q = max(factor * weight * (K[i, i] + pull), SMALLEST_CURVATURE)
            value = call_code(code, (numbers, s, A[rows[row]], n_classes, y[row], q, change, scratch, gap))
            values[row], gaps[row] = weight * value, 0.0
            found = 0
            for j in range(n_classes):
                changes[i, j] = factor * weight * change[j]
                found += 1 if change[j] != 0.0 else 0
            n_entries[i] = found
            if found == 0:
                continue
            gaps[row] = weight * max(gap[0], 0.0)
            if found > few:
                full[n_full] = i
                n_full += 1
            else:
                _list_changed(change, entries[i])
                listed[n_listed] = i
                n_listed += 1
        _update_weights(part, changes[:n], n_entries[:n], full[:n_full], listed[:n_listed], entries, Wt)
        for k in full[:n_full]:
            for j in range(n_classes):
                b[j] -= pull * changes[k, j]
                sums[j] += changes[k, j] / factor
        for k in listed[:n_listed]:
            for j in entries[k, : n_entries[k]]:
                b[j] -= pull * changes[k, j]
                sums[j] += changes[k, j] / factor


@register_jitable(fastmath=set(ANY_ORDER), forceinline=True)
def _subtract_changes(s: Floats, k: Array, pull: float, changes: Floats, changed: Ints) -> None:
    """Subtract the effect of the changed rows on the scores, for four rows at a time."""
    n = 0
    while n + 4 <= changed.size:
        i0, i1, i2, i3 = changed[n], changed[n + 1], changed[n + 2], changed[n + 3]
        k0, k1, k2, k3 = k[i0] + pull, k[i1] + pull, k[i2] + pull, k[i3] + pull
        c0, c1, c2, c3 = changes[i0], changes[i1], changes[i2], changes[i3]
        for j in range(s.size):
            s[j] -= (k0 * c0[j] + k1 * c1[j]) + (k2 * c2[j] + k3 * c3[j])
        n += 4
    while n < changed.size:
        c, k0 = changes[changed[n]], k[changed[n]] + pull
        for j in range(s.size):
            s[j] -= k0 * c[j]
        n += 1


@register_jitable(forceinline=True)
def _list_changed(change: Floats, entries: Ints) -> None:
    n = 0
    for j in range(change.size):
        if change[j] != 0.0:
            entries[n] = j
            n += 1


@register_jitable(forceinline=True)
def _update_weights(
    X: Array, changes: Floats, n_entries: Ints, full: Ints, listed: Ints, entries: Ints, Wt: Array
) -> None:
    """Wt -= changes.T @ X, by the full product or, if most entries are zero, by single entries."""
    if _COST_OF_ENTRY * n_entries.sum() > changes.size:
        steps = np.empty(changes.shape, X.dtype)
        for i in range(len(X)):
            for j in range(len(Wt)):
                steps[i, j] = -changes[i, j]
        if Wt.nbytes <= TILE_BYTES:
            accumulate_gradient(X, steps, Wt, 0)
        else:
            Wt += np.dot(steps.T, X)
        return
    for i in full:
        for j in range(len(Wt)):
            if changes[i, j] != 0.0:
                _add_row(Wt[j], X[i], X.dtype.type(-changes[i, j]))
    for i in listed:
        for j in entries[i, : n_entries[i]]:
            _add_row(Wt[j], X[i], X.dtype.type(-changes[i, j]))


@register_jitable(forceinline=True)
def _add_row(w: Array, x: Array, factor: Any) -> None:
    for d in range(x.size):
        w[d] += factor * x[d]


@numba.njit(nogil=True, cache=True)
def multiply_within(Z: Array, products: Array) -> None:
    """Add the products of each row with itself and the earlier rows of its block to ``products``."""
    size = products.shape[1]
    for block in range(len(products)):
        part = Z[block * size : (block + 1) * size]
        for i in range(0, size, TILE_ROWS):
            j = i + TILE_ROWS
            add_scores(part[i:j], part[:j], products[block, i:j, :j], 0)
