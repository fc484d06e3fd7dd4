"""Cholesky factors in panels of rows, with the same bits for any number of threads."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from softmargin.losses.base import Floats
from softmargin.threads import Workers

__all__ = ["PANEL", "cholesky_in_place", "inverse_columns", "solve_both", "solve_lower"]

PANEL = 512
"""Number of rows of a triangular matrix per task."""


def cholesky_in_place(A: Floats, workers: Workers) -> list[Floats]:
    """Overwrite the lower triangle of A with its Cholesky factor L, except for the diagonal blocks.

    Return the inverses of these blocks. The result is the same, to the last bit, for any number of threads.
    """
    n = len(A)
    corners: list[Floats] = []

    def below(first: int, start: int, stop: int, _: threading.Event) -> None:
        rows = slice(first, first + PANEL)
        A[rows, start:stop] = A[rows, start:stop] @ corners[-1].T

    def update(first: int, start: int, stop: int, _: threading.Event) -> None:
        rows = slice(first, min(first + PANEL, n))
        A[rows, stop : rows.stop] -= A[rows, start:stop] @ A[stop : rows.stop, start:stop].T

    for start in range(0, n, PANEL):
        stop = min(start + PANEL, n)
        corner = cholesky(A[start:stop, start:stop], lower=True, check_finite=False)
        unit = np.eye(stop - start, dtype=A.dtype)
        corners.append(solve_triangular(corner, unit, lower=True, check_finite=False))
        for step in (below, update):
            tasks = [partial(step, first, start, stop) for first in range(stop, n, PANEL)]
            workers.run(tasks, (n - stop) * PANEL * (n - stop))
    return corners


def solve_lower(L: Floats, corners: list[Floats], X: Floats) -> None:
    """Replace X by L⁻¹ X, from the results of `cholesky_in_place`."""
    for k, corner in enumerate(corners):
        rows = slice(k * PANEL, k * PANEL + len(corner))
        X[rows] = corner @ (X[rows] - L[rows, : rows.start] @ X[: rows.start])


def solve_both(L: Floats, corners: list[Floats], B: Floats) -> Floats:
    """Return (L Lᵀ)⁻¹ B, from the results of `cholesky_in_place`."""
    X = B.copy()
    solve_lower(L, corners, X)
    for k, corner in reversed(list(enumerate(corners))):
        rows = slice(k * PANEL, k * PANEL + len(corner))
        X[rows] = corner.T @ (X[rows] - L[rows.stop :, rows].T @ X[rows.stop :])
    return X


def inverse_columns(L: Floats, corners: list[Floats], k: int, stop: threading.Event) -> list[NDArray[np.float32]]:
    """Return column panel k of L⁻¹, as blocks from the diagonal down."""
    found = [corners[k]]
    start = k * PANEL
    for j in range(k + 1, len(corners)):
        first = j * PANEL
        L_row = L[first : first + PANEL]
        total = L_row[:, start : start + len(corners[k])] @ found[0]
        for m, rows in enumerate(found[1:], k + 1):
            total += L_row[:, m * PANEL : m * PANEL + len(rows)] @ rows
        found.append(corners[j] @ -total)
    return [rows.astype(np.float32, order="C") for rows in found]
