"""The division of samples in shards into folds, as counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import brief
from softmargin.engines.records import Shape
from softmargin.engines.shard import Fold, FoldRule
from softmargin.errors import DataError
from softmargin.losses.base import Floats, Ints

__all__ = ["Division"]


@dataclass(frozen=True)
class Division:
    """The folds of all samples.

    Attributes
    ----------
    rule : FoldRule
    n_folds : int
        Number of folds; the rows of any others are never held out.
    sums : ndarray of shape (F, C, 3)
        By fold and class: the sums of ω and ω² before class weights, and the number of samples.
    chunks : ndarray of shape (n_chunks, F)
        Number of samples by chunk and fold.
    """

    rule: FoldRule
    n_folds: int
    sums: Floats
    chunks: Ints

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Number of training and of held-out samples, per fold."""
        numbers = self.chunks.sum(axis=0).tolist()
        return tuple((sum(numbers) - n, n) for n in numbers[: self.n_folds])

    def part(self, k: int, held_out: bool, factors: Floats, whole: Shape) -> tuple[Fold, Ints, Shape]:
        """Return a part of a fold, its number of samples per chunk, and its sizes.

        ``factors`` (C,) are those of the classes for fitting; held-out samples keep the weights for scoring.
        """
        chosen = self._chosen(k, held_out)
        weights, squares, _ = self.sums[chosen].sum(axis=0).T
        n_active = self.chunks[:, chosen].sum(axis=1)
        factors = np.ones(len(weights)) if held_out else factors / float(weights @ factors)
        shape = replace(
            whole, n_active=int(n_active.sum()), weight_square=float(squares @ factors**2),
            class_weights=weights * factors,
        )  # fmt: skip
        return Fold(self.rule, k, held_out, factors), n_active, shape

    def check(self, labels: Sequence[object]) -> None:
        """Raise a `DataError` if a fold holds out no sample, or all samples of a class."""
        for k in range(self.n_folds):
            if not self.sums[self._chosen(k, True), :, 2].any():
                raise DataError(
                    f"Each fold must hold out a sample, got none for fold {k}; use fewer or larger folds."
                )
            missing = np.flatnonzero(self.sums[self._chosen(k, False), :, 2].sum(axis=0) == 0)
            if len(missing):
                raise DataError(
                    f"Each fold must have training samples of each class, got none of class "
                    f"{brief(labels[missing[0]])} in fold {k}; remove this class or add samples."
                )

    def _chosen(self, k: int, held_out: bool) -> NDArray[np.bool_]:
        """Return which folds form a part of fold ``k``."""
        return np.asarray((np.arange(len(self.sums)) == k) == held_out)
