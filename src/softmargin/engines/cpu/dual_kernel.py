"""The kernel of dual ascent: rows of some blocks, visited one after the other.

For a block of rows the products of their features are one small matrix, so the rows can be maximised in turn
without touching W; one product brings the block's changes into W.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from softmargin.engines.cpu.row_code import call_code
from softmargin.engines.cpu.tiles import accumulate_gradient, add_scores
from softmargin.losses.base import Floats, Ints
from softmargin.losses.rows import ANY_ORDER

__all__ = ["SMALLEST_CURVATURE", "TILE_BYTES", "TILE_ROWS", "multiply_within", "visit"]

_FEW = 8
"""A row is gone through by a list of its changed entries where they are fewer than the classes over this."""

_COST_OF_ENTRY = 4
"""What a changed entry brought into W by itself takes, where 1 is its share of a whole product."""

TILE_ROWS = 12

SMALLEST_CURVATURE = 1e-200

TILE_BYTES = 1 << 20
"""Up to this size of W the compiled tiles multiply, which take short blocks better than BLAS does."""


@numba.njit(nogil=True, cache=True)
def visit(
    code: int,
    numbers: Floats,
    Z: NDArray[Any],
    products: NDArray[Any],
    Wt: NDArray[Any],
    b: Floats,
    sums: Floats,
    A: NDArray[Any],
    rows: Ints,
    y: Ints,
    weights: Floats,
    factor: float,
    pull: float,
    values: Floats,
    gaps: Floats,
) -> None:
    """Maximise the dual over some blocks of rows in turn.

    ``products`` (blocks, rows, rows) are those of the features within each block, ``pull`` is the square of the
    constant feature. ``values`` and ``gaps`` become the weighted losses and gaps of the rows as they were found.
    """
    n_block, n_classes = products.shape[1], Wt.shape[0]
    scores = np.empty((n_block, n_classes), Z.dtype)
    changes = np.empty((n_block, n_classes))
    s, change, scratch, gap = np.empty(n_classes), np.empty(n_classes), np.empty(n_classes), np.empty(1)
    # A margin loss changes few entries of a row: these rows are gone through by a list of the entries.
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
            _take_off(s, K[i], pull, changes, full[:n_full])
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
                _list_entries(change, entries[i])
                listed[n_listed] = i
                n_listed += 1
        _bring_in(part, changes[:n], n_entries[:n], full[:n_full], listed[:n_listed], entries, Wt)
        for k in full[:n_full]:
            for j in range(n_classes):
                b[j] -= pull * changes[k, j]
                sums[j] += changes[k, j] / factor
        for k in listed[:n_listed]:
            for j in entries[k, : n_entries[k]]:
                b[j] -= pull * changes[k, j]
                sums[j] += changes[k, j] / factor


@register_jitable(fastmath=set(ANY_ORDER), forceinline=True)
def _take_off(s: Floats, k: NDArray[Any], pull: float, changes: Floats, movers: Ints) -> None:
    """Take off the scores what the rows before have changed, four of them at a time."""
    n = 0
    while n + 4 <= movers.size:
        i0, i1, i2, i3 = movers[n], movers[n + 1], movers[n + 2], movers[n + 3]
        k0, k1, k2, k3 = k[i0] + pull, k[i1] + pull, k[i2] + pull, k[i3] + pull
        c0, c1, c2, c3 = changes[i0], changes[i1], changes[i2], changes[i3]
        for j in range(s.size):
            s[j] -= (k0 * c0[j] + k1 * c1[j]) + (k2 * c2[j] + k3 * c3[j])
        n += 4
    while n < movers.size:
        c, k0 = changes[movers[n]], k[movers[n]] + pull
        for j in range(s.size):
            s[j] -= k0 * c[j]
        n += 1


@register_jitable(forceinline=True)
def _list_entries(change: Floats, entries: Ints) -> None:
    n = 0
    for j in range(change.size):
        if change[j] != 0.0:
            entries[n] = j
            n += 1


@register_jitable(forceinline=True)
def _bring_in(
    X: NDArray[Any],
    changes: Floats,
    n_entries: Ints,
    full: Ints,
    listed: Ints,
    entries: Ints,
    Wt: NDArray[Any],
) -> None:
    """Wt -= changes.T @ X: the whole product, or where most entries are zero the others one by one."""
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
def _add_row(w: NDArray[Any], x: NDArray[Any], factor: Any) -> None:
    for d in range(x.size):
        w[d] += factor * x[d]


@numba.njit(nogil=True, cache=True)
def multiply_within(Z: NDArray[Any], products: NDArray[Any]) -> None:
    """Add the products of each row with those before it in its block to ``products`` (blocks, rows, rows)."""
    size = products.shape[1]
    for block in range(len(products)):
        part = Z[block * size : (block + 1) * size]
        for i in range(0, size, TILE_ROWS):
            j = i + TILE_ROWS
            add_scores(part[i:j], part[:j], products[block, i:j, :j], 0)
