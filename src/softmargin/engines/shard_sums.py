"""Sums over the chunks of a shard: what a task computes, and the functions of the engine of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import Gradients, RowState
from softmargin.engines.curvature import traces
from softmargin.engines.in_memory import InMemoryEngine
from softmargin.engines.origins import repeated
from softmargin.engines.rows import ArrayRows, aligned
from softmargin.engines.shard import Fold, Shard
from softmargin.engines.tree import Add, Nodes, Tree, added
from softmargin.errors import DataError
from softmargin.losses import CrossEntropy, softmax
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.metrics import N_BINS, confidence_excess
from softmargin.samples import check_finite
from softmargin.text import printable
from softmargin.threads import one_blas_thread

__all__ = [
    "Request", "ScaledRows", "calibration", "correct", "curvature", "dual", "evaluation", "features", "hessian",
    "kept", "loss_moments", "merged", "merged_moments", "moments", "n_without", "quality", "replay", "some_scores",
    "square", "sums", "value", "zeros",
]  # fmt: skip

ScaledRows: TypeAlias = tuple[ArrayRows, Sequence[float]]
"""Rows of a shard and factors by which they are multiplied, one after the other."""


class Request:
    """A sum over the samples: a function of the engine of a chunk and its offsets, and further arguments.

    Arrays are stored contiguous and aligned. What arrives from another process may be neither, and the engine
    would then take a path with other rounding errors.

    Parameters
    ----------
    term : callable
        Called with the engine of a chunk, its offsets or None, and the ``arguments``.
    arguments : tuple
    add : callable
        Adds the results of two chunks.
    fold : Fold, optional
        The part of a fold; by default all samples.
    """

    def __init__(
        self,
        term: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        add: Add = added,
        fold: Fold | None = None,
    ) -> None:
        self.term, self.add, self.fold = term, add, fold
        self.arguments = tuple(aligned(each) if isinstance(each, np.ndarray) else each for each in arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return Request, (self.term, self.arguments, self.add, self.fold)

    def __sizeof__(self) -> int:
        return self.n_bytes + 1000

    @property
    def n_bytes(self) -> int:
        """Size of the arrays in bytes."""
        return sum(each.nbytes for each in self.arguments if isinstance(each, np.ndarray))


def sums(shard: Shard, requests: Sequence[Request], offsets: Sequence[ScaledRows | None]) -> list[Nodes]:
    """Return for each request the nodes of the sum that the chunks of a shard determine."""
    return [_sums(shard, request, added_to) for request, added_to in zip(requests, offsets, strict=True)]


def kept(shard: Shard, request: Request, offsets: ScaledRows | None = None) -> tuple[list[Nodes], ArrayRows]:
    """Return the nodes as `sums` does, and rows of the shard, which a term such as `dual` returns last."""
    rows = np.zeros((len(shard.y), len(shard.recipe.labels)), np.float32)
    return [_sums(shard, request, offsets, rows)], ArrayRows(rows)


def _sums(
    shard: Shard, request: Request, offsets: ScaledRows | None, rows_out: NDArray[Any] | None = None
) -> Nodes:
    shard.recipe.piece.part.check()
    tree = Tree(shard.recipe.n_chunks, request.add)
    with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
        for number, rows, engine in shard.chunks_of(request.fold):
            if not len(engine.rows):
                tree.put(0, number, None)
                continue
            try:
                value = request.term(engine, _of_chunk(offsets, rows), *request.arguments)
            except _NotFinite:
                piece = shard.recipe.piece
                raise _not_finite(piece.part.name, engine.samples.X, piece.first_row + rows.start) from None
            if rows_out is not None:
                *value, found = value
                rows_out[rows] = found.array
            tree.put(0, number, tuple(value))
    return tree.nodes


def _of_chunk(offsets: ScaledRows | None, rows: slice) -> ArrayRows | None:
    if offsets is None:
        return None
    found = ArrayRows(offsets[0].array[rows])
    for factor in offsets[1]:
        found = found.scaled(factor)
    return found


def merged(parts: Sequence[Sequence[Nodes]], n_chunks: int, add: Sequence[Add]) -> list[Nodes]:
    """Return the nodes of several shards, added as far as possible, for each request."""
    trees = [Tree(n_chunks, each) for each in add]
    for shard in parts:
        for tree, nodes in zip(trees, shard, strict=True):
            tree.update(nodes)
    return [tree.nodes for tree in trees]


def correct(shard: Shard, folds: Sequence[Fold], points: Sequence[tuple[Floats, Floats]]) -> NDArray[np.bool_]:
    """Return which rows of a shard are held out and classified correctly, each by the point of its fold."""
    found = np.zeros(len(shard.y), bool)
    for fold, (W, b) in zip(folds, points, strict=True):
        for _, rows, engine in shard.chunks_of(fold):
            for part, scores in engine._score_parts(W, b, engine.rows):
                some = engine.rows[part]
                found[rows.start + some] = scores.argmax(axis=1) == engine.samples.y[some]
    return found


def zeros(shape: tuple[int, int]) -> ArrayRows:
    """Return rows of zeros in float32."""
    return ArrayRows(np.zeros(shape, np.float32))


def n_without(mine: NDArray[np.bool_], other: NDArray[np.bool_]) -> int:
    """Return how many rows are in the first set but not in the second."""
    return int((mine & ~other).sum())


_Rows: TypeAlias = ArrayRows | None


def value(engine: InMemoryEngine, offsets: _Rows, loss: Loss, W: Floats, b: Floats) -> tuple[float]:
    """Return the loss."""
    return (engine.value(loss, W, b),)


def evaluation(
    engine: InMemoryEngine, offsets: _Rows, loss: Loss, W: Floats, b: Floats, single: bool
) -> tuple[Any, ...]:
    """Return the loss and its gradient; with several points (K, D, C), arrays of K of them."""
    if W.ndim == 2:
        return tuple(engine.evaluate(loss, W, b, offsets, single=single)[2:5])
    found = engine.evaluate_many(loss, list(W), list(b), single=single)
    return tuple(np.array(part) for part in zip(*(each[2:5] for each in found), strict=True))


def hessian(
    engine: InMemoryEngine, offsets: _Rows, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats
) -> tuple[Floats, Floats]:
    """Return a product with the Hessian."""
    return engine.hessian_product(loss, W, b, V, c, offsets)


def dual(
    engine: InMemoryEngine, offsets: _Rows, loss: Loss, W: Floats, b: Floats, source: Loss, keep: bool
) -> tuple[Any, ...]:
    """Return the `DualSums` for the gradients of another loss, without the rows unless ``keep``."""
    found = engine.dual_sums(loss, W, b, Gradients(source, offsets, keep))
    return tuple(found) if keep else tuple(found[:-1])


def replay(engine: InMemoryEngine, offsets: _Rows, saved: Floats) -> tuple[RowState]:
    """Return the rows of an `Origin`, as it was saved: all its steps, one after the other."""

    def dual_rows(W: Floats, b: Floats, source: Gradients) -> RowState:
        rows = engine.dual_sums(source.loss, W, b, source).rows
        assert rows is not None
        return rows

    shape = len(engine.samples.y), engine.shape.n_classes
    return (repeated(saved, lambda: zeros(shape), dual_rows),)


def moments(engine: InMemoryEngine, offsets: _Rows) -> tuple[float, Floats, Floats]:
    """Return the weight, and the mean and variance of the features."""
    samples = engine.samples
    weight = float(samples.weights.sum())
    alone = engine._with_samples(replace(samples, weights=samples.weights / weight), engine.shape.classes)
    mean, variance = alone.moments()
    if not np.isfinite(mean).all():
        raise _NotFinite
    return weight, mean, variance


def merged_moments(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[float, Floats, Floats]:
    """Return the moments of two sets of samples together (Chan, Golub and LeVeque, 1979)."""
    (w0, mean0, variance0), (w1, mean1, variance1) = left, right
    weight = w0 + w1
    share, apart = w1 / weight, mean1 - mean0
    variance = (w0 / weight) * variance0 + share * variance1 + (w0 / weight) * share * apart * apart
    return weight, mean0 + share * apart, variance


def features(engine: InMemoryEngine, offsets: _Rows) -> tuple[Floats]:
    """Return the features of each class."""
    return (engine.class_features(),)


def square(engine: InMemoryEngine, offsets: _Rows, G: Floats, b: Floats) -> tuple[float]:
    """Return the mean squares of scores."""
    return (engine.score_square(G, b),)


def curvature(
    engine: InMemoryEngine, offsets: _Rows, loss: Loss, W: Floats, b: Floats, step: int
) -> tuple[float, float]:
    """Return the traces of the Hessians and the weights of every ``step``-th sample."""
    rows = engine.rows[::step]
    scores, weights = engine.scores(W, b, rows), engine.samples.weights[rows]
    if offsets is not None:
        scores += offsets.array[rows]
    return float(weights @ traces(loss, scores, engine.samples.y[rows])), float(weights.sum())


def quality(engine: InMemoryEngine, offsets: _Rows, loss: Loss, W: Floats, b: Floats) -> tuple[float, ...]:
    """Return the loss, the weight of the samples that are classified correctly, and the weight of all."""
    weights, y = engine._scoring_weights[engine.rows], engine.samples.y[engine.rows]
    value = hits = 0.0
    for part, scores in engine._score_parts(W, b, engine.rows):
        value += float(weights[part] @ loss._values(scores, y[part]))
        hits += float(weights[part] @ (scores.argmax(axis=1) == y[part]))
    return value, hits, float(weights.sum())


def loss_moments(
    engine: InMemoryEngine, offsets: _Rows, loss: Loss, W: Floats, b: Floats
) -> tuple[float, float, float]:
    """Return the number of samples, and the mean and variance of their losses."""
    y, parts = engine.samples.y[engine.rows], engine._score_parts(W, b, engine.rows)
    losses = np.concatenate([loss._values(scores, y[part]) for part, scores in parts])
    return float(len(losses)), float(losses.mean()), float(losses.var())


def some_scores(
    engine: InMemoryEngine, offsets: _Rows, W: Floats, b: Floats, step: int
) -> tuple[list[Floats], list[Ints], list[Floats]]:
    """Return the scores, classes and weights of every ``step``-th sample, as lists of one array per chunk."""
    rows = engine.rows[::step]
    return [engine.scores(W, b, rows)], [engine.samples.y[rows]], [engine._scoring_weights[rows]]


def calibration(
    engine: InMemoryEngine, offsets: _Rows, W: Floats, b: Floats, temperature: float
) -> tuple[Floats, float, float]:
    """Return Σ ω (correct - confidence) of each bin of confidence, the log loss, and the weight of all samples."""
    weights, y = engine._scoring_weights[engine.rows], engine.samples.y[engine.rows]
    distances, log_loss = np.zeros(N_BINS), 0.0
    for part, scores in engine._score_parts(W, b, engine.rows):
        scaled = scores / temperature
        bins, excess = confidence_excess(softmax(scaled), y[part])
        distances += np.bincount(bins, weights[part] * excess, N_BINS)
        log_loss += float(weights[part] @ CrossEntropy().values(scaled, y[part]))
    return distances, log_loss, float(weights.sum())


class _NotFinite(Exception):
    """The features of a chunk have no finite mean."""


def _not_finite(name: str, X: Any, first_row: int) -> DataError:
    """Return the error for features with NaN, infinity or numbers too large to be added."""
    try:
        check_finite(X, first_row=first_row)
    except DataError as error:
        return DataError(f"{printable(name)}: {error}")
    return DataError(f"{printable(name)} contains values too large to be added; scale the features.")
