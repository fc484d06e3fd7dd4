"""Choose the reader of a source and check the options.

A reader is a module with ``FORMAT`` (a description for messages), ``OPTIONS`` (the options it uses),
``accepts(path)`` and ``read(path, options)``; ``chunks(path, options)`` if it can read in chunks, and
``beside(path)`` if it also reads files beside the given one. Readers of built-in and public data sets have
``NAMES`` instead of ``accepts``. Readers print nothing and never unpickle anything. To add a format, add such a
module and its name in ``READERS``.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import IO, Any

from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import brief, check_count
from softmargin.data import (
    cifar,
    digits,
    frames,
    idx,
    images,
    npy,
    npz,
    openml,
    safetensors,
    svmlight,
    table_folders,
)
from softmargin.data import text as csv
from softmargin.data.dataset import Dataset, Extractor, Progress, ReadOptions
from softmargin.data.extraction import extracted
from softmargin.data.labels import labels_like
from softmargin.data.options import check_columns, check_format, check_image_size
from softmargin.errors import DataError, ParameterError
from softmargin.io.paths import check_path, same_file
from softmargin.labels import check_labels
from softmargin.text import printable

__all__ = ["belongs_to", "holds_arrays", "load_dataset", "options_of", "stream_dataset"]

NAMED: tuple[Any, ...] = (digits, openml)
READERS: tuple[Any, ...] = (npy, npz, safetensors, frames, csv, svmlight, idx, cifar, table_folders, images)
"""The readers of files and folders. The first that accepts a path reads it; `images` accepts any folder."""

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill")
_OTHERS = dict.fromkeys(
    (".xlsx", ".xls", ".xlsm", ".ods", ".sav", ".dta", ".sas7bdat", ".rds"), "; save it as CSV"
)
_OTHERS |= dict.fromkeys((".bz2", ".xz", ".zst", ".lzma"), "; unpack it, or compress it by gzip (.gz)")
_OUTPUTS = (".safetensors", ".html")
"""Models and reports, which no reader reads from a folder."""

_PARTS = (*images.SUFFIXES, *frames.SUFFIXES, ".npy", ".bin", "ubyte", ".gz", ".idx")
"""Endings of the names of files in a folder that may become part of the data."""

_TABLE = "a table (.csv, .tsv, .parquet, .feather, .arrow)"
_TABLES = ("label_column", "columns", "groups_column", "weights_column", "keep_counters", "text")
_IMAGES = "a folder of images (or archive, or table of images)"
_USES = {
    "labels_file": "a file of features without labels (.npy, .npz, .safetensors)",
    **dict.fromkeys(_TABLES, _TABLE),
    **dict.fromkeys(("header", "decimal", "encoding"), "a text table (.csv, .tsv, .txt)"),
    "n_features": "an .svm, .libsvm or .svmlight file",
    **dict.fromkeys(("image_size", "image_channels", "skip_damaged"), _IMAGES),
}


def load_dataset(
    source: str | os.PathLike[str],
    *,
    labels_file: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    keep_counters: bool | None = None,
    classes: ArrayLike | None = None,
    groups_column: str | None = None,
    weights_column: str | None = None,
    n_features: int | None = None,
    image_size: tuple[int, int] | None = None,
    image_channels: int | None = None,
    text: str | None = None,
    skip_damaged: bool = False,
    only_features: bool = False,
    features: Extractor | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    n_workers: int | None = None,
) -> Dataset:
    """Read a data set from a name, a folder or a file; see ``docs/guides/data.md``.

    Parameters
    ----------
    source : str or path
        ``"digits"`` (the built-in set), ``"mnist"``, ``"fashion-mnist"`` or ``"cifar10"`` (fetched from OpenML),
        unless a file or folder has this name; a folder or archive (``.zip``, ``.tar``, ``.tar.gz``) of class
        folders of images, a folder of images without labels or one image; ``.npy``, ``.npz``, ``.safetensors``,
        ``.parquet``, ``.feather``, ``.arrow``, ``.csv``, ``.tsv``, ``.svm``, ``.libsvm``, ``.svmlight``, IDX and
        CIFAR files; folders of tables or of ``.npy`` shards, or saved by Hugging Face's `datasets`.
    labels_file : str or path, optional
        Only for a file of features without labels: its labels, as a ``.npy`` file or a ``.txt`` file with one
        label per line. By default, the labels of a ``.npy`` file are read from the file beside it with the usual
        name (``X.npy`` and ``y.npy``).
    label_column : str, optional
        Only for a table: the column of labels, by name, or by position from 0 if the columns have no names. By
        default it is found by its name or type, if that is unambiguous.
    columns : sequence of str, optional
        Only for a table with column names: the feature columns, in this order.
    header : bool, optional
        Only for a text table: whether its first line holds the names of the columns. By default it is found out.
    decimal : {".", ","}, optional
        Only for a text table: the decimal mark. By default the comma if the table is not separated by commas and
        has no number with a decimal point, else the point.
    encoding : str, optional
        Only for a text table: its encoding, such as ``"cp1252"``. By default UTF-8, or by its byte order mark.
    keep_counters : bool, optional
        Only for a table: whether columns that number the rows stay features. By default they are left out.
    classes : array_like of int or str, optional
        The classes of a model, as which the labels are read: 1, ``"1"``, ``"1.0"`` and ``"True"`` are one label.
    groups_column, weights_column : str, optional
        Only for a table: columns that become ``groups`` (as text) and ``weights`` (numbers) of the data. They are
        not features, and are given like ``label_column``; a test set needs them, too.
    n_features : int, optional
        Only for sparse text: the number of features, by default the largest index. Features beyond it are ignored,
        with a note.
    image_size : tuple of int (height, width), optional
        Only for images: resize every image to this size (pixels).
    image_channels : int, optional
        Only for images: 1 for grey, 3 for colour. By default 1 if all images are grey, else 3.
    text : str, optional
        Only for a table, with ``features``: the column of texts. By default the only one.
    skip_damaged : bool, default False
        Only for images: leave out those that cannot be decoded, and list them in the notes.
    only_features : bool, default False
        For predictions: the labels of a table are not read, and the test set needs none.
    features : extractor of `softmargin.features`, optional
        Computes X from the pictures or texts of the source. It first learns from the training samples, without
        their labels, if it has to. By default X holds the pixels of pictures or the numbers of a table.
    cache : bool, default True
        Whether features are read from the cache and added to it; see `softmargin.features`.
    progress : callable, optional
        ``progress(done, total, what)``, called at most about 20 times per second from the calling thread.
    n_workers : int, optional
        Number of threads that decode images or compute features. By default the number of cores; for decoding at
        most 8, or 2 for small images.

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
        labels_file=None if labels_file is None else Path(check_path(labels_file, "labels_file")),
        label_column=label_column,
        columns=check_columns(columns),
        n_features=None if n_features is None else check_count("n_features", n_features),
        image_size=check_image_size(image_size),
        image_channels=image_channels,
        progress=progress,
        n_workers=None if n_workers is None else check_count("n_workers", n_workers),
        text=text,
        raw=None if features is None else features.takes,
        **check_format(header, decimal, encoding),
        keep_counters=keep_counters,
        groups_column=groups_column,
        weights_column=weights_column,
        classes=None if classes is None else check_labels(classes),
        skip_damaged=skip_damaged,
        only_features=only_features,
    )
    if features is None and text is not None:
        raise ParameterError("text= needs features=, an extractor that turns texts into numbers.")
    if features is not None and not (image_size is None and image_channels is None):
        raise ParameterError("image_size= and image_channels= are for pixels; set the size of the extractor.")
    for name in ("label_column", "groups_column", "weights_column"):
        column = getattr(options, name)
        if not (column is None or isinstance(column, (str, Integral))):
            raise ParameterError(f"{name} must be the name or position of a column, got {brief(column)}.")
    if not (image_channels is None or (isinstance(image_channels, Integral) and image_channels in (1, 3))):
        raise ParameterError(f"image_channels must be 1, 3 or None, got {brief(image_channels)}.")
    place = _place(source)
    with _errors_named(place):
        dataset: Dataset = _with_classes(
            _reader(place, options).read(place, options), options.classes, printable(place)
        )
        return dataset if features is None else extracted(dataset, features, printable(place), options, cache)


def stream_dataset(
    source: str | os.PathLike[str] | IO[bytes],
    *,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    n_features: int | None = None,
    text: str | None = None,
    features: Extractor | None = None,
    cache: bool = True,
    skip_damaged: bool = False,
) -> Iterator[Dataset] | None:
    """Return an iterator over the rows of a source in chunks, or None if it can only be read as a whole.

    The labels of a table are not read. What a text table is (its delimiter, header and decimal mark) is decided
    from its first chunk, and columns that number the rows are not left out.

    Parameters
    ----------
    source : str, path or binary file
        A table, or sparse text; an open binary file is a table of text.
    label_column : str, optional
        Left out of the features of a table that has it: by its name, or by its position if the columns have no
        names and there is one more column than ``n_features``.
    columns, n_features, text, features, cache, skip_damaged
        As in `load_dataset`; the first three are ignored if they do not apply to the source.
    header, decimal, encoding
        As in `load_dataset`.
    """
    options = ReadOptions(
        label_column=label_column,
        columns=check_columns(columns),
        n_features=n_features,
        only_features=True,
        text=text,
        raw=None if features is None else features.takes,
        skip_damaged=skip_damaged,
        **check_format(header, decimal, encoding),
    )
    if not isinstance(source, (str, os.PathLike)):
        chunks = csv.read_stream(source, "stdin", "stdin", options)
        return (extracted(chunk, features, "stdin", options, cache) if features else chunk for chunk in chunks)
    place = _place(source)
    with _errors_named(place):
        reader = _reader(place, replace(options, label_column=None, columns=None, n_features=None, text=None))
        has_parts = hasattr(reader, "chunks") and not os.path.isdir(place)

    def parts() -> Iterator[Dataset]:
        with _errors_named(place):
            for chunk in reader.chunks(place, options):
                yield extracted(chunk, features, printable(place), options, cache) if features else chunk

    return parts() if has_parts else None


def holds_arrays(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a file of arrays or sparse text, which may hold features that were computed."""
    try:
        return _find(_place(source)) in (npy, npz, safetensors, svmlight)
    except (OSError, ValueError):  # reading the source raises the error
        return False


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
            if getattr(options, name) not in (None, False) and name not in reader.OPTIONS:
                raise ParameterError(f"{name}= is only for {use}, got {printable(place)}.")
        if isinstance(place, Path) and place.is_file() and place.stat().st_size == 0:
            raise DataError(f"{printable(place)} is empty (0 bytes); expected {reader.FORMAT}.")
        return reader
    suffix = Path(place).suffix.lower()
    if suffix in _PICKLES and os.path.isfile(place):
        advice = "save its arrays as .npy, .npz or .safetensors"
        raise DataError(f"{printable(place)} looks like a Python pickle, which is never loaded; {advice}.")
    if not os.path.exists(place):
        names = ", ".join(name for reader in NAMED for name in reader.NAMES)
        raise DataError(f"{printable(place)} does not exist; give a file, a folder or one of {names}.")
    hint = _OTHERS.get(suffix, f"; expected {_formats()}")
    raise DataError(f"{printable(place)} has an unknown format{hint}.")


def _formats() -> str:
    *most, last = (str(reader.FORMAT) for reader in (*NAMED, *READERS))
    return f"{', '.join(most)} or {last}"


def _with_classes(data: Dataset, classes: NDArray[Any] | None, where: str) -> Dataset:
    """Return the data with its labels read as classes, if there are both."""
    if classes is None:
        return data
    test = None if data.test is None else _with_classes(data.test, classes, where)
    y, notes = (None, ()) if data.y is None else labels_like(data.y, classes, where)
    return replace(data, y=y, test=test, notes=data.notes + notes)
