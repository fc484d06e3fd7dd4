"""HOG against its definition by loops, and against scikit-image where both must agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from softmargin.errors import DataError, ParameterError
from softmargin.features import HOG
from tests.support.files import pixels


def features(picture, **options):
    extractor = HOG(**options).fit([picture])
    return extractor.compute(Image.fromarray(picture).convert("RGB"))


def definition(picture, cell, n_bins, block):
    """Blocks of histograms of gradients by loops over pixels, cells and blocks."""
    height, width, _ = picture.shape
    values = picture.astype(int)
    cells = np.zeros((height // cell, width // cell, n_bins))
    for r in range(height // cell * cell):
        for c in range(width // cell * cell):
            gradients = []
            for channel in range(3):
                down = values[r + 1, c, channel] - values[r - 1, c, channel] if 0 < r < height - 1 else 0
                right = values[r, c + 1, channel] - values[r, c - 1, channel] if 0 < c < width - 1 else 0
                gradients.append((down, right))
            down, right = max(gradients, key=lambda pair: pair[0] ** 2 + pair[1] ** 2)
            place = math.degrees(math.atan2(down, right)) % 180 / (180 / n_bins)
            share = place - math.floor(place)
            for k, part in ((math.floor(place), 1 - share), (math.floor(place) + 1, share)):
                cells[r // cell, c // cell, k % n_bins] += part * math.hypot(down, right) / cell**2
    blocks = []
    for r in range(cells.shape[0] - block + 1):
        for c in range(cells.shape[1] - block + 1):
            v = cells[r : r + block, c : c + block].ravel()
            v = np.minimum(v / np.sqrt((v**2).sum() + 1e-10), 0.2)
            blocks.append(v / np.sqrt((v**2).sum() + 1e-10))
    return np.concatenate(blocks)


def colours(picture, n_bins):
    height, width, _ = picture.shape
    counts = np.zeros((4, 4, n_bins, n_bins, n_bins))
    for r in range(height):
        for c in range(width):
            counts[4 * r // height, 4 * c // width, *(int(v) * n_bins // 256 for v in picture[r, c])] += 1
    totals = counts.sum(axis=(2, 3, 4), keepdims=True)
    return np.sqrt(counts / np.where(totals == 0, 1, totals)).ravel()


@pytest.mark.parametrize(
    ("size", "cell", "n_bins", "block", "n_colours"),
    [((16, 16), 4, 9, 2, 4), ((13, 22), 3, 8, 1, 3), ((17, 12), 5, 6, 2, 1), ((9, 9), 2, 1, 4, 2)],
)
def test_features_are_those_of_the_definition(size, cell, n_bins, block, n_colours):
    picture = pixels(*size)
    found = features(picture, cell=cell, orientations=n_bins, block=block, colours=n_colours)
    expected = [definition(picture, cell, n_bins, block), colours(picture, n_colours)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-6)


def test_gradients_of_grey_pictures():
    grey = pixels(12, 12, channels=1)
    found = features(grey, cell=4, colours=0)
    np.testing.assert_allclose(found, definition(np.dstack([grey] * 3), 4, 9, 2), atol=1e-6)


@pytest.mark.parametrize(("cell", "block"), [(4, 2), (5, 3), (3, 4)])
def test_scikit_image_agrees_where_no_gradient_lies_between_two_bins(cell, block):
    """Each channel varies along one axis alone, so that angles are 0 or 90 degrees."""
    hog = pytest.importorskip("skimage.feature").hog
    picture = np.zeros((22, 27, 3), np.uint8)
    picture[:, :, 0] = pixels(22, 1, channels=1)
    picture[:, :, 1] = pixels(1, 27, channels=1)
    found = features(picture, cell=cell, orientations=2, block=block, colours=0)
    expected = hog(picture, 2, (cell, cell), (block, block), block_norm="L2-Hys", channel_axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(found.round(3))) > 10


def test_turned_by_90_degrees_the_angles_turn():
    picture = pixels(12, 12)
    cells = features(picture, cell=3, orientations=6, block=1, colours=0).reshape(4, 4, 6)
    turned = features(np.rot90(picture).copy(), cell=3, orientations=6, block=1, colours=0).reshape(4, 4, 6)
    np.testing.assert_allclose(turned, np.roll(np.rot90(cells), 3, axis=2), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (7, 100)])
def test_tiny_and_narrow_pictures(size):
    assert np.isfinite(features(pixels(*size))).all()


@pytest.mark.parametrize(("size", "cell"), [((32, 32), 4), ((224, 224), 28), ((50, 33), 4), ((5, 5), 1)])
def test_cells_fit_the_size_of_the_pictures(size, cell):
    np.testing.assert_array_equal(features(pixels(*size)), features(pixels(*size), cell=cell))


def test_a_picture_smaller_than_a_cell_is_refused():
    with pytest.raises(DataError) as caught:
        HOG(cell=6).fit([pixels(5, 9)]).transform([pixels(5, 9)])
    assert str(caught.value) == (
        "Image 0 of X must have at least one cell of 6x6 pixels, got 5x9 (height x width); reduce cell= or "
        "enlarge it with image_size=(H, W) (--image-size HxW)."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": 0}, "cell must be an integer ≥ 1, got 0."),
        ({"orientations": 0}, "orientations must be an integer ≥ 1, got 0."),
        ({"block": "2"}, "block must be an integer ≥ 1, got '2'."),
        ({"colours": -1}, "colours must be an integer ≥ 0, got -1."),
        ({"colours": 17}, "colours must be an integer ≤ 16, got 17."),
    ],
)
def test_parameters_are_checked(options, message):
    with pytest.raises(ParameterError) as caught:
        HOG(**options).fit([pixels(9, 9)])
    assert str(caught.value) == message
