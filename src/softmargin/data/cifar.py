"""CIFAR-10 and CIFAR-100 in their binary version: a folder of batches, or one batch."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "beside", "read"]

FORMAT = "a .bin file of CIFAR (or a folder of them)"
OPTIONS: frozenset[str] = frozenset()
SHAPE = (32, 32, 3)
N_PIXELS = 32 * 32 * 3


class Kind(NamedTuple):
    """What differs between the two sets: bytes of labels before the pixels, and the names of files."""

    n_labels: int
    n_classes: int
    train: tuple[str, ...]
    test: str
    names: str


TEN = Kind(1, 10, tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin", "batches.meta.txt")
HUNDRED = Kind(2, 100, ("train.bin",), "test.bin", "fine_label_names.txt")
PICKLES = (
    ("data_batch_1", "batches.meta"),
    ("data_batch_1", "meta"),
    ("train", "batches.meta"),
    ("train", "meta"),
)
"""Files of the Python version, which is recognised to say that it is not read."""


def accepts(path: Path) -> bool:
    """Tell whether the source is a .bin file, or a folder with the files of CIFAR in it, of either version."""
    if path.is_dir():
        return _kind_of_folder(path) is not None or _pickle(path) is not None
    return path.suffix.lower() == ".bin" and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read batches into rows of uint8 in the order height, width, channel (they are stored by channels).

    A folder gives all training batches that are there, and the test batch as the test part. Labels are the names
    in ``batches.meta.txt`` (``fine_label_names.txt`` for CIFAR-100) if that is beside them, else numbers.

    Raises
    ------
    DataError
        A file has another size than one of whole records, or the folder holds the Python version, which is
        pickles: those are never loaded.
    """
    if not path.is_dir():
        return _batches([path], _kind(path), path.stem)
    kind = _kind_of_folder(path)
    if kind is None:
        raise DataError(
            f"{printable(path / str(_pickle(path)))} is a Python pickle, which is never loaded: take the binary "
            f"version of the set (its files end in .bin)."
        )
    train = [path / name for name in kind.train if (path / name).is_file()]
    test = [path / kind.test] if (path / kind.test).is_file() else []
    if not train:
        return _batches(test, kind, path.name)
    notes = []
    if len(train) < len(kind.train):
        notes.append(f"only {len(train)} of the {len(kind.train)} training batches are in {printable(path.name)}")
    held = _batches(test, kind, f"{path.name} (test)") if test else None
    return _batches(train, kind, path.name, test=held, notes=tuple(notes))


def beside(path: Path) -> list[Path]:
    """Return the file beside a batch that is read with it: the names of the classes."""
    return [path.parent / _kind(path).names]


def _kind(path: Path) -> Kind:
    return HUNDRED if path.name.lower() in (*HUNDRED.train, HUNDRED.test) else TEN


def _kind_of_folder(folder: Path) -> Kind | None:
    return next((k for k in (TEN, HUNDRED) if any((folder / n).is_file() for n in (*k.train, k.test))), None)


def _pickle(folder: Path) -> str | None:
    return next((file for file, meta in PICKLES if (folder / file).is_file() and (folder / meta).is_file()), None)


def _batches(files: list[Path], kind: Kind, name: str, **more: Any) -> Dataset:
    counts = [_count(file, kind) for file in files]
    X = np.empty((sum(counts), *SHAPE), np.uint8)
    codes = np.empty(len(X), np.int64)
    end = 0
    for file, n in zip(files, counts, strict=True):
        begin, end = end, end + n
        records = np.fromfile(file, np.uint8)
        if records.size != n * (kind.n_labels + N_PIXELS):
            raise DataError(f"{printable(file)} changed while it was read.")
        records = records.reshape(n, -1)
        codes[begin:end] = records[:, kind.n_labels - 1]
        X[begin:end] = records[:, kind.n_labels :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        wrong = np.flatnonzero(codes[begin:end] >= kind.n_classes)
        if wrong.size:
            raise DataError(
                f"{printable(file)} record {wrong[0]}: the label is {codes[begin + wrong[0]]}, but there are only "
                f"{kind.n_classes} classes; it is damaged, or no file of CIFAR."
            )
    names = _names(files[0].parent / kind.names)
    y = codes if names is None or len(names) <= codes.max() else names[codes]
    return Dataset(X.reshape(len(X), -1), y, name, image_shape=SHAPE, **more)


def _count(file: Path, kind: Kind) -> int:
    """Return the number of records in a file."""
    n_bytes, size = file.stat().st_size, kind.n_labels + N_PIXELS
    if n_bytes == 0 or n_bytes % size:
        raise DataError(
            f"{printable(file)} has {n_bytes:,} bytes; expected whole records of CIFAR, of {size:,} bytes each."
        )
    return n_bytes // size


def _names(path: Path) -> NDArray[np.str_] | None:
    if not path.is_file():
        return None
    try:
        words = path.read_text("utf-8").split()
    except UnicodeDecodeError as error:
        raise DataError(f"{printable(path)} is damaged: it holds no names of classes.") from error
    return np.array(words, dtype=np.str_) if words else None
