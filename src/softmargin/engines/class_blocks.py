"""A preconditioner for the Hessian of active pairs: its diagonal blocks, one per class.

A pair of a sample z and a rival class j couples the columns j and y of a direction V by ``(z (e_j - e_y)ᵀ)(…)ᵀ``.
Without that coupling, the Hessian is one matrix per class, from the pairs that contain the class as rival or as
target. If all columns of V are equal, the true Hessian has only the curvature of the penalty, and that of the
blocks is far too large. So the mean over the classes of their solution is replaced by the exact one.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import NamedTuple

import numpy as np

from softmargin.losses.base import Floats, Ints
from softmargin.threads import Workers, scipy_linalg

__all__ = ["ClassBlocks", "Pairs"]

_SMALLER = 0.8
"""Blocks with fewer pairs than this fraction of their size are inverted through the products of their rows."""

_GROUPS = 8
"""Number of groups of classes; each is a task of a thread."""


class Pairs(NamedTuple):
    """Active pairs: for each, the row number, the rival and the target class, and a factor.

    For a product, they are sorted by target and rival class.
    """

    rows: Ints
    rival: Ints
    target: Ints
    factors: Floats


class ClassBlocks:
    """Solves with the diagonal blocks of the Hessian of active pairs, plus 2λ in W and ``floor`` in b.

    Parameters
    ----------
    Z : ndarray of shape (n, D)
        The mapped features of the samples with active pairs.
    pairs : Pairs
        In any order; ``rows`` are row numbers of Z, and the factors are the curvatures.
    n_classes : int
    reg : float
        λ.
    floor : float or None
        Curvature that is added for b; None if b is fixed.
    workers : Workers
        The threads to use.

    Raises
    ------
    LinAlgError
        If a block is not positive definite after rounding.
    """

    def __init__(
        self, Z: Floats, pairs: Pairs, n_classes: int, reg: float, floor: float | None, workers: Workers
    ) -> None:
        place, rival, target, factors = pairs
        self._workers, self._reg, D = workers, reg, Z.shape[1]
        # In these units the penalty is 1; a fixed b is a feature of zeros. For b, a curvature below 2λ would only
        # make the products of the rows ill-conditioned.
        self._roots = np.full(D + 1, (2.0 * reg) ** -0.5)
        self._roots[D] = 0.0 if floor is None else max(floor, 2.0 * reg) ** -0.5
        members, factors = np.concatenate([rival, target]), np.concatenate([factors, factors])
        order = np.argsort(members, kind="stable")
        place, square_roots = np.concatenate([place, place])[order], np.sqrt(factors[order])
        bounds = np.searchsorted(members[order], np.arange(n_classes + 1))
        counts = np.diff(bounds)
        by_size = np.argsort(counts, kind="stable")  # classes of similar sizes share an array

        def group(classes: Ints, _: threading.Event) -> _Group:
            size, low_rank = int(counts[classes].max()), bool(counts[classes].max() < _SMALLER * D)
            matrices = np.zeros((len(classes), size if low_rank else D + 1, D + 1))
            for k, c in enumerate(classes):
                part = slice(bounds[c], bounds[c + 1])
                rows = np.empty((counts[c], D + 1))
                np.multiply(Z[place[part]], self._roots[:D], out=rows[:, :D])
                rows[:, D] = self._roots[D]
                rows *= square_roots[part, None]
                matrices[k, : counts[c] if low_rank else D + 1] = _inverse(rows, low_rank)
            return _Group(classes, matrices, low_rank)

        n_groups = min(n_classes, _GROUPS)
        tasks = [partial(group, classes) for classes in np.array_split(by_size, n_groups)]
        self._groups = workers.run(tasks, len(members) * D * D)

    def solve(self, G: Floats) -> Floats:
        """Return the approximate inverse times G (D + 1, C)."""
        mean = G.mean(axis=1, keepdims=True)
        R = np.ascontiguousarray((self._roots[:, None] * (G - mean)).T)
        solved = np.empty_like(R)

        def of_group(group: _Group, _: threading.Event) -> None:
            r = R[group.classes]
            products = np.matmul(group.matrices, r[:, :, None])[:, :, 0]
            if group.low_rank:
                products = r - np.matmul(products[:, None, :], group.matrices)[:, 0, :]
            solved[group.classes] = products

        tasks = [partial(of_group, group) for group in self._groups]
        self._workers.run(tasks, sum(group.matrices.size for group in self._groups))
        solved = self._roots[:, None] * (solved - solved.mean(axis=0)).T
        solved[:-1] += mean[:-1] / (2.0 * self._reg)
        return np.asarray(solved)


class _Group(NamedTuple):
    """The inverses (I + RᵀR)⁻¹ of some classes, or the U of each with (I + RᵀR)⁻¹ = I - UᵀU, padded with zeros."""

    classes: Ints
    matrices: Floats
    low_rank: bool


def _inverse(rows: Floats, low_rank: bool) -> Floats:
    """Return (I + rowsᵀ rows)⁻¹, or with ``low_rank`` U of the shape of ``rows`` so that it is I - UᵀU."""
    size = rows.shape[1]
    matrix = rows @ rows.T if low_rank else rows.T @ rows
    matrix[np.diag_indices_from(matrix)] += 1.0
    linalg = scipy_linalg()
    factor = linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    if low_rank:  # (I + RᵀR)⁻¹ = I - Rᵀ (I + R Rᵀ)⁻¹ R
        return np.asarray(linalg.solve_triangular(factor, rows, lower=True, check_finite=False))
    inverse = linalg.solve_triangular(factor, np.eye(size), lower=True, check_finite=False, overwrite_b=True)
    return np.asarray(inverse.T @ inverse)
