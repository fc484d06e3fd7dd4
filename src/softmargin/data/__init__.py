"""Readers of data: one file a format, each yields the same `Dataset`.

Adding a format is one module with ``FORMAT``, ``accepts`` and ``read``, and one name in ``READERS``.
"""

import os
from operator import index
from pathlib import Path

from softmargin.data import digits, images, npy, npz
from softmargin.data.base import Dataset, Progress, ReadOptions, shown
from softmargin.errors import DataError, ParameterError

__all__ = ["Dataset", "Progress", "load_dataset"]

_MOST_PIXELS = 10_000_000
"""More than this is a slip of the keyboard, not the size of a feature vector."""

READERS = (digits, images, npy, npz)


def load_dataset(
    source: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    image_size: tuple[int, int] | None = None,
    progress: Progress | None = None,
    n_workers: int | None = None,
) -> Dataset:
    """Read a data set from a built-in name, a folder of images or a feature file.

    Parameters
    ----------
    source : str or path
        ``"digits"`` (the built-in set; write ``"./digits"`` for a file or folder of that name), a folder of
        class folders of images, a folder of images without labels, a ``.npy`` or a ``.npz`` file.
    labels : str or path, optional
        Only with a ``.npy`` file: its labels, as a ``.npy`` file or a ``.txt`` file with one label a line.
        Without it, labels are looked for beside the file under the usual names (``X.npy`` and ``y.npy``).
    image_size : tuple of int (height, width), optional
        Only with a folder of images: bring every image to this size (pixels).
    progress : callable, optional
        ``progress(done, total, what)``, called at most about 20 times a second from the calling thread.
    n_workers : int, optional
        How many processes decode images. All processors by default (at most 8, and none for a small folder);
        1 decodes in this process.

    Returns
    -------
    Dataset
        X in the type it is stored in, memory-mapped for ``.npy``; NaN and inf are not looked for here.

    Raises
    ------
    DataError
        The source is missing, empty, damaged or of an unknown format, or its parts do not fit each other.
    ParameterError
        An option is outside its domain or does not go with this kind of source.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise ParameterError(f"source must be a name or a path, found {type(source).__name__}.")
    if source == "":
        raise ParameterError("source is an empty name; expected " + _formats() + ".")
    # A name is only ever a string: Path("./digits") loses its "./" and still means the file.
    place = source if isinstance(source, str) and digits.accepts(source) else Path(source)
    options = ReadOptions(
        labels=None if labels is None else Path(labels),
        image_size=_checked_size(image_size),
        progress=progress,
        n_workers=_checked_workers(n_workers),
    )
    try:
        for reader in READERS:
            if reader.accepts(place):
                if labels is not None and reader is not npy:
                    raise ParameterError(f"labels= goes with a .npy file, which {shown(place)} is not.")
                if image_size is not None and reader is not images:
                    raise ParameterError(f"image_size= goes with a folder of images, which {shown(place)} is not.")
                dataset: Dataset = reader.read(place, options)
                return dataset
        found = "is of no known format" if os.path.exists(place) else "does not exist"
    except OSError as error:
        at = place if error.filename is None else os.fsdecode(error.filename)
        raise DataError(f"{shown(at)} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise DataError(f"{shown(place)} does not fit into memory.") from error
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


def _checked_workers(n_workers: int | None) -> int | None:
    if n_workers is None:
        return None
    try:
        n_workers = index(n_workers)
    except TypeError:
        n_workers = 0
    if n_workers < 1:
        raise ParameterError("n_workers must be a whole number of at least 1, or None for all processors.")
    return n_workers
