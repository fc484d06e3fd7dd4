"""The common base of the engines for X in the memory of one machine, which can select, copy and weight rows.

A subclass computes the sums over the rows. Private methods take NumPy arrays of length N, which the public methods
hide behind `ArrayRows`.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.arguments import brief, check_count
from softmargin.engines.base import (
    Batch,
    Capability,
    Engine,
    Evaluation,
    Hessian,
    Moments,
    Preconditioner,
    Quality,
    RowState,
    Shape,
)
from softmargin.engines.curvature import mean_of, step_between, traces
from softmargin.engines.hessians import PairProduct, Pairs, gram_of_rows, local_hessian
from softmargin.engines.nystrom import NystromPreconditioner, affordable_rank
from softmargin.engines.preconditioners import (
    CovariancePreconditioner,
    DiagonalPreconditioner,
    PanelProduct,
    panel_product,
)
from softmargin.engines.rows import ArrayRows, OptionalRows, array_of
from softmargin.errors import DataError, ParameterError
from softmargin.io.mapped import MappedFile
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples
from softmargin.sparse import issparse
from softmargin.threads import Workers

__all__ = ["InMemoryEngine"]

DOUBLE_FEATURES = 6144
"""Up to this many features, the covariance of dense X is a float64 matrix, of at most 300 MB."""

_SINGLE_FEATURES = 8192
"""Up to this many, it is a float32 matrix of at most 270 MB; beyond, an approximation of low rank costs less."""

_SPARSE_FEATURES = 2048
"""The same limit for sparse X, whose passes are cheap compared with a (D, D) matrix; beyond that a diagonal."""

_ROWS = 4096
"""Number of rows whose scores are computed at a time."""

_HASHED_ROWS, _MAPPED_ROWS, _ROWS_PER_RANK = 1024, 512, 8


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
        The threads to use.

    Attributes
    ----------
    rows : ndarray of int64
        Row numbers of the samples of positive weight, in ascending order.
    has_single : bool
        Whether float32 represents X exactly.
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
        self._scoring_weights = weights if samples.scoring_weights is None else samples.scoring_weights
        self._n_read = 0
        self._file = MappedFile(samples.X)
        self._file.check(DataError)
        self._held_out: Ints = np.zeros(0, np.int64)
        self._known: Ints = self._held_out

    @property
    def n_passes(self) -> float:
        """Number of passes over X so far; reading some of the rows counts as a fraction of a pass."""
        return self._n_read / max(1, len(self.rows))

    @property
    def n_threads(self) -> int:
        """Number of threads that read X."""
        return self.workers.n_threads

    def count(self, n_rows: int) -> None:
        """Count rows that will be read; raise a `DataError` if X is mapped from a file that has changed."""
        self._file.check(DataError)
        self._n_read += n_rows  # an integer, so that a resumed fit counts without rounding

    def count_in_one_class(self, n_rows: int) -> None:
        """Count rows that will be multiplied with one column of W each, as a product with active pairs does."""
        self.count(n_rows // self.shape.n_classes + 1)

    # -- implemented by subclasses -----------------------------------------------------------------------

    @abstractmethod
    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> NDArray[Any]:
        """Return a dense copy of any rows of X, of the ``dtype``, or float64 if float32 cannot represent X."""

    @abstractmethod
    def _evaluate(
        self, loss: Loss, W: Floats, b: Floats, offsets: OptionalRows, scores_out: OptionalRows, single: bool
    ) -> tuple[float, Floats, Floats]:
        """Return value and gradient; write the scores plus offsets into ``scores_out`` (N, C), if given."""

    @abstractmethod
    def _pair_product(self, pairs: Pairs, single: bool = True) -> PairProduct:
        """Return the product with ``Σ_k factor_k (x_k (e_j - e_y)ᵀ)(…)ᵀ``; ``single`` allows float32."""

    @abstractmethod
    def covariance(self, affine: Affine, rows: Ints, single: bool) -> list[Floats]:
        """Return the weighted second moment (D, D) of the mapped features over ``rows``, as `row_panels`."""

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
        scores = None
        if keep_scores:  # at a small λ, only float64 scores tell which pairs are active
            scores = self._zero_rows(np.float32 if single else np.float64)
        found = self._evaluate(loss, W, b, array_of(offsets), array_of(scores), single)
        return Evaluation(W, b, *found, scores)

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
        samples = [replace(self.samples, weights=weights_k) for weights_k in weights]
        engines = [self._with_samples(samples_k, self.shape.classes) for samples_k in samples]
        self.count(sum(len(engine.rows) for engine in engines))
        return [e.evaluate(loss, W_k, b_k, single=single) for e, W_k, b_k in zip(engines, W, b, strict=True)]

    def _evaluate_many(
        self, loss: Loss, W: Floats, b: Floats, weights: Floats | None, single: bool
    ) -> tuple[list[float], Floats, Floats] | None:
        """Return values (K,) and gradients (K, D, C), (K, C) from a single pass, or None if that saves no time.

        ``weights`` (K, N) are the sample weights at each point, by default those of the samples.
        """
        return None

    def hessian(self, loss: Loss, at: Evaluation, affine: Affine) -> Hessian | None:
        """Return the Hessian as a small matrix, or as a sum over active pairs if these are few."""
        assert isinstance(at.scores, ArrayRows), "hessian requires an evaluation with keep_scores=True"
        if not (self.shape.has_small_hessian or loss.curves_in_pairs):
            return None
        scores = at.scores.array[self.rows].astype(np.float64, copy=False)
        return local_hessian(self, loss, scores, affine)

    def rows_from(self, saved: NDArray[Any] | None) -> ArrayRows:
        """Return the saved rows, or zeros in float32."""
        return self._zero_rows() if saved is None else ArrayRows(saved)

    def _zero_rows(self, dtype: Any = np.float32) -> ArrayRows:
        return ArrayRows(np.zeros((self.shape.n_samples, self.shape.n_classes), dtype))

    def scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        """Return the scores of chosen samples."""
        self.count(len(rows))
        return self._scores(W, b, rows)

    @abstractmethod
    def _scores(self, W: Floats, b: Floats, rows: Ints) -> Floats: ...

    def _score_parts(self, W: Floats, b: Floats, rows: Ints) -> Iterator[tuple[slice, Floats]]:
        """Yield the scores of chosen samples in parts, each with its slice."""
        for start in range(0, len(rows), _ROWS):
            part = slice(start, min(start + _ROWS, len(rows)))
            yield part, self.scores(W, b, rows[part])

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all samples of positive weight in random order, in mini-batches of ``size``."""
        order = rng.permutation(self.rows)
        for start in range(0, len(order), size):
            yield _Batch(self, order[start : start + size])

    def mean_curvature(self, loss: Loss, W: Floats, b: Floats, offsets: RowState | None = None) -> float:
        """Return the mean curvature of the loss in score space; see ``curvature.py``."""
        rows = self.rows[:: step_between(len(self.rows))]
        scores = self.scores(W, b, rows)
        if offsets is not None:
            scores += array_of(offsets)[rows]
        found = traces(loss, scores, self.samples.y[rows])
        return mean_of(float(np.average(found, weights=self.samples.weights[rows])), self.shape.n_classes)

    def score_square(self, G: Floats, b: Floats) -> float:
        """Return the weighted mean square of scores."""
        weights = self.samples.weights[self.rows]
        parts = self._score_parts(G, b, self.rows)
        return sum(float(weights[part] @ (scores**2).mean(axis=1)) for part, scores in parts)

    def quality(self, loss: Loss, W: Floats, b: Floats, part: str) -> Quality:
        """Return mean loss and accuracy on training or held-out samples."""
        if part not in ("training", "held_out"):
            raise ParameterError(f"part must be 'training' or 'held_out', got {brief(part)}.")
        rows = self.rows if part == "training" else self._held_out
        if len(rows) == 0:
            raise ParameterError("These samples are not a fold, so they have no held-out part.")
        known = rows if part == "training" else self._known
        # Equal weights become exactly 1, so that fractions are exact.
        weights = self._scoring_weights / self._scoring_weights.max()
        value = hits = 0.0
        for place, scores in self._score_parts(W, b, known):
            y, share = self.samples.y[known[place]], weights[known[place]]
            value += float(share @ loss._values(scores, y))
            hits += float(share @ (scores.argmax(axis=1) == y))
        total = float(weights[known].sum())
        # Samples of classes without training samples are left out of the loss and count as misclassified.
        return Quality(value / total if total > 0.0 else np.inf, hits / float(weights[rows].sum()))

    def held_out_scores(self, W: Floats, b: Floats) -> tuple[Floats, Ints, Floats, Ints]:
        """Return scores, classes, weights and row numbers of the held-out samples of known classes."""
        known = self._known
        scores = np.empty((len(known), self.shape.n_classes))
        for part, found in self._score_parts(W, b, known):
            scores[part] = found
        return scores, self.samples.y[known], self._scoring_weights[known], known

    def preconditioner(self, affine: Affine, moments: Moments, single: bool) -> Preconditioner:
        """Return a preconditioner from the covariance or its low-rank approximation, few rows, or the variances.

        The covariance is estimated from as many rows as cost a few passes, but if possible from at least 2 D rows,
        or `_ROWS_PER_RANK` per rank for the approximation.
        """
        X, rows, D, sparse = self.samples.X, self.rows, self.shape.n_features, issparse(self.samples.X)
        if self.shape.has_few_rows:
            return gram_of_rows(self, rows, affine)
        largest = _SPARSE_FEATURES if sparse else _SINGLE_FEATURES if single else DOUBLE_FEATURES
        full = self.shape.n_features <= largest
        rank = 0 if sparse else affordable_rank(len(rows), D, 4 if single else 8)
        if not full and rank == 0:
            variance = (moments.variance + (moments.mean - affine.mean) ** 2) * affine.scale**2
            return DiagonalPreconditioner(variance, "sparse" if sparse else "dense")
        density = X.nnz / (self.shape.n_samples * D) if sparse else 1.0
        least = 2 * D if full else _ROWS_PER_RANK * rank
        enough = max(least, int(density * 40 * len(rows) * self.shape.n_classes) // D)
        rng = np.random.default_rng(0)
        if len(rows) > enough:
            rows = np.sort(rng.choice(rows, size=enough, replace=False))
        if full:
            return CovariancePreconditioner(
                self.covariance(affine, rows, single), self.workers, self.panel_product
            )
        draws = rng.standard_normal((rank, D), np.float32)
        blocks = self.weighted_blocks(rows, affine, np.float32 if single else np.float64)
        return NystromPreconditioner(blocks, draws, self.workers, self.panel_product)

    def weighted_blocks(self, rows: Ints, affine: Affine, dtype: Any) -> Iterator[NDArray[Any]]:
        """Yield mapped rows in blocks, each times the square root of its share of the weight of all ``rows``."""
        self.count(len(rows))
        weights = np.sqrt(self.samples.weights[rows] / self.samples.weights[rows].sum())
        for start in range(0, len(rows), _MAPPED_ROWS):
            Z = self.mapped_rows(rows[start : start + _MAPPED_ROWS], affine, dtype)
            Z *= weights[start : start + _MAPPED_ROWS, None].astype(Z.dtype)
            yield Z

    def mapped_rows(self, rows: Ints, affine: Affine, dtype: Any = np.float64) -> NDArray[Any]:
        """Return ``(X[rows] - mean) * scale`` as a dense array of the ``dtype``."""
        Z = self.dense_rows(rows, dtype)
        nearest = affine.mean.astype(Z.dtype)
        if nearest.any():
            Z -= nearest  # exact for x close to the mean; the rest of the mean, which float32 cannot hold, follows
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
            raise ParameterError(f"fold must be a whole number from 0 to {n_folds - 1}, got {brief(k)}.")
        counts = np.bincount(self.samples.folds[k].training, minlength=self.shape.n_samples)
        weights = self.samples.weights * counts
        weights /= weights.max()  # as for all weights, so that equal weights stay equal
        return np.asarray(weights / weights.sum())

    def with_fold(self, k: int) -> InMemoryEngine:
        """Return the engine of the training samples of a fold; classes without a training sample are left out."""
        samples, weights = self.samples, self._training_weights(k)
        classes = np.unique(samples.y[weights > 0.0])
        if len(classes) < 2:
            raise DataError(f"Fold {k} of cv must have training samples of at least two classes, got one class.")
        known = np.isin(samples.y, classes)
        codes = np.where(known, np.searchsorted(classes, samples.y), 0)
        scoring = self._scoring_weights
        training = replace(
            samples, y=codes, weights=weights, n_classes=len(classes), folds=(), scoring_weights=scoring
        )
        fold = self._with_samples(training, classes)
        fold._held_out = samples.folds[k].validation
        fold._known = fold._held_out[known[fold._held_out]]
        return fold

    def _with_samples(self, samples: Samples, classes: Ints) -> InMemoryEngine:
        """Return an engine of this type for other samples, with the same threads."""
        return type(self)(samples, self.workers, classes)
