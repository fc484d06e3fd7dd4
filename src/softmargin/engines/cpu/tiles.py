"""Compiled products of a block of dense rows with few columns, in tiles that stay in registers.

``X`` is (n, D), contiguous, of float32, float64, bytes or the bits of float16; ``Wt`` and ``Gt`` are (C, D), or
their rows are longer: what follows in them is left alone. Sums are added up in the type of ``Wt`` or the result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.cpu.microkernel import MOST_CLASSES, accumulate_tile_gradient, add_tile_scores
from softmargin.engines.cpu.plain import half_to_single
from softmargin.engines.cpu.row_code import call_code

__all__ = [
    "Point",
    "Scratch",
    "accumulate_gradient",
    "accumulate_gradient_in_parts",
    "add_by_class",
    "add_gradients",
    "add_pairs",
    "add_rows",
    "add_scores",
    "add_squares",
    "gather_rows",
    "widen_half",
]

_PRODUCT = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"}, forceinline=True)
"""Products may be summed in any order (that is what vectors are); inf and NaN keep their meaning."""

_TILED = numba.njit(nogil=True, cache=True)
"""The tiles leave nothing open; called and not inlined, they keep the registers to themselves."""


@_TILED
def _width(n: int) -> int:
    """Return how many of the n classes that are left to take at once, so that all groups are about as large."""
    n_groups = -(-n // MOST_CLASSES)
    return -(-n // n_groups)


@_TILED
def _prefetched_by(width: int, n_classes: int, distance: int) -> int:
    """Return how many of the two rows that four rows prefetch this many of the classes prefetch."""
    return max(2 * width // n_classes, 1) if distance > 0 else 0


@_TILED
def add_scores(X: NDArray[Any], Wt: NDArray[Any], S: NDArray[Any], distance: int) -> None:
    """S += X @ Wt.T, four rows and a few classes at a time.

    Meanwhile the first half of the rows that lie ``distance`` further are prefetched, unless this is 0; each group
    of classes prefetches its share, as memory delivers them no faster. X is then contiguous, these rows
    included.
    """
    n, C = X.shape[0], Wt.shape[0]
    n_tiled = n // 4 * 4 if C > 1 else 0
    share = _prefetched_by(_width(C), C, distance)
    for i in range(0, n_tiled, 4):
        prefetch, j = i // 2 + distance, 0
        end = prefetch + 2
        while j < C:
            n_prefetch = min(share, end - prefetch)
            width = _width(C - j)
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


@_TILED
def accumulate_gradient(X: NDArray[Any], A: NDArray[Any], Gt: NDArray[Any], distance: int) -> None:
    """Gt += A.T @ X, four rows and a few classes at a time.

    Meanwhile the second half of the rows that lie ``distance`` further are prefetched, as in `add_scores`.
    """
    n, C = X.shape[0], Gt.shape[0]
    n_tiled = n // 4 * 4 if C > 1 else 0
    share = _prefetched_by(_width(C), C, distance)
    for i in range(0, n_tiled, 4):
        prefetch, j = n // 2 + i // 2 + distance, 0
        end = prefetch + 2
        while j < C:
            n_prefetch = min(share, end - prefetch)
            width = _width(C - j)
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


_PART_ROWS = 516
"""Rows whose products are added up in one part, which may be in float32."""


@_PRODUCT
def accumulate_gradient_in_parts(X: NDArray[Any], A: NDArray[Any], part: NDArray[Any], Gt: NDArray[Any]) -> None:
    """Gt += A.T @ X, in float64 over parts of rows; ``part`` is scratch of the shape of Gt."""
    for start in range(0, X.shape[0], _PART_ROWS):
        part[:] = part.dtype.type(0)
        accumulate_gradient(X[start : start + _PART_ROWS], A[start : start + _PART_ROWS], part, 0)
        for j in range(part.shape[0]):
            for d in range(part.shape[1]):
                Gt[j, d] += part[j, d]


class Point(NamedTuple):
    """Where gradients are taken: K points at once, whose classes follow one another as if all were of one.

    Attributes
    ----------
    Wt : ndarray of shape (K C, D or more)
    b : ndarray of shape (K C,)
        Both of the type to compute in.
    offsets : ndarray of shape (N, K C) or (0, K C), float64
        Added to the scores of each row, if there are any.
    """

    Wt: NDArray[Any]
    b: NDArray[Any]
    offsets: NDArray[np.float64]


class Scratch(NamedTuple):
    """What a compiled loop writes into on its way: a block of rows, with a part of the sum.

    Attributes
    ----------
    X : ndarray of shape (n, D)
        For rows that do not follow one another.
    S : ndarray of shape (n, K C)
    of_one : ndarray of shape (n, C)
    y, weights : ndarray of shape (n,)
    part : ndarray of shape (K C, D or more)
        Of the type to compute in, as S and ``of_one`` are.
    """

    X: NDArray[Any]
    S: NDArray[Any]
    of_one: NDArray[Any]
    y: NDArray[np.int64]
    weights: NDArray[np.float64]
    part: NDArray[Any]


@_TILED
def add_gradients(
    X: NDArray[Any],
    y: NDArray[np.int64],
    weights: NDArray[np.float64],
    rows: NDArray[np.int64],
    point: Point,
    code: int,
    numbers: NDArray[np.float64],
    kept: NDArray[Any],
    scratch: Scratch,
    values: NDArray[np.float64],
    Gt: NDArray[np.float64],
    g: NDArray[np.float64],
) -> None:
    """Add the dual rows of rows of X at K points, times their features and alone, to Gt (K C, D) and g (K C,).

    The scores are X @ Wt.T + b, and are written into ``kept`` unless this is empty. The function at the
    address ``code`` turns them into dual rows, see `gradient_code`. The rows are processed in blocks of the size
    of the scratch, which should stay in cache; where rows do not follow one another in X, a block is copied.
    ``weights`` (K, N) are those of each point, or (1, N) of all. The sum of its losses is added to the two numbers
    that ``values`` (K, 2) has for it, which make a sum of more digits.
    """
    Wt, b, offsets = point
    n_points, n_block, n_features = len(values), scratch.y.size, X.shape[1]
    n_all = Wt.shape[0]
    n_classes = n_all // n_points
    part = scratch.part
    n_added = 0
    for start in range(0, rows.size, n_block):
        n, first = min(n_block, rows.size - start), rows[start]
        follow = rows[start + n - 1] - first == n - 1
        Z, S, labels, shares = X[first : first + n], scratch.S[:n], scratch.y[:n], scratch.weights[:n]
        if not follow:
            Z = scratch.X[:n]
        for i in range(n):
            row = rows[start + i]
            labels[i] = y[row]
            for j in range(n_all):
                S[i, j] = b[j]
            if offsets.shape[0] > 0:
                for j in range(n_all):
                    S[i, j] += offsets[row, j]
            if not follow:
                for d in range(n_features):
                    Z[i, d] = X[row, d]
        add_scores(Z, Wt, S, n_block if follow else 0)
        if kept.shape[0] > 0:
            for i in range(n):
                for j in range(n_all):
                    kept[start + i, j] = S[i, j]
        for k in range(n_points):
            A = S if n_points == 1 else scratch.of_one[:n]
            before = k * n_classes
            given = weights[k if len(weights) > 1 else 0]
            for i in range(n):
                shares[i] = given[rows[start + i]]
                if n_points > 1 or shares[i] == 0.0:
                    # Of a row without weight nothing may remain, though its scores have left the range.
                    for j in range(n_classes):
                        A[i, j] = S[i, before + j] if shares[i] > 0.0 else 0.0
            found = call_code(code, (numbers, A, n, n_classes, labels, shares))
            value = values[k, 0]
            total = value + found
            # By rounding: losses are not negative, so the sum is soon the larger.
            values[k, 1] += (value - total) + found
            values[k, 0] = total
            if n_points > 1:
                for i in range(n):
                    for j in range(n_classes):
                        S[i, before + j] = A[i, j]
        if n_added == 0:
            for j in range(n_all):
                for d in range(n_features):
                    part[j, d] = 0.0
        accumulate_gradient(Z, S, part, n_block if follow else 0)
        for i in range(n):
            for j in range(n_all):
                g[j] += S[i, j]
        n_added += n
        if n_added + n_block > _PART_ROWS or start + n_block >= rows.size:
            for j in range(n_all):
                for d in range(n_features):
                    Gt[j, d] += part[j, d]
            n_added = 0


@_PRODUCT
def add_rows(X: NDArray[Any], weights: NDArray[Any], total: NDArray[Any]) -> None:
    """Add weight times x."""
    i, D = 0, X.shape[1]
    while i + 4 <= len(X):
        x0, x1, x2, x3 = X[i][:D], X[i + 1][:D], X[i + 2][:D], X[i + 3][:D]
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        for d in range(D):
            total[d] += (w0 * x0[d] + w1 * x1[d]) + (w2 * x2[d] + w3 * x3[d])
        i += 4
    while i < len(X):
        x, w = X[i][:D], weights[i]
        for d in range(D):
            total[d] += w * x[d]
        i += 1


@_PRODUCT
def add_squares(X: NDArray[Any], weights: NDArray[Any], mean: NDArray[Any], total: NDArray[Any]) -> None:
    """Add weight times (x - mean)²."""
    i, D = 0, X.shape[1]
    while i + 4 <= len(X):
        x0, x1, x2, x3 = X[i][:D], X[i + 1][:D], X[i + 2][:D], X[i + 3][:D]
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        for d in range(D):
            m = mean[d]
            v0, v1, v2, v3 = x0[d] - m, x1[d] - m, x2[d] - m, x3[d] - m
            total[d] += (w0 * v0 * v0 + w1 * v1 * v1) + (w2 * v2 * v2 + w3 * v3 * v3)
        i += 4
    while i < len(X):
        x, w = X[i][:D], weights[i]
        for d in range(D):
            v = x[d] - mean[d]
            total[d] += w * v * v
        i += 1


@_PRODUCT
def add_by_class(X: NDArray[Any], y: NDArray[Any], weights: NDArray[Any], Gt: NDArray[Any]) -> None:
    """Add each row times its weight to the row of Gt of its class."""
    for i in range(X.shape[0]):
        x, g, weight = X[i], Gt[y[i]], weights[i]
        for d in range(X.shape[1]):
            g[d] += weight * x[d]


@_PRODUCT
def add_pairs(
    X: NDArray[Any],
    rows: NDArray[Any],
    wrong: NDArray[Any],
    right: NDArray[Any],
    factors: NDArray[Any],
    Vt: NDArray[Any],
    c: NDArray[Any],
    Gt: NDArray[Any],
    g: NDArray[Any],
) -> None:
    """Do what ``BlockEngine._add_pairs`` says, four pairs of the same classes at a time."""
    n, D = len(rows), X.shape[1]
    number = Vt.dtype.type
    difference, total = np.empty(D, Vt.dtype), np.empty(D, Vt.dtype)
    i = 0
    while i < n:
        j, y = wrong[i], right[i]
        last = i + 1
        while last < n and wrong[last] == j and right[last] == y:
            last += 1
        vj, vy = Vt[j][:D], Vt[y][:D]
        for d in range(D):
            difference[d] = vj[d] - vy[d]
            total[d] = number(0)
        shift, sums = c[j] - c[y], 0.0
        while i + 4 <= last:
            x0, x1 = X[rows[i]][:D], X[rows[i + 1]][:D]
            x2, x3 = X[rows[i + 2]][:D], X[rows[i + 3]][:D]
            s0 = s1 = s2 = s3 = number(0)
            for d in range(D):
                v = difference[d]
                s0 += x0[d] * v
                s1 += x1[d] * v
                s2 += x2[d] * v
                s3 += x3[d] * v
            z0, z1 = factors[i] * (s0 + shift), factors[i + 1] * (s1 + shift)
            z2, z3 = factors[i + 2] * (s2 + shift), factors[i + 3] * (s3 + shift)
            a0, a1, a2, a3 = number(z0), number(z1), number(z2), number(z3)
            for d in range(D):
                total[d] += (x0[d] * a0 + x1[d] * a1) + (x2[d] * a2 + x3[d] * a3)
            sums += (z0 + z1) + (z2 + z3)
            i += 4
        while i < last:
            x = X[rows[i]][:D]
            s = number(0)
            for d in range(D):
                s += x[d] * difference[d]
            z = factors[i] * (s + shift)
            a = number(z)
            for d in range(D):
                total[d] += x[d] * a
            sums += z
            i += 1
        gj, gy = Gt[j][:D], Gt[y][:D]
        for d in range(D):
            gj[d] += total[d]
            gy[d] -= total[d]
        g[j] += sums
        g[y] -= sums


@numba.njit(nogil=True, cache=True)
def gather_rows(
    X: NDArray[Any],
    rows: NDArray[np.int64],
    mean: NDArray[Any],
    rest: NDArray[Any],
    scale: NDArray[Any],
    Z: NDArray[Any],
) -> None:
    """Z = (X[rows] - mean - rest) * scale, in the type of Z and in one go: NumPy would walk over Z four times."""
    for i in range(rows.size):
        x, z = X[rows[i]], Z[i]
        for d in range(z.size):
            z[d] = ((Z.dtype.type(x[d]) - mean[d]) - rest[d]) * scale[d]


@_PRODUCT
def widen_half(bits: NDArray[np.uint16], numbers: NDArray[np.float32]) -> None:
    """Turn the bits of float16 into float32."""
    for i in range(bits.size):
        numbers[i] = half_to_single(bits[i])
