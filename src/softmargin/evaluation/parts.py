"""Evaluation of data in shards: each part is counted where it is read, in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import brief
from softmargin.data.labels import as_labels, labels_like
from softmargin.engines import runner_of
from softmargin.engines.shard import Piece, chunk_rows
from softmargin.errors import DataError, ParameterError
from softmargin.evaluation.records import Evaluation, Metric
from softmargin.evaluation.summary import checked_top_k, evaluation_of
from softmargin.evaluation.tallies import Tally, scored, tally_of
from softmargin.model import Model
from softmargin.shards import Shards
from softmargin.text import printable

__all__ = ["BLOCK_BYTES", "block_rows", "evaluate_shards"]

BLOCK_BYTES = 1 << 26
"""Size in bytes of a block of rows, or of its scores. A task needs a few times this."""

_CHUNKS = 16
"""Number of chunks, of up to 64 MB, that a task counts."""

_NO_ORDER = "AUROC needs the scores of all samples in one place, and the data are in shards"


def evaluate_shards(
    model: Model | Any,
    shards: Shards,
    *,
    top_k: int | None = None,
    engine: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a classifier on data in shards; see `evaluate`.

    Only counts and sums come back from the parts: (C, C) numbers, and (C,) per label that is not a class.

    Parameters
    ----------
    model : Model, or fitted LinearClassifier or LinearClassifierCV
    shards : Shards
        With labels.
    top_k, engine : optional
        As of `evaluate`.
    progress : callable, optional
        Called with the number of parts that are done, and of all.

    Raises
    ------
    DataError, ParameterError
        As of `evaluate`.
    ClusterError, CapabilityError
        If the cluster cannot be used, or a package is missing.
    """
    classes = classes_of(model)
    k = checked_top_k(top_k, len(classes))
    n_threads = 1 if engine == "dask" else None  # a worker runs as many tasks as it has threads
    runner = runner_of(engine, shards.parts)
    pieces = [
        Piece(part, start, min(n_rows, part.n_rows - start), 0, n_rows)
        for part in shards.parts
        for n_rows in [_CHUNKS * chunk_rows(part.row_bytes)]
        for start in range(0, part.n_rows, n_rows)
    ]
    if not pieces:
        raise DataError("X must contain at least one sample to evaluate, got none.")
    total: Tally | None = None
    n_done = 0
    tallies = runner.each(count, pieces, shared=(model, k, n_threads))
    for piece, found in zip(pieces, tallies, strict=True):
        total = found if total is None else total.merged(found)
        n_done += piece.first_row + piece.n_rows == piece.part.n_rows
        if progress is not None:
            progress(n_done, len(shards.parts))
    assert total is not None, "there are pieces"
    return evaluation_of(total, classes, k, Metric(None, reason=_NO_ORDER))


def block_rows(row_bytes: int, n_classes: int) -> int:
    """Return the number of rows of a block, of at most `BLOCK_BYTES` of features or of scores."""
    return max(1, BLOCK_BYTES // max(row_bytes, 8 * n_classes))


def classes_of(model: Model | Any) -> NDArray[Any]:
    """Return the classes (C,) of a model or a fitted estimator, or raise a `ParameterError`."""
    classes = model.classes if isinstance(model, Model) else getattr(model, "classes_", None)
    if classes is None:
        raise ParameterError(f"model must be a Model or a fitted LinearClassifier, got {brief(model)}.")
    return np.asarray(classes)


def count(piece: Piece, model: Model | Any, top_k: int, n_threads: int | None) -> Tally:
    """Return the counts of some rows of a part, which are read in blocks; see `BLOCK_BYTES`."""
    part, (first, stop) = piece.part, (piece.first_row, piece.first_row + piece.n_rows)
    where = printable(part.name) + (f" from row {first:,}" if first else "")
    labels = as_labels(part.labels(piece.rows), piece.n_rows, where)
    total: Tally | None = None
    n_rows = block_rows(part.row_bytes, len(classes_of(model)))
    for start in range(first, stop, n_rows):
        rows = slice(start, min(start + n_rows, stop))
        X = part.features(rows)
        try:
            classes, scores, temperature = scored(model, X, n_threads, first_row=start)
        except DataError as error:
            raise DataError(f"{printable(part.name)}: {error}") from error
        y = labels[rows.start - first : rows.stop - first]
        if classes.dtype.kind != "f":
            y, _ = labels_like(y, classes, where)
        found = tally_of(scores, y, classes, temperature, top_k)
        total = found if total is None else total.merged(found)
    assert total is not None, "a piece has rows"
    return total
