"""The samples that panels show, and their pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from softmargin.data import Dataset
from softmargin.data.dataset import ImageShape
from softmargin.losses.base import Floats
from softmargin.report.fill.predictions import Predictions
from softmargin.report.panels import Sample, Sheet

__all__ = ["SampleStore", "encoded", "fitted_size", "reduced"]

_MOST_SAMPLES = 2_000
_LARGEST_PICTURE = 64
_LOSSLESS_PIXELS = 400_000
"""Sheets up to this size are stored losslessly."""

_QUALITIES = (88, 70, 45, 20)
_SHEET_BYTES = 3_500_000
"""Larger sheets are saved with the highest of these qualities that keeps them below this size."""


def encoded(values: NDArray[Any]) -> str:
    """Return an array as base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def reduced(pictures: Floats, height: int, width: int) -> Floats:
    """Return pictures (n, h, w, channels) averaged over boxes to at most this height and width."""
    n, h, w, channels = pictures.shape
    if h <= height and w <= width:
        return pictures
    small = np.empty((n, height, width, channels))
    for i in range(n):
        for c in range(channels):
            plane = Image.fromarray(np.ascontiguousarray(pictures[i, :, :, c], dtype=np.float32), mode="F")
            small[i, :, :, c] = np.asarray(plane.resize((width, height), Image.Resampling.BOX))
    return small


def fitted_size(height: int, width: int, largest: int) -> tuple[int, int]:
    """Return height and width, scaled down until neither exceeds ``largest``."""
    factor = min(1.0, largest / max(height, width))
    return max(1, round(factor * height)), max(1, round(factor * width))


class SampleStore:
    """Collects the samples and pictures that panels show, without repetition and up to a limit."""

    def __init__(self, preds: Predictions) -> None:
        self._preds = preds
        self._places: dict[int, int] = {}
        self._samples: list[Sample] = []
        self._tiles: list[NDArray[np.uint8]] = []
        data, shape = preds.data, preds.data.image_shape
        self._size = None
        self._low, self._high = 0.0, 255.0
        if data.inputs is not None and data.inputs.kind == "pictures":
            first = data.inputs.item(0)
            self._size = fitted_size(first.height, first.width, _LARGEST_PICTURE)
        elif shape is not None and shape[2] in (1, 3):
            self._size = fitted_size(shape[0], shape[1], _LARGEST_PICTURE)
            if data.X.dtype != np.uint8:
                self._low, self._high = float(preds.X.min()), float(preds.X.max())

    def add(self, i: int) -> int | None:
        """Add a sample by its index in the predictions; return its number, None beyond the limit."""
        i = int(i)
        if i not in self._places:
            if len(self._samples) >= _MOST_SAMPLES:
                return None
            self._places[i] = len(self._samples)
            picture = self.picture(self._preds.data, int(self._preds.rows[i]))
            self._samples.append(self._preds.sample(i, picture))
        return self._places[i]

    def add_all(self, places: Iterable[int]) -> tuple[int, ...]:
        """Add samples up to the limit, and return their numbers."""
        return tuple(number for i in places if (number := self.add(i)) is not None)

    def picture(self, data: Dataset, row: int) -> int | None:
        """Put the picture of a sample on the sheet and return its number, None if samples are not pictures."""
        if self._size is None:
            return None
        if data.inputs is not None:
            image = ImageOps.pad(data.inputs.item(row), self._size[::-1], Image.Resampling.BOX, color="white")
            self._tiles.append(np.asarray(image))
        else:
            self._tiles.append(self._levels(data.X[row], data.image_shape))
        return len(self._tiles) - 1

    def _levels(self, row: NDArray[Any], shape: ImageShape | None) -> NDArray[np.uint8]:
        """Return a row of X as a picture (height, width, channels) of the size of the sheet."""
        assert self._size is not None
        assert shape is not None
        pixels = np.asarray(row, dtype=np.float64).reshape(shape)
        spread = self._high - self._low or 1.0
        levels = np.clip(np.rint(255.0 * (pixels - self._low) / spread), 0, 255).astype(np.uint8)
        if levels.shape[:2] == self._size:
            return levels
        image = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
        image = image.resize(self._size[::-1], Image.Resampling.BOX)
        return np.asarray(image).reshape(*self._size, shape[2])

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples, in the order of their numbers."""
        return tuple(self._samples)

    def sheet(self) -> Sheet | None:
        """Return all pictures as one, losslessly if it is small."""
        if self._size is None or not self._tiles:
            return None
        height, width = self._size
        n, channels = len(self._tiles), self._tiles[0].shape[2]
        columns = max(1, min(n, 2048 // width))
        n_rows = -(-n // columns)
        sheet = np.zeros((n_rows * height, columns * width, channels), dtype=np.uint8)
        for k, tile in enumerate(self._tiles):
            top, left = k // columns * height, k % columns * width
            sheet[top : top + height, left : left + width] = tile
        image = Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)
        lossless = n * height * width * channels <= _LOSSLESS_PIXELS or not features.check("webp")
        kind = "png" if lossless else "webp"
        for quality in _QUALITIES:
            stream = io.BytesIO()
            if lossless:
                image.save(stream, "PNG", optimize=True)
            else:
                image.save(stream, "WEBP", quality=quality, method=4)
            if lossless or stream.tell() <= _SHEET_BYTES:
                break
        uri = f"data:image/{kind};base64," + base64.b64encode(stream.getvalue()).decode("ascii")
        return Sheet(uri, height, width, columns, n)
