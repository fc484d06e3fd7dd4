"""Cholesky factors in panels of rows, with the same bits for any number of threads."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
from numpy.typing import NDArray

from softmargin.losses.base import Floats
from softmargin.threads import Workers, scipy_linalg

__all__ = ["PANEL", "cholesky_in_place", "inverse_columns", "row_panels", "solve_both", "solve_lower"]

PANEL = 512
"""Number of rows of a triangular matrix per task."""


def row_panels(A: Floats) -> list[Floats]:
    """Return views of the rows of A (n, n) in panels, each up to the last column of its diagonal block."""
    return [A[start : start + PANEL, : start + PANEL] for start in range(0, len(A), PANEL)]


def cholesky_in_place(panels: list[Floats], workers: Workers) -> list[Floats]:
    """Overwrite the `row_panels` of a matrix with its Cholesky factor L, except for the diagonal blocks.

    Return the inverses of these blocks. The result is the same, to the last bit, for any number of threads.
    """
    n = panels[-1].shape[1] if panels else 0
    corners: list[Floats] = []
    linalg = scipy_linalg()

    def below(panel: Floats, block: slice, _: threading.Event) -> None:
        panel[:, block] = panel[:, block] @ corners[-1].T

    def update(panel: Floats, block: slice, _: threading.Event) -> None:
        for other in panels[len(corners) :]:
            columns = slice(other.shape[1] - len(other), other.shape[1])
            if columns.stop <= panel.shape[1]:
                panel[:, columns] -= panel[:, block] @ other[:, block].T

    for k, panel in enumerate(panels):
        block = slice(k * PANEL, panel.shape[1])
        corner = linalg.cholesky(panel[:, block], lower=True, check_finite=False)
        unit = np.eye(len(panel), dtype=panel.dtype)
        corners.append(linalg.solve_triangular(corner, unit, lower=True, check_finite=False))
        left = n - block.stop
        for step in (below, update):
            workers.run([partial(step, other, block) for other in panels[k + 1 :]], left * PANEL * left)
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


def inverse_columns(
    panels: list[Floats], corners: list[Floats], k: int, stop: threading.Event
) -> list[NDArray[np.float32]]:
    """Return column panel k of L⁻¹, as blocks from the diagonal down, from the results of `cholesky_in_place`."""
    found = [corners[k]]
    start = k * PANEL
    for j in range(k + 1, len(corners)):
        L_row = panels[j]
        total = L_row[:, start : start + len(corners[k])] @ found[0]
        for m, rows in enumerate(found[1:], k + 1):
            total += L_row[:, m * PANEL : m * PANEL + len(rows)] @ rows
        found.append(corners[j] @ -total)
    return [rows.astype(np.float32, order="C") for rows in found]
