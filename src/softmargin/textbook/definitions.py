"""The definitions of the three objectives, as plain loops and as plain NumPy.

These functions are written to be read, not to be fast. Every fast implementation of the package is tested against
them. All of them compute

    F(W, b) = (1/N) Σ_i L(s_i, y_i)  +  reg · Σ_dc W_dc²,        s_i = x_i W + b

with one row of X per sample, one column of W per class, and this loss L of one row of scores:

    multiclass SVM (hinge)      Σ_{j≠y} max(0, s_j − s_y + delta)
    squared hinge (L2-SVM)      Σ_{j≠y} max(0, s_j − s_y + delta)²
    cross-entropy (softmax)     log Σ_j exp(s_j) − s_y

Two errors are common in published versions of these functions. Neither stops a program from running:

1. *Dividing by the number of columns instead of rows.* The data loss is a mean over the N samples.
   `X.shape[1]` is the number of features D. Some texts store samples as columns and some as rows, and code that
   mixes the two divides by the wrong number. The data loss is then wrong by the factor N/D, and the optimum is
   that of `reg · D/N`.
2. *Mixing λ with ½λ.* The penalty here is `reg · ΣW²` without ½, so its gradient is `2 · reg · W`. Code that takes
   the value from one convention and the gradient from the other minimises neither. A `reg` tuned under one
   convention is wrong by a factor of two under the other.

The bias `b` is optional and not penalised. A bias can also be written as a column of ones in X. Its row of W is
then penalised like every other, which is a different objective.

The `naive` functions also accept nested lists of floats. All sums are in double precision, for any type of X.
Labels must be integers from 0 to C − 1, and there must be at least one row. The arguments are not validated.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "softmax_loss_naive",
    "softmax_loss_vectorized",
    "squared_hinge_loss_naive",
    "squared_hinge_loss_vectorized",
    "svm_loss_naive",
    "svm_loss_vectorized",
]

Matrix: TypeAlias = npt.NDArray[Any] | Sequence[Sequence[float]]
Vector: TypeAlias = npt.NDArray[Any] | Sequence[float]
Labels: TypeAlias = npt.NDArray[Any] | Sequence[int]


def svm_loss_naive(
    W: Matrix, X: Matrix, y: Labels, reg: float, delta: float = 1.0, *, b: Vector | None = None
) -> float:
    """Multiclass SVM objective (Weston–Watkins hinge), as loops.

    F = (1/N) Σ_i Σ_{j≠y_i} max(0, s_ij − s_iy_i + delta)  +  reg · Σ_dc W_dc²

    Parameters
    ----------
    W : (D, C) array or nested list
        Weights, one column per class.
    X : (N, D) array or nested list
        Features, one row per sample.
    y : (N,) array or list of int
        Labels, 0 ≤ y_i < C.
    reg : float
        λ, the factor of ΣW² (without ½).
    delta : float, default 1.0
        Margin: the loss of a class j with s_y − s_j ≥ delta is zero.
    b : (C,) array or list, optional
        Bias, not penalised; by default zero.

    Returns
    -------
    float
        The objective F.

    References
    ----------
    Weston, Watkins: Support vector machines for multi-class pattern recognition, ESANN 1999.
    """
    total = 0.0
    for i in range(len(X)):
        s = _scores_of_row(W, X[i], b)
        y_i = int(y[i])
        for j in range(len(s)):
            if j != y_i:
                # The difference comes first: max(nan, 0.0) is nan, but max(0.0, nan) is 0.0.
                total += max(s[j] - s[y_i] + delta, 0.0)
    return total / len(X) + reg * _sum_of_squares(W)


def svm_loss_vectorized(
    W: Matrix, X: Matrix, y: Labels, reg: float, delta: float = 1.0, *, b: Vector | None = None
) -> float:
    """Multiclass SVM objective (Weston–Watkins hinge), in NumPy.

    F = (1/N) Σ_i Σ_{j≠y_i} max(0, s_ij − s_iy_i + delta)  +  reg · Σ_dc W_dc²

    Parameters
    ----------
    W : (D, C) array_like
        Weights, one column per class.
    X : (N, D) array_like
        Features, one row per sample.
    y : (N,) array_like of int
        Labels, 0 ≤ y_i < C.
    reg : float
        λ, the factor of ΣW² (without ½).
    delta : float, default 1.0
        Margin: the loss of a class j with s_y − s_j ≥ delta is zero.
    b : (C,) array_like, optional
        Bias, not penalised; by default zero.

    Returns
    -------
    float
        The objective F.
    """
    losses = np.maximum(_violations(W, X, y, delta, b), 0.0).sum(axis=1)
    return float(losses.mean() + reg * np.square(W, dtype=np.float64).sum())


def squared_hinge_loss_naive(
    W: Matrix, X: Matrix, y: Labels, reg: float, delta: float = 1.0, *, b: Vector | None = None
) -> float:
    """Squared-hinge objective (L2-SVM), as loops.

    F = (1/N) Σ_i Σ_{j≠y_i} max(0, s_ij − s_iy_i + delta)²  +  reg · Σ_dc W_dc²

    Parameters
    ----------
    W : (D, C) array or nested list
        Weights, one column per class.
    X : (N, D) array or nested list
        Features, one row per sample.
    y : (N,) array or list of int
        Labels, 0 ≤ y_i < C.
    reg : float
        λ, the factor of ΣW² (without ½).
    delta : float, default 1.0
        Margin: the loss of a class j with s_y − s_j ≥ delta is zero.
    b : (C,) array or list, optional
        Bias, not penalised; by default zero.

    Returns
    -------
    float
        The objective F.
    """
    total = 0.0
    for i in range(len(X)):
        s = _scores_of_row(W, X[i], b)
        y_i = int(y[i])
        for j in range(len(s)):
            if j != y_i:
                # The difference comes first: max(nan, 0.0) is nan, but max(0.0, nan) is 0.0.
                violation = max(s[j] - s[y_i] + delta, 0.0)
                total += violation * violation
    return total / len(X) + reg * _sum_of_squares(W)


def squared_hinge_loss_vectorized(
    W: Matrix, X: Matrix, y: Labels, reg: float, delta: float = 1.0, *, b: Vector | None = None
) -> float:
    """Squared-hinge objective (L2-SVM), in NumPy.

    F = (1/N) Σ_i Σ_{j≠y_i} max(0, s_ij − s_iy_i + delta)²  +  reg · Σ_dc W_dc²

    Parameters
    ----------
    W : (D, C) array_like
        Weights, one column per class.
    X : (N, D) array_like
        Features, one row per sample.
    y : (N,) array_like of int
        Labels, 0 ≤ y_i < C.
    reg : float
        λ, the factor of ΣW² (without ½).
    delta : float, default 1.0
        Margin: the loss of a class j with s_y − s_j ≥ delta is zero.
    b : (C,) array_like, optional
        Bias, not penalised; by default zero.

    Returns
    -------
    float
        The objective F.
    """
    losses = np.square(np.maximum(_violations(W, X, y, delta, b), 0.0)).sum(axis=1)
    return float(losses.mean() + reg * np.square(W, dtype=np.float64).sum())


def softmax_loss_naive(W: Matrix, X: Matrix, y: Labels, reg: float, *, b: Vector | None = None) -> float:
    """Cross-entropy objective (softmax), as loops.

    F = (1/N) Σ_i [ log Σ_j exp(s_ij − m_i) − (s_iy_i − m_i) ]  +  reg · Σ_dc W_dc²,    m_i = max_j s_ij

    The shift by m_i changes nothing in exact arithmetic, and it prevents overflow of exp.

    Parameters
    ----------
    W : (D, C) array or nested list
        Weights, one column per class.
    X : (N, D) array or nested list
        Features, one row per sample.
    y : (N,) array or list of int
        Labels, 0 ≤ y_i < C.
    reg : float
        λ, the factor of ΣW² (without ½).
    b : (C,) array or list, optional
        Bias, not penalised; by default zero.

    Returns
    -------
    float
        The objective F.

    Notes
    -----
    The sum of the exponentials is rounded to 1 plus a multiple of 2.2e-16, so a loss far below that becomes 0.
    `softmargin.CrossEntropy` stays accurate: if the target has the largest score, it uses log1p of the sum over
    the other classes.
    """
    total = 0.0
    for i in range(len(X)):
        s = _scores_of_row(W, X[i], b)
        m = max(s)
        sum_of_exp = 0.0
        for s_j in s:
            sum_of_exp += math.exp(s_j - m)
        total += math.log(sum_of_exp) - (s[int(y[i])] - m)
    return total / len(X) + reg * _sum_of_squares(W)


def softmax_loss_vectorized(W: Matrix, X: Matrix, y: Labels, reg: float, *, b: Vector | None = None) -> float:
    """Cross-entropy objective (softmax), in NumPy.

    F = (1/N) Σ_i [ log Σ_j exp(s_ij − m_i) − (s_iy_i − m_i) ]  +  reg · Σ_dc W_dc²,    m_i = max_j s_ij

    Parameters
    ----------
    W : (D, C) array_like
        Weights, one column per class.
    X : (N, D) array_like
        Features, one row per sample.
    y : (N,) array_like of int
        Labels, 0 ≤ y_i < C.
    reg : float
        λ, the factor of ΣW² (without ½).
    b : (C,) array_like, optional
        Bias, not penalised; by default zero.

    Returns
    -------
    float
        The objective F.

    Notes
    -----
    As accurate as `softmax_loss_naive`, with the same limit: the loss of a row far below 1e-16 becomes 0.
    """
    shifted = _scores(W, X, b)
    shifted -= shifted.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(shifted)), y]
    return float(losses.mean() + reg * np.square(W, dtype=np.float64).sum())


def _scores_of_row(W: Matrix, x: Vector, b: Vector | None) -> list[float]:
    """Return s_j = Σ_d x_d W_dj + b_j for every class j."""
    s = []
    for j in range(len(W[0])):
        s_j = 0.0 if b is None else float(b[j])
        for d in range(len(W)):
            s_j += float(x[d]) * float(W[d][j])
        s.append(s_j)
    return s


def _sum_of_squares(W: Matrix) -> float:
    """Return Σ_dc W_dc²."""
    total = 0.0
    for row in W:
        for weight in row:
            total += float(weight) * float(weight)
    return total


def _scores(W: Matrix, X: Matrix, b: Vector | None) -> npt.NDArray[np.float64]:
    """Return S = X W + b, (N, C)."""
    S = np.asarray(X, dtype=np.float64) @ np.asarray(W, dtype=np.float64)
    return S if b is None else S + np.asarray(b, dtype=np.float64)


def _violations(W: Matrix, X: Matrix, y: Labels, delta: float, b: Vector | None) -> npt.NDArray[np.float64]:
    """Return the margin violations s_ij − s_iy_i + delta, with 0 for the target, (N, C)."""
    S = _scores(W, X, b)
    rows = np.arange(len(S))
    U = S - S[rows, y][:, np.newaxis] + delta
    U[rows, y] = 0.0
    return U
