"""Shards: rows that one task reads, with the engines of their chunks.

A *chunk* is a fixed number of consecutive rows of a part, and today's CPU engine sums over it. A *shard* is some
consecutive chunks of a part, which one task reads. Which chunks form a shard does not change any sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import brief
from softmargin.content import content_hashes
from softmargin.engines.in_memory import InMemoryEngine
from softmargin.engines.records import Capability, Shape
from softmargin.engines.rows import aligned
from softmargin.engines.tree import Nodes, Tree, added
from softmargin.errors import DataError
from softmargin.labels import labels_of_rows
from softmargin.losses.base import Floats, Ints
from softmargin.samples import Samples
from softmargin.shards import Part, Shards
from softmargin.sparse import csr_view, issparse
from softmargin.text import printable
from softmargin.threads import Workers
from softmargin.weights import factors_of_classes

__all__ = [
    "Chunk", "Counts", "Fold", "FoldRule", "Piece", "Recipe", "Shard", "chunk_rows", "classes_of", "describe",
    "divided", "fingerprints", "pick", "survey",
]  # fmt: skip


_CHUNK_BYTES, _LEAST_ROWS, _MOST_ROWS = 1 << 26, 1 << 12, 1 << 20
"""The number of rows of a chunk is the largest power of two of at most this size in bytes, within these bounds."""


def chunk_rows(row_bytes: int) -> int:
    """Return the number of rows of a chunk, from the size of a row in bytes."""
    fitting = max(1, _CHUNK_BYTES // row_bytes)
    return int(np.clip(1 << (fitting.bit_length() - 1), _LEAST_ROWS, _MOST_ROWS))


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


def classes_of(counts: list[Counts], shards: Shards) -> tuple[NDArray[Any], Ints, Floats, Shape]:
    """Return labels of all classes, their numbers of samples, factors of their weights, and the sizes of all."""
    counts = [each for each in counts if len(each.labels)] or counts  # labels of weight 0 may be of another type
    kinds = {each.labels.dtype.kind for each in counts}
    if len({"i" if kind in "iub" else kind for kind in kinds}) > 1:
        raise DataError("The labels of all shards must have the same type, numbers or strings, got both.")
    given = np.concatenate([each.labels for each in counts])
    if given.dtype.kind == "f" and "f" not in kinds:
        types = sorted({str(each.labels.dtype) for each in counts})
        raise DataError(
            f"The labels of all shards must have a common type of integers, got {' and '.join(types)}; convert "
            f"them."
        )
    labels, codes = np.unique(given, return_inverse=True)
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
    return labels, n_active[used].astype(np.int64), factors, shape


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


class FoldRule(NamedTuple):
    """Folds by the hash of the content of each row.

    Attributes
    ----------
    seed : int
        Seed of the hashes.
    borders : tuple of int
        Ascending. A row is in fold k if k borders are at most as large as its hash, which has 64 bits.
    """

    seed: int
    borders: tuple[int, ...]


class Fold(NamedTuple):
    """The training samples of a fold, or its held-out samples.

    Attributes
    ----------
    rule : FoldRule
    number : int
    held_out : bool
    factors : ndarray of shape (C,)
        Factor of the weights of each class.
    """

    rule: FoldRule
    number: int
    held_out: bool
    factors: Floats


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
        self.given = np.where(labels[self.y] == found, weights, 0.0)  # a class may have been left out
        self.weights = self.given * factors[self.y]
        self._numbers: dict[FoldRule, NDArray[np.unsignedinteger]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.recipe,)

    def __sizeof__(self) -> int:
        """Return the true size in bytes, by which a scheduler decides where a task is cheapest."""
        arrays = (self.X.data, self.X.indices, self.X.indptr) if issparse(self.X) else (self.X,)
        return int(sum(array.nbytes for array in (*arrays, self.y, self.given, self.weights)))

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
                scoring_weights=self.given[rows],
            )  # fmt: skip
            found.append(Chunk(recipe.piece.first_chunk + k, rows, kind(samples, workers)))
        return found

    def numbers(self, rule: FoldRule) -> NDArray[np.unsignedinteger]:
        """Return the fold of each row; computed once."""
        if rule not in self._numbers:
            borders = np.array(rule.borders, np.uint64)
            numbers = np.searchsorted(borders, content_hashes(self.X, rule.seed), side="right")
            self._numbers[rule] = numbers.astype(np.min_scalar_type(len(borders)))
        return self._numbers[rule]

    def chunks_of(self, fold: Fold | None) -> Iterator[Chunk]:
        """Yield the chunks, with other weights if they are for a fold."""
        if fold is None:
            yield from self.chunks
            return
        numbers = self.numbers(fold.rule)
        for number, rows, whole in self.chunks:
            chosen = (numbers[rows] == fold.number) == fold.held_out
            weights = np.where(chosen, self.given[rows] * fold.factors[self.y[rows]], 0.0)
            samples = replace(whole.samples, weights=weights)
            yield Chunk(number, rows, whole._with_samples(samples, whole.shape.classes))


_workers = cache(Workers)
"""One pool of threads for all shards of a process."""


def describe(shard: Shard) -> tuple[float, bool]:
    """Return the largest rounding error of a sum over a chunk, and whether float32 represents X."""
    engines = [chunk.engine for chunk in shard.chunks]
    return max(engine.rounding() for engine in engines), Capability.SINGLE in engines[0].supports


def fingerprints(shard: Shard, weighted: bool) -> list[str]:
    """Return the fingerprint of each chunk, with equal weights unless ``weighted``."""
    found = []
    for _, _, engine in shard.chunks:
        if not weighted:
            samples = replace(engine.samples, weights=np.ones(len(engine.samples.y)))
            engine = engine._with_samples(samples, engine.shape.classes)
        found.append(engine.fingerprint())
    return found


def divided(shard: Shard, rule: FoldRule) -> tuple[list[NDArray[Any]], Nodes]:
    """Return the number of samples of each chunk by fold (F,), and the nodes of their sums by fold and class.

    These are arrays (F, C, 3): the sums of ω and ω², and the number of samples.
    """
    sizes, tree = [], Tree(shard.recipe.n_chunks, added)
    n_folds, n_classes = len(rule.borders) + 1, len(shard.recipe.labels)
    for chunk in shard.chunks:
        active = chunk.rows.start + np.flatnonzero(shard.given[chunk.rows] > 0.0)
        places = shard.numbers(rule)[active].astype(np.int64) * n_classes + shard.y[active]
        w = shard.given[active]
        sums = [np.bincount(places, each, n_folds * n_classes) for each in (w, w * w, np.ones(len(w)))]
        found = np.stack(sums, axis=-1).reshape(n_folds, n_classes, 3)
        sizes.append(found[..., 2].sum(axis=1).astype(np.int64))
        tree.put(0, chunk.number, (found,))
    return sizes, tree.nodes


def pick(shard: Shard, places: Sequence[Ints], fold: Fold | None) -> list[tuple[Any, Ints, Floats]]:
    """Return features, classes and weights of some samples of each chunk.

    ``places`` are their numbers among the samples of positive weight of a chunk.
    """
    found = []
    for chunk, some in zip(shard.chunks_of(fold), places, strict=True):
        samples, rows = chunk.engine.samples, chunk.engine.rows[some]
        found.append((samples.X[rows], samples.y[rows], samples.weights[rows]))
    return found
