"""The record that every reader returns, and the options that every reader takes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from softmargin.errors import DataError
from softmargin.io.mapped import MappedFile
from softmargin.text import printable

__all__ = ["Dataset", "Features", "ImageShape", "Progress", "ReadOptions", "as_features", "join_parts"]

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, what)``, at most about 20 times a second."""

Features: TypeAlias = NDArray[Any] | csr_array
ImageShape: TypeAlias = tuple[int, int, int]

FINGERPRINT_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Features and labels as a source gave them.

    Attributes
    ----------
    X : ndarray or csr_array, shape (N, D)
        Features in the type they are stored in; memory-mapped and read-only where the file allows it.
    y : ndarray, shape (N,), or None
        Labels as given (strings or integers), None if the source has none.
    name : str
        A short name: the file's stem, the folder's name or ``"digits"``.
    ids : tuple of str, or None
        For images, the path of each file relative to the folder or archive, with ``/`` between its parts (a name
        that is not valid UTF-8 carries its bytes as surrogate escapes). For tables, the values of the id column.
    image_shape : tuple of int (height, width, channels), or None
        Each row of X is the C-order flattening of an array of this shape.
    feature_names : tuple of str, or None
        The name of each column of X.
    test : Dataset, or None
        The part the makers set aside for testing; never used in choosing anything.
    notes : tuple of str
        What was decided on the user's behalf, as sentences for the user.

    Raises
    ------
    DataError
        X is not a table of real numbers with at least one column, or the parts do not fit each other.
    """

    X: Features
    y: NDArray[Any] | None
    name: str
    ids: tuple[str, ...] | None = None
    image_shape: ImageShape | None = None
    feature_names: tuple[str, ...] | None = None
    test: Dataset | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = printable(self.name)
        _check_table(self.X, name)
        n, d = self.X.shape
        if self.y is not None and self.y.shape != (n,):
            raise DataError(f"{name}: {n} rows of X need labels of shape ({n},), found {self.y.shape}.")
        if self.ids is not None and len(self.ids) != n:
            raise DataError(f"{name}: {n} rows of X need as many ids, found {len(self.ids)}.")
        if self.image_shape is not None and math.prod(self.image_shape) != d:
            raise DataError(f"{name}: image shape {self.image_shape} does not fit {d} features.")
        if self.feature_names is not None and len(self.feature_names) != d:
            raise DataError(f"{name}: {d} features need as many names, found {len(self.feature_names)}.")
        if self.test is not None and self.test.n_features != d:
            raise DataError(
                f"{name}: the training part has {d} features, the test part {self.test.n_features}; "
                f"they must have the same."
            )

    @property
    def n_samples(self) -> int:
        """Number of rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return int(self.X.shape[1])

    def fingerprint(self) -> str:
        """Identify the data: SHA-256 over type, shape and bytes of X and of y.

        X is read once in blocks of rows of about 4 MiB; no copy of X is made (of a sparse X its stored entries
        count, in their order). Memory layout does not matter, the name, the notes and the test part are left out.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        digest = hashlib.sha256()
        X: Any = self.X
        parts: tuple[NDArray[Any] | None, ...] = (X, self.y)
        if issparse(X):
            digest.update(f"sparse {X.shape}".encode())
            parts = (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64), self.y)
        for part in parts:
            if part is None:
                digest.update(b"none")
                continue
            digest.update(f"{part.dtype.str} {part.shape}".encode())
            for block in _row_blocks(part):
                digest.update(block.data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        """Sizes and types, no values."""
        kind = f"sparse {self.X.dtype}" if issparse(self.X) else str(self.X.dtype)
        words = [f"{self.n_samples:,} samples x {self.n_features:,} features ({kind})"]
        words.append("no labels" if self.y is None else f"labels {self.y.dtype}")
        if self.image_shape is not None:
            words.append("images " + "x".join(map(str, self.image_shape)))
        if self.test is not None:
            words.append(f"test part of {self.test.n_samples:,}")
        return f"<Dataset {printable(self.name)}: {', '.join(words)}>"


@dataclass(frozen=True)
class ReadOptions:
    """What the caller asked for; each reader takes what concerns it (see `softmargin.load_dataset`).

    ``only_features``: the labels of a table are not wanted, and not read.
    """

    labels: Path | None = None
    label: str | None = None
    columns: tuple[str, ...] | None = None
    n_features: int | None = None
    image_size: tuple[int, int] | None = None
    image_channels: int | None = None
    progress: Progress | None = None
    n_workers: int | None = None
    only_features: bool = False


def join_parts(parts: list[Dataset]) -> Dataset:
    """Return one data set of the rows of several with the same columns; the list is emptied, to free memory."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    ids = None if first.ids is None else tuple(i for part in parts for i in part.ids or ())
    y = None if first.y is None else np.concatenate([part.y for part in parts if part.y is not None])
    X = np.empty((sum(part.n_samples for part in parts), first.n_features), first.X.dtype)
    end = 0
    while parts:
        part = parts.pop(0)
        begin, end = end, end + part.n_samples
        X[begin:end] = part.X
    return replace(first, X=X, y=y, ids=ids)


def as_features(array: NDArray[Any], where: str) -> tuple[NDArray[Any], ImageShape | None]:
    """Check an array of features, and flatten it if it is a stack of uint8 images.

    Parameters
    ----------
    array : ndarray
        (N, D) real numbers, or uint8 images (N, H, W) or (N, H, W, 1 | 3).
    where : str
        Words that name the array in messages.

    Returns
    -------
    X : ndarray, shape (N, D)
        The same memory in its own type; a copy only if the bytes have to be swapped to the machine's order or
        images are not in C order.
    image_shape : tuple of int (height, width, channels), or None
    """
    image_shape: ImageShape | None = None
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        height, width, channels = array.shape[1:] if array.ndim == 4 else (*array.shape[1:], 1)
        if channels not in (1, 3):
            raise DataError(
                f"{where} has shape {array.shape}; images must be (N, height, width) or (N, height, width, "
                f"channels) with 1 or 3 channels (from (N, channels, height, width), transpose(0, 2, 3, 1))."
            )
        image_shape = (height, width, channels)
        array = array.reshape(array.shape[0], math.prod(image_shape))
    _check_table(array, where)
    return (array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))), image_shape


def _check_table(array: Features, where: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} has type {array.dtype}; features must be real numbers.")
    if array.ndim != 2:
        raise DataError(
            f"{where} has shape {array.shape}; features must be 2-D, one row a sample (reshape(N, -1) flattens)."
        )
    if array.shape[1] == 0:
        raise DataError(f"{where} has shape {array.shape}: there is not one feature.")


def _row_blocks(array: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    if array.size == 0:
        return
    row_bytes = max(1, array.nbytes // len(array))
    step = max(1, FINGERPRINT_BLOCK_BYTES // row_bytes)
    file = MappedFile(array)
    for start in range(0, len(array), step):
        file.check(DataError)
        yield np.ascontiguousarray(array[start : start + step]).reshape(-1).view(np.uint8)
