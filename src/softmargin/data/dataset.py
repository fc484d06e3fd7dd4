"""The record that every reader returns, and the options that every reader takes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin.data.inputs import Inputs, joined
from softmargin.data.labels import nfc
from softmargin.errors import DataError
from softmargin.io.mapped import MappedFile
from softmargin.notebook import table
from softmargin.sparse import issparse
from softmargin.text import printable

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "Dataset", "Extraction", "Extractor", "Features", "ImageShape", "Progress", "ReadOptions", "StoredFeatures",
    "as_features", "join_parts", "no_features",
]  # fmt: skip

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, what)``, at most about 20 times a second."""

Features: TypeAlias = "NDArray[Any] | csr_array"
ImageShape: TypeAlias = tuple[int, int, int]

FINGERPRINT_BLOCK_BYTES = 1 << 22

_MOST_CLASSES = 10
"""Number of classes in the table for notebooks."""


class Extraction(NamedTuple):
    """The result of an extractor.

    Attributes
    ----------
    X : ndarray of shape (N, D)
    image_shape : tuple of int (height, width, channels), or None
        The shape of each row, if rows are pictures.
    n_cached : int
        Number of samples whose features were in the cache.
    notes : tuple of str
        Messages for the user.
    """

    X: NDArray[Any]
    image_shape: ImageShape | None
    n_cached: int = 0
    notes: tuple[str, ...] = ()


class StoredFeatures(NamedTuple):
    """What a file of features says of their origin.

    Attributes
    ----------
    record : dict
        The identity of the extractor.
    arrays : dict of str to ndarray
        What the extractor learned.
    keys : ndarray of shape (N, 16), uint8
        A hash of the picture or text of each sample.
    """

    record: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    keys: NDArray[np.uint8]


class Extractor(Protocol):
    """Turns pictures or texts into features; see `softmargin.features`."""

    @property
    def takes(self) -> str:
        """Either "pictures" or "texts"."""

    def describe(self) -> str:
        """Return a short description."""

    @property
    def is_fitted(self) -> bool:
        """Whether nothing is left to be learned from training samples."""

    def learn(
        self, inputs: Inputs, *, cache: bool = True, n_threads: int | None = None, progress: Progress | None = None
    ) -> None:
        """Learn from training samples, without their labels."""

    def extract(
        self, inputs: Inputs, *, cache: bool = True, n_threads: int | None = None, progress: Progress | None = None
    ) -> Extraction:
        """Return the features of all samples, computed unless they are in the cache."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Features and labels of a source.

    Attributes
    ----------
    X : ndarray or csr_array, shape (N, D)
        Features in their stored dtype; memory-mapped and read-only where the format allows it.
    y : ndarray, shape (N,), or None
        Labels (integers, or strings in the Unicode form NFC), or None if the source has none.
    name : str
        A short name: the stem of the file, the name of the folder or ``"digits"``.
    ids : tuple of str, or None
        For images, the path of each file relative to the folder or archive, with ``/`` between its parts (bytes
        that are not valid UTF-8 become surrogate escapes). For tables, the values of the id column.
    image_shape : tuple of int (height, width, channels), or None
        Each row of X is the C-order flattening of an array of this shape.
    feature_names : tuple of str, or None
        The name of each column of X.
    test : Dataset, or None
        The test set that belongs to the data; never used for model selection.
    notes : tuple of str
        What the reader decided automatically, as messages for the user.
    inputs : Inputs, or None
        The pictures or texts from which X was computed, if it was.
    extractor : Extractor, or None
        What computed X from them.
    text : str, or None
        The column of texts in a table.
    label_column : str, or None
        The column of labels in a table: its name, or its position from 0 if the columns have no names.
    stored : StoredFeatures, or None
        The origin of X, if X was read from a file that `softmargin embed` wrote.
    groups : ndarray, shape (N,), or None
        The cells of the column of groups of a table, as text, if it was requested.
    weights : ndarray, shape (N,), or None
        The numbers of its column of sample weights, if it was requested; they are not checked.

    Raises
    ------
    DataError
        X is not a table of real numbers with at least one column, or the sizes of the parts do not match.
    """

    X: Features
    y: NDArray[Any] | None
    name: str
    ids: tuple[str, ...] | None = None
    image_shape: ImageShape | None = None
    feature_names: tuple[str, ...] | None = None
    test: Dataset | None = None
    notes: tuple[str, ...] = ()
    inputs: Inputs | None = None
    extractor: Extractor | None = None
    text: str | None = None
    label_column: str | None = None
    stored: StoredFeatures | None = None
    groups: NDArray[np.str_] | None = None
    weights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        name = printable(self.name)
        if self.inputs is None or self.extractor is not None:  # else the features are still to be computed
            _check_table(self.X, name)
        n, d = self.X.shape
        if self.y is not None:
            object.__setattr__(self, "y", nfc(self.y))
        if self.y is not None and self.y.shape != (n,):
            raise DataError(f"{name}: y must have shape ({n},) for {n} rows of X, got {self.y.shape}.")
        if self.ids is not None and len(self.ids) != n:
            raise DataError(f"{name}: ids must hold one id per row of X ({n} rows), got {len(self.ids)}.")
        if self.image_shape is not None and math.prod(self.image_shape) != d:
            raise DataError(f"{name}: image_shape must match {d} features, got {self.image_shape}.")
        if self.feature_names is not None and len(self.feature_names) != d:
            raise DataError(f"{name}: feature_names must hold {d} names, got {len(self.feature_names)}.")
        if self.stored is not None and self.stored.keys.shape[:1] != (n,):
            raise DataError(
                f"{name}: keys must hold one key per row of X ({n} rows), got {len(self.stored.keys)}."
            )
        if self.test is not None and self.test.n_features != d:
            test = f"test set {printable(self.test.name)}"
            raise DataError(f"{name}: {test} must have {d} features, got {self.test.n_features}.")

    @property
    def n_samples(self) -> int:
        """Number of rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return int(self.X.shape[1])

    @property
    def keys(self) -> NDArray[np.uint8] | None:
        """A hash of the picture or text of each sample, (N, 16), from which folds are made; None without them."""
        stored = None if self.stored is None else self.stored.keys
        return stored if self.inputs is None else self.inputs.keys

    def take(self, rows: NDArray[np.int64]) -> Dataset:
        """Return the data with only these rows of X, in this order; the test set is kept.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
        """
        y, groups = (None if a is None else np.asarray(a[rows]) for a in (self.y, self.groups))
        weights = None if self.weights is None else self.weights[rows]
        ids = None if self.ids is None else tuple(self.ids[row] for row in rows.tolist())
        inputs = None if self.inputs is None else self.inputs.take(rows)
        stored = None if self.stored is None else self.stored._replace(keys=self.stored.keys[rows])
        return replace(
            self, X=self.X[rows], y=y, ids=ids, inputs=inputs, stored=stored, groups=groups, weights=weights
        )

    def fingerprint(self) -> str:
        """Return the SHA-256 of dtype, shape and bytes of X and of y.

        X is read once, in blocks of rows of about 4 MiB, and not copied. The memory layout does not matter. For a
        sparse X, the stored entries are hashed in their order. Name, notes and test set are not included.

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
        """Return a summary of sizes and dtypes."""
        kind = f"sparse {self.X.dtype}" if issparse(self.X) else str(self.X.dtype)
        words = [f"{self.n_samples:,} samples x {self.n_features:,} features ({kind})"]
        words.append("no labels" if self.y is None else f"labels {self.y.dtype}")
        if self.image_shape is not None:
            words.append("images " + "x".join(map(str, self.image_shape)))
        if self.test is not None:
            words.append(f"test set of {self.test.n_samples:,}")
        return f"<Dataset {printable(self.name)}: {', '.join(words)}>"

    def _repr_html_(self) -> str:
        """Return sizes, types and labels as a table for notebooks."""
        parts = {"training": self} | ({} if self.test is None else {"test": self.test})
        rows: list[tuple[str, object]] = [(name, f"{part.n_samples:,} samples") for name, part in parts.items()]
        rows.append(("features", f"{self.n_features:,} ({'sparse ' if issparse(self.X) else ''}{self.X.dtype})"))
        if self.image_shape is not None:
            rows.append(("images", "×".join(map(str, self.image_shape))))
        if self.y is not None:
            labels, counts = np.unique(self.y, return_counts=True)
            largest = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
            shown = ", ".join(f"{labels[k]} ({counts[k]:,})" for k in largest)
            more = ", …" if len(labels) > len(largest) else ""
            rows.append((f"{len(labels):,} classes", f"{shown}{more}"))
        rows += [("note", note) for note in self.notes]
        return table(f"Dataset {self.name}", rows)


@dataclass(frozen=True)
class ReadOptions:
    """The options of `softmargin.load_dataset`, of which each reader uses its own.

    With ``only_features``, the labels of a table are not read. With ``raw``, the "pictures" or "texts" that are
    wanted become ``inputs``, and X has no columns. With ``skip_damaged``, images that cannot be decoded are left
    out. Labels are read as the ``classes``, if there are any.
    """

    labels_file: Path | None = None
    label_column: str | None = None
    columns: tuple[str, ...] | None = None
    n_features: int | None = None
    image_size: tuple[int, int] | None = None
    image_channels: int | None = None
    progress: Progress | None = None
    n_workers: int | None = None
    only_features: bool = False
    text: str | None = None
    raw: str | None = None
    groups_column: str | None = None
    weights_column: str | None = None
    header: bool | None = None
    decimal: str | None = None
    encoding: str | None = None
    keep_counters: bool | None = None
    classes: NDArray[Any] | None = None
    skip_damaged: bool = False


def join_parts(parts: list[Dataset]) -> Dataset:
    """Concatenate the rows of data sets with the same columns; the list is emptied to free memory."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    ids = None if first.ids is None else tuple(i for part in parts for i in part.ids or ())
    y = None if first.y is None else np.concatenate([part.y for part in parts if part.y is not None])
    inputs = None if first.inputs is None else joined([part.inputs for part in parts if part.inputs is not None])
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    groups = None if first.groups is None else np.concatenate([p.groups for p in parts if p.groups is not None])
    weights = (
        None if first.weights is None else np.concatenate([p.weights for p in parts if p.weights is not None])
    )
    X = np.empty((sum(part.n_samples for part in parts), first.n_features), first.X.dtype)
    end = 0
    while parts:
        part = parts.pop(0)
        begin, end = end, end + part.n_samples
        X[begin:end] = part.X
    return replace(first, X=X, y=y, ids=ids, inputs=inputs, notes=notes, groups=groups, weights=weights)


def no_features(n_samples: int) -> NDArray[np.float32]:
    """Return an X without columns, for samples whose features are still to be computed."""
    return np.empty((n_samples, 0), np.float32)


def as_features(array: NDArray[Any], where: str) -> tuple[NDArray[Any], ImageShape | None]:
    """Check an array of features, and flatten uint8 images.

    Parameters
    ----------
    array : ndarray
        (N, D) real numbers, or uint8 images (N, H, W) or (N, H, W, 1 | 3).
    where : str
        The name of the array in messages.

    Returns
    -------
    X : ndarray, shape (N, D)
        The same memory and dtype; copied only to convert the byte order, or images that are not in C order.
    image_shape : tuple of int (height, width, channels), or None
    """
    image_shape: ImageShape | None = None
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        height, width, channels = array.shape[1:] if array.ndim == 4 else (*array.shape[1:], 1)
        if channels not in (1, 3):
            raise DataError(
                f"{where}: images must have shape (N, height, width) or (N, height, width, 1 or 3 channels), got "
                f"{array.shape}; for channels first, use transpose(0, 2, 3, 1)."
            )
        image_shape = (height, width, channels)
        array = array.reshape(array.shape[0], math.prod(image_shape))
    _check_table(array, where)
    return (array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))), image_shape


def _check_table(array: Features, where: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: features must be real numbers, got dtype {array.dtype}.")
    if array.ndim != 2:
        raise DataError(f"{where}: features must be 2-D, got shape {array.shape}; reshape(N, -1) flattens it.")
    if array.shape[1] == 0:
        raise DataError(f"{where} must have at least one feature, got shape {array.shape}.")


def _row_blocks(array: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    if array.size == 0:
        return
    row_bytes = max(1, array.nbytes // len(array))
    step = max(1, FINGERPRINT_BLOCK_BYTES // row_bytes)
    file = MappedFile(array)
    for start in range(0, len(array), step):
        file.check(DataError)
        yield np.ascontiguousarray(array[start : start + step]).reshape(-1).view(np.uint8)
