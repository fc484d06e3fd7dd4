"""The engine for data that stay in parts: fixed chunks of rows, each summed by the CPU engine, added in one tree.

A `Runner` decides where the sums over shards are computed. Results have the same bits for any runner, number of
workers and size of shards, on one type of processor. They depend on how the data are divided into parts.

Nothing of length N is here: labels, weights, offsets and multipliers stay with the shards. Therefore mini-batches
and dual ascent are not supported; L-BFGS and the augmented Lagrangian are. A fold is known by its number, and the
tasks find its samples by the hashes of their rows.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from softmargin.affine import Affine
from softmargin.arguments import brief, check_count
from softmargin.engines import shard_sums as tasks
from softmargin.engines.base import (
    Capability,
    DualSource,
    DualSums,
    Engine,
    Evaluation,
    GivenRows,
    Moments,
    Preconditioner,
    Quality,
    RowState,
)
from softmargin.engines.curvature import mean_of, step_between
from softmargin.engines.division import Division
from softmargin.engines.origins import Origin, loaded
from softmargin.engines.readings import Readings
from softmargin.engines.runner import Runner
from softmargin.engines.shard import (
    Fold,
    FoldRule,
    Piece,
    Recipe,
    chunk_rows,
    classes_of,
    describe,
    divided,
    fingerprints,
    pick,
    survey,
)
from softmargin.engines.shard_rows import Flags, ShardRows
from softmargin.engines.shard_sums import Request
from softmargin.engines.shard_tasks import ShardTasks
from softmargin.engines.tree import Add, added
from softmargin.errors import CapabilityError, ClusterError, ParameterError
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples
from softmargin.shards import Shards
from softmargin.threads import default_threads

__all__ = ["ChunkedEngine"]

_TASKS_PER_WORKER = 2
"""Number of shards per thread of the workers, or up to twice as many: others take over those of a lost worker.
On a cluster, each costs about 1.5 ms per pass, one after the other."""

_CONCURRENT = 16
"""Number of fits that run concurrently, so that one reading serves several points."""

_ROW_ARRAYS = 3
"""Number of arrays (N, C) of an augmented Lagrangian: multipliers before and after a round, and dual rows."""

_SAMPLE_BYTES, _SAMPLE_ROWS = 1 << 28, 4096
"""Maximum size in bytes of the sample of rows for the preconditioner, and its minimum number of rows."""

_EPS = float(np.finfo(np.float64).eps)


class ChunkedEngine(Engine):
    """Sums over the chunks of a data set in parts.

    Parameters
    ----------
    shards : Shards
    runner : Runner
    n_threads : int
        Number of threads per task.
    group : int, optional
        Number of chunks per shard; by default it depends on the number of workers. Results do not depend on it.

    Attributes
    ----------
    class_counts : ndarray of shape (C,)
        Number of samples of positive weight of each class.

    Raises
    ------
    DataError
        If labels or weights are invalid, or fewer than two classes have a sample of positive weight.
    """

    def __init__(self, shards: Shards, runner: Runner, n_threads: int = 1, group: int | None = None) -> None:
        self._runner, self._shards = runner, shards
        rows = [chunk_rows(part.row_bytes) for part in shards.parts]
        n_chunks = [-(-part.n_rows // size) for part, size in zip(shards.parts, rows, strict=True)]
        self._n_chunks = sum(n_chunks)
        if group is None:
            group = 1 << max(0, (self._n_chunks // (_TASKS_PER_WORKER * runner.n_workers)).bit_length() - 1)
        first = [0, *accumulate(n_chunks)]
        self._pieces = [
            Piece(part, start, min(size * group, part.n_rows - start), number + start // size, size)
            for part, size, number in zip(shards.parts, rows, first, strict=False)
            for start in range(0, part.n_rows, size * group)
        ]
        counts = [each for found in runner.collect(runner.run(survey, self._pieces)) for each in found]
        labels, self.class_counts, self._factors, self.shape = classes_of(counts, shards)
        self._n_active: Ints = np.array([each.n_active[np.isin(each.labels, labels)].sum() for each in counts])
        self.labels = labels
        D, C = self.shape.n_features, self.shape.n_classes
        if (size := 8 * D * C) > runner.point_bytes:
            raise ClusterError(
                f"W has {size / 1e6:.0f} MB ({D:,} features, {C:,} classes), but each pass sends it to workers "
                f"and back, at most {runner.point_bytes / 1e6:.0f} MB; use fewer features, or engine='chunked'."
            )
        self._n_read = 0
        recipes = [Recipe(piece, self._n_chunks, labels, self._factors, n_threads) for piece in self._pieces]
        self._work = ShardTasks(runner, recipes, size)
        described = self._work.on_all(describe)
        depth = (self._n_chunks - 1).bit_length()
        # Half as much again, since errors of the means of the chunks come on top of those of their variances.
        self._rounding = 1.5 * max(bound for bound, _ in described) + 4.0 * _EPS * depth
        if all(has_single for _, has_single in described):
            self.supports = frozenset({Capability.SINGLE})
        self._fold: Fold | None = None
        self.division: Division | None = None
        self._readings = Readings(self._work.sums)

    @property
    def n_passes(self) -> float:
        """Number of passes over X so far; reading some of the rows counts as a fraction of a pass."""
        return self._n_read / self.shape.n_active

    @property
    def n_threads(self) -> int:
        """Number of threads in which fits may run concurrently; their sums share readings."""
        return _CONCURRENT

    def require(self, capability: Capability, purpose: str) -> None:
        """Raise a `CapabilityError` unless the engine supports a capability."""
        if capability not in self.supports:
            _refuse(purpose)

    def _sum(
        self,
        term: Callable[..., Any],
        *arguments: Any,
        offsets: RowState | None = None,
        add: Add = added,
        n_read: int | None = None,
    ) -> tuple[Any, ...]:
        """Return the sum over all chunks of what a function of ``shard_sums.py`` returns for one."""
        assert offsets is None or isinstance(offsets, ShardRows)
        [total] = self._readings.get([(Request(term, arguments, add, self._fold), offsets)])
        self._n_read += self.shape.n_active if n_read is None else n_read
        return cast(tuple[Any, ...], total)

    # -- the protocol ----------------------------------------------------------------------------------

    def value(self, loss: Loss, W: Floats, b: Floats) -> float:
        """Return the weighted mean loss."""
        return float(self._sum(tasks.value, loss, W, b)[0])

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
        """Return the weighted mean loss and its gradient; the scores are not kept, as there are no Hessians."""
        value, dW, db = self._sum(tasks.evaluation, loss, W, b, single, offsets=offsets)
        return Evaluation(W, b, float(value), dW, db)

    def evaluate_many(
        self,
        loss: Loss,
        W: Sequence[Floats],
        b: Sequence[Floats],
        folds: Sequence[int] | None = None,
        *,
        single: bool = False,
    ) -> list[Evaluation]:
        """Return the values and gradients at several points, from a single pass."""
        if folds is not None:
            return super().evaluate_many(loss, W, b, folds, single=single)
        found = self._sum(tasks.evaluation, loss, np.array(W), np.array(b), single)
        return [Evaluation(*point) for point in zip(W, b, found[0].tolist(), *found[1:], strict=True)]

    def hessian_product(
        self, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats, offsets: RowState | None = None
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian with the direction (V, c)."""
        G, g = self._sum(tasks.hessian, loss, W, b, V, c, offsets=offsets)
        return G, g

    def dual_sums(self, loss: Loss, W: Floats, b: Floats, source: DualSource) -> DualSums:
        """Return the value and the sums over the dual rows."""
        if isinstance(source, GivenRows):
            _refuse("dual ascent")
        arguments = (loss, W, b, source.loss, source.keep)
        if not source.keep:
            return DualSums(*self._sum(tasks.dual, *arguments, offsets=source.offsets))
        assert isinstance(source.offsets, ShardRows | None)
        parents = () if source.offsets is None else (source.offsets.origin,)
        origin = Origin("dual", (), parents, source.loss, (W.copy(), b.copy()))
        sums, rows = self._work.kept(Request(tasks.dual, arguments, fold=self._fold), source.offsets, origin)
        self._n_read += self.shape.n_active
        return DualSums(*sums)._replace(rows=rows)

    def rows_from(self, saved: NDArray[Any] | None) -> ShardRows:
        """Return rows of zeros in float32, or those that `ShardRows.save` described, from one pass."""
        n_fits = 1 if self.division is None else self.division.n_folds
        needed = _ROW_ARRAYS * 4 * self.shape.n_samples * self.shape.n_classes * n_fits
        if needed > self._runner.free_bytes:
            raise ClusterError(
                f"The multipliers need {needed / 1e9:.2f} GB of memory, but the workers have "
                f"{self._runner.free_bytes / 1e9:.2f} GB; add workers, or use a smooth loss."
            )
        origin = Origin("zeros") if saved is None else loaded(saved)
        if origin.step != "zeros":
            self._n_read += self.shape.n_active
        return self._work.rows(origin, self._fold)

    def moments(self) -> Moments:
        """Return the mean and the variance of each feature."""
        _, mean, variance = self._sum(tasks.moments, add=tasks.merged_moments, n_read=2 * self.shape.n_active)
        return Moments(mean, variance)

    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class."""
        return self._sum(tasks.features)[0]

    def score_square(self, G: Floats, b: Floats) -> float:
        """Return the weighted mean square of scores."""
        return float(self._sum(tasks.square, G, b)[0])

    def mean_curvature(self, loss: Loss, W: Floats, b: Floats, offsets: RowState | None = None) -> float:
        """Return the mean curvature of the loss in score space, from a sample of each chunk."""
        step = step_between(self.shape.n_active)
        n_read = int((-(-self._n_active // step)).sum())
        trace, weight = self._sum(tasks.curvature, loss, W, b, step, offsets=offsets, n_read=n_read)
        return mean_of(trace / weight, self.shape.n_classes)

    def quality(self, loss: Loss, W: Floats, b: Floats, part: str) -> Quality:
        """Return mean loss and accuracy on the "training" or, of a fold, on the "held_out" samples."""
        if part not in ("training", "held_out"):
            raise ParameterError(f"part must be 'training' or 'held_out', got {brief(part)}.")
        if part == "held_out" and self._fold is None:
            raise ParameterError("These samples are not a fold, so they have no held-out part.")
        engine = self if self._fold is None or part == "training" else self._part(self._fold.number, True)
        value, hits, weight = engine._sum(tasks.quality, loss, W, b)
        return Quality(value / weight, hits / weight)

    def preconditioner(self, affine: Affine, moments: Moments, single: bool) -> Preconditioner:
        """Return the preconditioner that the CPU engine makes of a sample of the rows, here."""
        from softmargin.engines.cpu import DenseEngine, SparseEngine  # Numba takes long to load

        samples = self._sample(max(_SAMPLE_ROWS, 2 * self.shape.n_features))
        engine = (SparseEngine if samples.is_sparse else DenseEngine)(samples, default_threads())
        return engine.preconditioner(affine, moments, single)

    def _sample(self, n_rows: int) -> Samples:
        """Return samples of positive weight, drawn at random, or all of them if there are not more."""
        row_bytes = max(part.row_bytes for part in self._shards.parts)
        n_rows = min(n_rows, max(_SAMPLE_ROWS, _SAMPLE_BYTES // row_bytes))
        places: Ints = np.arange(self.shape.n_active)
        if len(places) > n_rows:
            places = np.sort(np.random.default_rng(0).choice(self.shape.n_active, size=n_rows, replace=False))
        starts = np.concatenate([[0], self._n_active.cumsum()])
        parts = np.split(places, np.searchsorted(places, starts[1:-1]))
        local = [part - start for part, start in zip(parts, starts, strict=False)]
        chunks = [[local[piece.first_chunk + k] for k, _ in enumerate(piece.chunks())] for piece in self._pieces]
        found = self._runner.collect(self._runner.run(pick, self._work.loaded, chunks, [self._fold] * len(chunks)))
        self._n_read += len(places)
        X, y, weights = zip(*(some for shard in found for some in shard), strict=True)
        joined = csr_array(vstack(X)) if hasattr(X[0], "indptr") else np.concatenate(X)
        total = np.concatenate(weights)
        return Samples(joined, np.concatenate(y), total / total.sum(), self.shape.n_classes)

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        return self._rounding

    def fingerprint(self, weighted: bool = True) -> str:
        """Return a hash of X and labels, and of weights unless ``weighted`` is false, as for a model."""
        found = self._work.on_all(fingerprints, weighted)
        return hashlib.sha256("".join(each for hashes in found for each in hashes).encode()).hexdigest()

    # -- folds -----------------------------------------------------------------------------------------

    def divided(self, rule: FoldRule, n_folds: int) -> ChunkedEngine:
        """Return the engine with folds by the content of the rows; one pass.

        Parameters
        ----------
        rule : FoldRule
        n_folds : int
            Number of folds; the rows of any others are never held out.

        Raises
        ------
        DataError
            If a fold holds out no sample, or all samples of a class.
        """
        sizes, nodes = zip(*self._work.on_all(divided, rule), strict=True)
        self._n_read += self.shape.n_active
        [sums] = tasks.merged([[each] for each in nodes], self._n_chunks, [added])
        chunks = np.array([chunk for shard in sizes for chunk in shard])
        division = Division(rule, n_folds, next(iter(sums.values()))[0], chunks)
        assert self.labels is not None, "shards have labels"
        division.check(self.labels.tolist())
        other = copy.copy(self)
        other.division = division
        return other

    def with_fold(self, k: int) -> ChunkedEngine:
        """Return the engine of the training samples of a fold."""
        if self.division is None:
            raise ParameterError("These samples have no folds.")
        if check_count("fold", k, 0) >= self.division.n_folds:
            raise ParameterError(f"fold must be a whole number from 0 to {self.division.n_folds - 1}, got {k}.")
        return self._part(k, False)

    def _part(self, k: int, held_out: bool) -> ChunkedEngine:
        assert self.division is not None
        other = copy.copy(self)
        other._fold, other._n_active, other.shape = self.division.part(k, held_out, self._factors, self.shape)
        other._n_read = 0
        return other

    def held_out_sums(
        self, term: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], add: Add = added
    ) -> list[tuple[Any, ...]]:
        """Return a sum over the held-out samples of each fold, by a function of ``shard_sums.py``; one reading."""
        folds = [self._part(k, True)._fold for k in range(len(arguments))]
        requests = [Request(term, each, add, fold) for each, fold in zip(arguments, folds, strict=True)]
        self._n_read += self.shape.n_active
        return list(self._readings.get([(request, None) for request in requests]))

    def correct(self, points: Sequence[tuple[Floats, Floats]]) -> Flags:
        """Return which samples are held out and classified correctly, each by the point of its fold; one pass."""
        folds = [self._part(k, True)._fold for k in range(len(points))]
        self._n_read += self.shape.n_active
        return Flags(self._runner, self._work.started(tasks.correct, folds, points))


def _refuse(purpose: str) -> NoReturn:
    raise CapabilityError(
        f"Data in shards do not support {purpose}; read them into the memory of one machine, with engine='cpu'."
    )
