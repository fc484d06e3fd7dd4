"""Compiled loops over dense rows. X is of a type that the products read, see `softmargin.engines.cpu.products`."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.cpu.native import call_code
from softmargin.engines.cpu.plain import half_to_single
from softmargin.engines.cpu.products import Array
from softmargin.losses.base import Floats, Ints

__all__ = [
    "PART_ROWS", "Point", "Scratch", "add_by_class", "add_gradients", "add_moments", "add_pairs",
    "gather_rows", "widen_half",
]  # fmt: skip

_PRODUCT = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"}, forceinline=True)
"""Products may be summed in any order, so that they can be vectorised; inf and NaN keep their meaning."""

PART_ROWS = 516
"""Number of rows per partial sum, which may be in float32."""


class Point(NamedTuple):
    """K points at which gradients are computed at once, with their classes concatenated.

    Attributes
    ----------
    Wt : ndarray of shape (K C, D or more)
    b : ndarray of shape (K C,)
        Both have the type of the arithmetic.
    offsets : ndarray of shape (N, K C) or (0, K C), float64
        Added to the scores, if not empty.
    """

    Wt: Array
    b: Array
    offsets: Floats


class Scratch(NamedTuple):
    """Buffers of a compiled loop over blocks of n rows.

    Attributes
    ----------
    X : ndarray of shape (n, D)
        A copy of rows that are not contiguous.
    S : ndarray of shape (n, K C)
    S_k : ndarray of shape (n, C)
        The scores at one of several points.
    y, weights : ndarray of shape (n,)
    part : ndarray of shape (K C, D or more)
        A partial sum, of the type of the arithmetic, as S and ``S_k`` are.
    """

    X: Array
    S: Array
    S_k: Array
    y: Ints
    weights: Floats
    part: Array


@numba.njit(nogil=True, cache=True)
def add_gradients(
    X: Array, y: Ints, weights: Floats, rows: Ints, point: Point, codes: tuple[int, int, int], numbers: Floats,
    scores_out: Array, scratch: Scratch, values: Floats, Gt: Floats, g: Floats,
) -> None:  # fmt: skip
    """Add the gradients of ``rows`` of X at K points to Gt (K C, D) and g (K C,).

    The scores are X @ Wt.T + b, and are written into ``scores_out`` unless it is empty. ``codes`` are the
    addresses of `score_product`, `gradient_product`, and `gradient_code`, which turns scores into dual rows. The
    rows are processed in blocks of the size of the buffers, which should stay in cache; a block of rows that are
    not contiguous in X is copied. ``weights`` (K, N) are those of each point, or (1, N) of all. The sum of the
    losses is added to row k of ``values`` (K, 2), a sum and its rounding error.
    """
    Wt, b, offsets = point
    n_points, n_block, n_features = len(values), scratch.y.size, X.shape[1]
    n_all = Wt.shape[0]
    n_classes = n_all // n_points
    part = scratch.part
    n_added = 0
    for start in range(0, rows.size, n_block):
        n, first = min(n_block, rows.size - start), rows[start]
        contiguous = rows[start + n - 1] - first == n - 1
        Z, S, labels, shares = X[first : first + n], scratch.S[:n], scratch.y[:n], scratch.weights[:n]
        if not contiguous:
            Z = scratch.X[:n]
        for i in range(n):
            row = rows[start + i]
            labels[i] = y[row]
            for j in range(n_all):
                S[i, j] = b[j]
            if offsets.shape[0] > 0:
                for j in range(n_all):
                    S[i, j] += offsets[row, j]
            if not contiguous:
                for d in range(n_features):
                    Z[i, d] = X[row, d]
        distance = n_block if contiguous else 0
        call_code(codes[0], (Z, n, n_features, Wt, n_all, Wt.shape[1], S, n_all, distance))
        if scores_out.shape[0] > 0:
            for i in range(n):
                for j in range(n_all):
                    scores_out[start + i, j] = S[i, j]
        for k in range(n_points):
            A = S if n_points == 1 else scratch.S_k[:n]
            before = k * n_classes
            given = weights[k if len(weights) > 1 else 0]
            for i in range(n):
                shares[i] = given[rows[start + i]]
                if n_points > 1 or shares[i] == 0.0:
                    # A row of weight 0 must not contribute, even if its scores have overflowed.
                    for j in range(n_classes):
                        A[i, j] = S[i, before + j] if shares[i] > 0.0 else 0.0
            found = call_code(codes[2], (numbers, A, n, n_classes, labels, shares))
            value = values[k, 0]
            total = value + found
            # Fast two-sum: losses are not negative, so the running total is soon the larger operand.
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
        call_code(codes[1], (Z, n, n_features, S, n_all, n_all, part, part.shape[1], distance))
        for i in range(n):
            for j in range(n_all):
                g[j] += S[i, j]
        n_added += n
        if n_added + n_block > PART_ROWS or start + n_block >= rows.size:
            for j in range(n_all):
                for d in range(n_features):
                    Gt[j, d] += part[j, d]
            n_added = 0


@_PRODUCT
def add_moments(X: Array, weights: Array, mean: Array, total: Array) -> None:
    """Add Σ weight · (x - mean) to the first row of ``total`` (2, D), and Σ weight · (x - mean)² to the second."""
    sums, squares, i = total[0], total[1], 0
    while i + 4 <= X.shape[0]:
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        for d in range(mean.size):
            m = mean[d]
            v0, v1, v2, v3 = x0[d] - m, x1[d] - m, x2[d] - m, x3[d] - m
            u0, u1, u2, u3 = w0 * v0, w1 * v1, w2 * v2, w3 * v3
            sums[d] += (u0 + u1) + (u2 + u3)
            squares[d] += (u0 * v0 + u1 * v1) + (u2 * v2 + u3 * v3)
        i += 4
    while i < X.shape[0]:
        x, w = X[i], weights[i]
        for d in range(mean.size):
            v = x[d] - mean[d]
            sums[d] += w * v
            squares[d] += w * v * v
        i += 1


@_PRODUCT
def add_by_class(X: Array, y: Array, weights: Array, Gt: Array) -> None:
    """Add each row times its weight to the row of Gt of its class."""
    for i in range(X.shape[0]):
        x, g, weight = X[i], Gt[y[i]], weights[i]
        for d in range(X.shape[1]):
            g[d] += weight * x[d]


@_PRODUCT
def add_pairs(
    X: tuple[Array, Array],
    rival: Array,
    target: Array,
    factors: Array,
    Vt: Array,
    c: Array,
    Gt: Array,
    g: Array,
) -> None:
    """Compute what `BlockEngine._add_pairs` specifies, for four pairs of the same classes at a time."""
    values, rows = X
    n, D = len(rows), values.shape[1]
    number = Vt.dtype.type
    difference, total = np.empty(D, Vt.dtype), np.empty(D, Vt.dtype)
    i = 0
    while i < n:
        j, y = rival[i], target[i]
        last = i + 1
        while last < n and rival[last] == j and target[last] == y:
            last += 1
        vj, vy = Vt[j][:D], Vt[y][:D]
        for d in range(D):
            difference[d] = vj[d] - vy[d]
            total[d] = number(0)
        shift, sums = c[j] - c[y], 0.0
        while i + 4 <= last:
            x0, x1 = values[rows[i]][:D], values[rows[i + 1]][:D]
            x2, x3 = values[rows[i + 2]][:D], values[rows[i + 3]][:D]
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
            x = values[rows[i]][:D]
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
def gather_rows(X: Array, rows: Ints, mean: Array, rest: Array, scale: Array, Z: Array) -> None:
    """Z = (X[rows] - mean - rest) * scale in the type of Z, in one loop; NumPy would pass over Z four times."""
    for i in range(rows.size):
        x, z = X[rows[i]], Z[i]
        for d in range(z.size):
            z[d] = ((Z.dtype.type(x[d]) - mean[d]) - rest[d]) * scale[d]


@_PRODUCT
def widen_half(bits: NDArray[np.uint16], numbers: NDArray[np.float32]) -> None:
    """Convert float16, viewed as uint16, to float32."""
    for i in range(bits.size):
        numbers[i] = half_to_single(bits[i])
