"""The IDX format of MNIST and its kin, plain or compressed with gzip."""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import LARGEST_EXPANSION, Dataset, ReadOptions, as_features, as_labels, brief, shown
from softmargin.errors import DataError

__all__ = ["FORMAT", "OPTIONS", "accepts", "beside", "read"]

FORMAT = "an IDX file of MNIST, .gz or not (or a folder of them)"
OPTIONS: frozenset[str] = frozenset()
NAME = re.compile(r"(.*[-.]idx[0-9]-ubyte|.*\.idx)(\.gz)?", re.IGNORECASE | re.DOTALL)
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
BLOCK_BYTES = 1 << 20


def accepts(source: str | Path) -> bool:
    """Tell whether the source is named like an IDX file, or is a folder with the training images of MNIST."""
    if not isinstance(source, Path):
        return False
    if source.is_dir():
        return _training_images(source) is not None
    return NAME.fullmatch(source.name) is not None and source.is_file()


def read(source: str | Path, options: ReadOptions) -> Dataset:
    """Read images, with labels from the file beside them whose name says ``labels`` and ``idx1``.

    With ``train`` in the name, the files with ``t10k`` (or ``test``) instead are the test part. Uncompressed
    images of 8 bits stay on disk and are mapped.

    Raises
    ------
    DataError
        A file is damaged or cut off, or labels and images do not fit each other.
    """
    path = Path(source)
    images = _training_images(path) if path.is_dir() else path
    assert images is not None
    notes = []
    X, image_shape = as_features(_array(images), shown(images))
    labels = _beside(images, labels=True)
    y = None
    if labels is not None:
        y = as_labels(_array(labels), len(X), shown(labels))
        notes.append(f"labels read from {shown(labels.name)} beside {shown(images.name)}")
    test = None
    held = next((f for word in ("t10k", "test") if (f := _beside(images, part=word)) is not None), None)
    held_labels = None if held is None or y is None else _beside(held, labels=True)
    if held is not None and held_labels is not None:
        X_test, test_shape = as_features(_array(held), shown(held))
        y_test = as_labels(_array(held_labels), len(X_test), shown(held_labels))
        test = Dataset(X_test, y_test, "test", image_shape=test_shape)
        notes.append(f"test part read from {shown(held.name)} and {shown(held_labels.name)}")
    name = path.name if path.is_dir() else re.sub(r"(-images)?[-.]idx[0-9]?(-ubyte)?(\.gz)?$", "", path.name)
    return Dataset(X, y, name or "idx", image_shape=image_shape, test=test, notes=tuple(notes))


def beside(path: Path) -> list[Path]:
    """Return the files beside a file of images that may be read with it: labels and the test part."""
    tests = [_beside(path, part=word) for word in ("t10k", "test")]
    images = [path, *(file for file in tests if file is not None)]
    found = [*images[1:], *(_beside(file, labels=True) for file in images)]
    return [file for file in found if file is not None]


def _training_images(folder: Path) -> Path | None:
    names = (f"train-images{dot}idx3-ubyte{end}" for dot in "-." for end in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _beside(path: Path, *, labels: bool = False, part: str | None = None) -> Path | None:
    """Return the file with the labels, or the same file of another part, if it is there and another one."""
    name = path.name
    if labels:
        name = re.sub(r"idx[0-9]", "idx1", name.replace("images", "labels"))
    if part:
        name = name.replace("train", part)
    plain = name.removesuffix(".gz")
    found = (path.with_name(n) for n in (name, plain, f"{plain}.gz") if path.with_name(n).is_file())
    other = next(found, None)
    return None if other == path else other


def _array(path: Path) -> NDArray[Any]:
    if path.suffix.lower() != ".gz":
        size = path.stat().st_size
        with path.open("rb") as stream:
            dtype, shape, start = _header(stream, path)
            n_bytes = math.prod(shape) * dtype.itemsize
            if n_bytes != size - start:
                raise DataError(_wrong_size(path, shape, n_bytes, f"{size - start:,}"))
            if n_bytes == 0:
                return np.empty(shape, dtype)
            return np.memmap(stream, dtype, "r", start, shape)
    try:
        with gzip.open(path) as stream:
            dtype, shape, _ = _header(stream, path)
            return _values(stream, path, dtype, shape)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{shown(path)} is damaged or cut off ({brief(error)}).") from error


def _header(stream: IO[bytes] | gzip.GzipFile, path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES or not 1 <= start[3] <= 4:
        raise DataError(f"{shown(path)} does not begin as an IDX file does; it is damaged or of another format.")
    n_axes = start[3]
    sizes = stream.read(4 * n_axes)
    if len(sizes) < 4 * n_axes:
        raise DataError(f"{shown(path)} is cut off in its header.")
    shape = tuple(int(length) for length in np.frombuffer(sizes, ">u4"))
    return np.dtype(TYPES[start[2]]), shape, 4 + 4 * n_axes


def _values(stream: gzip.GzipFile, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    n_bytes = math.prod(shape) * dtype.itemsize
    most = LARGEST_EXPANSION * path.stat().st_size + 1024
    if n_bytes > most:
        raise DataError(_wrong_size(path, shape, n_bytes, f"at most {most:,}"))
    values = np.empty(n_bytes, np.uint8)
    filled, view = 0, values.data
    while filled < n_bytes:
        n_read = stream.readinto(view[filled : filled + BLOCK_BYTES])
        if not n_read:
            raise DataError(_wrong_size(path, shape, n_bytes, f"{filled:,}"))
        filled += n_read
    if stream.read(1):  # reaching the end is also what makes gzip compare the checksum
        raise DataError(_wrong_size(path, shape, n_bytes, "more"))
    return values.view(dtype).reshape(shape)


def _wrong_size(path: Path, shape: tuple[int, ...], n_bytes: int, found: str) -> str:
    return f"{shown(path)} has {found} bytes of values where its header asks for {n_bytes:,} (shape {shape})."
