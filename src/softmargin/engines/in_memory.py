"""What the engines for X in the memory of one machine share: rows can be chosen, copied and weighted.

A subclass gives the sums over the rows with NumPy arrays of length N as arguments, in methods that begin with an
underscore. The protocol around them hides these arrays behind `ArrayRows`.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from softmargin.affine import Affine
from softmargin.arguments import check_count
from softmargin.engines.base import (
    Batch,
    Capability,
    DualSource,
    DualSums,
    Engine,
    Evaluation,
    GivenRows,
    Hessian,
    Moments,
    Preconditioner,
    Quality,
    RowState,
    Shape,
)
from softmargin.engines.hessians import DenseHessian, PairHessian, PairProduct, Pairs, can_multiply
from softmargin.engines.preconditioners import (
    CovariancePreconditioner,
    DiagonalPreconditioner,
    GramPreconditioner,
    PanelProduct,
    panel_product,
)
from softmargin.engines.rows import ArrayRows, array_of
from softmargin.errors import DataError, ParameterError
from softmargin.io.mapped import MappedFile
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples
from softmargin.threads import Workers

__all__ = ["InMemoryEngine"]

_DENSE_FEATURES = 6144
"""Up to this many features a (D, D) matrix is made (300 MB at the limit); beyond, a diagonal serves."""

_SPARSE_FEATURES = 2048
"""The same for sparse X, whose passes are so cheap that a (D, D) matrix soon outweighs them."""

_ROWS = 4096
"""Rows whose scores are looked at together."""

_HASHED_ROWS = 1024

_CURVATURE_ROWS = 2048
_EXACT_TRACE_CLASSES = 16
"""Up to this many classes a trace is summed exactly; beyond, from this many random directions."""


class _Batch(NamedTuple):
    engine: InMemoryEngine
    rows: Ints

    def gradient(self, loss: Loss, W: Floats, b: Floats) -> tuple[float, Floats, Floats]:
        samples, rows = self.engine.samples, self.rows
        scores, y = self.engine.scores(W, b, rows), samples.y[rows]
        weights = samples.weights[rows] * (len(self.engine.rows) / len(rows))
        dual = loss._gradient(scores, y) * weights[:, None]
        value = float(weights @ loss._values(scores, y))
        return value, samples.X[rows].astype(np.float64).T @ dual, dual.sum(axis=0)


class InMemoryEngine(Engine):
    """Reads checked `Samples` whose X is an array, in memory or mapped from a file.

    Parameters
    ----------
    samples : Samples
    workers : Workers
        The threads it works with.

    Attributes
    ----------
    rows : ndarray of int64
        Numbers of the samples of positive weight, ascending.
    has_single : bool
        Whether float32 holds X.
    """

    has_single = False
    panel_product: PanelProduct = staticmethod(panel_product)

    def __init__(self, samples: Samples, workers: Workers, classes: Ints | None = None) -> None:
        self.samples, self.workers = samples, workers
        self.rows: Ints = np.flatnonzero(samples.weights > 0.0)
        n_classes, weights = samples.n_classes, samples.weights
        shares = np.bincount(samples.y, weights=weights, minlength=n_classes).astype(np.float64)
        numbers = np.arange(n_classes) if classes is None else classes
        square = float((weights * weights).sum())
        n_samples, n_features = samples.X.shape
        self.shape = Shape(n_samples, n_features, n_classes, len(self.rows), square, shares, numbers)
        self.supports = frozenset({Capability.ROWS, Capability.HESSIAN})
        self._n_read = 0
        self._file = MappedFile(samples.X)
        self._file.check(DataError)
        self._held_out: Ints = np.zeros(0, np.int64)
        self._known: Ints = self._held_out

    @property
    def n_passes(self) -> float:
        """How often X was read so far; to read some of the rows counts as that share."""
        return self._n_read / max(1, len(self.rows))

    @property
    def n_threads(self) -> int:
        """How many threads read X."""
        return self.workers.n_threads

    def count(self, n_rows: int) -> None:
        """Note that so many rows are read now, or raise a `DataError` if X is mapped from a file that changed."""
        self._file.check(DataError)
        self._n_read += n_rows  # a whole number: fits that were interrupted must not round differently

    # -- what a subclass gives -------------------------------------------------------------------------

    @abstractmethod
    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> NDArray[Any]:
        """Return a dense copy of any rows of X: of the ``dtype``, but float64 where float32 cannot hold X."""

    @abstractmethod
    def _evaluate(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        offsets: Floats | None,
        kept: NDArray[Any] | None,
        single: bool,
    ) -> tuple[float, Floats, Floats]:
        """Return value and gradient; write the scores plus offsets into ``kept`` (N, C), if given."""

    @abstractmethod
    def _pair_product(self, pairs: Pairs) -> PairProduct:
        """Return the product with ``Σ_k factor_k (x_k (e_j - e_y)ᵀ)(x_k (e_j - e_y)ᵀ)ᵀ``, in float32 if X fits."""

    @abstractmethod
    def _dual_sums(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        source: Loss,
        offsets: Floats | None,
        given: tuple[NDArray[Any], Floats] | None,
        kept: NDArray[Any] | None,
    ) -> DualSums:
        """Return the sums of the dual rows: dL/ds of ``source``, or given rows (N, C) with their shift (C,).

        They are written into ``kept`` (N, C), if given.
        """

    @abstractmethod
    def covariance(self, affine: Affine, rows: Ints, single: bool) -> Floats:
        """Return the lower triangle of the weighted second moment (D, D) of the mapped features over ``rows``."""

    # -- the protocol ----------------------------------------------------------------------------------

    def evaluate(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        offsets: RowState | None = None,
        *,
        single: bool = False,
        keep_scores: bool = False,
    ) -> Evaluation:
        """Return the weighted mean loss and its gradient."""
        kept = None
        if keep_scores:  # an exact step wants exact scores
            exact = self.shape.has_small_hessian or self.shape.has_few_rows
            kept = np.zeros((self.shape.n_samples, self.shape.n_classes), np.float64 if exact else np.float32)
        found = self._evaluate(loss, W, b, array_of(offsets), kept, single)
        return Evaluation(W, b, *found, None if kept is None else ArrayRows(kept))

    def evaluate_many(
        self,
        loss: Loss,
        W: Sequence[Floats],
        b: Sequence[Floats],
        folds: Sequence[int] | None = None,
        *,
        single: bool = False,
    ) -> list[Evaluation]:
        """Return the weighted mean loss and its gradient at several points."""
        weights = None if folds is None else np.array([self._training_weights(k) for k in folds])
        if len(W) > 1:
            found = self._evaluate_many(loss, np.array(W), np.array(b), weights, single)
            if found is not None:
                return [Evaluation(*point) for point in zip(W, b, *found, strict=True)]
        if weights is None:
            return super().evaluate_many(loss, W, b, single=single)
        samples = [replace(self.samples, weights=of_point) for of_point in weights]
        engines = [self._remade(of_point, self.shape.classes) for of_point in samples]
        self.count(sum(len(engine.rows) for engine in engines))
        return [e.evaluate(loss, W_k, b_k, single=single) for e, W_k, b_k in zip(engines, W, b, strict=True)]

    def _evaluate_many(
        self, loss: Loss, W: Floats, b: Floats, weights: Floats | None, single: bool
    ) -> tuple[list[float], Floats, Floats] | None:
        """Return values (K,) and gradients (K, D, C), (K, C) from one reading of X, or None if that saves nothing.

        ``weights`` (K, N) are those of each point, by default always those of the samples.
        """
        return None

    def hessian(self, loss: Loss, at: Evaluation, affine: Affine) -> Hessian | None:
        """Return the Hessian as a small matrix, or by the active pairs if these are few."""
        assert isinstance(at.scores, ArrayRows), "hessian needs an evaluation that kept its scores"
        if not (self.shape.has_small_hessian or loss.curves_in_pairs):
            return None
        scores = at.scores.array[self.rows].astype(np.float64, copy=False)
        pairs = loss._active_pairs(scores, self.samples.y[self.rows])
        if self.shape.has_small_hessian:
            return DenseHessian(self, loss, scores, None if pairs is None else pairs[0], affine)
        if pairs is None or not (can_multiply(self.shape, pairs[0]) or self.shape.has_few_rows):
            return None
        return PairHessian(self, *pairs, affine)

    def dual_sums(self, loss: Loss, W: Floats, b: Floats, source: DualSource) -> DualSums:
        """Return the value and the sums of the dual rows."""
        if isinstance(source, GivenRows):
            given = array_of(source.rows), source.shift
            return self._dual_sums(loss, W, b, loss, None, given, None)
        kept = np.zeros((self.shape.n_samples, self.shape.n_classes), np.float32) if source.keep else None
        sums = self._dual_sums(loss, W, b, source.loss, array_of(source.offsets), None, kept)
        return sums if kept is None else sums._replace(rows=ArrayRows(kept))

    def rows_from(self, saved: NDArray[Any] | None) -> ArrayRows:
        """Return rows that were saved, or float32 zeros."""
        if saved is None:
            saved = np.zeros((self.shape.n_samples, self.shape.n_classes), np.float32)
        return ArrayRows(saved)

    def scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        """Return the scores of chosen samples."""
        self.count(len(rows))
        return self._scores(W, b, rows)

    @abstractmethod
    def _scores(self, W: Floats, b: Floats, rows: Ints) -> Floats: ...

    def _score_parts(self, W: Floats, b: Floats, rows: Ints) -> Iterator[tuple[slice, Floats]]:
        """Yield the scores of chosen samples, a part at a time."""
        for start in range(0, len(rows), _ROWS):
            part = slice(start, min(start + _ROWS, len(rows)))
            yield part, self.scores(W, b, rows[part])

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all samples of positive weight in random order, so many at a time."""
        order = rng.permutation(self.rows)
        for start in range(0, len(order), size):
            yield _Batch(self, order[start : start + size])

    def mean_curvature(self, loss: Loss, W: Floats, b: Floats, offsets: RowState | None = None) -> float:
        """Return the mean curvature of the loss in score space, over at most 2,048 samples.

        It is the trace of the mean C×C Hessian over C - 1, from the C unit directions or, for many classes, by
        Hutchinson's estimator. All samples see the same directions, so neither their order nor weights in place
        of repeated samples change it.
        """
        rows = self.rows[:: max(1, len(self.rows) // _CURVATURE_ROWS)]
        scores, y, n_classes = self.scores(W, b, rows), self.samples.y[rows], self.shape.n_classes
        if offsets is not None:
            scores += array_of(offsets)[rows]
        if n_classes <= _EXACT_TRACE_CLASSES:
            probes = np.eye(n_classes) * np.sqrt(n_classes)
        else:
            probes = np.random.default_rng(0).choice([-1.0, 1.0], size=(_EXACT_TRACE_CLASSES, n_classes))
        traces = np.zeros(len(rows))
        for probe in probes:
            traces += loss._hessian_product(scores, y, np.broadcast_to(probe, scores.shape)) @ probe
        mean = float(np.average(traces, weights=self.samples.weights[rows])) / len(probes)
        return mean / (n_classes - 1)

    def score_square(self, G: Floats, b: Floats) -> float:
        """Return the weighted mean square of scores."""
        weights = self.samples.weights[self.rows]
        parts = self._score_parts(G, b, self.rows)
        return sum(float(weights[part] @ (scores**2).mean(axis=1)) for part, scores in parts)

    def quality(self, loss: Loss, W: Floats, b: Floats, part: str) -> Quality:
        """Return mean loss and accuracy on training or held-out samples."""
        if part not in ("training", "held_out"):
            raise ParameterError(f"part must be 'training' or 'held_out', but it is {part!r}.")
        rows = self.rows if part == "training" else self._held_out
        if len(rows) == 0:
            raise ParameterError("Nothing is held out of these samples: they are not a fold.")
        known = rows if part == "training" else self._known
        given = self.samples.scoring_weights
        weights = self.samples.weights if given is None else given
        weights = weights / weights.max()  # equal ones are 1, so that shares are exact
        value = hits = 0.0
        for place, scores in self._score_parts(W, b, known):
            y, share = self.samples.y[known[place]], weights[known[place]]
            value += float(share @ loss._values(scores, y))
            hits += float(share @ (scores.argmax(axis=1) == y))
        total = float(weights[known].sum())
        # Samples of classes that the training part lacks are in no loss, and never right.
        return Quality(value / total if total > 0.0 else np.inf, hits / float(weights[rows].sum()))

    def held_out_scores(self, W: Floats, b: Floats) -> tuple[Floats, Ints, Floats, Ints]:
        """Return scores, classes, weights and row numbers of the held-out samples of known classes."""
        given, known = self.samples.scoring_weights, self._known
        weights = self.samples.weights if given is None else given
        scores = np.empty((len(known), self.shape.n_classes))
        for part, found in self._score_parts(W, b, known):
            scores[part] = found
        return scores, self.samples.y[known], weights[known], known

    def preconditioner(self, affine: Affine, moments: Moments, single: bool) -> Preconditioner:
        """Return a preconditioner from the covariance, the Gram matrix of few rows, or the variances.

        The covariance is estimated from so many rows that it costs no more than a few passes, but from at least
        twice as many as there are features where there are so many.
        """
        X, rows, D = self.samples.X, self.rows, self.shape.n_features
        sparse = issparse(X)
        if self.shape.has_few_rows:
            self.count(len(rows))
            roots = np.sqrt(self.samples.weights[rows])
            Z = self.mapped_rows(rows, affine, np.float64)
            Z *= roots[:, None]
            return GramPreconditioner(Z, roots, self.workers)
        if self.shape.n_features > (_SPARSE_FEATURES if sparse else _DENSE_FEATURES):
            return DiagonalPreconditioner((moments.variance + (moments.mean - affine.mean) ** 2) * affine.scale**2)
        density = X.nnz / (self.shape.n_samples * D) if sparse else 1.0
        enough = max(2 * D, int(density * 40 * len(rows) * self.shape.n_classes) // D)
        if len(rows) > enough:
            rows = np.sort(np.random.default_rng(0).choice(rows, size=enough, replace=False))
        return CovariancePreconditioner(self.covariance(affine, rows, single), self.workers, self.panel_product)

    def mapped_rows(self, rows: Ints, affine: Affine, dtype: Any = np.float64) -> NDArray[Any]:
        """Return ``(X[rows] - mean) * scale`` as a dense array of the ``dtype``."""
        Z = self.dense_rows(rows, dtype)
        nearest = affine.mean.astype(Z.dtype)
        if nearest.any():
            Z -= nearest  # close to the mean this is exact, and what float32 cannot hold of the mean follows
        rest = (affine.mean - nearest).astype(Z.dtype)
        if rest.any():
            Z -= rest
        if (affine.scale != 1.0).any():
            Z *= affine.scale.astype(Z.dtype)
        return Z.astype(dtype, copy=False)

    def fingerprint(self) -> str:
        """Return a hash of X, labels and weights."""
        samples = self.samples
        self.count(0)
        X: Any = samples.X
        digest = hashlib.sha256(repr([samples.n_classes, X.shape, str(X.dtype)]).encode())
        for array in (samples.y, samples.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
        for array in (X.data, X.indices, X.indptr) if issparse(X) else (X,):
            for start in range(0, len(array), _HASHED_ROWS):
                digest.update(np.ascontiguousarray(array[start : start + _HASHED_ROWS]).tobytes())
        return digest.hexdigest()

    def _training_weights(self, k: int) -> Floats:
        """Return the weights (N,) of the training part of a fold, which sum to one."""
        n_folds = len(self.samples.folds)
        if n_folds == 0:
            raise ParameterError("These samples have no folds.")
        if check_count("fold", k, 0) >= n_folds:
            raise ParameterError(f"fold must be a number from 0 to {n_folds - 1}, but it is {k!r}.")
        counts = np.bincount(self.samples.folds[k].training, minlength=self.shape.n_samples)
        weights = self.samples.weights * counts
        weights /= weights.max()  # as all weights are, so that those that are equal stay so
        return np.asarray(weights / weights.sum())

    def with_fold(self, k: int) -> InMemoryEngine:
        """Return the engine of the training part of a fold; classes without a sample there are left out."""
        samples, weights = self.samples, self._training_weights(k)
        classes = np.unique(samples.y[weights > 0.0])
        if len(classes) < 2:
            raise DataError(f"Fold {k} of cv has training samples of one class only: two are needed.")
        known = np.isin(samples.y, classes)
        codes = np.where(known, np.searchsorted(classes, samples.y), 0)
        given = samples.weights if samples.scoring_weights is None else samples.scoring_weights
        of_fold = replace(
            samples, y=codes, weights=weights, n_classes=len(classes), folds=(), scoring_weights=given
        )
        fold = self._remade(of_fold, classes)
        fold._held_out = samples.folds[k].validation
        fold._known = fold._held_out[known[fold._held_out]]
        return fold

    def _remade(self, samples: Samples, classes: Ints) -> InMemoryEngine:
        """Return an engine of this kind for other samples, with the same threads."""
        return type(self)(samples, self.workers, classes)
