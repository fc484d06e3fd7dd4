"""The pixels of pictures as features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Extraction, Progress, ReadOptions
from softmargin.data.images.pixels import pixels_of
from softmargin.data.inputs import Inputs
from softmargin.features.base import FeatureExtractor

__all__ = ["Pixels"]


class Pixels(FeatureExtractor):
    """The 8-bit pixels of pictures: rows of height * width * channels numbers, not cached.

    Parameters
    ----------
    image_size : tuple of int (height, width), optional
        Size to which pictures are resized. By default all must have the same size.
    channels : 1 or 3, optional
        By default 1 if all pictures are grey, else 3.
    """

    name = "pixels"
    scaling = "auto"

    def __init__(self, image_size: tuple[int, int] | None = None, channels: int | None = None) -> None:
        self.image_size = image_size
        self.channels = channels

    def compute(self, item: Any) -> NDArray[Any]:
        """Return the pixels of one picture."""
        return np.asarray(item).reshape(-1)

    def extract(
        self, inputs: Inputs, *, cache: bool = True, n_threads: int | None = None, progress: Progress | None = None
    ) -> Extraction:
        """Return the pixels of all pictures, uint8."""
        options = ReadOptions(
            image_size=self.image_size, image_channels=self.channels, progress=progress, n_workers=n_threads
        )
        return Extraction(*pixels_of(inputs, options))
