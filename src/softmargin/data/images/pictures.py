"""The pictures of a source: in files, as rows of pixels, or as Python objects; decoded when they are needed."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from softmargin.data.images.decode import InColour, Read, decode
from softmargin.data.images.guard import ImageProblem, MissingDecoder, image_problems
from softmargin.data.inputs import KEY_BYTES, Inputs, keys_of
from softmargin.errors import CapabilityError, DataError
from softmargin.text import printable

__all__ = ["SKIP", "ColourError", "FilePictures", "ObjectPictures", "Pictures", "PixelPictures", "read_files"]

SKIP = "; leave damaged images out with skip_damaged=True (--skip-damaged)"
"""The advice where this option applies."""
_COLOURS = {1: "L", 3: "RGB"}


class ColourError(DataError):
    """A picture is in colour, but one channel was requested."""


class Pictures(Inputs):
    """Pictures of any size, decoded when they are needed."""

    kind = "pictures"

    @abstractmethod
    def item(self, k: int, channels: int | None = 3) -> Image.Image:
        """Return a picture with 8 bits per channel, upright and in its original size.

        Parameters
        ----------
        k : int
        channels : 1, 3 or None
            1: grey (an error for a picture in colour); 3: RGB; None: grey if the picture is.

        Raises
        ------
        DataError
            The picture is damaged or too large.
        CapabilityError
            Its format needs a package that is not installed.
        OSError
            Its file cannot be read.
        """


class FilePictures(Pictures):
    """Pictures in files, in the entries of an archive or in the cells of a table.

    Parameters
    ----------
    read : callable
        Returns the content of a file by its number, and its stored size; may be called from several threads.
    names : sequence of str
        Names of the files, for messages.
    subject : str
        The start of a message about a file.
    advice : str
        The end of a message about a damaged file.
    """

    def __init__(self, read: Read, names: Sequence[str], subject: str = "Image {}", advice: str = "") -> None:
        self._read, self._names, self._subject, self._advice = read, names, subject, advice

    def __len__(self) -> int:
        return len(self._names)

    def label(self, k: int) -> str:
        return printable(self._names[k])

    def name(self, k: int) -> str:
        return self._subject.format(self.label(k))

    def item(self, k: int, channels: int | None = 3) -> Image.Image:
        try:
            data, n_stored = self._read(k)
            with image_problems():
                return decode(data, n_stored, channels)
        except MissingDecoder as problem:
            raise CapabilityError(f"{self.name(k)} {problem}.") from problem
        except InColour as problem:
            raise ColourError(f"{self.name(k)} {problem}.") from problem
        except ImageProblem as problem:
            raise DataError(f"{self.name(k)} {printable(problem)}{self._advice}.") from problem

    @cached_property
    def keys(self) -> NDArray[np.uint8]:
        return keys_of(self._content(k) for k in range(len(self)))

    def _content(self, k: int) -> bytes:
        try:
            return self._read(k)[0]
        except ImageProblem as problem:
            raise DataError(f"{self.name(k)} {printable(problem)}.") from problem


class PixelPictures(Pictures):
    """Pictures that are rows of 8-bit pixels.

    Parameters
    ----------
    X : ndarray of uint8, shape (N, height * width * channels)
    shape : tuple of int (height, width, channels)
    where : str
        The name of the source in messages.
    first : int
        Number of the first row, for messages.
    """

    def __init__(self, X: NDArray[np.uint8], shape: tuple[int, int, int], where: str, first: int = 0) -> None:
        self._X, self._shape, self._where, self._first = X, shape, where, first

    def __len__(self) -> int:
        return len(self._X)

    def label(self, k: int) -> str:
        return f"{self._where} row {self._first + k}"

    def name(self, k: int) -> str:
        return f"{self.label(k)}: the image"

    def item(self, k: int, channels: int | None = 3) -> Image.Image:
        pixels = np.ascontiguousarray(self._X[k]).reshape(self._shape)
        image = Image.fromarray(pixels[:, :, 0] if self._shape[2] == 1 else pixels)
        if channels == 1 and self._shape[2] != 1:
            raise ColourError(f"{self.name(k)} is in colour, but image_channels is 1.")
        return image if channels is None else image.convert(_COLOURS[channels])

    @cached_property
    def keys(self) -> NDArray[np.uint8]:
        shape = str(self._shape).encode()
        return keys_of(shape + row.tobytes() for row in self._X)


def read_files(paths: Sequence[str]) -> Read:
    """Return a function that reads one of these files."""

    def read(k: int) -> tuple[bytes, int]:
        with open(paths[k], "rb") as stream:
            data = stream.read()  # Pillow might map the file, which could then change
        return data, len(data)

    return read


class ObjectPictures(Pictures):
    """Pictures as Python objects: paths, images of Pillow, arrays."""

    def __init__(self, items: Sequence[Any], first: int = 0) -> None:
        self._items, self._first = items, first

    def __len__(self) -> int:
        return len(self._items)

    def label(self, k: int) -> str:
        return f"image {self._first + k} of X"

    def name(self, k: int) -> str:
        return f"Image {self._first + k} of X"

    def item(self, k: int, channels: int | None = 3) -> Image.Image:
        return self._one(k).item(0, channels)

    @cached_property
    def keys(self) -> NDArray[np.uint8]:
        return np.concatenate([np.empty((0, KEY_BYTES), np.uint8), *(self._one(k).keys for k in range(len(self)))])

    def _one(self, k: int) -> Pictures:
        item = self._items[k]
        if isinstance(item, (str, os.PathLike)):
            path = os.fspath(item)
            return FilePictures(read_files([path]), [path])
        if isinstance(item, Image.Image):
            item = np.asarray(item.convert("L" if item.mode in ("1", "L") else "RGB"))
        pixels = np.asarray(item)
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)):
            raise DataError(
                f"{self.name(k)} must be a path, an image or a uint8 array (height, width[, 3]), got "
                f"{type(item).__name__} {pixels.dtype} of shape {pixels.shape}."
            )
        shape = (*pixels.shape, 1)[:3]
        return PixelPictures(pixels.reshape(1, -1), shape, "X", self._first + k)
