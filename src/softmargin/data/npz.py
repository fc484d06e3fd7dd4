"""Archives of NumPy, ``.npz``: features, labels and test set, found by their usual names."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from softmargin.data.arrays import dataset_of, where_in, with_labels
from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.files import check_unique, inflate, largest_inflated, one_line
from softmargin.data.npy_header import NpyHeader, read_npy_header
from softmargin.errors import DataError
from softmargin.sparse import canonical_csr
from softmargin.text import printable

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["FORMAT", "OPTIONS", "CsrHeader", "accepts", "csr_header", "csr_rows", "read"]

FORMAT = "a .npz file"
OPTIONS = frozenset({"labels_file"})
SPARSE = {"data", "indices", "indptr", "shape", "format"}
MATRICES = {b"csr": "csr_array", b"csc": "csc_array"}


def accepts(path: Path) -> bool:
    """Return whether the source is a .npz file."""
    return path.suffix.lower() == ".npz" and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read an archive of arrays into memory.

    The names of the arrays tell their roles, see `softmargin.data.arrays`. A file of ``scipy.sparse.save_npz``
    becomes a sparse X, with labels from another file (``options.labels_file``).

    Raises
    ------
    DataError
        The archive is damaged or truncated, holds Python objects, declares impossible sizes, or has no array of
        features or more than one.
    """
    with _opened(path) as (archive, entries):

        def load(key: str) -> NDArray[Any]:
            return _read_entry(archive, entries[key], path)

        if entries.keys() >= SPARSE:
            dataset = _read_sparse(path, load)
        else:
            dataset = dataset_of(path, entries, load, lambda: _listing(archive, entries), options)
        return with_labels(dataset, options.labels_file, path)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Open an archive, and yield it with its arrays; convert the errors of damaged files to a `DataError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            check_unique((entry.filename for entry in members), printable(path), "array")
            yield archive, {entry.filename.removesuffix(".npy"): entry for entry in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        # zipfile raises RuntimeError if a password is needed, NotImplementedError for an unknown compression.
        raise DataError(f"{printable(path)} is damaged or not a .npz archive ({one_line(error)}).") from error


class CsrHeader(NamedTuple):
    """The sizes of a CSR matrix in a file, and the type of its entries."""

    n_rows: int
    n_columns: int
    n_entries: int
    dtype: np.dtype[Any]


def csr_header(path: Path) -> CsrHeader:
    """Return the sizes of the matrix in a file of ``scipy.sparse.save_npz``, without its entries.

    Raises
    ------
    DataError
        The file is damaged, or does not hold a CSR matrix of real numbers of at most 64 bits.
    """
    where = printable(path)
    with _opened(path) as (archive, entries):
        if not entries.keys() >= SPARSE:
            raise DataError(f"{where} must be a file of scipy.sparse.save_npz, got the arrays {list(entries)}.")
        if (kind := _format(_read_entry(archive, entries["format"], path))) != b"csr":
            raise DataError(f"{where} must hold a matrix in csr format, got {kind.decode('ascii', 'replace')}.")
        shape = _read_entry(archive, entries["shape"], path)
        data, indices, indptr = (_header(archive, entries[key], path) for key in ("data", "indices", "indptr"))
    sizes = shape.tolist() if shape.shape == (2,) and shape.dtype.kind in "iu" else [0, 0]
    expected = [data.shape, data.shape, (sizes[0] + 1,)]
    if len(data.shape) != 1 or [data.shape, indices.shape, indptr.shape] != expected or min(sizes) < 0:
        raise DataError(f"{where} is not a valid CSR matrix: its arrays do not match its shape {shape.tolist()}.")
    if any(part.dtype.kind not in "iu" for part in (indices, indptr)):
        raise DataError(f"{where} is not a valid CSR matrix: indices and indptr must be integers.")
    dtype = data.dtype
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or dtype == np.float16 or not dtype.isnative:
        raise DataError(f"{where} must hold real numbers that SciPy supports, in native byte order, got {dtype}.")
    return CsrHeader(sizes[0], sizes[1], data.shape[0], dtype)


def csr_rows(path: Path, rows: slice) -> csr_array:
    """Return some rows of the matrix that `csr_header` describes, with column numbers of 32 bits if they fit.

    Only these rows are in memory.

    Raises
    ------
    DataError
        The file is damaged, or a column number is outside the matrix.
    """
    where, header = printable(path), csr_header(path)
    with _opened(path) as (archive, entries):
        borders = _read_entry(archive, entries["indptr"], path, rows.start, rows.stop + 1).astype(np.int64)
        start, stop = int(borders[0]), int(borders[-1])
        if not (0 <= start <= stop <= header.n_entries and (np.diff(borders) >= 0).all()):
            raise DataError(f"{where} is not a valid CSR matrix: inconsistent indptr.")
        data, indices = (_read_entry(archive, entries[key], path, start, stop) for key in ("data", "indices"))
    shape = (rows.stop - rows.start, header.n_columns)
    found = canonical_csr(scipy.sparse.csr_array((data, indices, borders - start), shape=shape), where)
    small = max(*shape, found.nnz) <= np.iinfo(np.int32).max
    index = np.dtype(np.int32 if small else np.int64)
    found.indices, found.indptr = (a.astype(index, copy=False) for a in (found.indices, found.indptr))
    return found


def _format(array: NDArray[Any]) -> bytes:
    """Return the name of the format, which is bytes or text, depending on the version of SciPy."""
    return array.tobytes().replace(b"\0", b"")


def _read_sparse(path: Path, load: Callable[[str], NDArray[Any]]) -> Dataset:
    """Return the matrix of a file of ``scipy.sparse.save_npz``, as CSR."""
    where = printable(path)
    kind = _format(load("format"))
    if kind not in MATRICES:
        raise DataError(f"{where} must hold a sparse matrix in csr or csc format.")
    shape = load("shape")
    parts = tuple(load(key) for key in ("data", "indices", "indptr"))
    if parts[0].dtype.kind not in "biuf":
        raise DataError(f"{where} must hold a sparse matrix of real numbers, got type {parts[0].dtype}.")
    try:
        if shape.size != 2 or any(part.ndim != 1 or part.dtype.kind not in "iu" for part in (shape, *parts[1:])):
            raise ValueError("shape, indices and indptr must be 1-D arrays of integers")
        matrix = getattr(scipy.sparse, MATRICES[kind])(parts, shape=tuple(shape.tolist()))
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where} is not a valid sparse matrix ({one_line(error)}).") from error
    return Dataset(canonical_csr(matrix, where), None, path.stem)


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> NpyHeader:
    """Return the header of an array, after a check of its size against that of the file."""
    where = where_in(path, entry.filename.removesuffix(".npy"))
    n_stored = min(entry.compress_size, path.stat().st_size)
    if entry.file_size > largest_inflated(n_stored):
        raise DataError(
            f"{where} claims {entry.file_size:,} bytes, impossible from {n_stored:,} compressed bytes."
        )
    with archive.open(entry) as stream:
        return read_npy_header(stream, entry.file_size, where)


def _read_entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, start: int | None = None, stop: int = 0
) -> NDArray[Any]:
    """Return an array or, of a vector, the values from ``start`` to ``stop``."""
    header = _header(archive, entry, path)
    first, n_bytes, shape = header.offset, header.n_bytes, header.shape
    if start is not None:
        size = header.dtype.itemsize
        first, n_bytes, shape = first + start * size, (stop - start) * size, (stop - start,)
    with archive.open(entry) as stream:
        stream.seek(first)
        values, n_found = inflate(stream, n_bytes)
    if n_found < n_bytes:
        where = where_in(path, entry.filename.removesuffix(".npy"))
        raise DataError(f"{where} is truncated after {n_found:,} of {n_bytes:,} bytes of values.")
    return values.view(header.dtype).reshape(shape, order="F" if header.fortran_order else "C")


def _listing(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> str:
    listed = []
    for key, entry in entries.items():
        with archive.open(entry) as stream:
            try:
                listed.append(f"{printable(key)} {read_npy_header(stream, entry.file_size, key).shape}")
            except DataError:
                listed.append(f"{printable(key)} (unreadable)")
    return ", ".join(listed) or "no arrays"
