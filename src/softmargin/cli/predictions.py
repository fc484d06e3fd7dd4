"""Predictions of a model as rows of text or of a table, in blocks of samples."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from softmargin.cli.reading import naming
from softmargin.cli.wording import json_text
from softmargin.stopping import check_wanted

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["Block", "as_csv", "as_json_lines", "as_parquet", "columns_of", "encoded", "predicted"]

_ROWS_AT_ONCE = 8192
_TYPES = {"U": "string", "i": "int64", "u": "uint64", "b": "bool", "f": "double"}
"""Parquet types of labels, by their NumPy kind."""

Block: TypeAlias = tuple[Sequence[int | str], list[Any], Any]
"""Ids, labels and numbers (n, k) of n samples."""


def predicted(
    model: Model, parts: Iterable[Dataset], kind: str | None, source: str, n_threads: int | None = None
) -> Iterator[Block]:
    """Yield ids, labels and numbers ("score", "proba", "margin" or None) of one chunk of samples after another."""
    import numpy as np

    from softmargin.losses import softmax

    n_done = 0
    for data in parts:
        for start in range(0, data.n_samples, _ROWS_AT_ONCE):
            check_wanted()
            rows = slice(start, start + _ROWS_AT_ONCE)
            with naming(source):
                numbers = model.scores(data.X[rows], n_threads, first_row=n_done)
            labels = model.classes[numbers.argmax(axis=1)].tolist()
            ids = range(n_done, n_done + len(labels)) if data.ids is None else data.ids[rows]
            n_done += len(labels)
            if kind is None:
                numbers = numbers[:, :0]
            elif kind == "proba":
                numbers = softmax(numbers / (model.temperature or 1.0))
            elif kind == "margin":
                numbers = np.diff(np.partition(numbers, -2, axis=1)[:, -2:])
            yield ids, labels, numbers


def columns_of(model: Model, kind: str | None) -> list[str]:
    """Return the names of the numbers."""
    if kind == "margin":
        return ["margin"]
    return [f"{kind}_{label}" for label in model.classes.tolist()] if kind else []


def as_parquet(model: Model, blocks: Iterator[Block], kind: str | None) -> Iterator[bytes]:
    """Yield a parquet file."""
    from softmargin.data.arrow import ParquetPieces

    first = next(blocks, None)
    ids = "string" if first and isinstance(first[0][0], str) else "int64"
    names = map(_text, columns_of(model, kind))
    columns = {"id": ids, "label": _TYPES[model.classes.dtype.kind], **dict.fromkeys(names, "double")}
    all_blocks = itertools.chain([first] if first else [], blocks)
    yield from ParquetPieces(columns).pieces(
        [[*map(_text, ids)], [*map(_text, labels)], *numbers.T.tolist()] for ids, labels, numbers in all_blocks
    )


def _text(value: Any) -> Any:
    """Return a string with valid UTF-8, and any other value unchanged."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def as_csv(
    model: Model, blocks: Iterable[Block], kind: str | None, name: Callable[[object], str]
) -> Iterator[str]:
    """Yield the lines of a CSV file; ``name`` makes the text of ids and labels."""
    headings = _csv([["id", "label", *map(name, columns_of(model, kind))]])
    for block in blocks:  # nothing is printed before the first chunk is valid
        rows = zip(*block[:2], block[2].tolist(), strict=True)
        yield headings + _csv([[name(i), name(label), *numbers] for i, label, numbers in rows])
        headings = ""
    yield headings


def as_json_lines(model: Model, blocks: Iterable[Block], kind: str | None, encoding: str | None) -> Iterator[str]:
    """Yield a JSON object per line."""
    classes = list(map(str, model.classes.tolist()))
    for block in blocks:
        lines = []
        for i, label, numbers in zip(*block[:2], block[2].tolist(), strict=True):
            record = {"id": i, "label": label}
            if kind is not None:
                record[kind] = numbers[0] if kind == "margin" else dict(zip(classes, numbers, strict=True))
            lines.append(json_text(record, encoding=encoding) + "\n")
        yield "".join(lines)


def _csv(rows: list[list[Any]]) -> str:
    lines: list[str] = []
    # With lineterminator="\n" the writer would not quote a CR in a name.
    csv.writer(SimpleNamespace(write=lines.append)).writerows(rows)
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


def encoded(text: str) -> bytes:
    """Return UTF-8; file names keep their bytes on disk."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, possible only in a label
        return text.encode("utf-8", "backslashreplace")
