"""Images: folders with one folder per class, archives of such folders, folders of images, and single files."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ReadOptions, no_features
from softmargin.data.images.archives import is_archive, open_archive
from softmargin.data.images.damaged import undamaged
from softmargin.data.images.guard import SUFFIXES
from softmargin.data.images.pictures import SKIP, FilePictures, read_files
from softmargin.data.images.pixels import pixels_of
from softmargin.data.images.tree import Part, Tree, scan, scan_names
from softmargin.data.inputs import Inputs

__all__ = ["FORMAT", "OPTIONS", "accepts", "read"]

FORMAT = "a folder of images (one folder per class), a .zip or .tar archive of one or a single image"
OPTIONS = frozenset({"image_size", "image_channels", "skip_damaged"})


def accepts(path: Path) -> bool:
    """Return whether the source is a folder, or a file named like an image or an archive."""
    return path.is_dir() or (path.suffix.lower() in SUFFIXES and path.is_file()) or is_archive(path)


def read(root: Path, options: ReadOptions) -> Dataset:
    """Decode a folder of images, an archive of one (without unpacking it to disk), or one image.

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
        A file is damaged or too large (unless ``options.skip_damaged``), sizes differ without
        ``options.image_size``, a class folder has no images, or no image was found.
    """
    if root.is_dir():
        tree = scan(root, labelled=not options.only_features)
        files = [os.path.join(root, *f"{tree.prefix}{file}".split("/")) for file in tree.files]
        read = read_files(files)
    elif is_archive(root):
        names, reader = open_archive(root)
        tree = scan_names(root, names, labelled=not options.only_features)
        files = [f"{root}/{tree.prefix}{file}" for file in tree.files]
        read = reader([tree.prefix + file for file in tree.files])
    else:
        tree, files = Tree(Part((root.name,), None), None, ()), [str(root)]
        read = read_files(files)
    pictures: Inputs = FilePictures(read, files, advice=SKIP if len(files) > 1 else "")
    main, test, notes = tree.main, tree.test, tree.notes
    if options.skip_damaged:
        good, more = undamaged(pictures, options)
        notes += more
        n = int(np.searchsorted(good, len(main.files)))
        main = _taken(main, good[:n])
        test = None if test is None else _taken(test, good[n:] - len(tree.main.files))
        pictures = pictures.take(good) if more else pictures
    parts = _parts(pictures, len(main.files), options)
    name = (Path(os.path.abspath(root)).name if root.is_dir() else root.stem) or "images"
    held = None if test is None else _dataset(parts[1], test, f"{name} (test)")
    return _dataset(parts[0], main, name, test=held, notes=notes)


def _taken(part: Part, numbers: NDArray[np.int64]) -> Part:
    """Return the files with these numbers."""
    labels = None if part.labels is None else tuple(part.labels[k] for k in numbers)
    return Part(tuple(part.files[k] for k in numbers), labels)


def _parts(pictures: Inputs, n: int, options: ReadOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of the first ``n`` samples and of the others: pixels or, if requested, pictures."""
    if options.raw:
        whole = pictures.part(0, n), pictures.part(n, len(pictures))
        first, second = ({"X": no_features(len(part)), "inputs": part} for part in whole)
        return first, second
    X, image_shape = pixels_of(pictures, options)
    return {"X": X[:n], "image_shape": image_shape}, {"X": X[n:], "image_shape": image_shape}


def _dataset(fields: dict[str, Any], part: Part, name: str, **more: Any) -> Dataset:
    y = None if part.labels is None else np.array(part.labels, dtype=np.str_)
    return Dataset(**fields, y=y, name=name, ids=part.files, **more)
