"""Images: folders with one folder per class, zip archives of such folders, folders of images, and single files."""

import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from softmargin.data.dataset import Dataset, ReadOptions, no_features
from softmargin.data.files import check_unique, one_line
from softmargin.data.images.decode import Read
from softmargin.data.images.guard import SUFFIXES, read_entry
from softmargin.data.images.pictures import FilePictures, Pictures, read_files
from softmargin.data.images.pixels import pixels_of
from softmargin.data.images.tree import Part, Tree, scan, scan_names
from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "read"]

FORMAT = "a folder of images (one folder per class), a .zip archive of one or a single image"
OPTIONS = frozenset({"image_size", "image_channels"})


def accepts(path: Path) -> bool:
    """Return whether the source is a folder, or a file named like an image or a zip archive."""
    return path.is_dir() or (path.suffix.lower() in (*SUFFIXES, ".zip") and path.is_file())


def read(root: Path, options: ReadOptions) -> Dataset:
    """Decode a folder of images, a zip archive of one (without unpacking it to disk), or one image.

    ``root/CLASS/**`` gives labels named after the folders; ``root/train/CLASS/**`` with ``root/test/CLASS/**``
    also gives a test set; images without class folders give y = None. Classes are sorted by name, files by path.
    Every file becomes one row of 8-bit pixels: grey (1 channel) if all files of both parts are grey, else RGB.
    Alpha is composited over white, 16-bit grey is divided by 257, the EXIF orientation is applied, and only the
    first frame of an animation is used. Hidden files are ignored; other files that are not images are counted in
    the notes.

    Returns
    -------
    Dataset
        X is uint8, (N, height * width * channels); training and test set are views of one array.

    Raises
    ------
    DataError
        A file is damaged or too large, sizes differ without ``options.image_size``, a class folder has no images,
        or no image was found.
    """
    if root.is_dir():
        tree = scan(root)
        files = [os.path.join(root, *file.split("/")) for file in tree.files]
        read = read_files(files)
    elif root.suffix.lower() == ".zip":
        archive = _open_archive(root)
        tree, prefix = scan_names(root, _check_names(root, archive))
        files = [f"{root}/{prefix}{file}" for file in tree.files]
        read = _read_entries(archive, [prefix + file for file in tree.files])
    else:
        tree, files = Tree(Part((root.name,), None), None, ()), [str(root)]
        read = read_files(files)
    pictures = FilePictures(read, files)
    n = len(tree.main.files)
    parts = _parts(pictures, n, options)
    name = (Path(os.path.abspath(root)).name if root.is_dir() else root.stem) or "images"
    test = None if tree.test is None else _dataset(parts[1], tree.test, f"{name} (test)")
    return _dataset(parts[0], tree.main, name, test=test, notes=tree.notes)


def _parts(pictures: Pictures, n: int, options: ReadOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of the first ``n`` samples and of the others: pixels or, if requested, pictures."""
    if options.raw:
        whole = pictures.part(0, n), pictures.part(n, len(pictures))
        first, second = ({"X": no_features(len(part)), "inputs": part} for part in whole)
        return first, second
    X, image_shape = pixels_of(pictures, options)
    return {"X": X[:n], "image_shape": image_shape}, {"X": X[n:], "image_shape": image_shape}


def _read_entries(archive: zipfile.ZipFile, names: list[str]) -> Read:
    lock = threading.Lock()  # zipfile is not documented to be thread-safe

    def read(k: int) -> tuple[bytes, int]:
        with lock:
            return read_entry(archive, names[k])

    return read


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{printable(path)} is damaged or not a zip archive ({one_line(error)}).") from error


def _check_names(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the files in an archive, or raise a `DataError` unless they are unique plain paths."""
    names = [entry.filename for entry in archive.infolist() if not entry.filename.endswith("/")]
    odd = next((name for name in names if not {"", ".", ".."}.isdisjoint(name.split("/"))), None)
    if odd is not None:
        raise DataError(f"{printable(path)} must hold only plain relative paths, got {printable(odd)!r}.")
    check_unique(names, printable(path), "entry")
    if any(name.endswith(".npy") for name in names):
        raise DataError(f"{printable(path)} contains NumPy arrays; rename it to .npz.")
    return names


def _dataset(fields: dict[str, Any], part: Part, name: str, **more: Any) -> Dataset:
    y = None if part.labels is None else np.array(part.labels, dtype=np.str_)
    return Dataset(**fields, y=y, name=name, ids=part.files, **more)
