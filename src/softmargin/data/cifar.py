"""CIFAR-10 and CIFAR-100 in their binary version: a folder of batches, or one batch."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import Dataset, ReadOptions, in_natural_order, shown
from softmargin.errors import DataError

__all__ = ["FORMAT", "OPTIONS", "accepts", "beside", "read"]

FORMAT = "a .bin file of CIFAR (or a folder of them)"
OPTIONS: frozenset[str] = frozenset()
SHAPE = (32, 32, 3)
N_PIXELS = 32 * 32 * 3


class Kind(NamedTuple):
    """What differs between the two sets: bytes of labels before the pixels, and the names of files."""

    n_labels: int
    train: tuple[str, ...]
    test: str
    names: str


TEN = Kind(1, tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin", "batches.meta.txt")
HUNDRED = Kind(2, ("train.bin",), "test.bin", "fine_label_names.txt")


def accepts(source: str | Path) -> bool:
    """Tell whether the source is a .bin file, or a folder with the files of CIFAR in it, of whatever version."""
    if not isinstance(source, Path):
        return False
    if source.is_dir():
        return any((source / name).is_file() for kind in (TEN, HUNDRED) for name in (*kind.train, kind.test)) or (
            _pickles(source) is not None
        )
    return source.suffix.lower() == ".bin" and source.is_file()


def read(source: str | Path, options: ReadOptions) -> Dataset:
    """Read batches into rows of uint8 in the order height, width, channel (they are stored by channels).

    A folder gives all training batches that are there, and the test batch as the test part. Labels are the names
    in ``batches.meta.txt`` (``fine_label_names.txt`` for CIFAR-100) if that is beside them, else numbers.

    Raises
    ------
    DataError
        A file has another size than one of whole records, or the folder holds the Python version, which is
        pickles: those are never loaded.
    """
    path = Path(source)
    if not path.is_dir():
        return _batches([path], _kind(path), _names(path.parent / _kind(path).names), path.stem)
    found = next((k for k in (TEN, HUNDRED) if any((path / n).is_file() for n in (*k.train, k.test))), None)
    if found is None:
        raise DataError(
            f"{shown(path / str(_pickles(path)))} is a Python pickle, which is never loaded: take the binary "
            f"version of the set (its files end in .bin)."
        )
    kind = found
    names = _names(path / kind.names)
    train = in_natural_order([path / name for name in kind.train if (path / name).is_file()])
    test = [path / kind.test] if (path / kind.test).is_file() else []
    if not train:
        return _batches(test, kind, names, path.name)
    notes = []
    if len(train) < len(kind.train):
        notes.append(f"only {len(train)} of the {len(kind.train)} training batches are in {shown(path.name)}")
    held = _batches(test, kind, names, f"{path.name} (test)") if test else None
    return _batches(train, kind, names, path.name, test=held, notes=tuple(notes))


def beside(path: Path) -> list[Path]:
    """Return the file beside a batch that is read with it: the names of the classes."""
    return [path.parent / _kind(path).names]


def _kind(path: Path) -> Kind:
    return HUNDRED if path.name.lower() in (*HUNDRED.train, HUNDRED.test) else TEN


def _pickles(folder: Path) -> str | None:
    names = [name.removesuffix(".bin") for kind in (TEN, HUNDRED) for name in kind.train[:1]]
    metas = ("batches.meta", "meta")
    beside = any((folder / meta).is_file() for meta in metas)
    return next((name for name in names if beside and (folder / name).is_file()), None)


def _batches(files: list[Path], kind: Kind, names: NDArray[np.str_] | None, name: str, **more: Any) -> Dataset:
    size = kind.n_labels + N_PIXELS
    counts = []
    for file in files:
        n_bytes = file.stat().st_size
        if n_bytes == 0 or n_bytes % size:
            raise DataError(
                f"{shown(file)} has {n_bytes:,} bytes; expected whole records of CIFAR, of {size:,} bytes each."
            )
        counts.append(n_bytes // size)
    X = np.empty((sum(counts), *SHAPE), np.uint8)
    codes = np.empty(len(X), np.int64)
    end = 0
    for file, n in zip(files, counts, strict=True):
        begin, end = end, end + n
        records = np.fromfile(file, np.uint8)
        if records.size != n * size:
            raise DataError(f"{shown(file)} changed while it was read.")
        records = records.reshape(n, size)
        codes[begin:end] = records[:, kind.n_labels - 1]
        X[begin:end] = records[:, kind.n_labels :].reshape(n, 3, 32, 32).transpose(0, 2, 3, 1)
        n_classes = 10 if kind is TEN else 100
        wrong = np.flatnonzero(codes[begin:end] >= n_classes)
        if wrong.size:
            raise DataError(
                f"{shown(file)} record {wrong[0]}: the label is {codes[begin + wrong[0]]}, but there are only "
                f"{n_classes} classes; it is damaged, or no file of CIFAR."
            )
    y = codes if names is None or len(names) <= codes.max() else names[codes]
    return Dataset(X.reshape(len(X), -1), y, name, image_shape=SHAPE, **more)


def _names(path: Path) -> NDArray[np.str_] | None:
    if not path.is_file():
        return None
    try:
        words = path.read_text("utf-8").split()
    except UnicodeDecodeError as error:
        raise DataError(f"{shown(path)} is damaged: it holds no names of classes.") from error
    return np.array(words, dtype=np.str_) if words else None
