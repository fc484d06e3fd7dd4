"""The preprocessing of pictures for a network: resize, crop, rescale and normalise, in this order.

It is found in a configuration as Hugging Face's image processors write it (``preprocessor_config.json``), or in
one as timm's ``resolve_model_data_config`` returns it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from softmargin.arguments import brief, check_choice, check_count, check_number
from softmargin.data.images.guard import ImageProblem
from softmargin.errors import DataError, ParameterError
from softmargin.features.configurations import FILTERS, parse
from softmargin.text import printable

__all__ = ["CONFIGURATION", "OPTIONS", "Preprocessor", "find_preprocessor"]

CONFIGURATION = "preprocessor_config"
"""Key in the metadata of an ONNX file; ``.json`` is added for a file."""
OPTIONS = ("image_size", "resize", "interpolation", "rescale", "mean", "std", "channel_order")
_DEFAULTS = {"interpolation": "bicubic", "rescale": 1 / 255, "channel_order": "RGB"}
_IDENTITY = {"rescale": 1.0, "mean": 0.0, "std": 1.0}
LARGEST_PICTURE = 1 << 26
"""Largest number of pixels after resizing."""
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Preprocessor:
    """The preprocessing of pictures.

    Attributes
    ----------
    image_size : tuple of int (height, width)
        The size that the network gets: the centre of the resized picture.
    resize : int or tuple of int (height, width)
        Size to which a picture is resized first, antialiased; an integer is the length of the shorter side, and
        the aspect ratio is kept.
    interpolation : str
        A filter of Pillow: one of `FILTERS`.
    rescale : float
        Factor of the pixels, which are 0 to 255.
    mean, std : tuple of 3 floats
        Subtracted from the rescaled pixels, and divisor of the difference, in the order of ``channel_order``.
    channel_order : str
        "RGB" or "BGR".

    Raises
    ------
    ParameterError
        A value is invalid.
    """

    image_size: tuple[int, int]
    resize: int | tuple[int, int]
    interpolation: str
    rescale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: str

    def __post_init__(self) -> None:
        size = _pair("image_size", self.image_size)
        resize = self.resize
        resize = check_count("resize", resize) if isinstance(resize, int) else _pair("resize", resize)
        smallest = (resize, resize) if isinstance(resize, int) else resize
        if smallest[0] < size[0] or smallest[1] < size[1] or math.prod(smallest) > LARGEST_PICTURE:
            raise ParameterError(
                f"resize must be at least image_size={size} and at most {LARGEST_PICTURE:,} pixels, got {resize}."
            )
        check_choice("interpolation", self.interpolation, FILTERS)
        check_choice("channel_order", self.channel_order, ("RGB", "BGR"))
        std = _triple("std", self.std)
        if min(std) <= 0:
            raise ParameterError(f"std must be > 0, got {brief(self.std)}.")
        rescale, mean = _finite("rescale", self.rescale), _triple("mean", self.mean)
        checked = {"image_size": size, "resize": resize, "rescale": rescale, "mean": mean, "std": std}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def is_identity(self) -> bool:
        """Whether pixels are left as they are."""
        return (self.rescale, self.mean, self.std) == (1.0, (0.0,) * 3, (1.0,) * 3)

    def settings(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Return the pixels (height, width, 3) of a picture in RGB, resized and cropped."""
        size = self._resized(picture.height, picture.width)
        if size != (picture.height, picture.width):
            method = Image.Resampling[self.interpolation.upper()]
            picture = picture.resize(size[::-1], method)
        pixels = np.asarray(picture)
        height, width = self.image_size
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        pixels = pixels[top : top + height, left : left + width]
        return pixels if self.channel_order == "RGB" else pixels[:, :, ::-1]

    def numbers(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(pixels * rescale − mean) / std`` in float32."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return np.asarray((pixels * np.float32(self.rescale) - mean) / std)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        shorter = min(height, width)
        # As in torchvision and in Hugging Face's processors: the longer side is rounded down.
        size = (self.resize * height // shorter, self.resize * width // shorter)
        if math.prod(size) > LARGEST_PICTURE:
            raise ImageProblem(f"is too narrow to be resized (height {height}, width {width})")
        return size


def find_preprocessor(
    path: str,
    metadata: Mapping[str, str],
    options: Mapping[str, Any],
    graph_size: tuple[int | None, int | None],
    takes_bytes: bool,
) -> Preprocessor:
    """Return the preprocessing of an ONNX file.

    Parameters
    ----------
    path : str
        The ONNX file.
    metadata : mapping of str to str
        Its metadata.
    options : mapping
        Attributes of `Preprocessor` that the user gave; others are None. The rest comes from the first of: the
        metadata, ``STEM.preprocessor_config.json`` and ``preprocessor_config.json`` beside the file. If
        ``image_size`` is given, the size before cropping changes in proportion.
    graph_size : tuple (height, width)
        The size that the graph has; None for a size that varies.
    takes_bytes : bool
        Whether the graph takes uint8.

    Raises
    ------
    ParameterError
        An option is invalid.
    DataError
        Something is missing, a configuration cannot be read, or it contradicts the graph.
    """
    name = printable(os.path.basename(path))
    fields = {key: value for key, value in options.items() if value is not None}
    source = ""
    found: dict[str, Any] = {}
    if len(fields) < len(OPTIONS):
        source, found = _configuration(path, metadata)
    if "image_size" in fields:
        fields["image_size"] = _pair("image_size", fields["image_size"])
        if "resize" in found and "image_size" in found and "resize" not in fields:
            fields["resize"] = _in_proportion(found["resize"], found["image_size"], fields["image_size"])
    if takes_bytes and not source:
        found = _IDENTITY
    fields = {**_DEFAULTS, **found, **fields}
    if "image_size" not in fields and None not in graph_size:
        fields["image_size"] = graph_size
    fields.setdefault("resize", fields.get("image_size"))
    missing = [key for key in ("image_size", "mean", "std") if fields.get(key) is None]
    if missing:
        stem = os.path.splitext(name)[0]
        raise DataError(
            f"{name} needs its preprocessing ({', '.join(missing)}), which was looked for in the metadata of the "
            f"file ({CONFIGURATION}), in {stem}.{CONFIGURATION}.json and in {CONFIGURATION}.json beside it."
        )
    try:
        made = Preprocessor(**fields)
    except ParameterError as error:
        raise ParameterError(f"{name}{' with ' if source else ''}{source}: {error}") from error
    if takes_bytes and not made.is_identity:
        raise DataError(
            f"{name} takes pixels of type uint8, so rescale, mean and std must be 1, 0 and 1, got "
            f"{made.rescale:.3g}, {made.mean} and {made.std}."
        )
    if any(size not in (None, wanted) for size, wanted in zip(graph_size, made.image_size, strict=True)):
        raise DataError(
            f"{name} must get pictures of {_by(graph_size)} (height x width), got image_size "
            f"{_by(made.image_size)}."
        )
    return made


def _configuration(path: str, metadata: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the first configuration and its name, or ("", {})."""
    if CONFIGURATION in metadata:
        source = f"{CONFIGURATION} in the metadata"
        return source, _parsed(metadata[CONFIGURATION], f"{printable(os.path.basename(path))}, {source}")
    folder, name = os.path.split(path)
    for file in (f"{os.path.splitext(name)[0]}.{CONFIGURATION}.json", f"{CONFIGURATION}.json"):
        beside = os.path.join(folder, file)
        if os.path.isfile(beside):
            try:
                with open(beside, encoding="utf-8") as stream:
                    text = stream.read(_LARGEST_FILE)
            except (OSError, UnicodeError) as error:
                raise DataError(f"{printable(beside)} could not be read ({error}); check the file.") from error
            return printable(file), _parsed(text, printable(beside))
    return "", {}


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise DataError(f"{where} must hold an object of JSON, got {brief(text)}.")
    try:
        return parse(config)
    except ParameterError as error:
        raise DataError(f"{where}: {error}") from error
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise DataError(f"{where} must be a configuration of an image processor, got {brief(config)}.") from error


def _in_proportion(resize: Any, old: tuple[int, int], new: tuple[int, int]) -> int | tuple[int, int]:
    """Return the size before cropping for another size after it."""
    if isinstance(resize, int):
        return max(round(resize * max(new) / max(old)), *new)
    height, width = (max(round(r * n / o), n) for r, n, o in zip(resize, new, old, strict=True))
    return height, width


def _pair(name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, int) and not isinstance(value, bool):
        value = (value, value)
    with suppress(TypeError, ValueError):
        height, width = value
        return check_count(name, height), check_count(name, width)
    raise ParameterError(f"{name} must be a pair of integers ≥ 1 (height, width), got {brief(value)}.")


def _triple(name: str, value: Any) -> tuple[float, float, float]:
    if isinstance(value, (int, float)):
        value = (value,) * 3
    with suppress(TypeError, ValueError):
        red, green, blue = value
        return _finite(name, red), _finite(name, green), _finite(name, blue)
    raise ParameterError(f"{name} must be 3 numbers, got {brief(value)}.")


def _finite(name: str, value: Any) -> float:
    number = check_number(name, value)
    if not math.isfinite(number):
        raise ParameterError(f"{name} must be finite, got {number}.")
    return number


def _by(size: tuple[Any, ...]) -> str:
    return "x".join("?" if side is None else str(side) for side in size)
