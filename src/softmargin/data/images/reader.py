"""Images: folders with one folder a class, zip archives of such folders, plain images, and single files."""

import os
import threading
import zipfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ImageShape, ReadOptions
from softmargin.data.files import one_line
from softmargin.data.images.decode import Read, decode_all
from softmargin.data.images.guard import SUFFIXES, read_entry
from softmargin.data.images.tree import Part, Tree, scan, scan_names
from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "read"]

FORMAT = "a folder of images (one folder a class), a .zip archive of one or a single image"
OPTIONS = frozenset({"image_size", "image_channels"})


def accepts(path: Path) -> bool:
    """Tell whether the source is a folder, or a file named like an image or like a zip archive."""
    return path.is_dir() or (path.suffix.lower() in (*SUFFIXES, ".zip") and path.is_file())


def read(root: Path, options: ReadOptions) -> Dataset:
    """Decode a folder of images, an archive of one (which is not unpacked), or one image.

    ``root/CLASS/**`` gives labels named after the folders; ``root/train/CLASS/**`` with
    ``root/test/CLASS/**`` gives a test part too; images without class folders give y = None. Classes are
    sorted by name, files by path. Every file becomes one row of 8-bit pixels: grey (1 channel) if all files
    of all parts are stored as grey, else RGB. Alpha is composited over white, 16-bit grey is divided by 257,
    EXIF orientation is applied and the first frame of animations counts. Hidden files are passed over, other
    files that are not images are counted in the notes.

    Returns
    -------
    Dataset
        X is uint8, (N, height * width * channels); the two parts are views of one array, which is the only
        copy.

    Raises
    ------
    DataError
        A file is damaged or too large, sizes differ and no ``options.image_size`` is given, a class folder
        contains no image, or no image was found.
    """
    with ExitStack() as opened:
        if root.is_dir():
            tree = scan(root)
            files = [os.path.join(root, *file.split("/")) for file in tree.files]
            read = _read_paths(files)
        elif root.suffix.lower() == ".zip":
            archive = opened.enter_context(_open_archive(root))
            tree, prefix = scan_names(root, _check_names(root, archive))
            files = [f"{root}/{prefix}{file}" for file in tree.files]
            read = _read_entries(archive, [prefix + file for file in tree.files])
        else:
            tree, files = Tree(Part((root.name,), None), None, ()), [str(root)]
            read = _read_paths(files)
        pixels, image_shape = decode_all(read, files, options)
    n = len(tree.main.files)
    name = (Path(os.path.abspath(root)).name if root.is_dir() else root.stem) or "images"
    test = None
    if tree.test is not None:
        test = _dataset(pixels[n:], tree.test, f"{name} (test)", image_shape)
    return _dataset(pixels[:n], tree.main, name, image_shape, test=test, notes=tree.notes)


def _read_paths(files: list[str]) -> Read:
    def read(k: int) -> tuple[bytes, int]:
        with open(files[k], "rb") as stream:
            data = stream.read()  # not left to Pillow, which may map the file: it could change under us
        return data, len(data)

    return read


def _read_entries(archive: zipfile.ZipFile, names: list[str]) -> Read:
    lock = threading.Lock()  # zipfile does not promise that several threads may open entries

    def read(k: int) -> tuple[bytes, int]:
        with lock:
            return read_entry(archive, names[k])

    return read


def _open_archive(path: Path) -> zipfile.ZipFile:
    if path.stat().st_size == 0:
        raise DataError(f"{printable(path)} is empty (0 bytes), expected an archive of images.")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{printable(path)} is damaged or not a zip archive ({one_line(error)}).") from error


def _check_names(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the files in an archive, which are plain paths and differ."""
    names = [entry.filename for entry in archive.infolist() if not entry.filename.endswith("/")]
    odd = next((name for name in names if not {"", ".", ".."}.isdisjoint(name.split("/"))), None)
    if odd is not None:
        raise DataError(
            f"{printable(path)} holds the entry {printable(odd)!r}, which is no plain path inside the archive."
        )
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise DataError(f"{printable(path)} holds more than one entry {printable(twice)!r}; names must differ.")
    if any(name.endswith(".npy") for name in names):
        raise DataError(f"{printable(path)} holds NumPy arrays: rename it to end in .npz.")
    return names


def _dataset(X: NDArray[np.uint8], part: Part, name: str, image_shape: ImageShape, **more: Any) -> Dataset:
    y = None if part.labels is None else np.array(part.labels, dtype=np.str_)
    return Dataset(X, y, name, ids=part.files, image_shape=image_shape, **more)
