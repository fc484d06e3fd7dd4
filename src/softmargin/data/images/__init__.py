"""Images: folders with one folder a class, zip archives of such folders, plain images, and single files."""

import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import Dataset, ReadOptions, brief, shown
from softmargin.data.images.base import SUFFIXES, File, ImageProblem, Pixels, Target, decode, decode_bytes
from softmargin.data.images.pool import FileProblem, decode_all
from softmargin.data.images.tree import Part, Tree, scan, scan_names
from softmargin.errors import DataError

__all__ = ["FORMAT", "OPTIONS", "SUFFIXES", "accepts", "decode_files", "read"]

FORMAT = "a folder of images (one folder a class), a .zip archive of one or a single image"
OPTIONS = frozenset({"image_size", "image_channels"})


def accepts(source: str | Path) -> bool:
    """Tell whether the source is a folder, or a file named like an image or like a zip archive."""
    if not isinstance(source, Path):
        return False
    return source.is_dir() or (source.suffix.lower() in (*SUFFIXES, ".zip") and source.is_file())


def read(source: str | Path, options: ReadOptions) -> Dataset:
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
        holds no image, or there is no image at all.
    """
    root = Path(source)
    if root.is_dir():
        tree = scan(root)
        files: list[File] = [os.path.join(root, *file.split("/")) for file in _all(tree)]
    elif root.suffix.lower() == ".zip":
        tree, files = _archive(root)
    else:
        tree, files = Tree(Part((root.name,), None), None, ()), [str(root)]
    pixels, image_shape = _decode(files, options)
    n = len(tree.main.files)
    name = (Path(os.path.abspath(root)).name if root.is_dir() else root.stem) or "images"
    test = None
    if tree.test is not None:
        test = _dataset(pixels[n:], tree.test, f"{name} (test)", image_shape)
    return _dataset(pixels[:n], tree.main, name, image_shape, test=test, notes=tree.notes)


def decode_files(
    files: Sequence[bytes], where: Sequence[str], options: ReadOptions
) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Decode the bytes of image files that a table holds; ``where`` names each in messages.

    Returns
    -------
    X : ndarray of uint8, shape (N, height * width * channels)
    image_shape : tuple of int (height, width, channels)
    """

    def one(k: int, channels: int | None) -> Pixels:
        try:
            return decode_bytes(files[k], options.image_size, channels)
        except ImageProblem as problem:
            if problem.kind == "colour" and options.image_channels is None:
                raise
            raise DataError(f"{where[k]}: the image {shown(str(problem))}.") from problem

    def all_of(channels: int | None) -> list[Pixels]:
        pixels = [one(0, channels)]
        shape = pixels[0]
        for k in range(1, len(files)):
            pixels.append(one(k, shape.channels))
            if (pixels[k].height, pixels[k].width) != (shape.height, shape.width):
                raise DataError(
                    f"the images differ in size: {where[0]} is {shape.height}x{shape.width} (height x width), "
                    f"{where[k]} is {pixels[k].height}x{pixels[k].width}; bring all to one size with "
                    f"image_size=(H, W), or --image-size HxW."
                )
        return pixels

    try:
        pixels = all_of(options.image_channels)
    except ImageProblem:  # the first were grey and another is not
        pixels = all_of(3)
    X = np.frombuffer(b"".join(p.data for p in pixels), np.uint8).reshape(len(pixels), -1)
    return X, (pixels[0].height, pixels[0].width, pixels[0].channels)


def _all(tree: Tree) -> tuple[str, ...]:
    return tree.main.files + (() if tree.test is None else tree.test.files)


def _archive(path: Path) -> tuple[Tree, list[File]]:
    if path.stat().st_size == 0:
        raise DataError(f"{shown(path)} is empty (0 bytes), expected an archive of images.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.filename.endswith("/")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{shown(path)} is damaged or not a zip archive ({brief(error)}).") from error
    odd = next((name for name in names if not {"", ".", ".."}.isdisjoint(name.split("/"))), None)
    if odd is not None:
        raise DataError(
            f"{shown(path)} holds the entry {shown(odd)!r}, which is no plain path inside the archive."
        )
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise DataError(f"{shown(path)} holds more than one entry {shown(twice)!r}; names must differ.")
    if any(name.endswith(".npy") for name in names):
        raise DataError(f"{shown(path)} holds NumPy arrays: rename it to end in .npz.")
    tree, prefix = scan_names(path, names)
    return tree, [(str(path), prefix + file) for file in _all(tree)]


def _dataset(
    X: NDArray[np.uint8], part: Part, name: str, image_shape: tuple[int, int, int], **more: Any
) -> Dataset:
    y = None if part.labels is None else np.array(part.labels, dtype=np.str_)
    return Dataset(X, y, name, ids=part.files, image_shape=image_shape, **more)


def _decode(files: list[File], options: ReadOptions) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    try:
        first = decode(files[0], options.image_size, options.image_channels)
    except ImageProblem as problem:
        raise DataError(f"the image {_name(files[0])} {shown(str(problem))}.") from problem
    shape = (first.height, first.width, first.channels)
    while True:
        target = Target(*shape, resize=options.image_size is not None)
        try:
            return decode_all(files, target, options.n_workers, options.progress), shape
        except FileProblem as problem:
            file, size = _name(files[problem.position]), f"{shape[0]}x{shape[1]} (height x width)"
            if problem.kind == "size":
                raise DataError(
                    f"the images differ in size: {_name(files[0])} is {size}, "
                    f"{file} is {problem}; bring all to one size with image_size=(H, W), or --image-size HxW."
                ) from problem
            if problem.kind != "colour" or options.image_channels == 1:
                raise DataError(f"the image {file} {shown(str(problem))}.") from problem
        # The first files were grey and this one is not: begin again in RGB. Headers are not read ahead for
        # this, because opening a small image takes as long as decoding it.
        shape = (*shape[:2], 3)


def _name(file: File) -> str:
    return shown(file) if isinstance(file, str) else shown("/".join(file))
