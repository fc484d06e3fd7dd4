"""Readers of data: one file a format, each yields the same `Dataset`.

Adding a format is one module with ``FORMAT``, ``accepts`` and ``read``, and one name in ``READERS``.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import IO, Any

from softmargin.data import cifar, digits, frames, idx, images, npy, npz, openml, safetensors, svmlight, text
from softmargin.data.base import Dataset, Progress, ReadOptions, shown
from softmargin.errors import DataError, ParameterError

__all__ = ["Dataset", "Progress", "belongs_to", "load_dataset", "options_of", "stream_dataset"]

_MOST_PIXELS = 10_000_000
"""More than this is a slip of the keyboard, not the size of a feature vector."""

READERS: tuple[Any, ...] = (
    digits, openml, npy, npz, safetensors, frames, text, svmlight, idx, cifar, images,
)  # fmt: skip
"""Asked in this order whether a source is theirs; folders that nobody else knows are of images."""

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill")
_OUTPUTS = (".safetensors", ".html")
"""Models and pages: no reader looks for them in a folder."""

_PARTS = (*images.SUFFIXES, *frames.SUFFIXES, ".npy", ".bin", "ubyte", ".gz", ".idx")
"""What a file in a folder is named like if it may become part of the data."""

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
    """Read a data set from a name, a folder or a file; ``docs/guides/data.md`` tells all of it.

    Parameters
    ----------
    source : str or path
        ``"digits"`` (the built-in set), ``"mnist"``, ``"fashion-mnist"`` or ``"cifar10"`` (fetched from OpenML),
        unless a file or folder has this name; a folder or ``.zip`` archive of class folders of images, a folder
        of images without labels or one image; ``.npy``, ``.npz``, ``.safetensors``, ``.parquet``, ``.feather``,
        ``.arrow``, ``.csv``, ``.tsv``, ``.svm``, ``.libsvm``, ``.svmlight``, IDX and CIFAR files; folders of
        ``.npy`` or ``.parquet`` shards, or saved by Hugging Face's `datasets`.
    labels : str or path, optional
        Only with a file of features without labels: its labels, as a ``.npy`` file or a ``.txt`` file with one
        label a line. Without it, those of a ``.npy`` file are looked for beside it under the usual names
        (``X.npy`` and ``y.npy``).
    label : str, optional
        Only with a table: the column that holds the labels, by name, or by position from 0 where columns have
        no names. Without it, it is guessed where that is obvious.
    columns : sequence of str, optional
        Only with a table that has names: the columns to take as features, in this order.
    n_features : int, optional
        Only with sparse text: the number of features, where the largest index does not tell.
    image_size : tuple of int (height, width), optional
        Only with images: bring every image to this size (pixels).
    image_channels : int, optional
        Only with images: 1 for grey, 3 for colour. By default grey if all images are.
    progress : callable, optional
        ``progress(done, total, what)``, called at most about 20 times a second from the calling thread.
    n_workers : int, optional
        How many processes decode images. All processors by default (at most 8, and none for a small folder);
        1 decodes in this process.

    Returns
    -------
    Dataset
        X in the type it is stored in, memory-mapped where the format allows it; NaN and inf are not looked for
        here.

    Raises
    ------
    DataError
        The source is missing, empty, damaged or of an unknown format, or its parts do not fit each other.
    ParameterError
        An option is outside its domain or does not go with this kind of source.
    CapabilityError
        The format needs an optional package that is not installed.
    """
    options = ReadOptions(
        labels=None if labels is None else Path(labels),
        label=label,
        columns=None if columns is None else tuple(columns),
        n_features=_checked_count("n_features", n_features),
        image_size=_checked_size(image_size),
        image_channels=_checked_channels(image_channels),
        progress=progress,
        n_workers=_checked_count("n_workers", n_workers),
        decode_images=images.decode_files,
    )
    place = _place(source)
    try:
        dataset: Dataset = _reader(place, options).read(place, options)
        return dataset
    except OSError as error:
        raise _unreadable(place, error) from error
    except MemoryError as error:
        raise DataError(f"{shown(place)} does not fit into memory.") from error


def stream_dataset(
    source: str | os.PathLike[str] | IO[bytes],
    *,
    columns: Sequence[str] | None = None,
    n_features: int | None = None,
) -> Iterator[Dataset] | None:
    """Return the rows of a source in parts, to be read one after the other, or None if it comes only as a whole.

    The labels of a table are not read.

    Parameters
    ----------
    source : str, path or binary file
        A table, or sparse text; an open binary file is a table of text.
    columns, n_features
        As in `load_dataset`; ignored where they do not belong.
    """
    options = ReadOptions(columns=None if columns is None else tuple(columns), only_features=True)
    options = replace(options, n_features=n_features, decode_images=images.decode_files)
    if not isinstance(source, (str, os.PathLike)):
        return text.read_stream(source, "stdin", "stdin", options)
    place = _place(source)
    try:
        reader = _reader(place, ReadOptions())
    except OSError as error:
        raise _unreadable(place, error) from error
    if not hasattr(reader, "chunks") or os.path.isdir(place):
        return None
    return _guarded(reader.chunks(place, options), place)


def options_of(source: str | os.PathLike[str]) -> frozenset[str]:
    """Return the names of the options that go with a source; none if nobody can read it."""
    try:
        place = _place(source)
        return next((reader.OPTIONS for reader in READERS if reader.accepts(place)), frozenset())
    except (OSError, ValueError):  # what is wrong with it is said when it is read
        return frozenset()


def belongs_to(path: str | os.PathLike[str], source: str | os.PathLike[str]) -> bool:
    """Tell whether a file that is to be written would replace, or become, a part of a source of data.

    Parts are the file itself, those found beside it (labels, the test part), and in a folder every file that is
    there, on whatever level, but for models and pages. A new file in a folder becomes a part if it is named like
    data (an image, an array, a table).
    """
    try:
        place = _place(source)
        if isinstance(place, str) or not place.exists():
            return False
        target = os.path.realpath(path)
        if not place.is_dir():
            reader: Any = next((reader for reader in READERS if reader.accepts(place)), None)
            files = [place, *(reader.beside(place) if hasattr(reader, "beside") else ())]
            return any(_is_same(target, file) for file in files)
    except (OSError, ValueError):  # what is wrong with it is said when it is read
        return False
    folder = os.path.join(os.path.realpath(place), "")
    name = target.lower()
    return target.startswith(folder) and (
        name.endswith(_PARTS) or (os.path.exists(target) and not name.endswith(_OUTPUTS))
    )


def _is_same(path: str, other: Path) -> bool:
    """Tell whether two names lead to one file, there already or not."""
    return path == os.path.realpath(other) or (
        os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)
    )


def _guarded(parts: Iterator[Dataset], place: str | Path) -> Iterator[Dataset]:
    try:
        yield from parts
    except OSError as error:
        raise _unreadable(place, error) from error


def _unreadable(place: str | Path, error: OSError) -> DataError:
    at = place if error.filename is None else os.fsdecode(error.filename)
    return DataError(f"{shown(at)} cannot be read: {error.strerror or error}.")


def _place(source: str | os.PathLike[str]) -> str | Path:
    if not isinstance(source, (str, os.PathLike)):
        raise ParameterError(f"source must be a name or a path, found {type(source).__name__}.")
    if source == "":
        raise ParameterError("source is an empty name; expected " + _formats() + ".")
    # A name is only ever a string: Path("./digits") loses its "./" and still means the file.
    # What is there under the name of a known set is what is meant: nobody has to know that the set exists.
    is_name = isinstance(source, str) and (digits.accepts(source) or openml.accepts(source))
    return source if isinstance(source, str) and is_name and not os.path.lexists(source) else Path(source)


def _reader(place: str | Path, options: ReadOptions) -> Any:
    """Return the reader of a source, or say what is wrong with the source or the options."""
    for reader in READERS:
        if reader.accepts(place):
            for name, use in _USES.items():
                if getattr(options, name) is not None and name not in reader.OPTIONS:
                    raise ParameterError(f"{name}= goes with {use}, which {shown(place)} is not.")
            return reader
    if Path(place).suffix.lower() in _PICKLES and os.path.isfile(place):
        raise DataError(
            f"{shown(place)} is named like a Python pickle, which may run any program and is never loaded; "
            f"save its arrays as .npy, .npz or .safetensors."
        )
    found = "is of no known format" if os.path.exists(place) else "does not exist"
    raise DataError(f"{shown(place)} {found}; expected {_formats()}.")


def _formats() -> str:
    *most, last = (str(reader.FORMAT) for reader in READERS)
    return f"{', '.join(most)} or {last}"


def _checked_size(image_size: tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    try:
        height, width = map(index, image_size)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ParameterError(
            f"image_size must be (height, width) in pixels, at least 1 each, found {image_size!r}."
        )
    if height * width > _MOST_PIXELS:
        raise ParameterError(f"image_size {height}x{width} has more than {_MOST_PIXELS:,} pixels.")
    return height, width


def _checked_channels(channels: int | None) -> int | None:
    if channels not in (None, 1, 3):
        raise ParameterError(f"image_channels must be 1 or 3, or None for what the files are, found {channels!r}.")
    return channels


def _checked_count(name: str, number: int | None) -> int | None:
    if number is None:
        return None
    try:
        number = index(number)
    except TypeError:
        number = 0
    if number < 1:
        raise ParameterError(f"{name} must be a whole number of at least 1, or None.")
    return number
