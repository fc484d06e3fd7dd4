"""What a user may pass to fit and transform, and what is refused in one sentence."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from softmargin.errors import DataError
from softmargin.features import Pixels
from tests.support.extractors import Centred, Lengths, Means


def refused(extractor, X, message):
    for method in ("fit", "transform") if extractor.learns else ("transform",):
        if extractor.learns and method == "transform":
            extractor.fit([np.zeros((4, 4, 3), np.uint8)])
        with pytest.raises(DataError, match=message) as caught:
            getattr(extractor, method)(X)
        assert "\n" not in f"{caught.value}"


@pytest.mark.parametrize("extractor", [Means(), Centred(), Lengths()])
@pytest.mark.parametrize("X", [5, None, 2.5, np.array(3), object()])
def test_no_sequence(extractor, X):
    refused(extractor, X, f"^X must be a sequence of {extractor.takes}, got .*\\.$")


@pytest.mark.parametrize("extractor", [Means(), Centred(), Lengths(), Pixels()])
@pytest.mark.parametrize("X", [[], (), np.empty((0, 4, 4, 3), np.uint8), iter(())])
def test_no_samples(extractor, X):
    refused(extractor, X, r"^X must hold at least one sample, got none\.$")
    if not extractor.learns:
        with pytest.raises(DataError, match="at least one sample"):
            extractor.fit(X)


@pytest.mark.parametrize("item", [None, 3, b"good", 1.5, ["good"]])
def test_what_is_not_a_text(item):
    message = rf"^X must be a sequence of texts, got {type(item).__name__}\.$"
    refused(Lengths(), ["good", item], message)
    refused(Lengths(), [item], message)


@pytest.mark.parametrize("extractor", [Means(), Centred(), Pixels()])
def test_a_missing_file_is_named(extractor, tmp_path):
    for place, X in ((tmp_path / "nope.png", [tmp_path / "nope.png"]), ("nope.png", "nope.png")):
        refused(extractor, X, f"^{re.escape(str(place))} cannot be read: No such file or directory\\.$")
    refused(extractor, [tmp_path], f"^{re.escape(str(tmp_path))} cannot be read: ")


@pytest.mark.parametrize("extractor", [Means(), Centred(), Pixels()])
@pytest.mark.parametrize(
    "picture", [np.zeros((0, 5, 3), np.uint8), np.zeros((0, 5), np.uint8), Image.new("RGB", (5, 0))]
)
def test_a_picture_without_pixels(extractor, picture):
    fine = np.zeros((4, 4, 3), np.uint8)
    message = r"^Image 1 of X must have at least one pixel, got 0x5 \(height x width\)\.$"
    refused(extractor, [fine, picture], message)
    refused(extractor, [fine, fine, np.zeros((5, 0, 3), np.uint8)], "^Image 2 of X .*, got 5x0 ")


def test_one_path_and_an_iterator(tmp_path):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    Image.fromarray(picture).save(tmp_path / "a.png")
    X = Means().transform(iter([picture]))
    for given in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(Means().transform(given), X)
