"""Hessians of the mean loss at an evaluated point: a small matrix, or a sum over active pairs.

A margin loss has curvature along ``e_j - e_y`` for each rival class j whose margin is violated. Such a pair of a
sample and a class is *active*. When few pairs are active, a product with the Hessian reads only their rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.engines.base import Hessian, Preconditioner, Shape
from softmargin.engines.class_blocks import ClassBlocks, Pairs
from softmargin.engines.preconditioners import GramPairs, GramPreconditioner
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.threads import scipy_linalg

if TYPE_CHECKING:
    from softmargin.engines.in_memory import InMemoryEngine

__all__ = ["DenseHessian", "PairHessian", "PairProduct", "Pairs", "gram_of_rows", "local_hessian"]

_BLOCK_ROWS = 512

_MOST_PAIRS = 0.125
"""Up to this fraction of all pairs, a product with the Hessian of the active pairs is cheaper than a pass."""

_COPY_BYTES = 1 << 26
"""Size in bytes that a float32 copy of rows may always have."""

_MATRIX_BYTES = 1 << 28
"""Maximum size in bytes of the matrix of the products between active pairs."""

_ROW_BYTES = 1 << 28
"""Maximum size in bytes of a float64 copy of the rows of active pairs."""

_BLOCK_BYTES = 1 << 29
"""Maximum size in bytes of the blocks of all classes."""

_BLOCK_WORK = 200
"""Maximum number of multiplications for these blocks, in units of those in X @ W."""

_FEW_CUBED, _CUBED = 300_000_000, 40
"""Maximum of the cube of the number of pairs for an exact solution: in general, and in units of X @ W."""

PairProduct: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""The product of a symmetric matrix with a direction (V, c), of shapes (D, C) and (C,)."""


class DenseHessian:
    """The whole Hessian as a matrix: rows and columns are those of the flattened (C, D + 1) array of W.T and b.

    Only the blocks on and below the diagonal are stored.
    """

    def __init__(
        self, engine: InMemoryEngine, loss: Loss, scores: Floats, active: NDArray[np.bool_] | None, affine: Affine
    ) -> None:
        places = np.arange(len(engine.rows)) if active is None else np.flatnonzero(active.any(axis=1))
        D, C = engine.shape.n_features + 1, engine.shape.n_classes
        self._matrix = np.zeros((C, D, C, D))
        engine.count(len(places))
        for start in range(0, len(places), _BLOCK_ROWS):
            part = places[start : start + _BLOCK_ROWS]
            rows = engine.rows[part]
            Z = np.ones((len(rows), D))
            Z[:, :-1] = engine.mapped_rows(rows, affine)
            y, weights = engine.samples.y[rows], engine.samples.weights[rows]
            add = partial(_add_columns, self._matrix, loss, Z, scores[part], y, weights)
            tasks = [partial(add, j) for j in reversed(range(C))]  # largest first, to balance the threads
            engine.workers.run(tasks, len(rows) * D * C * D * C)

    def product(self, single: bool) -> None:
        """Return None: use `solve`."""
        return None

    def blocks(self, reg: float, floor: float | None) -> None:
        """Return None: use `solve`."""
        return None

    def solve(self, G: Floats, reg: float, floor: float | None, preconditioner: Preconditioner) -> Floats | None:
        """Return the inverse times G (D + 1, C), or None if the matrix is not positive definite after rounding."""
        matrix = self._matrix.copy()
        C, D = matrix.shape[:2]
        diagonal = np.full((C, D), 2.0 * reg)
        if floor is None:
            matrix[:, -1] = matrix[..., -1] = 0.0
        diagonal[:, -1] = 1.0 if floor is None else floor
        square = matrix.reshape(C * D, C * D)
        square[np.diag_indices(C * D)] += diagonal.ravel()
        try:
            # The transpose has LAPACK's memory order, so that nothing is copied.
            factor = scipy_linalg().cho_factor(square.T, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        solved = scipy_linalg().cho_solve(factor, G.T.ravel(), check_finite=False)
        return np.ascontiguousarray(solved.reshape(C, D).T)


def _add_columns(
    matrix: Floats, loss: Loss, Z: Floats, scores: Floats, y: Ints, weights: Floats, j: int, stop: threading.Event
) -> None:
    C, D = matrix.shape[:2]
    unit = np.broadcast_to(np.eye(C)[j], scores.shape)
    column = (loss._hessian_product(scores, y, unit) * weights[:, None])[:, : j + 1]
    products = Z.T @ (column[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)
    matrix[j, :, : j + 1] += products.reshape(D, j + 1, D)


class PairHessian:
    """The Hessian as a sum over active pairs.

    Parameters
    ----------
    engine : InMemoryEngine
    active : ndarray of shape (n, C)
        Which rival classes of the samples of positive weight are active.
    curvature : float
        Curvature of each pair, for a sample of weight 1.
    affine : Affine
    """

    def __init__(
        self, engine: InMemoryEngine, active: NDArray[np.bool_], curvature: float, affine: Affine
    ) -> None:
        self._engine, self._active, self._curvature, self._affine = engine, active, curvature, affine

    def product(self, single: bool) -> PairProduct | None:
        """Return the product on stored features, in float32 if ``single``, or None if a pass is cheaper."""
        engine, samples = self._engine, self._engine.samples
        if not can_multiply(engine.shape, self._active):
            return None
        place, rival = np.nonzero(self._active)
        rows = engine.rows[place]
        target = samples.y[rows]
        order = np.argsort(target * engine.shape.n_classes + rival, kind="stable")
        rows, rival, target = rows[order], rival[order], target[order]
        return engine._pair_product(Pairs(rows, rival, target, self._curvature * samples.weights[rows]), single)

    def blocks(self, reg: float, floor: float | None) -> ClassBlocks | None:
        """Return the approximate inverse from one block per class, or None if that costs too much."""
        engine, shape, some = self._engine, self._engine.shape, np.flatnonzero(self._active.any(axis=1))
        rows, (place, rival) = engine.rows[some], np.nonzero(self._active[some])
        target = engine.samples.y[rows][place]
        sizes = np.bincount(np.concatenate([rival, target]), minlength=shape.n_classes)
        smaller, D = np.minimum(sizes, shape.n_features), shape.n_features
        work, size = D * int(sizes @ smaller + smaller @ smaller), 8 * D * int(smaller.sum())
        if work > _BLOCK_WORK * shape.n_products or size > _BLOCK_BYTES or 8 * len(some) * D > _ROW_BYTES:
            return None
        engine.count_in_one_class(len(rows))
        Z, factors = engine.mapped_rows(rows, self._affine), self._curvature * engine.samples.weights[rows][place]
        pairs = Pairs(place, rival, target, factors)
        try:
            return ClassBlocks(Z, pairs, shape.n_classes, reg, floor, engine.workers)
        except np.linalg.LinAlgError:  # λ is below the rounding error
            return None

    def solve(self, G: Floats, reg: float, floor: float | None, preconditioner: Preconditioner) -> Floats | None:
        """Return the inverse times G (D + 1, C) through the products of the rows of few active pairs, or None."""
        engine, few_rows = self._engine, isinstance(preconditioner, GramPreconditioner)
        if few_rows:
            some = np.arange(len(engine.rows))
            if not 0 < 8 * np.count_nonzero(self._active) ** 2 <= _MATRIX_BYTES:
                return None
        elif not can_solve(engine.shape, self._active):
            return None
        else:
            some = np.flatnonzero(self._active.any(axis=1))
            preconditioner = gram_of_rows(engine, engine.rows[some], self._affine)
        place, rival = np.nonzero(self._active[some])
        pairs = GramPairs(place, rival, engine.samples.y[engine.rows[some][place]], self._curvature)
        engine.count_in_one_class(len(some))
        pull = 0.0 if floor is None else 1.0 / floor
        try:
            return cast(GramPreconditioner, preconditioner).solve_pairs(pairs, reg, pull, G)
        except np.linalg.LinAlgError:  # the smallest curvature is below the rounding error
            return None


def local_hessian(engine: InMemoryEngine, loss: Loss, scores: Floats, affine: Affine) -> Hessian | None:
    """Return the Hessian at the scores (n, C) of the samples of positive weight; None if a pass is cheaper."""
    shape, pairs = engine.shape, loss._active_pairs(scores, engine.samples.y[engine.rows])
    if pairs is not None and (shape.has_few_rows or can_solve(shape, pairs[0])):
        return PairHessian(engine, *pairs, affine)
    if shape.has_small_hessian:
        return DenseHessian(engine, loss, scores, None if pairs is None else pairs[0], affine)
    return None if pairs is None or not can_multiply(shape, pairs[0]) else PairHessian(engine, *pairs, affine)


def gram_of_rows(engine: InMemoryEngine, rows: Ints, affine: Affine) -> GramPreconditioner:
    """Return the solver through the products of these rows, for fewer rows than features or few active pairs."""
    engine.count(len(rows))
    roots = np.sqrt(engine.samples.weights[rows])
    Z = engine.mapped_rows(rows, affine, np.float64)
    Z *= roots[:, None]
    return GramPreconditioner(Z, roots, engine.workers)


def can_multiply(shape: Shape, active: Any) -> bool:
    """Return whether products with the pairs are cheaper than a pass and the copy of their rows is small."""
    n_pairs = int(np.count_nonzero(active))
    affordable = max(shape.n_samples, _COPY_BYTES // (8 * shape.n_features))
    return 0 < n_pairs <= min(affordable, _MOST_PAIRS * active.size)


def can_solve(shape: Shape, active: Any) -> bool:
    """Return whether the matrix of the products between the active pairs is cheap to make and factor."""
    n_pairs = int(np.count_nonzero(active))
    n_weights = shape.n_features * shape.n_classes
    if shape.has_tiny_hessian or not 0 < n_pairs <= n_weights or 8 * n_pairs * shape.n_features > _ROW_BYTES:
        return False
    return n_pairs**3 <= max(_FEW_CUBED, _CUBED * shape.n_products)
