"""What a task does with a shard: it reads some chunks of rows, and adds up the sums over them.

A *chunk* is a fixed number of consecutive rows of a part, and today's CPU engine sums over it. A *shard* is some
consecutive chunks of a part, which one task reads. Which chunks form a shard does not change any sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import Gradients
from softmargin.engines.curvature import traces
from softmargin.engines.in_memory import InMemoryEngine
from softmargin.engines.records import Capability
from softmargin.engines.rows import ArrayRows, aligned
from softmargin.engines.tree import Add, Nodes, Tree, added
from softmargin.errors import DataError
from softmargin.labels import labels_of_rows
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples, check_finite
from softmargin.shards import Part
from softmargin.sparse import csr_view, issparse
from softmargin.text import printable
from softmargin.threads import Workers, one_blas_thread

__all__ = [
    "Counts", "Piece", "Recipe", "Request", "Shard", "curvature", "describe", "dual", "evaluation", "features",
    "fingerprints", "hessian", "kept", "merged", "merged_moments", "moments", "pick", "quality", "square", "sums",
    "survey", "value",
]  # fmt: skip


class Piece(NamedTuple):
    """Some consecutive chunks of a part.

    Attributes
    ----------
    part : Part
    first_row, n_rows : int
        The rows of the part.
    first_chunk : int
        Number of the first chunk, among those of all parts.
    chunk_rows : int
        Number of rows of a chunk; the last of a part may have fewer.
    """

    part: Part
    first_row: int
    n_rows: int
    first_chunk: int
    chunk_rows: int

    def chunks(self) -> Iterator[slice]:
        """Yield the rows of each chunk, counted from the first row of the piece."""
        for start in range(0, self.n_rows, self.chunk_rows):
            yield slice(start, min(start + self.chunk_rows, self.n_rows))

    @property
    def rows(self) -> slice:
        """The rows of the part."""
        return slice(self.first_row, self.first_row + self.n_rows)

    def with_part(self, part: Part) -> Piece:
        """Return the piece of another form of the part."""
        return self._replace(part=part)


class Counts(NamedTuple):
    """The labels of positive weight in a chunk, and for each: the sums of ω and ω², and the number of samples."""

    labels: NDArray[Any]
    weights: Floats
    squares: Floats
    n_active: Ints


def survey(piece: Piece) -> list[Counts]:
    """Return the counts of each chunk; X is not read.

    Raises
    ------
    DataError
        If labels are not integers or strings, or a weight is invalid.
    """
    labels = labels_of_rows(piece.part.labels(piece.rows), piece.n_rows)
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        raise DataError(
            f"{printable(piece.part.name)}: labels must be strings or integers, got continuous values."
        )
    weights, found = piece.part.weights(piece.rows), []
    for rows in piece.chunks():
        active = weights[rows] > 0.0
        names, codes = np.unique(labels[rows][active], return_inverse=True)
        w = weights[rows][active]
        first, second = (np.bincount(codes, each, len(names)).astype(np.float64) for each in (w, w * w))
        found.append(Counts(names, first, second, np.bincount(codes, minlength=len(names))))
    return found


class Recipe(NamedTuple):
    """All that a task needs to read a shard.

    Attributes
    ----------
    piece : Piece
    n_chunks : int
        Number of chunks of all parts.
    labels : ndarray of shape (C,)
        The labels of the classes, sorted.
    factors : ndarray of shape (C,)
        Factor of the weights of each class, after which the weights of all samples sum to one.
    n_threads : int
    """

    piece: Piece
    n_chunks: int
    labels: NDArray[Any]
    factors: Floats
    n_threads: int

    @property
    def part(self) -> Part:
        """The part that has the rows."""
        return self.piece.part

    def with_part(self, part: Part) -> Recipe:
        """Return the recipe for another form of the part."""
        return self._replace(piece=self.piece.with_part(part))


class Chunk(NamedTuple):
    """A chunk of a shard: its number, its rows in the shard, and its engine."""

    number: int
    rows: slice
    engine: InMemoryEngine


class Shard:
    """The rows of some chunks, with labels as class numbers and weights as they count in all samples.

    It is pickled as its recipe, so a task on another machine reads the rows again.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, (piece, _, labels, factors, _) = recipe, recipe
        self.X = piece.part.features(piece.rows)
        if not issparse(self.X) and not self.X.flags.aligned:  # as what Dask moves may be: other paths, other bits
            self.X = aligned(self.X)
        found, weights = piece.part.labels(piece.rows), piece.part.weights(piece.rows)
        self.y = np.minimum(np.searchsorted(labels, found), len(labels) - 1).astype(np.int64)
        self._given = np.where(labels[self.y] == found, weights, 0.0)  # a class may have been left out
        self.weights = self._given * factors[self.y]

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.recipe,)

    def __sizeof__(self) -> int:
        """Return the true size in bytes, by which a scheduler decides where a task is cheapest."""
        arrays = (self.X.data, self.X.indices, self.X.indptr) if issparse(self.X) else (self.X,)
        return int(sum(array.nbytes for array in (*arrays, self.y, self._given, self.weights)))

    @cached_property
    def chunks(self) -> list[Chunk]:
        """The chunks with their engines."""
        from softmargin.engines.cpu import DenseEngine, SparseEngine  # Numba takes long to load

        recipe, kind = self.recipe, SparseEngine if issparse(self.X) else DenseEngine
        workers, found = _workers(recipe.n_threads), []
        for k, rows in enumerate(recipe.piece.chunks()):
            X = csr_view(self.X, rows) if issparse(self.X) else self.X[rows]
            samples = Samples(
                X, self.y[rows], self.weights[rows], len(recipe.labels),
                scoring_weights=self._given[rows],
            )  # fmt: skip
            found.append(Chunk(recipe.piece.first_chunk + k, rows, kind(samples, workers)))
        return found


_workers = cache(Workers)
"""One pool of threads for all shards of a process."""


def describe(shard: Shard) -> tuple[float, bool]:
    """Return the largest rounding error of a sum over a chunk, and whether float32 represents X."""
    engines = [chunk.engine for chunk in shard.chunks]
    return max(engine.rounding() for engine in engines), Capability.SINGLE in engines[0].supports


def fingerprints(shard: Shard) -> list[str]:
    """Return the fingerprint of each chunk."""
    return [chunk.engine.fingerprint() for chunk in shard.chunks]


def pick(shard: Shard, places: Sequence[Ints]) -> list[tuple[Any, Ints, Floats]]:
    """Return features, classes and weights of some samples of each chunk.

    ``places`` are their numbers among the samples of positive weight of a chunk.
    """
    found = []
    for chunk, some in zip(shard.chunks, places, strict=True):
        samples, rows = chunk.engine.samples, chunk.engine.rows[some]
        found.append((samples.X[rows], samples.y[rows], samples.weights[rows]))
    return found


# -- sums ----------------------------------------------------------------------------------------------------


class Request:
    """A sum over all samples: a function of the engine of a chunk and its offsets, and further arguments.

    Arrays are stored contiguous and aligned. What arrives from another process may be neither, and the engine
    would then take a path with other rounding errors.

    Parameters
    ----------
    term : callable
        Called with the engine of a chunk, its offsets or None, and the ``arguments``.
    arguments : tuple
    add : callable
        Adds the results of two chunks.
    """

    def __init__(self, term: Callable[..., Any], arguments: tuple[Any, ...] = (), add: Add = added) -> None:
        self.term, self.add = term, add
        self.arguments = tuple(aligned(each) if isinstance(each, np.ndarray) else each for each in arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return Request, (self.term, self.arguments, self.add)

    def __sizeof__(self) -> int:
        return self.n_bytes + 1000

    @property
    def n_bytes(self) -> int:
        """Size of the arrays in bytes."""
        return sum(each.nbytes for each in self.arguments if isinstance(each, np.ndarray))


def sums(shard: Shard, request: Request, offsets: ArrayRows | None = None) -> Nodes:
    """Return the nodes of the sum that the chunks of a shard determine."""
    return _sums(shard, request, offsets, None)


def kept(shard: Shard, request: Request, offsets: ArrayRows | None = None) -> tuple[Nodes, ArrayRows]:
    """Return the nodes as `sums` does, and the dual rows of the shard; the term is `dual`."""
    rows = np.zeros((len(shard.y), len(shard.recipe.labels)), np.float32)
    return _sums(shard, request, offsets, rows), ArrayRows(rows)


def _sums(shard: Shard, request: Request, offsets: ArrayRows | None, rows_out: NDArray[Any] | None) -> Nodes:
    shard.recipe.piece.part.check()
    tree = Tree(shard.recipe.n_chunks, request.add)
    with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
        for number, rows, engine in shard.chunks:
            if not len(engine.rows):
                tree.put(0, number, None)
                continue
            added_to = None if offsets is None else ArrayRows(offsets.array[rows])
            try:
                value = request.term(engine, added_to, *request.arguments)
            except _NotFinite:
                piece = shard.recipe.piece
                raise _not_finite(piece.part.name, engine.samples.X, piece.first_row + rows.start) from None
            if rows_out is not None:
                *value, found = value
                rows_out[rows] = found.array
            tree.put(0, number, tuple(value))
    return tree.nodes


def merged(parts: Sequence[Nodes], n_chunks: int, add: Add) -> Nodes:
    """Return the nodes of several shards, added as far as possible."""
    tree = Tree(n_chunks, add)
    for nodes in parts:
        tree.update(nodes)
    return tree.nodes


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


class _NotFinite(Exception):
    """The features of a chunk have no finite mean."""


def _not_finite(name: str, X: Any, first_row: int) -> DataError:
    """Return the error for features with NaN, infinity or numbers too large to be added."""
    try:
        check_finite(X, first_row=first_row)
    except DataError as error:
        return DataError(f"{printable(name)}: {error}")
    return DataError(f"{printable(name)} contains values too large to be added; scale the features.")
