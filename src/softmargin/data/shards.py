"""Data sets of one or several ``.npy`` files that are read part by part: only their headers are read here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import Floats
from softmargin.data.npy import labels_beside, shard_files
from softmargin.data.npy_header import map_npy
from softmargin.errors import DataError
from softmargin.io.paths import check_path
from softmargin.shards import Shards
from softmargin.text import printable

__all__ = ["NpyPart", "open_shards"]


@dataclass(frozen=True)
class _File:
    """A file, with the size in bytes and the time of change (ns) that it had when it was opened."""

    path: str
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> _File:
        found = path.stat()
        return cls(os.path.abspath(path), found.st_size, found.st_mtime_ns)

    def check(self) -> None:
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise DataError(f"{printable(self.path)} cannot be read ({error.strerror}).") from error
        if (found.st_size, found.st_mtime_ns) != (self.size, self.changed):
            raise DataError(f"{printable(self.path)} has changed since it was opened; open the shards again.")

    def rows(self, rows: slice) -> NDArray[Any]:
        """Return mapped rows."""
        self.check()
        return map_npy(Path(self.path))[rows]


@dataclass(frozen=True)
class NpyPart:
    """A ``.npy`` file of features and one of labels, as a `Part` of `Shards`."""

    X: _File
    y: _File | None
    n_rows: int
    row_bytes: int
    mapped: bool

    @property
    def name(self) -> str:
        """The path."""
        return self.X.path

    def features(self, rows: slice) -> NDArray[Any]:
        """Return some rows of X (n, D), mapped from the file or in memory."""
        mapped = self.X.rows(rows)
        return mapped.reshape(len(mapped), -1) if self.mapped else np.array(mapped).reshape(len(mapped), -1)

    def labels(self, rows: slice) -> NDArray[Any]:
        """Return the labels of some rows, in memory."""
        if self.y is None:
            raise DataError(f"{printable(self.name)} was opened without labels.")
        return np.array(self.y.rows(rows))

    def weights(self, rows: slice) -> Floats:
        """Return the weight of each row, which is 1."""
        return np.ones(rows.stop - rows.start)

    def check(self) -> None:
        """Raise a `DataError` if a file has changed since it was opened, or cannot be read."""
        for file in (self.X, self.y):
            if file is not None:
                file.check()


def open_shards(source: str | os.PathLike[str], *, mapped: bool = True, labelled: bool = True) -> Shards:
    """Open a folder of ``.npy`` shards, or one ``.npy`` file, for the engines "chunked" and "dask".

    Labels come from a file beside each shard: ``NAME_y.npy`` for ``NAME.npy``, or another name that `load_dataset`
    finds. Shards are read in the order of their names (2 before 10). Of shards for training and for testing, only
    those for training are opened. Only headers are read. All workers of a cluster must see the same paths.

    Parameters
    ----------
    source : path-like
    mapped : bool, default True
        Whether to map the files instead of reading their rows into memory. Workers must then have no memory limit.
    labelled : bool, default True
        Whether labels are required. Shards without labels are for predictions only.

    Returns
    -------
    Shards
        What `Objective` and `LinearClassifier` take as X, with None as y.

    Raises
    ------
    DataError
        If a file is damaged or lacks labels, or shards differ in the number or the type of their features.
    """
    path = Path(check_path(source))
    files = shard_files(path)[0] if path.is_dir() else [path]
    parts, first = [], None
    for file in files:
        X = _features(file)
        kind = (int(np.prod(X.shape[1:])), X.dtype)
        first = first or kind
        if kind != first:
            raise DataError(
                f"{printable(file)} must have {first[0]} features of type {first[1]} like {printable(files[0])}, "
                f"got {kind[0]} of type {kind[1]}."
            )
        y = _File.of(_labels(file, len(X))) if labelled else None
        parts.append(NpyPart(_File.of(file), y, len(X), kind[0] * X.dtype.itemsize, mapped))
    if first is None:
        raise DataError(f"{printable(path)} must hold .npy files of features, got none.")
    return Shards(tuple(parts), *first)


def _features(file: Path) -> NDArray[Any]:
    """Return the mapped features of a shard, after checking its header."""
    X = map_npy(file)
    is_real = X.dtype.kind in "biuf" and X.dtype.itemsize <= 8 and X.dtype.isnative
    if X.ndim < 2 or not is_real or 0 in X.shape:
        raise DataError(
            f"{printable(file)} must hold rows of real numbers in native byte order, got {X.dtype} of shape "
            f"{X.shape}."
        )
    return X


def _labels(file: Path, n_rows: int) -> Path:
    """Return the file of the labels of a shard, after checking its header."""
    labels = labels_beside(file)
    if labels is None or labels.suffix != ".npy":
        raise DataError(f"{printable(file)} must have a file of labels beside it, {printable(file.stem)}_y.npy.")
    y = map_npy(labels)
    if y.shape != (n_rows,):
        raise DataError(f"{printable(labels)} must hold {n_rows} labels, got shape {y.shape}.")
    return labels
