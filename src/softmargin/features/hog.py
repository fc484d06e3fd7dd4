"""Histograms of oriented gradients, and of colours.

N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005. The roots of the
histograms of colours follow R. Arandjelović and A. Zisserman, "Three things everyone should know to improve object
retrieval", CVPR 2012, section 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from softmargin.arguments import brief, check_count
from softmargin.data.images.guard import ImageProblem
from softmargin.errors import ParameterError
from softmargin.features.sized import SizedExtractor

__all__ = ["HOG"]

_CELLS = 8
"""Cells along the shorter side by default."""
_PARTS = 4
"""Parts along each side with a histogram of colours."""
_MOST_COLOURS = 16
"""Bins per channel that give 65,536 features; a larger number fills the memory."""
_CLIP = 0.2

Floats = NDArray[np.float32]


class HOG(SizedExtractor):
    """Histograms of oriented gradients in small cells, and histograms of colours in larger ones.

    The gradients are those of `skimage.feature.hog`, except that each is shared between two neighbouring bins,
    which is more accurate. That function takes three times as long for a picture of 32 x 32 pixels.

    Parameters
    ----------
    image_size : tuple of int (height, width), optional
        Size to which pictures are resized. By default all must have the size of the training pictures.
    cell : int, optional
        Side of the square cells in pixels. By default an eighth of the shorter side of the pictures.
    orientations : int
        Bins of the angle, from 0 to 180 degrees; a gradient is shared between the two nearest ones.
    block : int
        Side of the blocks in cells; each block of neighbouring cells is normalised (L2, clipped at 0.2, L2 again).
    colours : int
        Bins of each colour channel: each of 4 x 4 parts of the picture has ``colours³`` bins. 0 means no
        colours, and 16 is the most.
    """

    name = "hog"
    one_suffices = True  # the size of the pictures

    def __init__(
        self,
        image_size: tuple[int, int] | None = None,
        cell: int | None = None,
        orientations: int = 9,
        block: int = 2,
        colours: int = 4,
    ) -> None:
        self.image_size = image_size
        self.cell = cell
        self.orientations = orientations
        self.block = block
        self.colours = colours

    def prepare(self) -> None:
        """Check the parameters."""
        super().prepare()
        for name in ("orientations", "block"):
            check_count(name, getattr(self, name))
        if check_count("colours", self.colours, least=0) > _MOST_COLOURS:
            raise ParameterError(f"colours must be an integer ≤ {_MOST_COLOURS}, got {brief(self.colours)}.")
        if self.cell is not None:
            check_count("cell", self.cell)

    def compute(self, item: Image.Image) -> Floats:
        """Return the features of one picture: gradients of each block, then colours, row by row."""
        pixels = np.asarray(self.resized(item, self.arrays_["image_size"]).convert("RGB"))
        cell = self.cell or max(1, min(pixels.shape[:2]) // _CELLS)
        if min(pixels.shape[:2]) < cell:
            raise ImageProblem(
                f"must have at least one cell of {cell}x{cell} pixels, got {item.height}x{item.width} (height x "
                f"width); reduce cell= or enlarge it with image_size=(H, W) (--image-size HxW)"
            )
        cells = _oriented_gradients(pixels, cell, self.orientations)
        blocks = _blocks(cells, min(self.block, *cells.shape[:2]))
        if self.colours == 0:
            return blocks
        return np.concatenate([blocks, _colours(pixels, self.colours)])


def _oriented_gradients(pixels: NDArray[np.uint8], cell: int, n_bins: int) -> NDArray[np.float64]:
    """Return the histograms (rows, columns, bins) of the angles of the gradients, weighted by their lengths.

    The gradient of a pixel is that of the channel in which it is longest. Bin k is centred at k * 180° / n_bins.
    """
    rows, columns = pixels.shape[0] // cell, pixels.shape[1] // cell
    down, right, squares = np.zeros((3, rows * cell, columns * cell), np.float32)
    for channel in np.moveaxis(pixels.astype(np.float32), 2, 0):
        change = np.zeros((2, *channel.shape), np.float32)
        np.subtract(channel[2:], channel[:-2], out=change[0, 1:-1])
        np.subtract(channel[:, 2:], channel[:, :-2], out=change[1, :, 1:-1])
        change = change[:, : rows * cell, : columns * cell]
        longer = (length := change[0] ** 2 + change[1] ** 2) > squares
        for old, new in ((down, change[0]), (right, change[1]), (squares, length)):
            np.copyto(old, new, where=longer)
    lengths = np.sqrt(squares, dtype=np.float64)
    bins = np.arctan2(down, right, dtype=np.float64) * (n_bins / np.pi)  # between -n_bins and n_bins
    lower = np.floor(bins)
    to_upper = lengths * (bins - lower)
    first = lower.astype(np.int64)
    places = np.arange(rows * cell)[:, None] // cell * columns + np.arange(columns * cell) // cell
    histograms = np.bincount(
        np.concatenate([places * n_bins + first % n_bins, places * n_bins + (first + 1) % n_bins]).ravel(),
        np.concatenate([lengths - to_upper, to_upper]).ravel(),
        rows * columns * n_bins,
    )
    return histograms.reshape(rows, columns, n_bins) / cell**2


def _blocks(cells: NDArray[np.float64], block: int) -> Floats:
    """Return the normalised histograms of all blocks of neighbouring cells, one after the other."""
    windows = np.lib.stride_tricks.sliding_window_view(cells, (block, block), axis=(0, 1))
    blocks = windows.transpose(0, 1, 3, 4, 2).reshape(windows.shape[0] * windows.shape[1], -1)
    blocks = np.minimum(_to_unit_length(blocks), _CLIP)
    return _to_unit_length(blocks).astype(np.float32).ravel()


def _to_unit_length(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True) + 1e-10)


def _colours(pixels: NDArray[np.uint8], n_bins: int) -> Floats:
    """Return the roots of the shares of the bins (red, green, blue) in each part of the picture, row by row."""
    height, width = pixels.shape[:2]
    parts = (np.arange(height) * _PARTS // height)[:, None] * _PARTS + np.arange(width) * _PARTS // width
    bins = pixels.astype(np.int64) * n_bins // 256
    colours = (bins[..., 0] * n_bins + bins[..., 1]) * n_bins + bins[..., 2]
    counts = np.bincount((parts * n_bins**3 + colours).ravel(), minlength=_PARTS**2 * n_bins**3)
    counts = counts.reshape(_PARTS**2, -1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # a narrow picture has empty parts
    return np.sqrt(shares).astype(np.float32).ravel()
