"""Folders of images: class folders, with or without ``train`` and ``test`` above them, or plain images."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import Dataset, ReadOptions, shown
from softmargin.data.images.base import ImageProblem, Target, decode
from softmargin.data.images.pool import FileProblem, decode_all
from softmargin.data.images.tree import Part, scan
from softmargin.errors import DataError

__all__ = ["FORMAT", "accepts", "read"]

FORMAT = "a folder of images (one folder a class)"


def accepts(source: str | Path) -> bool:
    """Tell whether the source is a folder."""
    return isinstance(source, Path) and source.is_dir()


def read(source: str | Path, options: ReadOptions) -> Dataset:
    """Decode a folder of images.

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
    tree = scan(root)
    files = tree.main.files + (() if tree.test is None else tree.test.files)
    pixels, image_shape = _decode(root, files, options)
    n = len(tree.main.files)
    name = Path(os.path.abspath(root)).name or "images"
    test = None
    if tree.test is not None:
        test = _dataset(pixels[n:], tree.test, f"{name} (test)", image_shape)
    return _dataset(pixels[:n], tree.main, name, image_shape, test=test, notes=tree.notes)


def _dataset(
    X: NDArray[np.uint8], part: Part, name: str, image_shape: tuple[int, int, int], **more: Any
) -> Dataset:
    y = None if part.labels is None else np.array(part.labels, dtype=np.str_)
    return Dataset(X, y, name, ids=part.files, image_shape=image_shape, **more)


def _decode(
    root: Path, relative: tuple[str, ...], options: ReadOptions
) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    files = [os.path.join(root, *file.split("/")) for file in relative]
    try:
        first = decode(files[0], options.image_size)
    except ImageProblem as problem:
        raise DataError(f"the image {shown(files[0])} {shown(str(problem))}.") from problem
    shape = (first.height, first.width, first.channels)
    while True:
        target = Target(*shape, resize=options.image_size is not None)
        try:
            return decode_all(files, target, options.n_workers, options.progress), shape
        except FileProblem as problem:
            file, size = shown(files[problem.position]), f"{shape[0]}x{shape[1]} (height x width)"
            if problem.kind == "size":
                raise DataError(
                    f"the images differ in size: {shown(files[0])} is {size}, "
                    f"{file} is {problem}; bring all to one size with image_size=(H, W), or --image-size HxW."
                ) from problem
            if problem.kind != "colour":
                raise DataError(f"the image {file} {shown(str(problem))}.") from problem
        # The first files were grey and this one is not: begin again in RGB. Headers are not read ahead for
        # this, because opening a small image takes as long as decoding it.
        shape = (*shape[:2], 3)
