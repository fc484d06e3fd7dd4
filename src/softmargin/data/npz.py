"""Archives of NumPy, ``.npz``: features, labels and test part under the names in common use."""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from softmargin.data.arrays import dataset_of, where_in, with_labels
from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.files import inflate, largest_inflated, one_line
from softmargin.data.npy_header import read_npy_header
from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "read"]

FORMAT = "a .npz file"
OPTIONS = frozenset({"labels"})
SPARSE = {"data", "indices", "indptr", "shape", "format"}
MATRICES = {b"csr": csr_array, b"csc": csc_array}


def accepts(path: Path) -> bool:
    """Tell whether the source is a file whose name ends in .npz."""
    return path.suffix.lower() == ".npz" and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read an archive of arrays into memory.

    Which array is what is told by its name, see `softmargin.data.arrays`. What ``scipy.sparse.save_npz`` wrote
    becomes a sparse X; its labels come in a file of their own (``options.labels``).

    Raises
    ------
    DataError
        The archive is damaged or cut off, holds Python objects or a size that cannot be true, or no array, or
        more than one, is recognised as the features.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{printable(path)} is empty (0 bytes), expected an archive of NumPy arrays.")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path, options)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        # RuntimeError is how zipfile says that a password is needed, NotImplementedError an unknown
        # compression.
        raise DataError(f"{printable(path)} is damaged or not a .npz archive ({one_line(error)}).") from error


def _read_archive(archive: zipfile.ZipFile, path: Path, options: ReadOptions) -> Dataset:
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        if entry.filename.endswith(".npy"):
            key = entry.filename.removesuffix(".npy")
            if key in entries:
                raise DataError(f"{printable(path)} holds {printable(key)} twice.")
            entries[key] = entry

    def load(key: str) -> NDArray[Any]:
        return _read_entry(archive, entries[key], path)

    if entries.keys() >= SPARSE:
        dataset = _read_sparse(path, load)
    else:
        dataset = dataset_of(path, entries, load, lambda: _listing(archive, entries))
    return with_labels(dataset, options.labels, path)


def _read_sparse(path: Path, load: Callable[[str], NDArray[Any]]) -> Dataset:
    """Return the matrix that ``scipy.sparse.save_npz`` wrote, in CSR form."""
    kind = load("format").tobytes().replace(b"\0", b"")  # bytes or text, as the version of SciPy has it
    if kind not in MATRICES:
        raise DataError(f"{printable(path)} holds a sparse matrix of another format than csr or csc.")
    shape = load("shape")
    parts = tuple(load(key) for key in ("data", "indices", "indptr"))
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or any(part.ndim != 1 for part in parts):
        raise DataError(f"{printable(path)} holds a sparse matrix whose arrays do not fit together.")
    if parts[0].dtype.kind not in "biuf" or any(part.dtype.kind not in "iu" for part in parts[1:]):
        raise DataError(
            f"{printable(path)} holds a sparse matrix of type {parts[0].dtype}; expected real numbers."
        )
    try:
        matrix = MATRICES[kind](parts, shape=tuple(shape.tolist()))
        matrix.check_format(full_check=True)
        X = csr_array(matrix)
        X.sum_duplicates()
    except (ValueError, OverflowError) as error:
        raise DataError(f"{printable(path)} holds no valid sparse matrix ({one_line(error)}).") from error
    return Dataset(X, None, path.stem)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    where = where_in(path, entry.filename.removesuffix(".npy"))
    n_stored = min(entry.compress_size, path.stat().st_size)
    if entry.file_size > largest_inflated(n_stored):
        raise DataError(
            f"{where} claims {entry.file_size:,} bytes, but its {n_stored:,} compressed bytes "
            f"cannot hold that many."
        )
    with archive.open(entry) as stream:
        header = read_npy_header(stream, entry.file_size, where)
        values, n_found = inflate(stream, header.n_bytes)
    if n_found < header.n_bytes:
        raise DataError(f"{where} is cut off after {n_found:,} of {header.n_bytes:,} bytes of values.")
    return values.view(header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")


def _listing(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> str:
    listed = []
    for key, entry in entries.items():
        with archive.open(entry) as stream:
            try:
                listed.append(f"{printable(key)} {read_npy_header(stream, entry.file_size, key).shape}")
            except DataError:
                listed.append(f"{printable(key)} (unreadable)")
    return ", ".join(listed) or "no array at all"
