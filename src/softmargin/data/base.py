"""What every reader shares: the `Dataset` record, reader options and the checks at the door.

A reader is a module of this folder with three names: ``FORMAT`` (words for a message), ``accepts(source)``
and ``read(source, options)``. Nothing here prints and nothing is ever unpickled.
"""

import hashlib
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from softmargin.errors import DataError
from softmargin.mapped import MappedFile

__all__ = [
    "LARGEST_EXPANSION",
    "Dataset",
    "DecodeImages",
    "Features",
    "NpyHeader",
    "Progress",
    "ReadOptions",
    "as_features",
    "as_labels",
    "brief",
    "counted",
    "in_natural_order",
    "listed",
    "map_npy",
    "named_labels",
    "read_npy_header",
    "shown",
    "swap_word",
]

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, what)``, at most about 20 times a second."""

Features: TypeAlias = NDArray[Any] | csr_array

FINGERPRINT_BLOCK_BYTES = 1 << 22
LARGEST_EXPANSION = 1032
"""Deflate cannot expand more than so many times: a size declared beyond that is not true."""


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
        that is not valid UTF-8 carries its bytes as surrogate escapes). For tables, what their id column says.
    image_shape : tuple of int (height, width, channels), or None
        Each row of X is the C-order flattening of an array of this shape.
    feature_names : tuple of str, or None
        One name a column of X.
    test : Dataset, or None
        The part the makers set aside for testing; never used in choosing anything.
    notes : tuple of str
        What was decided on the user's behalf, as sentences to be said aloud.

    Raises
    ------
    DataError
        X is not a table of real numbers with at least one column, or the parts do not fit each other.
    """

    X: Features
    y: NDArray[Any] | None
    name: str
    ids: tuple[str, ...] | None = None
    image_shape: tuple[int, int, int] | None = None
    feature_names: tuple[str, ...] | None = None
    test: "Dataset | None" = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = shown(self.name)
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
        return f"<Dataset {shown(self.name)}: {', '.join(words)}>"


@dataclass(frozen=True)
class ReadOptions:
    """What the caller asked for; each reader takes what concerns it (see `softmargin.load_dataset`).

    ``only_features``: the labels of a table are not wanted, and not looked at.
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
    decode_images: "DecodeImages | None" = None


DecodeImages = Callable[
    [Sequence[bytes], Sequence[str], ReadOptions], tuple[NDArray[np.uint8], tuple[int, int, int]]
]
"""Turns the bytes of image files, and names for messages, into rows of pixels and the shape of an image."""


@dataclass(frozen=True)
class NpyHeader:
    """The header of a .npy stream; ``offset`` is where the values begin (bytes)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int

    @property
    def n_bytes(self) -> int:
        """Bytes that the values take, as declared."""
        return math.prod(self.shape) * self.dtype.itemsize


def shown(text: str | os.PathLike[str]) -> str:
    """Make a file name or a label safe for a one-line message: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in os.fspath(text))


def brief(error: Exception) -> str:
    """Return what a library says about a damaged file, in one line of reasonable length."""
    text = shown(" ".join(str(error).split()))
    return text if len(text) <= 120 else text[:119] + "…"


def counted(n: int, one: str, many: str = "") -> str:
    """Say ``1 file`` or ``3 files``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def read_npy_header(stream: IO[bytes], size: int, where: str) -> NpyHeader:
    """Read the header of a .npy stream and hold it against the bytes that are there.

    Parameters
    ----------
    stream : binary file
        At its beginning; left where the values begin.
    size : int
        Bytes in the whole stream.
    where : str
        Words that name the stream in messages.

    Raises
    ------
    DataError
        Not a .npy stream, a damaged header, Python objects, or fewer bytes than the header asks for.
    """
    if size == 0:
        raise DataError(f"{where} is empty (0 bytes), expected a NumPy array.")
    if stream.read(6) != b"\x93NUMPY":
        raise DataError(f"{where} does not begin with the mark of a NumPy array, it is of another format.")
    stream.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files from Python 2 are read, and need no remark
            version = np.lib.format.read_magic(stream)
            # Version 3 differs from 2 only in how the names of structured arrays are written.
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, fortran_order, dtype = read(stream)
    except Exception as error:
        raise DataError(f"{where} has a damaged NumPy header.") from error
    if dtype.hasobject:
        raise DataError(
            f"{where} holds Python objects, which are never loaded; save it as numbers or fixed strings."
        )
    header = NpyHeader(tuple(shape), dtype, fortran_order, stream.tell())
    if any(length < 0 for length in header.shape):
        raise DataError(f"{where} has a damaged NumPy header: shape {header.shape}.")
    if header.n_bytes > size - header.offset:
        raise DataError(
            f"{where} is cut off: its header asks for {header.n_bytes:,} bytes of values "
            f"(shape {header.shape}, {dtype}), found {size - header.offset:,}."
        )
    return header


def map_npy(path: Path) -> NDArray[Any]:
    """Map a .npy file read-only; nothing of it is read but the header.

    Raises
    ------
    DataError
        As `read_npy_header`.
    """
    with path.open("rb") as stream:
        header = read_npy_header(stream, path.stat().st_size, shown(path))
        if header.n_bytes == 0:  # nothing to map, and mmap refuses a length of 0
            return np.empty(header.shape, header.dtype)
        order = "F" if header.fortran_order else "C"
        return np.memmap(stream, header.dtype, "r", header.offset, header.shape, order)  # type: ignore[call-overload]


def listed(folder: Path, *suffixes: str) -> list[Path]:
    """Return the files of a folder that end so (in any case) and are not hidden; none if it is no folder."""
    if not folder.is_dir():
        return []
    return [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file()
    ]


def in_natural_order(files: list[Path]) -> list[Path]:
    """Sort by name, numbers by their value: ``shard-2`` comes before ``shard-10``."""

    def key(file: Path) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"([0-9]+)", file.name)
        return [(int(part), "") if k % 2 else (-1, part) for k, part in enumerate(parts)], file.name

    return sorted(files, key=key)


def swap_word(path: Path, word: str, replacement: str) -> Path | None:
    """Replace one word of the stem, words being divided by ``_``, ``-`` or ``.``; None if it is not there."""
    stem, n_found = re.subn(rf"(?<![^_.\-]){word}(?![^_.\-])", replacement, path.stem)
    return path.with_name(stem + path.suffix) if n_found == 1 else None


def as_features(array: NDArray[Any], where: str) -> tuple[NDArray[Any], tuple[int, int, int] | None]:
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
    image_shape: tuple[int, int, int] | None = None
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


def as_labels(array: NDArray[Any], n_rows: int, where: str, advice: str = "") -> NDArray[Any]:
    """Check labels and bring them to integers or strings, one a row of X.

    Parameters
    ----------
    array : ndarray, shape (N,) or (N, 1)
        Integers and strings stay as they are, booleans and integral floats become int64, byte strings are
        read as UTF-8.
    n_rows : int
        Rows of X.
    where : str
        Words that name the labels in messages.
    advice : str
        What a message about a label that is no whole number ends with.

    Raises
    ------
    DataError
        Another shape, another number of rows, a label that is NaN or has a fraction, or another type.
    """
    # Never a memmap or a view of one: labels are small, and a mapped file may change under us.
    array = np.asarray(array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{where} has shape {array.shape}; labels must be ({n_rows},) or ({n_rows}, 1).")
    if len(array) != n_rows:
        raise DataError(
            f"{where} has {counted(len(array), 'label')} for {counted(n_rows, 'row')} of X; "
            f"every row needs exactly one."
        )
    kind = array.dtype.kind
    if kind == "f":
        # 2**63 itself does not fit into int64, and NaN fails every comparison.
        usable = (np.abs(array) < 2.0**63) & (array == np.floor(array))
        if not usable.all():
            row = int(np.argmin(usable))
            raise DataError(f"{where} row {row}: the label {array[row]} is not a whole number{advice}.")
        return array.astype(np.int64)
    if kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where} has byte strings that are not UTF-8.") from error
    if kind == "b":
        return array.astype(np.int64)
    if kind not in "iuU":
        raise DataError(f"{where} has type {array.dtype}; labels must be integers or strings.")
    return array.astype(array.dtype.newbyteorder("="))


def named_labels(y: NDArray[Any], names: NDArray[np.str_], where: str) -> NDArray[Any]:
    """Return the names of integer labels 0, 1, …; labels that are strings stay as they are.

    Raises
    ------
    DataError
        A label has no name.
    """
    if y.dtype.kind == "U":
        return y
    outside = (y < 0) | (y >= len(names))
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(f"{where} row {row}: label {y[row]} has no name, there are {len(names)} class names.")
    named: NDArray[Any] = names[y]
    return named


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
