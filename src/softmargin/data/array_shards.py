"""Shards that are files of NumPy: ``.npy`` of features, or ``.npz`` of CSR matrices, with labels beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import Floats
from softmargin.data.labels import as_labels, nfc
from softmargin.data.npy import labels_beside
from softmargin.data.npy_header import map_npy
from softmargin.data.npz import csr_header, csr_rows
from softmargin.data.stored import StoredFile
from softmargin.errors import DataError
from softmargin.shards import Shards
from softmargin.text import printable

__all__ = ["CsrPart", "NpyPart", "array_shards"]

_LARGEST_32 = np.iinfo(np.int32).max


@dataclass(frozen=True)
class _ArrayPart:
    """A file of features and one of labels, as a `Part` of `Shards`."""

    X: StoredFile
    y: StoredFile | None
    n_rows: int
    row_bytes: int
    mapped: bool

    @property
    def name(self) -> str:
        """The path."""
        return self.X.name

    def labels(self, rows: slice) -> NDArray[Any]:
        """Return the labels of some rows, in memory."""
        if self.y is None:
            raise DataError(f"{printable(self.name)} was opened without labels.")
        self.y.check()
        found = map_npy(self.y.path)[rows]
        return nfc(as_labels(found, len(found), printable(self.y.name)))

    def weights(self, rows: slice) -> Floats:
        """Return the weight of each row, which is 1."""
        return np.ones(rows.stop - rows.start)

    def check(self) -> None:
        """Raise a `DataError` if a file has changed since it was opened, or cannot be read."""
        for file in (self.X, self.y):
            if file is not None:
                file.check()


class NpyPart(_ArrayPart):
    """A ``.npy`` file of features."""

    def features(self, rows: slice) -> NDArray[Any]:
        """Return some rows of X (n, D), mapped from the file or in memory."""
        self.X.check()
        mapped = map_npy(self.X.path)
        found = mapped[rows].reshape(-1, int(np.prod(mapped.shape[1:])))
        return found if self.mapped else np.array(found)


class CsrPart(_ArrayPart):
    """A file of ``scipy.sparse.save_npz`` with a CSR matrix; its rows are always read into memory."""

    def features(self, rows: slice) -> Any:
        """Return some rows of X as a canonical CSR array (n, D)."""
        self.X.check()
        return csr_rows(self.X.path, rows)


def array_shards(files: list[Path], *, sparse: bool, mapped: bool, labelled: bool) -> Shards:
    """Open files of NumPy, of which only headers are read: ``.npy``, or ``.npz`` if they are ``sparse``.

    Raises
    ------
    DataError
        If a file is damaged or lacks labels, or files differ in the number or the type of their features.
    """
    parts: list[NpyPart | CsrPart] = []
    first: tuple[int, np.dtype[Any]] | None = None
    for file in files:
        n_rows, n_features, dtype, row_bytes = (_csr_sizes if sparse else _npy_sizes)(file)
        first = first or (n_features, dtype)
        if (n_features, dtype) != first:
            raise DataError(
                f"{printable(file)} must have {first[0]} features of type {first[1]} like {printable(files[0])}, "
                f"got {n_features} of type {dtype}."
            )
        y = StoredFile.of(_labels(file, n_rows)) if labelled else None
        kind = CsrPart if sparse else NpyPart
        parts.append(kind(StoredFile.of(file), y, n_rows, row_bytes, mapped and not sparse))
    assert first is not None, "there are files"
    return Shards(tuple(parts), *first, is_sparse=sparse)


def _npy_sizes(file: Path) -> tuple[int, int, np.dtype[Any], int]:
    """Return the numbers of rows and features, the type and the bytes of a row, from the header."""
    X = map_npy(file)
    is_real = X.dtype.kind in "biuf" and X.dtype.itemsize <= 8 and X.dtype.isnative
    if X.ndim < 2 or not is_real or 0 in X.shape[1:]:
        raise DataError(
            f"{printable(file)} must hold rows of real numbers in native byte order, got {X.dtype} of shape "
            f"{X.shape}."
        )
    n_features = int(np.prod(X.shape[1:]))
    return len(X), n_features, X.dtype, n_features * X.dtype.itemsize


def _csr_sizes(file: Path) -> tuple[int, int, np.dtype[Any], int]:
    n_rows, n_features, n_entries, dtype = csr_header(file)
    if n_features == 0:
        raise DataError(f"{printable(file)} must have at least one feature, got shape ({n_rows}, 0).")
    index = 4 if max(n_rows, n_features, n_entries) <= _LARGEST_32 else 8
    n_bytes = n_entries * (dtype.itemsize + index) + n_rows * index
    return n_rows, n_features, dtype, -(-n_bytes // max(1, n_rows)) or 1


def _labels(file: Path, n_rows: int) -> Path:
    """Return the file of the labels of a shard, after checking its header."""
    labels = labels_beside(file.with_suffix(".npy"))  # of X.npz: y.npy
    if labels is None or labels.suffix != ".npy":
        raise DataError(f"{printable(file)} must have a file of labels beside it, {printable(file.stem)}_y.npy.")
    y = map_npy(labels)
    if y.shape != (n_rows,):
        raise DataError(f"{printable(labels)} must hold {n_rows} labels, got shape {y.shape}.")
    return labels
