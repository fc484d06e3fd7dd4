"""Compiled products of a block of dense rows with few columns, in tiles that stay in registers.

``X`` is (n, D), contiguous, of float32, float64 or bytes; ``Wt`` and ``Gt`` are (C, D). Sums are added up in the
type of ``Wt`` or of the result.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = [
    "add_back",
    "add_back_in_parts",
    "add_by_class",
    "add_pairs",
    "add_rows",
    "add_scores",
    "add_squares",
    "widen_half",
]

_PRODUCT = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"}, forceinline=True)
"""Products may be summed in any order (that is what vectors are); inf and NaN keep their meaning."""


_LONG_ROW = 256
"""Bytes of a row from which on the next rows are asked for while these are multiplied: it costs with shorter."""


def _ask_for(typing: Any, array: Any, place: Any) -> Any:
    """Ask for the cache line of a place of a contiguous array, which may lie beyond its end: nothing is read."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(function, [address, number(0), number(3), number(1)])  # to read, into every cache, data
        return context.get_dummy_value()

    return types.void(array, types.intp), code


_prefetch: Any = intrinsic(_ask_for)


@_PRODUCT
def add_scores(X: NDArray[Any], Wt: NDArray[Any], S: NDArray[Any]) -> None:
    """S += X @ Wt.T, four rows and three classes at a time."""
    n, C, D = X.shape[0], Wt.shape[0], Wt.shape[1]
    zero = Wt.dtype.type(0)  # of the type to add up in
    numbers, line = X.reshape(-1), 64 // X.itemsize
    share = 4 * D // max(1, C // 3) + 1 if D * X.itemsize >= _LONG_ROW else 0
    i = 0
    while i + 4 <= n:
        x0, x1, x2, x3 = X[i][:D], X[i + 1][:D], X[i + 2][:D], X[i + 3][:D]
        ahead = (i + 4) * D
        j = 0
        while j + 3 <= C:
            for place in range(ahead, ahead + share, line):
                _prefetch(numbers, place)
            ahead += share
            w0, w1, w2 = Wt[j][:D], Wt[j + 1][:D], Wt[j + 2][:D]
            s00 = s01 = s02 = s10 = s11 = s12 = s20 = s21 = s22 = s30 = s31 = s32 = zero
            for d in range(D):
                u0, u1, u2 = w0[d], w1[d], w2[d]
                v = x0[d]
                s00 += v * u0
                s01 += v * u1
                s02 += v * u2
                v = x1[d]
                s10 += v * u0
                s11 += v * u1
                s12 += v * u2
                v = x2[d]
                s20 += v * u0
                s21 += v * u1
                s22 += v * u2
                v = x3[d]
                s30 += v * u0
                s31 += v * u1
                s32 += v * u2
            S[i, j] += s00
            S[i, j + 1] += s01
            S[i, j + 2] += s02
            S[i + 1, j] += s10
            S[i + 1, j + 1] += s11
            S[i + 1, j + 2] += s12
            S[i + 2, j] += s20
            S[i + 2, j + 1] += s21
            S[i + 2, j + 2] += s22
            S[i + 3, j] += s30
            S[i + 3, j + 1] += s31
            S[i + 3, j + 2] += s32
            j += 3
        if j == 0:
            for place in range(ahead, ahead + share, line):
                _prefetch(numbers, place)
        while j < C:
            w = Wt[j][:D]
            s0 = s1 = s2 = s3 = zero
            for d in range(D):
                u = w[d]
                s0 += x0[d] * u
                s1 += x1[d] * u
                s2 += x2[d] * u
                s3 += x3[d] * u
            S[i, j] += s0
            S[i + 1, j] += s1
            S[i + 2, j] += s2
            S[i + 3, j] += s3
            j += 1
        i += 4
    while i < n:
        x = X[i][:D]
        for j in range(C):
            w = Wt[j][:D]
            s = zero
            for d in range(D):
                s += x[d] * w[d]
            S[i, j] += s
        i += 1


@_PRODUCT
def add_back(X: NDArray[Any], A: NDArray[Any], Gt: NDArray[Any]) -> None:
    """Gt += A.T @ X, six rows and two classes at a time."""
    n, C, D = X.shape[0], Gt.shape[0], Gt.shape[1]
    i = 0
    while i + 6 <= n:
        x0, x1, x2 = X[i][:D], X[i + 1][:D], X[i + 2][:D]
        x3, x4, x5 = X[i + 3][:D], X[i + 4][:D], X[i + 5][:D]
        j = 0
        while j + 2 <= C:
            g0, g1 = Gt[j][:D], Gt[j + 1][:D]
            a00, a10, a20, a30, a40, a50 = A[i, j], A[i + 1, j], A[i + 2, j], A[i + 3, j], A[i + 4, j], A[i + 5, j]
            k = j + 1
            a01, a11, a21, a31, a41, a51 = A[i, k], A[i + 1, k], A[i + 2, k], A[i + 3, k], A[i + 4, k], A[i + 5, k]
            for d in range(D):
                v0, v1, v2, v3, v4, v5 = x0[d], x1[d], x2[d], x3[d], x4[d], x5[d]
                g0[d] += (v0 * a00 + v1 * a10) + (v2 * a20 + v3 * a30) + (v4 * a40 + v5 * a50)
                g1[d] += (v0 * a01 + v1 * a11) + (v2 * a21 + v3 * a31) + (v4 * a41 + v5 * a51)
            j += 2
        if j < C:
            g = Gt[j][:D]
            a0, a1, a2, a3, a4, a5 = A[i, j], A[i + 1, j], A[i + 2, j], A[i + 3, j], A[i + 4, j], A[i + 5, j]
            for d in range(D):
                g[d] += (x0[d] * a0 + x1[d] * a1) + (x2[d] * a2 + x3[d] * a3) + (x4[d] * a4 + x5[d] * a5)
        i += 6
    while i < n:
        x = X[i][:D]
        for j in range(C):
            g = Gt[j][:D]
            a = A[i, j]
            for d in range(D):
                g[d] += x[d] * a
        i += 1


_PART_ROWS = 516
"""Rows whose float32 products are added up in float32: whole tiles."""


@_PRODUCT
def add_back_in_parts(X: NDArray[Any], A: NDArray[Any], part: NDArray[Any], Gt: NDArray[Any]) -> None:
    """Gt += A.T @ X, in float64 over parts of rows; ``part`` is scratch of the shape of Gt."""
    for start in range(0, X.shape[0], _PART_ROWS):
        for j in range(part.shape[0]):
            for d in range(part.shape[1]):
                part[j, d] = 0.0
        add_back(X[start : start + _PART_ROWS], A[start : start + _PART_ROWS], part)
        for j in range(part.shape[0]):
            for d in range(part.shape[1]):
                Gt[j, d] += part[j, d]


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
    wrong: NDArray[Any],
    right: NDArray[Any],
    factors: NDArray[Any],
    Vt: NDArray[Any],
    c: NDArray[Any],
    Gt: NDArray[Any],
    g: NDArray[Any],
) -> None:
    """Do what ``BlockEngine._add_pairs`` says, four pairs of the same classes at a time."""
    n, D = X.shape
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
            x0, x1, x2, x3 = X[i][:D], X[i + 1][:D], X[i + 2][:D], X[i + 3][:D]
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
            x = X[i][:D]
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


@_PRODUCT
def widen_half(bits: NDArray[np.uint16], numbers: NDArray[np.float32]) -> None:
    """Turn the bits of float16 into float32, in a form that becomes vectors on any processor."""
    for i in range(bits.size):
        word = np.uint32(bits[i])
        # As the bits of a float32 with the same exponent field, a number is 2^112 times too small.
        small = np.uint32((word & np.uint32(0x7FFF)) << np.uint32(13)).view(np.float32)
        size = np.float32(small * np.float32(2.0**112))
        special = np.uint32(0x7F800000) if size >= np.float32(65536.0) else np.uint32(0)  # infinity and NaN
        sign = np.uint32((word & np.uint32(0x8000)) << np.uint32(16))
        numbers[i] = np.uint32(size.view(np.uint32) | special | sign).view(np.float32)
