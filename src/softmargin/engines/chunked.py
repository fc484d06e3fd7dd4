"""The engine for data that stay in parts: fixed chunks of rows, each summed by the CPU engine, added in one tree.

A `Runner` decides where the sums over shards are computed. Results have the same bits for any runner, number of
workers and size of shards, on one type of processor. They depend on how the data are divided into parts.

Nothing of length N is here: labels, weights, offsets and multipliers stay with the shards. Therefore mini-batches,
dual ascent and folds are not supported; L-BFGS and the augmented Lagrangian are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from softmargin.affine import Affine
from softmargin.arguments import brief
from softmargin.engines import shard as tasks
from softmargin.engines.base import (
    Capability,
    DualSource,
    DualSums,
    Engine,
    Evaluation,
    GivenRows,
    Gradients,
    Moments,
    Preconditioner,
    Quality,
    RowState,
    Shape,
)
from softmargin.engines.curvature import mean_of, step_between
from softmargin.engines.rows import ArrayRows, aligned
from softmargin.engines.runner import Runner
from softmargin.engines.shard import Counts, Piece, Recipe, Request
from softmargin.engines.shard_rows import Origin, ShardRows, restored
from softmargin.engines.tree import Add, Tree, added
from softmargin.errors import CapabilityError, ClusterError, DataError, ParameterError
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples
from softmargin.shards import Shards
from softmargin.threads import default_threads
from softmargin.weights import factors_of_classes

__all__ = ["ChunkedEngine"]

_CHUNK_BYTES, _LEAST_ROWS, _MOST_ROWS = 1 << 26, 1 << 12, 1 << 20
"""The number of rows of a chunk is the largest power of two of at most this size in bytes, within these bounds."""

_TASKS_PER_WORKER = 4
"""Number of shards per worker at the start, so that the others can take over those of a slow or lost one."""

_DRIVER_BYTES, _MERGED = 1 << 26, 8
"""If the sums of all shards are larger than this, tasks first add those of this many shards."""

_ROW_ARRAYS = 3
"""Number of arrays (N, C) of an augmented Lagrangian: multipliers before and after a round, and offsets."""

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
        counts = [each for found in runner.collect(runner.run(tasks.survey, self._pieces)) for each in found]
        labels, factors, self.shape = _classes(counts, shards)
        self._n_active = np.array([each.n_active[np.isin(each.labels, labels)].sum() for each in counts])
        self.labels = labels
        self._n_read = 0
        recipes = [Recipe(piece, self._n_chunks, labels, factors, n_threads) for piece in self._pieces]
        self._loaded = runner.load(recipes)
        described = runner.collect(runner.run(tasks.describe, self._loaded))
        depth = (self._n_chunks - 1).bit_length()
        # Half as much again, since errors of the means of the chunks come on top of those of their variances.
        self._rounding = 1.5 * max(bound for bound, _ in described) + 4.0 * _EPS * depth
        if all(has_single for _, has_single in described):
            self.supports = frozenset({Capability.SINGLE})

    @property
    def n_passes(self) -> float:
        """Number of passes over X so far; reading some of the rows counts as a fraction of a pass."""
        return self._n_read / self.shape.n_active

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
        """Return the sum over all chunks of what a function of ``shard.py`` returns for one."""
        nodes = self._run(tasks.sums, Request(term, arguments, add), offsets)
        return self._total(nodes, add, n_read)

    def _run(self, task: Callable[..., Any], request: Request, offsets: RowState | None) -> list[Any]:
        assert offsets is None or isinstance(offsets, ShardRows)
        columns = [self._loaded, [self._runner.share(request)] * len(self._loaded)]
        return self._runner.run(task, *columns, *([] if offsets is None else [offsets.parts]))

    def _total(self, nodes: Sequence[Any], add: Add, n_read: int | None = None) -> tuple[Any, ...]:
        size = 8 * self.shape.n_features * self.shape.n_classes
        while len(nodes) > _MERGED and size * len(nodes) > _DRIVER_BYTES:
            groups = [nodes[k : k + _MERGED] for k in range(0, len(nodes), _MERGED)]
            nodes = self._runner.run(tasks.merged, groups, [self._n_chunks] * len(groups), [add] * len(groups))
        tree = Tree(self._n_chunks, add)
        for found in self._runner.collect(nodes):
            tree.update(found)
        self._n_read += self.shape.n_active if n_read is None else n_read
        return tuple(aligned(each) if isinstance(each, np.ndarray) else each for each in tree.total)

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
            _refuse("folds")
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
        assert source.offsets is None or isinstance(source.offsets, ShardRows)
        pairs = self._run(tasks.kept, Request(tasks.dual, arguments), source.offsets)
        nodes, rows = (self._runner.run(itemgetter(k), pairs) for k in (0, 1))
        value, conjugate, square, G, classes = self._total(nodes, added)
        parents = () if source.offsets is None else (source.offsets.origin,)
        origin = Origin("dual", (), parents, source.loss, (W.copy(), b.copy()))
        return DualSums(value, conjugate, square, G, classes, ShardRows(self._runner, rows, origin))

    def rows_from(self, saved: NDArray[Any] | None) -> ShardRows:
        """Return rows of zeros in float32, or those that `ShardRows.save` described; a pass for each dual rows."""
        needed = _ROW_ARRAYS * 4 * self.shape.n_samples * self.shape.n_classes
        if needed > self._runner.free_bytes:
            raise ClusterError(
                f"The multipliers need {needed / 1e9:.2f} GB of memory, but the workers have "
                f"{self._runner.free_bytes / 1e9:.2f} GB; add workers, or use a smooth loss."
            )
        if saved is None:
            shapes = [(piece.n_rows, self.shape.n_classes) for piece in self._pieces]
            return ShardRows(self._runner, self._runner.run(_zeros, shapes), Origin("zeros"))

        def dual(W: Floats, b: Floats, source: Gradients) -> ShardRows:
            rows = self.dual_sums(source.loss, W, b, source).rows
            assert isinstance(rows, ShardRows)
            return rows

        return restored(saved, lambda: self.rows_from(None), dual)

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
        """Return mean loss and accuracy on all samples, the "training" part."""
        if part != "training":
            raise ParameterError(f"part must be 'training', as shards have no folds, got {brief(part)}.")
        value, hits, weight = self._sum(tasks.quality, loss, W, b)
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
        found = self._runner.collect(self._runner.run(tasks.pick, self._loaded, chunks))
        self._n_read += len(places)
        X, y, weights = zip(*(some for shard in found for some in shard), strict=True)
        joined = csr_array(vstack(X)) if hasattr(X[0], "indptr") else np.concatenate(X)
        total = np.concatenate(weights)
        return Samples(joined, np.concatenate(y), total / total.sum(), self.shape.n_classes)

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        return self._rounding

    def fingerprint(self) -> str:
        """Return a hash of X, labels and weights."""
        found = self._runner.collect(self._runner.run(tasks.fingerprints, self._loaded))
        return hashlib.sha256("".join(each for hashes in found for each in hashes).encode()).hexdigest()

    def with_fold(self, k: int) -> NoReturn:
        """Raise a `CapabilityError`."""
        _refuse("folds")


def chunk_rows(row_bytes: int) -> int:
    """Return the number of rows of a chunk, from the size of a row in bytes."""
    fitting = max(1, _CHUNK_BYTES // row_bytes)
    return int(np.clip(1 << (fitting.bit_length() - 1), _LEAST_ROWS, _MOST_ROWS))


def _zeros(shape: tuple[int, int]) -> ArrayRows:
    return ArrayRows(np.zeros(shape, np.float32))


def _refuse(purpose: str) -> NoReturn:
    raise CapabilityError(
        f"Data in shards do not support {purpose}; read them into the memory of one machine, with engine='cpu'."
    )


def _classes(counts: list[Counts], shards: Shards) -> tuple[NDArray[Any], Floats, Shape]:
    """Return the labels of all classes, the factors of their weights, and the sizes of the problem."""
    counts = [each for each in counts if len(each.labels)] or counts  # labels of weight 0 may be of another type
    kinds = {each.labels.dtype.kind for each in counts}
    if len({"i" if kind in "iub" else kind for kind in kinds}) > 1:
        raise DataError("The labels of all shards must have the same type, numbers or strings, got both.")
    labels, codes = np.unique(np.concatenate([each.labels for each in counts]), return_inverse=True)
    weights, squares, n_active = (
        np.bincount(codes, np.concatenate([getattr(each, name) for each in counts]), len(labels)).astype(
            np.float64
        )
        for name in ("weights", "squares", "n_active")
    )
    factors = factors_of_classes(shards.class_weight, labels, weights)
    used = factors > 0.0
    labels, factors, weights = labels[used], factors[used], weights[used]
    if len(labels) < 2:
        only = f"only one class, {brief(labels.tolist()[0])}" if len(labels) else "none"
        raise DataError(f"The shards must hold at least two classes of positive weight, got {only}.")
    factors = factors / (factors * weights).sum()
    shape = Shape(
        shards.n_samples, shards.n_features, len(labels), int(n_active[used].sum()),
        float((factors**2 * squares[used]).sum()), factors * weights, np.arange(len(labels)),
    )  # fmt: skip
    return labels, factors, shape
