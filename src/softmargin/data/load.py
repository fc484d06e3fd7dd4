"""Choose the reader of a source and check the options.

A reader is a module with ``FORMAT`` (a description for messages), ``OPTIONS`` (the options it uses),
``accepts(path)`` and ``read(path, options)``; ``chunks(path, options)`` if it can read in chunks, and
``beside(path)`` if it also reads files beside the given one. Readers of built-in and public data sets have
``NAMES`` instead of ``accepts``. Readers print nothing and never unpickle anything. To add a format, add such a
module and its name in ``READERS``.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from operator import index
from pathlib import Path
from typing import IO, Any

from softmargin.arguments import brief, check_count
from softmargin.data import cifar, digits, frames, idx, images, npy, npz, openml, safetensors, svmlight, text
from softmargin.data.dataset import Dataset, Progress, ReadOptions
from softmargin.errors import DataError, ParameterError
from softmargin.io.paths import check_path, same_file
from softmargin.text import printable

__all__ = ["belongs_to", "load_dataset", "options_of", "stream_dataset"]

_MOST_PIXELS = 10_000_000
"""A larger image_size is certainly a typing error."""

NAMED: tuple[Any, ...] = (digits, openml)
READERS: tuple[Any, ...] = (npy, npz, safetensors, frames, text, svmlight, idx, cifar, images)
"""The readers of files and folders. The first that accepts a path reads it; `images` accepts any folder."""

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill")
_OUTPUTS = (".safetensors", ".html")
"""Models and reports, which no reader reads from a folder."""

_PARTS = (*images.SUFFIXES, *frames.SUFFIXES, ".npy", ".bin", "ubyte", ".gz", ".idx")
"""Endings of the names of files in a folder that may become part of the data."""

_USES = {
    "labels": "a file of features without labels (.npy, .npz, .safetensors)",
    "label": "a table (.csv, .tsv, .parquet, .feather, .arrow)",
    "columns": "a table (.csv, .tsv, .parquet, .feather, .arrow)",
    "n_features": "an .svm, .libsvm or .svmlight file",
    "image_size": "a folder of images (or archive, or table of images)",
    "image_channels": "a folder of images (or archive, or table of images)",
}


def load_dataset(
    source: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    n_features: int | None = None,
    image_size: tuple[int, int] | None = None,
    image_channels: int | None = None,
    progress: Progress | None = None,
    n_workers: int | None = None,
) -> Dataset:
    """Read a data set from a name, a folder or a file; see ``docs/guides/data.md``.

    Parameters
    ----------
    source : str or path
        ``"digits"`` (the built-in set), ``"mnist"``, ``"fashion-mnist"`` or ``"cifar10"`` (fetched from OpenML),
        unless a file or folder has this name; a folder or ``.zip`` archive of class folders of images, a folder
        of images without labels or one image; ``.npy``, ``.npz``, ``.safetensors``, ``.parquet``, ``.feather``,
        ``.arrow``, ``.csv``, ``.tsv``, ``.svm``, ``.libsvm``, ``.svmlight``, IDX and CIFAR files; folders of
        ``.npy`` or ``.parquet`` shards, or saved by Hugging Face's `datasets`.
    labels : str or path, optional
        Only for a file of features without labels: its labels, as a ``.npy`` file or a ``.txt`` file with one
        label per line. By default, the labels of a ``.npy`` file are read from the file beside it with the usual
        name (``X.npy`` and ``y.npy``).
    label : str, optional
        Only for a table: the column of labels, by name, or by position from 0 if the columns have no names. By
        default it is found by its name or type, if that is unambiguous.
    columns : sequence of str, optional
        Only for a table with column names: the feature columns, in this order.
    n_features : int, optional
        Only for sparse text: the number of features; by default the largest index.
    image_size : tuple of int (height, width), optional
        Only for images: resize every image to this size (pixels).
    image_channels : int, optional
        Only for images: 1 for grey, 3 for colour. By default 1 if all images are grey, else 3.
    progress : callable, optional
        ``progress(done, total, what)``, called at most about 20 times per second from the calling thread.
    n_workers : int, optional
        Number of threads that decode images. By default the number of cores, at most 8, or 2 for small images.

    Returns
    -------
    Dataset
        X in its stored dtype, memory-mapped where the format allows it; it is not checked for NaN and infinity.

    Raises
    ------
    DataError
        The source is missing, empty, damaged or of an unknown format, or the sizes of its parts do not match.
    ParameterError
        An option is invalid or does not apply to this kind of source.
    CapabilityError
        The format requires an optional package that is not installed.
    """
    options = ReadOptions(
        labels=None if labels is None else Path(check_path(labels, "labels")),
        label=label,
        columns=_check_columns(columns),
        n_features=None if n_features is None else check_count("n_features", n_features),
        image_size=_check_size(image_size),
        image_channels=image_channels,
        progress=progress,
        n_workers=None if n_workers is None else check_count("n_workers", n_workers),
    )
    if not (label is None or isinstance(label, (str, Integral))):
        raise ParameterError(f"label must be the name or position of a column, got {brief(label)}.")
    if not (image_channels is None or (isinstance(image_channels, Integral) and image_channels in (1, 3))):
        raise ParameterError(f"image_channels must be 1, 3 or None, got {brief(image_channels)}.")
    place = _place(source)
    with _errors_named(place):
        dataset: Dataset = _reader(place, options).read(place, options)
        return dataset


def stream_dataset(
    source: str | os.PathLike[str] | IO[bytes],
    *,
    columns: Sequence[str] | None = None,
    n_features: int | None = None,
) -> Iterator[Dataset] | None:
    """Return an iterator over the rows of a source in chunks, or None if it can only be read as a whole.

    The labels of a table are not read.

    Parameters
    ----------
    source : str, path or binary file
        A table, or sparse text; an open binary file is a table of text.
    columns, n_features
        As in `load_dataset`; ignored if they do not apply to the source.
    """
    options = ReadOptions(columns=_check_columns(columns), n_features=n_features, only_features=True)
    if not isinstance(source, (str, os.PathLike)):
        return text.read_stream(source, "stdin", "stdin", options)
    place = _place(source)
    with _errors_named(place):
        reader = _reader(place, ReadOptions())
        has_parts = hasattr(reader, "chunks") and not os.path.isdir(place)

    def parts() -> Iterator[Dataset]:
        with _errors_named(place):
            yield from reader.chunks(place, options)

    return parts() if has_parts else None


def options_of(source: str | os.PathLike[str]) -> frozenset[str]:
    """Return the names of the options that apply to a source, or none if no reader accepts it."""
    try:
        options: frozenset[str] = getattr(_find(_place(source)), "OPTIONS", frozenset())
        return options
    except (OSError, ValueError):  # reading the source raises the error
        return frozenset()


def belongs_to(path: str | os.PathLike[str], source: str | os.PathLike[str]) -> bool:
    """Return whether writing a file would replace or add a part of a data source.

    Parts are the file itself, the files that are read beside it (labels, test set), and every file in a folder, at
    any level, except models and reports. A new file in a folder becomes a part if it is named like data (an image,
    an array, a table).
    """
    try:
        place = _place(source)
        if isinstance(place, str) or not place.exists():
            return False
        target = os.path.realpath(path)
        if not place.is_dir():
            reader = _find(place)
            files = [place, *(reader.beside(place) if hasattr(reader, "beside") else ())]
            return any(same_file(target, file) for file in files)
    except (OSError, ValueError):  # reading the source raises the error
        return False
    folder = os.path.join(os.path.realpath(place), "")
    name = target.lower()
    return target.startswith(folder) and (
        name.endswith(_PARTS) or (os.path.exists(target) and not name.endswith(_OUTPUTS))
    )


@contextmanager
def _errors_named(place: str | Path) -> Iterator[None]:
    """Convert errors of the operating system to a `DataError` that names the source."""
    try:
        yield
    except OSError as error:
        at = place if error.filename is None else os.fsdecode(error.filename)
        raise DataError(f"{printable(at)} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise DataError(f"{printable(place)} does not fit into memory.") from error


def _place(source: str | os.PathLike[str]) -> str | Path:
    if not isinstance(source, (str, os.PathLike)):
        raise ParameterError(f"source must be a name or a path, got {type(source).__name__}.")
    if source == "":
        raise ParameterError(f"source must not be empty; expected {_formats()}.")
    # Only a string is a name, because Path("./digits") loses its "./". A file or folder with the name of a known
    # set takes precedence, because its user may not know the set.
    is_name = isinstance(source, str) and any(source in reader.NAMES for reader in NAMED)
    return source if isinstance(source, str) and is_name and not os.path.lexists(source) else Path(source)


def _find(place: str | Path) -> Any:
    """Return the reader that accepts a source, or None."""
    if isinstance(place, str):
        return next(reader for reader in NAMED if place in reader.NAMES)
    return next((reader for reader in READERS if reader.accepts(place)), None)


def _reader(place: str | Path, options: ReadOptions) -> Any:
    """Return the reader of a source, or raise an error about the source or the options."""
    reader = _find(place)
    if reader is not None:
        for name, use in _USES.items():
            if getattr(options, name) is not None and name not in reader.OPTIONS:
                raise ParameterError(f"{name}= is only for {use}, got {printable(place)}.")
        if isinstance(place, Path) and place.is_file() and place.stat().st_size == 0:
            raise DataError(f"{printable(place)} is empty (0 bytes); expected {reader.FORMAT}.")
        return reader
    if Path(place).suffix.lower() in _PICKLES and os.path.isfile(place):
        advice = "save its arrays as .npy, .npz or .safetensors"
        raise DataError(f"{printable(place)} looks like a Python pickle, which is never loaded; {advice}.")
    if not os.path.exists(place):
        names = ", ".join(name for reader in NAMED for name in reader.NAMES)
        raise DataError(f"{printable(place)} does not exist; give a file, a folder or one of {names}.")
    raise DataError(f"{printable(place)} has an unknown format; expected {_formats()}.")


def _formats() -> str:
    *most, last = (str(reader.FORMAT) for reader in (*NAMED, *READERS))
    return f"{', '.join(most)} or {last}"


def _check_columns(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    if columns is None:
        return None
    names = () if isinstance(columns, str) or not isinstance(columns, Iterable) else tuple(columns)
    if not names or not all(isinstance(name, str) for name in names):
        raise ParameterError(f"columns must be a non-empty list of column names, got {brief(columns)}.")
    return names


def _check_size(image_size: tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    try:
        height, width = map(index, image_size)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ParameterError(f"image_size must be (height, width), two integers ≥ 1, got {brief(image_size)}.")
    if height * width > _MOST_PIXELS:
        raise ParameterError(f"image_size must have at most {_MOST_PIXELS:,} pixels, got {height}x{width}.")
    return height, width
