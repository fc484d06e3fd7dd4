"""The IDX format of MNIST and similar sets, plain or compressed with gzip."""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ReadOptions, as_features
from softmargin.data.files import inflate, largest_inflated, one_line
from softmargin.data.labels import as_labels
from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "beside", "read"]

FORMAT = "an IDX file as of MNIST, optionally .gz (or a folder of them)"
OPTIONS: frozenset[str] = frozenset()
NAME = re.compile(r"(.*[-.]idx[0-9]-ubyte|.*\.idx)(\.gz)?", re.IGNORECASE | re.DOTALL)
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def accepts(path: Path) -> bool:
    """Return whether the source is named like an IDX file, or is a folder with the training images of MNIST."""
    if path.is_dir():
        return _training_images(path) is not None
    return NAME.fullmatch(path.name) is not None and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read images, with labels from the file beside them whose name has ``labels`` and ``idx1`` instead.

    If the name contains ``train``, the files with ``t10k`` (or ``test``) in its place are the test set.
    Uncompressed 8-bit images are memory-mapped.

    Raises
    ------
    DataError
        A file is damaged or truncated, or labels and images do not match.
    """
    images = _training_images(path) if path.is_dir() else path
    assert images is not None
    labels = None if options.only_features else _beside(images, labels=True)
    name = path.name if path.is_dir() else re.sub(r"(-images)?[-.]idx[0-9]?(-ubyte)?(\.gz)?$", "", path.name)
    notes = []
    if labels is not None:
        notes.append(f"labels read from {printable(labels.name)} beside {printable(images.name)}")
    test = None
    held = next((f for word in ("t10k", "test") if (f := _beside(images, part=word)) is not None), None)
    held_labels = None if held is None or labels is None else _beside(held, labels=True)
    if held is not None and (held_labels is not None or options.only_features):
        test = _dataset(held, held_labels, "test")
        found = [printable(file.name) for file in (held, held_labels) if file is not None]
        notes.append(f"test set read from {' and '.join(found)}")
    return _dataset(images, labels, name or "idx", test=test, notes=tuple(notes))


def _dataset(images: Path, labels: Path | None, name: str, **more: Any) -> Dataset:
    X, image_shape = as_features(_array(images), printable(images))
    y = None if labels is None else as_labels(_array(labels), len(X), printable(labels))
    return Dataset(X, y, name, image_shape=image_shape, **more)


def beside(path: Path) -> list[Path]:
    """Return the files beside a file of images that may be read with it: labels and test set."""
    tests = [_beside(path, part=word) for word in ("t10k", "test")]
    images = [path, *(file for file in tests if file is not None)]
    found = [*images[1:], *(_beside(file, labels=True) for file in images)]
    return [file for file in found if file is not None]


def _training_images(folder: Path) -> Path | None:
    names = (f"train-images{dot}idx3-ubyte{end}" for dot in "-." for end in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _beside(path: Path, *, labels: bool = False, part: str | None = None) -> Path | None:
    """Return the file of labels, or the same file of another part, if it exists and differs from ``path``."""
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
    size = path.stat().st_size
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as stream:
                dtype, shape, _ = _header(stream, path)
                n_bytes = math.prod(shape) * dtype.itemsize
                if n_bytes > (most := largest_inflated(size)):
                    raise _wrong_size(path, shape, n_bytes, f"at most {most:,}")
                values, n_found = inflate(stream, n_bytes)
                if n_found != n_bytes:
                    raise _wrong_size(path, shape, n_bytes, f"{n_found:,}" if n_found < n_bytes else "more")
                return values.view(dtype).reshape(shape)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)} is damaged or truncated ({one_line(error)}).") from error
    with path.open("rb") as file:
        dtype, shape, start = _header(file, path)
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes != size - start:
            raise _wrong_size(path, shape, n_bytes, f"{size - start:,}")
        return np.memmap(file, dtype, "r", start, shape) if n_bytes else np.empty(shape, dtype)


def _header(stream: IO[bytes] | gzip.GzipFile, path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES or not 1 <= start[3] <= 4:
        raise DataError(f"{printable(path)} is damaged or not an IDX file: its header is invalid.")
    sizes = stream.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"{printable(path)} is truncated in its header.")
    return np.dtype(TYPES[start[2]]), tuple(np.frombuffer(sizes, ">u4").tolist()), 4 + len(sizes)


def _wrong_size(path: Path, shape: tuple[int, ...], n_bytes: int, found: str) -> DataError:
    return DataError(
        f"{printable(path)} must have {n_bytes:,} bytes of values by its header (shape {shape}), got {found}."
    )
