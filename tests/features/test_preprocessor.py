"""Preprocessing of pictures for a network: what it computes, and where it is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from softmargin.data.images.guard import ImageProblem
from softmargin.errors import DataError, ParameterError
from softmargin.features.preprocessor import Preprocessor, find_preprocessor

FULL = {
    "image_size": (4, 6),
    "resize": (4, 6),
    "interpolation": "bilinear",
    "rescale": 1 / 255,
    "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.3, 0.4),
    "channel_order": "RGB",
}
CLIP = {
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "do_convert_rgb": True,
    "image_processor_type": "CLIPImageProcessor",
}
MEAN = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
TIMM = {"input_size": [3, 224, 224], "interpolation": "bicubic", "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3],
        "crop_pct": 0.9, "crop_mode": "center"}  # fmt: skip


def picture(height, width, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def found(folder, config=None, *, metadata=None, graph_size=(None, None), takes_bytes=False, **options):
    if config is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(config))
    every = dict.fromkeys(FULL) | options
    return find_preprocessor(str(folder / "net.onnx"), metadata or {}, every, graph_size, takes_bytes)


def test_steps_in_order():
    """A picture of 10x20 becomes 6x12, whose centre of 4x6 is rescaled and normalised."""
    steps = Preprocessor(**FULL | {"resize": 6})
    image = picture(10, 20)
    resized = np.asarray(image.resize((12, 6), Image.Resampling.BILINEAR))[1:5, 3:9]
    pixels = steps.pixels(image)
    np.testing.assert_array_equal(pixels, resized)
    expected = (resized.astype(np.float64) / 255 - FULL["mean"]) / FULL["std"]
    numbers = steps.numbers(pixels)
    assert numbers.dtype == np.float32
    # three roundings to float32 of numbers up to 1, divided by at least 0.2
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=3 * np.finfo(np.float32).eps / 0.2)


def test_antialiased():
    """Halving a chessboard of single pixels gives grey, where without antialiasing one colour would be left."""
    board = np.indices((8, 12)).sum(axis=0) % 2 * 255
    image = Image.fromarray(np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8))
    inner = Preprocessor(**FULL).pixels(image)[1:-1, 1:-1]
    assert abs(inner.astype(int) - 127).max() <= 2


def test_channels_in_the_other_order():
    image = picture(4, 6)
    pixels = Preprocessor(**FULL | {"channel_order": "BGR"}).pixels(image)
    np.testing.assert_array_equal(pixels[:, :, ::-1], np.asarray(image))


@pytest.mark.parametrize(
    ("size", "resized"), [((300, 201), (382, 256)), ((201, 300), (256, 382)), ((9, 9), (256, 256))]
)
def test_the_longer_side_is_rounded_down(tmp_path, size, resized):
    """As in torchvision: 256 * 300 / 201 = 382.09."""
    steps = found(tmp_path, CLIP)
    expected = np.asarray(picture(*size).resize(resized[::-1], Image.Resampling.BICUBIC))
    top, left = (resized[0] - 224) // 2, (resized[1] - 224) // 2
    np.testing.assert_array_equal(steps.pixels(picture(*size)), expected[top : top + 224, left : left + 224])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            CLIP,
            {
                "image_size": (224, 224),
                "resize": 256,
                "interpolation": "bicubic",
                "mean": (0.48145466, 0.4578275, 0.40821073),
            },
        ),
        (MEAN | {"size": 224}, {"image_size": (224, 224), "resize": (224, 224), "rescale": 1 / 255}),
        (MEAN | {"size": 256, "crop_size": 224}, {"image_size": (224, 224), "resize": 256}),
        (MEAN | {"size": 256, "crop_size": 224, "do_center_crop": False}, {"image_size": (256, 256)}),
        (MEAN | {"size": {"height": 20, "width": 30}}, {"image_size": (20, 30), "resize": (20, 30)}),
        (
            MEAN | {"size": {"height": 20, "width": 30}, "crop_size": 10},
            {"image_size": (10, 10), "resize": (20, 30)},
        ),
        (MEAN | {"size": {"shortest_edge": 224}, "crop_pct": 0.875}, {"image_size": (224, 224), "resize": 256}),
        (
            MEAN | {"size": {"shortest_edge": 384}, "crop_pct": 0.875},
            {"image_size": (384, 384), "resize": (384, 384)},
        ),
        (MEAN | {"size": 8, "do_rescale": False}, {"rescale": 1.0, "mean": (0.5,) * 3}),
        ({"size": 8, "do_normalize": False}, {"rescale": 1 / 255, "mean": (0.0,) * 3, "std": (1.0,) * 3}),
        (
            MEAN | {"size": 8, "resample": 1, "do_flip_channel_order": True},
            {"interpolation": "lanczos", "channel_order": "BGR"},
        ),
        (TIMM, {"image_size": (224, 224), "resize": 248, "interpolation": "bicubic", "std": (1.0, 2.0, 3.0)}),
        ({"pretrained_cfg": TIMM | {"crop_mode": "squash"}}, {"image_size": (224, 224), "resize": (248, 248)}),
    ],
)
def test_configurations_of_others(tmp_path, config, expected):
    steps = found(tmp_path, config)
    assert {name: getattr(steps, name) for name in expected} == expected
    again = found(tmp_path, {"size": "other"}, **steps.settings())
    assert again == steps, "settings must state everything"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "must hold an object of JSON"),
        (MEAN | {"size": {"shortest_edge": 256}}, "must come with crop_size"),
        (MEAN | {"size": {"longest_edge": 256}}, "must be a configuration of an image processor"),
        (MEAN | {"size": 8, "do_resize": False}, "do_resize must be true"),
        (MEAN | {"size": 8, "do_pad": True}, "do_pad must be false"),
        (MEAN | {"size": 8, "resample": 9}, "resample must be a number of a filter"),
        (MEAN | {"size": 8.5}, "sizes must be integers"),
        (MEAN | {"size": float("nan")}, "must be a configuration"),
        (MEAN | {"size": 8, "image_std": [1, 0, 1]}, "std must be > 0"),
        (MEAN | {"size": 8, "image_mean": "abc"}, "mean must be"),
        (MEAN | {"size": 8, "rescale_factor": 1e400}, "rescale must be finite"),
        (MEAN | {"size": 1 << 20}, "at most 67,108,864 pixels"),
        (MEAN | {"size": 8, "crop_size": 9}, "resize must be at least image_size"),
        (TIMM | {"crop_mode": "border"}, "crop_mode must be"),
        (TIMM | {"crop_pct": 0}, "must be a configuration"),
        ({"size": 8}, r"needs its preprocessing \(mean, std\)"),
    ],
)
def test_configurations_that_are_refused(tmp_path, config, message):
    with pytest.raises((DataError, ParameterError), match=message):
        found(tmp_path, config)


def test_a_damaged_configuration(tmp_path):
    (tmp_path / "net.preprocessor_config.json").write_bytes(b"\xff{")
    with pytest.raises(DataError, match=r"net\.preprocessor_config\.json could not be read"):
        found(tmp_path)
    with pytest.raises(DataError, match="in the metadata must hold an object of JSON"):
        found(tmp_path, metadata={"preprocessor_config": "[" * 100_000})


def test_the_first_place_wins(tmp_path):
    """Options, metadata, the file of this network, the file of the folder."""
    with pytest.raises(
        DataError, match=r"image_size, mean, std.*net\.preprocessor_config\.json.*preprocessor_config"
    ):
        found(tmp_path)
    assert found(tmp_path, MEAN | {"size": 8}).image_size == (8, 8)
    (tmp_path / "net.preprocessor_config.json").write_text(json.dumps(MEAN | {"size": 9}))
    assert found(tmp_path).image_size == (9, 9)
    metadata = {"preprocessor_config": json.dumps(MEAN | {"size": 10})}
    steps = found(tmp_path, metadata=metadata)
    assert steps.image_size == (10, 10)
    changed = found(tmp_path, metadata=metadata, std=[1, 2, 4])
    assert changed.std == (1.0, 2.0, 4.0)
    assert changed.mean == steps.mean, "an option replaces one field"


def test_the_size_before_cropping_changes_in_proportion(tmp_path):
    steps = found(tmp_path, CLIP, image_size=112)
    assert (steps.image_size, steps.resize) == ((112, 112), 128)
    steps = found(tmp_path, CLIP, image_size=112, resize=112)
    assert (steps.image_size, steps.resize) == ((112, 112), 112)
    steps = found(tmp_path, MEAN | {"size": {"height": 20, "width": 40}}, image_size=(10, 30))
    assert (steps.image_size, steps.resize) == ((10, 30), (10, 30))


def test_the_size_of_the_graph(tmp_path):
    options = {"mean": 0.5, "std": 0.5}
    assert found(tmp_path, graph_size=(8, 9), **options).image_size == (8, 9)
    with pytest.raises(DataError, match=r"pictures of 8x9 .* got image_size 8x8"):
        found(tmp_path, graph_size=(8, 9), image_size=8, **options)
    with pytest.raises(DataError, match=r"pictures of 8x\? .* got image_size 9x8"):
        found(tmp_path, graph_size=(8, None), image_size=(9, 8), **options)
    with pytest.raises(DataError, match=r"needs its preprocessing \(image_size\)"):
        found(tmp_path, **options)


def test_a_graph_that_takes_bytes_normalises_itself(tmp_path):
    assert found(tmp_path, takes_bytes=True, graph_size=(8, 8)).is_identity
    with pytest.raises(DataError, match="must be 1, 0 and 1"):
        found(tmp_path, MEAN | {"size": 8}, takes_bytes=True)


def test_a_picture_that_would_become_too_large():
    steps = Preprocessor(**FULL | {"resize": 4000, "image_size": (224, 224)})
    with pytest.raises(ImageProblem, match=r"is too narrow to be resized \(height 5, width 90000\)"):
        steps.pixels(Image.new("RGB", (90_000, 5)))
