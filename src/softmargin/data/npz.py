"""Archives of NumPy, ``.npz``: features, labels and test set, found by their usual names."""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from softmargin.data.arrays import dataset_of, where_in, with_labels
from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.files import check_unique, inflate, largest_inflated, one_line
from softmargin.data.npy_header import read_npy_header
from softmargin.errors import DataError
from softmargin.sparse import canonical_csr
from softmargin.text import printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "read"]

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
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path, options)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        # zipfile raises RuntimeError if a password is needed, NotImplementedError for an unknown compression.
        raise DataError(f"{printable(path)} is damaged or not a .npz archive ({one_line(error)}).") from error


def _read_archive(archive: zipfile.ZipFile, path: Path, options: ReadOptions) -> Dataset:
    members = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
    check_unique((entry.filename for entry in members), printable(path), "array")
    entries = {entry.filename.removesuffix(".npy"): entry for entry in members}

    def load(key: str) -> NDArray[Any]:
        return _read_entry(archive, entries[key], path)

    if entries.keys() >= SPARSE:
        dataset = _read_sparse(path, load)
    else:
        dataset = dataset_of(path, entries, load, lambda: _listing(archive, entries), options)
    return with_labels(dataset, options.labels_file, path)


def _read_sparse(path: Path, load: Callable[[str], NDArray[Any]]) -> Dataset:
    """Return the matrix of a file of ``scipy.sparse.save_npz``, as CSR."""
    where = printable(path)
    kind = load("format").tobytes().replace(b"\0", b"")  # bytes or text, depending on the version of SciPy
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


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    where = where_in(path, entry.filename.removesuffix(".npy"))
    n_stored = min(entry.compress_size, path.stat().st_size)
    if entry.file_size > largest_inflated(n_stored):
        raise DataError(
            f"{where} claims {entry.file_size:,} bytes, impossible from {n_stored:,} compressed bytes."
        )
    with archive.open(entry) as stream:
        header = read_npy_header(stream, entry.file_size, where)
        values, n_found = inflate(stream, header.n_bytes)
    if n_found < header.n_bytes:
        raise DataError(f"{where} is truncated after {n_found:,} of {header.n_bytes:,} bytes of values.")
    return values.view(header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")


def _listing(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> str:
    listed = []
    for key, entry in entries.items():
        with archive.open(entry) as stream:
            try:
                listed.append(f"{printable(key)} {read_npy_header(stream, entry.file_size, key).shape}")
            except DataError:
                listed.append(f"{printable(key)} (unreadable)")
    return ", ".join(listed) or "no arrays"
