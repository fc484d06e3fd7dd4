"""The file of ``compare --out-of-fold``: scores and probabilities of each sample, by a fit that did not see it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from softmargin.cli import files
from softmargin.cli.wording import say_err

if TYPE_CHECKING:
    from softmargin.cli.job import Task
    from softmargin.selection import Comparison

__all__ = ["SUFFIXES", "save"]

SUFFIXES = (".csv", ".npz", ".parquet")
_ROWS_AT_ONCE = 8192
_TYPES = {"U": "string", "O": "string", "i": "int64", "u": "uint64", "b": "bool", "f": "double"}


def save(path: str, task: Task, found: Comparison) -> None:
    """Write the columns id, label, fold and, per class, score_CLASS and proba_CLASS.

    The samples have the order of DATA. If no fold holds a sample out, its fold is -1 and its numbers are NaN.
    An .npz file has the arrays id, label, fold, classes, scores and, if there are probabilities, proba.
    """
    import numpy as np

    kept, samples = found.out_of_fold, task.samples
    assert kept is not None, "the caller requested them"
    ids = np.arange(len(kept.fold)) if task.data.ids is None else np.array(task.data.ids)
    columns: dict[str, Any] = {"id": ids, "label": samples.labels, "fold": kept.fold}
    blocks = {"score": kept.scores} | ({} if (proba := kept.probabilities) is None else {"proba": proba})
    if not found.loss.probabilistic and proba is not None:
        say_err(
            f"Note: the temperature of {found.loss.name} was fitted to the same out-of-fold scores, so the "
            f"probabilities are slightly optimistic."
        )
    suffix = path.lower().rpartition(".")[2]
    if suffix == "npz":
        buffer = io.BytesIO()
        labels = {"label": _plain(samples.labels), "classes": _plain(samples.classes)}
        np.savez(buffer, **columns | labels | {{"score": "scores"}.get(n, n): b for n, b in blocks.items()})
        files.save(path, [buffer.getvalue()])
        return
    for name, block in blocks.items():
        for k, label in enumerate(samples.classes.tolist()):
            columns[_text(f"{name}_{label}")] = block[:, k]
    files.save(path, (_parquet if suffix == "parquet" else _csv)(columns))


def _rows(columns: dict[str, Any]) -> Iterator[list[list[Any]]]:
    """Yield the cells of some rows after the other, column by column."""
    n = len(columns["id"])
    for start in range(0, n, _ROWS_AT_ONCE):
        yield [[_text(cell) for cell in c[start : start + _ROWS_AT_ONCE].tolist()] for c in columns.values()]


def _csv(columns: dict[str, Any]) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # with the line ends of RFC 4180
    writer.writerow(columns)
    for block in _rows(columns):
        writer.writerows(zip(*block, strict=True))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _parquet(columns: dict[str, Any]) -> Iterator[bytes]:
    from softmargin.data.arrow import ParquetPieces

    yield from ParquetPieces({name: _TYPES[c.dtype.kind] for name, c in columns.items()}).pieces(_rows(columns))


def _plain(labels: Any) -> Any:
    """Return labels without objects, which a .npz file could only hold as pickles."""
    return labels.astype(str) if labels.dtype.kind == "O" else labels


def _text(value: Any) -> Any:
    """Return a string with valid UTF-8, and any other value unchanged."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
