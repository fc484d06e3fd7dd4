"""Evaluation of data in shards: each part is counted where it is read, in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from softmargin.shards import Part, Shards
from softmargin.stopping import check_wanted
from softmargin.text import printable

__all__ = ["BLOCK_BYTES", "evaluate_shards", "row_blocks"]

BLOCK_BYTES = 1 << 26
"""Size in bytes of a block of rows, or of its scores. A task needs a few times this."""

_READ_BYTES = 1 << 30

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

    Only counts and sums come back from the parts: a number per pair of true and predicted label that occurs.

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
        total = found if total is None else Tally.sum([total, found])
        n_done += piece.first_row + piece.n_rows == piece.part.n_rows
        if progress is not None:
            progress(n_done, len(shards.parts))
    assert total is not None, "there are pieces"
    return evaluation_of(total, classes, k, Metric(None, reason=_NO_ORDER))


def row_blocks(part: Part, rows: slice, n_classes: int) -> Iterator[tuple[int, Any]]:
    """Yield the number of the first row and the features of one block of rows of a part after another.

    Rows that are not mapped are read in larger blocks of up to 1 GB, since a compressed file may have to be
    decoded from its start.
    """
    n_rows = max(1, BLOCK_BYTES // max(part.row_bytes, 8 * n_classes))
    n_read = n_rows if part.mapped else max(n_rows, _READ_BYTES // part.row_bytes)
    for begin in range(rows.start, rows.stop, n_read):
        X = part.features(slice(begin, min(begin + n_read, rows.stop)))
        for start in range(0, X.shape[0], n_rows):
            check_wanted()
            yield begin + start, X[start : start + n_rows]


def classes_of(model: Model | Any) -> NDArray[Any]:
    """Return the classes (C,) of a model or a fitted estimator, or raise a `ParameterError`."""
    classes = model.classes if isinstance(model, Model) else getattr(model, "classes_", None)
    if classes is None:
        raise ParameterError(f"model must be a Model or a fitted LinearClassifier, got {brief(model)}.")
    return np.asarray(classes)


def count(piece: Piece, model: Model | Any, top_k: int, n_threads: int | None) -> Tally:
    """Return the counts of some rows of a part, which are read in blocks; see `BLOCK_BYTES`."""
    part, first = piece.part, piece.first_row
    where = printable(part.name) + (f" from row {first:,}" if first else "")
    labels, classes = as_labels(part.labels(piece.rows), piece.n_rows, where), classes_of(model)
    if classes.dtype.kind != "f":
        labels, _ = labels_like(labels, classes, where)
    found = []
    for start, X in row_blocks(part, piece.rows, len(classes)):
        try:
            _, scores, temperature = scored(model, X, n_threads, first_row=start)
        except DataError as error:
            raise DataError(f"{printable(part.name)}: {error}") from error
        y = labels[start - first : start - first + len(scores)]
        found.append(tally_of(scores, y, classes, temperature, top_k))
    return Tally.sum(found)
