"""Which reader a source is for, and what goes with it.

A reader is a module with ``FORMAT`` (words for a message), ``OPTIONS`` (names of those it takes),
``accepts(path)`` and ``read(path, options)``; ``chunks(path, options)`` if it can read in parts, and
``beside(path)`` if it reads files beside the one that is named. Those of built-in and public sets have ``NAMES``
instead of ``accepts``. Nothing here prints and nothing is ever unpickled. Adding a format is one such module and
one name in ``READERS``.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import index
from pathlib import Path
from typing import IO, Any

from softmargin.arguments import check_count
from softmargin.data import cifar, digits, frames, idx, images, npy, npz, openml, safetensors, svmlight, text
from softmargin.data.dataset import Dataset, Progress, ReadOptions
from softmargin.errors import DataError, ParameterError
from softmargin.io.paths import same_file
from softmargin.text import printable

__all__ = ["belongs_to", "load_dataset", "options_of", "stream_dataset"]

_MOST_PIXELS = 10_000_000
"""More than this is a slip of the keyboard, not the size of a feature vector."""

NAMED: tuple[Any, ...] = (digits, openml)
READERS: tuple[Any, ...] = (npy, npz, safetensors, frames, text, svmlight, idx, cifar, images)
"""Asked in this order whether a path is theirs; folders that no other reader accepts are of images."""

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
        How many threads decode images. By default all processors, at most 8, and 2 for small images.

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
        n_features=None if n_features is None else check_count("n_features", n_features),
        image_size=_check_size(image_size),
        image_channels=image_channels,
        progress=progress,
        n_workers=None if n_workers is None else check_count("n_workers", n_workers),
    )
    if image_channels not in (None, 1, 3):
        raise ParameterError(
            f"image_channels must be 1 or 3, or None for what the files are, found {image_channels!r}."
        )
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
    """Return the rows of a source in parts, to be read one after the other, or None if it comes only as a whole.

    The labels of a table are not read.

    Parameters
    ----------
    source : str, path or binary file
        A table, or sparse text; an open binary file is a table of text.
    columns, n_features
        As in `load_dataset`; ignored where they do not belong.
    """
    options = ReadOptions(
        columns=None if columns is None else tuple(columns), n_features=n_features, only_features=True
    )
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
    """Return the names of the options that go with a source; none if nobody can read it."""
    try:
        options: frozenset[str] = getattr(_find(_place(source)), "OPTIONS", frozenset())
        return options
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
            reader = _find(place)
            files = [place, *(reader.beside(place) if hasattr(reader, "beside") else ())]
            return any(same_file(target, file) for file in files)
    except (OSError, ValueError):  # what is wrong with it is said when it is read
        return False
    folder = os.path.join(os.path.realpath(place), "")
    name = target.lower()
    return target.startswith(folder) and (
        name.endswith(_PARTS) or (os.path.exists(target) and not name.endswith(_OUTPUTS))
    )


@contextmanager
def _errors_named(place: str | Path) -> Iterator[None]:
    """Turn errors of the operating system into a `DataError` that names the source."""
    try:
        yield
    except OSError as error:
        at = place if error.filename is None else os.fsdecode(error.filename)
        raise DataError(f"{printable(at)} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise DataError(f"{printable(place)} does not fit into memory.") from error


def _place(source: str | os.PathLike[str]) -> str | Path:
    if not isinstance(source, (str, os.PathLike)):
        raise ParameterError(f"source must be a name or a path, found {type(source).__name__}.")
    if source == "":
        raise ParameterError("source is an empty name; expected " + _formats() + ".")
    # A name is only ever a string: Path("./digits") loses its "./" and still means the file. A file or folder with
    # the name of a known set is what is meant: its user need not know that the set exists.
    is_name = isinstance(source, str) and any(source in reader.NAMES for reader in NAMED)
    return source if isinstance(source, str) and is_name and not os.path.lexists(source) else Path(source)


def _find(place: str | Path) -> Any:
    """Return the reader that accepts a source, or None."""
    if isinstance(place, str):
        return next(reader for reader in NAMED if place in reader.NAMES)
    return next((reader for reader in READERS if reader.accepts(place)), None)


def _reader(place: str | Path, options: ReadOptions) -> Any:
    """Return the reader of a source, or say what is wrong with the source or the options."""
    reader = _find(place)
    if reader is not None:
        for name, use in _USES.items():
            if getattr(options, name) is not None and name not in reader.OPTIONS:
                raise ParameterError(f"{name}= goes with {use}, which {printable(place)} is not.")
        return reader
    if Path(place).suffix.lower() in _PICKLES and os.path.isfile(place):
        raise DataError(
            f"{printable(place)} is named like a Python pickle, which may run any program and is never loaded; "
            f"save its arrays as .npy, .npz or .safetensors."
        )
    found = "is of no known format" if os.path.exists(place) else "does not exist"
    raise DataError(f"{printable(place)} {found}; expected {_formats()}.")


def _formats() -> str:
    *most, last = (str(reader.FORMAT) for reader in (*NAMED, *READERS))
    return f"{', '.join(most)} or {last}"


def _check_size(image_size: tuple[int, int] | None) -> tuple[int, int] | None:
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
