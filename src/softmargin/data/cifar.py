"""CIFAR-10 and CIFAR-100 in their binary version: a folder of batches or a single batch."""

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
    """The differences between the two sets: bytes of labels before the pixels, and names of files."""

    n_labels: int
    n_classes: int
    train: tuple[str, ...]
    test: str
    names: str


TEN = Kind(1, 10, tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin", "batches.meta.txt")
HUNDRED = Kind(2, 100, ("train.bin",), "test.bin", "fine_label_names.txt")
PICKLES, PICKLED_NAMES = ("data_batch_1", "train"), ("batches.meta", "meta")
"""Files of the Python version, which is recognized for its error message."""


def accepts(path: Path) -> bool:
    """Return whether the source is a .bin file, or a folder with the files of either version of CIFAR."""
    if path.is_dir():
        return _kind_of_folder(path) is not None or _pickle(path) is not None
    return path.suffix.lower() == ".bin" and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read batches into rows of uint8 in the order height, width, channel (the file stores channels first).

    A folder gives all its training batches, and the test batch as the test part. Labels are the names in
    ``batches.meta.txt`` (``fine_label_names.txt`` for CIFAR-100) if that file is beside the batches, else numbers.

    Raises
    ------
    DataError
        A file does not consist of whole records, or the folder holds the Python version, whose pickles are never
        loaded.
    """
    if not path.is_dir():
        return _batches([path], _kind(path), path.stem)
    kind = _kind_of_folder(path)
    if kind is None:
        found = printable(path / str(_pickle(path)))
        raise DataError(f"{found} is a Python pickle, which is never loaded; use the binary version of CIFAR.")
    train = [path / name for name in kind.train if (path / name).is_file()]
    test = [path / kind.test] if (path / kind.test).is_file() else []
    if not train:
        return _batches(test, kind, path.name)
    notes: tuple[str, ...] = ()
    if len(train) < len(kind.train):
        notes = (f"only {len(train)} of the {len(kind.train)} training batches are in {printable(path.name)}",)
    held = _batches(test, kind, f"{path.name} (test)") if test else None
    return _batches(train, kind, path.name, test=held, notes=notes)


def beside(path: Path) -> list[Path]:
    """Return the file beside a batch that is read with it: the class names."""
    return [path.parent / _kind(path).names]


def _kind(path: Path) -> Kind:
    return HUNDRED if path.name.lower() in (*HUNDRED.train, HUNDRED.test) else TEN


def _kind_of_folder(folder: Path) -> Kind | None:
    return next((k for k in (TEN, HUNDRED) if any((folder / n).is_file() for n in (*k.train, k.test))), None)


def _pickle(folder: Path) -> str | None:
    has_names = any((folder / names).is_file() for names in PICKLED_NAMES)
    return next((file for file in PICKLES if has_names and (folder / file).is_file()), None)


def _batches(files: list[Path], kind: Kind, name: str, **more: Any) -> Dataset:
    records = np.concatenate([_records(file, kind) for file in files])
    pixels = records[:, kind.n_labels :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    codes = records[:, kind.n_labels - 1].astype(np.int64)
    names = _names(files[0].parent / kind.names)
    y = codes if names is None or len(names) <= codes.max() else names[codes]
    return Dataset(pixels.reshape(-1, N_PIXELS), y, name, image_shape=SHAPE, **more)


def _records(file: Path, kind: Kind) -> NDArray[np.uint8]:
    """Return the records of a file, one per row."""
    n_bytes, size = file.stat().st_size, kind.n_labels + N_PIXELS
    whole = np.fromfile(file, np.uint8, n_bytes) if n_bytes % size == 0 else np.empty(0, np.uint8)
    if whole.size == 0 or whole.size != n_bytes:
        raise DataError(f"{printable(file)} must hold whole records of {size:,} bytes, got {n_bytes:,} bytes.")
    records = whole.reshape(-1, size)
    labels = records[:, kind.n_labels - 1]
    wrong = np.flatnonzero(labels >= kind.n_classes)
    if wrong.size:
        expected = f"labels must be less than {kind.n_classes}"
        raise DataError(f"{printable(file)} record {wrong[0]}: {expected}, got {labels[wrong[0]]}.")
    return records


def _names(path: Path) -> NDArray[np.str_] | None:
    if not path.is_file():
        return None
    try:
        words = path.read_text("utf-8").split()
    except UnicodeDecodeError as error:
        raise DataError(f"{printable(path)} is damaged: the class names are not UTF-8.") from error
    return np.array(words, dtype=np.str_) if words else None
