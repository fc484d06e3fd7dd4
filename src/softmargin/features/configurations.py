"""Configurations of image processors as other packages write them, read into fields of `Preprocessor`.

Sources: ``preprocessor_config.json`` of Hugging Face's transformers, and ``pretrained_cfg`` of timm, which is also
what its ``resolve_model_data_config`` returns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from softmargin.arguments import brief
from softmargin.errors import ParameterError

__all__ = ["FILTERS", "parse"]

FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Names of Pillow's resampling filters, in the order of its numbers."""
_UNKNOWN = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_image_splitting")
"""Steps of some processors that are not supported."""


def parse(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Preprocessor` that a configuration states.

    Raises
    ------
    ParameterError
        A step is not supported.
    TypeError, ValueError, LookupError, ArithmeticError
        A value has another form.
    """
    config = config.get("pretrained_cfg", config)
    return _timm(config) if "input_size" in config else _transformers(config)


def _timm(config: Mapping[str, Any]) -> dict[str, Any]:
    size = _size(config["input_size"][1:])
    mode = config.get("crop_mode", "center")
    wide = [math.floor(side / config.get("crop_pct", 1.0)) for side in size]
    resize: Any = tuple(wide)
    if mode == "center":
        if size[0] != size[1]:
            raise ParameterError(f"input_size must be square with crop_mode 'center', got {size}.")
        resize = wide[0]
    elif mode != "squash":
        raise ParameterError(f"crop_mode must be 'center' or 'squash', got {brief(mode)}.")
    fields = {"image_size": size, "resize": resize, "rescale": 1 / 255}
    fields |= {key: config[key] for key in ("mean", "std", "interpolation") if key in config}
    return fields


def _transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    steps = [step for step in _UNKNOWN if config.get(step)]
    if steps:
        raise ParameterError(f"{steps[0]} must be false, got {brief(config[steps[0]])}.")
    fields = _sizes(config)
    if "resample" in config:
        number = config["resample"]
        if number not in range(len(FILTERS)):
            raise ParameterError(f"resample must be a number of a filter of Pillow, 0 to 5, got {brief(number)}.")
        fields["interpolation"] = FILTERS[int(number)]
    fields["rescale"] = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    if not config.get("do_normalize", True):
        fields |= {"mean": 0.0, "std": 1.0}
    else:
        fields |= {key: config[f"image_{key}"] for key in ("mean", "std") if f"image_{key}" in config}
    if config.get("do_flip_channel_order"):
        fields["channel_order"] = "BGR"
    return fields


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the size of the network's pictures, and the size before they are cropped."""
    crops = config.get("do_center_crop", "crop_size" in config)
    crop = _size(config["crop_size"]) if crops else None
    if not config.get("do_resize", "size" in config):
        raise ParameterError("do_resize must be true, so that all pictures get one size.")
    size = config["size"]
    if isinstance(size, Mapping) and "shortest_edge" not in size:
        fixed = _size(size)
        return {"image_size": crop or fixed, "resize": fixed}
    shorter = _integer(size["shortest_edge"] if isinstance(size, Mapping) else size)
    if crop is not None:
        return {"image_size": crop, "resize": shorter}
    if "crop_pct" in config and shorter < 384:  # as the processor of ConvNeXt
        return {"image_size": (shorter, shorter), "resize": int(shorter / config["crop_pct"])}
    if isinstance(size, Mapping) and "crop_pct" not in config:
        raise ParameterError(
            "size with shortest_edge must come with crop_size, so that all pictures get one size."
        )
    return {"image_size": (shorter, shorter), "resize": (shorter, shorter)}


def _size(value: Any) -> tuple[int, int]:
    if isinstance(value, Mapping):
        return _integer(value["height"]), _integer(value["width"])
    if isinstance(value, (list, tuple)):
        height, width = value
        return _integer(height), _integer(width)
    return _integer(value), _integer(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or value != int(value):
        raise ParameterError(f"sizes must be integers, got {brief(value)}.")
    return int(value)
