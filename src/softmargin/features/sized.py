"""Extractors whose pictures must all have the same size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from softmargin.arguments import brief
from softmargin.data.dataset import Progress
from softmargin.data.images.guard import ImageProblem
from softmargin.data.inputs import Inputs
from softmargin.data.options import check_image_size
from softmargin.errors import ParameterError
from softmargin.features.base import FeatureExtractor

__all__ = ["SizedExtractor"]


class SizedExtractor(FeatureExtractor):
    """Base class: pictures are resized to ``image_size``, or must have the size of the training pictures.

    Attributes
    ----------
    arrays_ : dict of str to ndarray
        ``"image_size"``: int64, (height, width).
    """

    learns = True
    scaling = "standard"
    image_size: tuple[int, int] | None

    def prepare(self) -> None:
        """Check the parameters."""
        check_image_size(self.image_size)

    def learned_from(self, inputs: Inputs, n_threads: int, progress: Progress) -> dict[str, NDArray[Any]]:
        """Return the size of the pictures: ``image_size``, or that of the first training picture."""
        size = self.image_size
        if size is None:
            first: Image.Image = inputs.item(0)
            size = first.height, first.width
        return {"image_size": np.array(size, np.int64)}

    def check_learned(self) -> None:
        """Refuse another ``image_size`` than that with which the extractor was fitted."""
        if self.image_size is not None:
            self._check_same("image_size", tuple(self.arrays_["image_size"].tolist()) == tuple(self.image_size))

    def _check_same(self, name: str, is_same: bool) -> None:
        if not is_same:
            raise ParameterError(
                f"{type(self).__name__} must be fitted again after a change of {name}, got {name}="
                f"{brief(getattr(self, name))}."
            )

    def resized(self, picture: Image.Image, size: NDArray[np.int64]) -> Image.Image:
        """Return a picture in this size (height, width); the interpolation is bilinear and antialiased.

        Raises
        ------
        ImageProblem
            The picture has another size, and ``image_size`` is not given.
        """
        height, width = size.tolist()
        if picture.size == (width, height):
            return picture
        if self.image_size is None:
            raise ImageProblem(
                f"must have the same size as all training images, got {picture.height}x{picture.width} and "
                f"{height}x{width} (height x width); fit with image_size=(H, W) (--image-size HxW) to resize all "
                f"images"
            )
        return picture.resize((width, height), Image.Resampling.BILINEAR)
