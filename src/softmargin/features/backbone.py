"""A network for pictures in an ONNX file, such as one exported from timm, open_clip or DINOv2."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from softmargin.arguments import brief
from softmargin.errors import DataError, ParameterError
from softmargin.features.network import Network, Opened, Runner
from softmargin.features.onnx_files import OnnxFile, Value
from softmargin.features.outputs import choose_output, choose_pool
from softmargin.features.preprocessor import OPTIONS, Preprocessor, find_preprocessor
from softmargin.features.sessions import LARGEST_INPUT, check_sizes, open_session, part, runtime_version
from softmargin.text import printable

__all__ = ["Backbone", "PictureInput"]

_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("f4"), 2: np.dtype("u1"), 10: np.dtype("f2")}
"""Types of inputs by their number in ``onnx.TensorProto``."""


@dataclass(frozen=True)
class PictureInput:
    """The input of a network for pictures.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
        float32, float16 or uint8.
    channels_last : bool
        Whether its axes are (batch, height, width, channels) instead of (batch, channels, height, width).
    batch : int
        Number of pictures per run: 1 unless the graph has another size. The same picture then fills the batch.
    preprocessor : Preprocessor
    """

    name: str
    dtype: np.dtype[Any]
    channels_last: bool
    batch: int
    preprocessor: Preprocessor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a batch."""
        sides = self.preprocessor.image_size
        return (self.batch, *sides, 3) if self.channels_last else (self.batch, 3, *sides)

    def feeds(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return the input for pixels (height, width, 3) of this size."""
        numbers = pixels if self.dtype == np.uint8 else self.preprocessor.numbers(pixels).astype(self.dtype)
        if not self.channels_last:
            numbers = numbers.transpose(2, 0, 1)
        return {self.name: np.ascontiguousarray(np.broadcast_to(numbers, self.shape))}


class Backbone(Network):
    """A network for pictures in an ONNX file, run by ONNX Runtime on the CPU.

    The input is float32, float16 or uint8, (batch, 3, height, width) or (batch, height, width, 3). Options
    set the preprocessing. The first of these gives what they leave open: ``preprocessor_config`` in the metadata
    of the file, ``STEM.preprocessor_config.json`` and ``preprocessor_config.json`` beside it. They have the form
    of Hugging Face or of timm. Without a configuration, mean and std must be given, and the size unless the graph
    states it.

    One picture is computed per run, and several threads run the same session: see `softmargin.features.network`.

    Parameters
    ----------
    path : str or path
    input, output : str, optional
        Names in the graph. By default the input for pictures, and the output with one row per picture if there is
        one.
    pool : {"auto", "none", "cls", "mean", "max"}
        How the output becomes one row. "none": it has 2 axes. "cls": the first token. "mean", "max": over all
        tokens, or over the positions of maps, whose axes are in the order of the input. "auto": "none" for
        2 axes, "cls" for tokens (3 axes), "mean" for maps (4 axes).
    image_size : int or tuple of int (height, width), optional
        Size that the network gets. If a configuration states a larger size before cropping, it changes in
        proportion.
    resize : int or tuple of int (height, width), optional
        Size before cropping the centre; an integer is the length of the shorter side. By default ``image_size``.
    interpolation : str, optional
        "nearest", "lanczos", "bilinear", "bicubic" (default), "box" or "hamming", antialiased by Pillow.
    rescale : float, optional
        Factor of the pixels, by default 1/255; 1 for a graph that takes uint8.
    mean, std : float or tuple of 3 floats, optional
        Of the rescaled pixels.
    channel_order : {"RGB", "BGR"}, optional
    """

    name = "backbone"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        input: str | None = None,
        output: str | None = None,
        pool: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        resize: int | tuple[int, int] | None = None,
        interpolation: str | None = None,
        rescale: float | None = None,
        mean: float | tuple[float, float, float] | None = None,
        std: float | tuple[float, float, float] | None = None,
        channel_order: str | None = None,
    ) -> None:
        self.path = path
        self.input = input
        self.output = output
        self.pool = pool
        self.image_size = image_size
        self.resize = resize
        self.interpolation = interpolation
        self.rescale = rescale
        self.mean = mean
        self.std = std
        self.channel_order = channel_order

    def runtime(self) -> str:
        return f"{runtime_version()}, Pillow {PIL.__version__}"

    def compute(self, item: Image.Image) -> NDArray[Any]:
        """Return the features (D,) of a picture in RGB."""
        opened = self.opened()
        return opened.runner.row(opened.source.feeds(opened.source.preprocessor.pixels(item)))

    def _check(self) -> None:
        super()._check()
        Preprocessor(**{name: getattr(self, name) for name in OPTIONS})

    def _load(self, file: OnnxFile, path: str) -> Opened:
        found = _choose_input(file, self.input)
        channels_last, (batch, height, width) = _layout(file, found)
        options = {name: getattr(self, name) for name in OPTIONS}
        dtype = _TYPES[found.kind]
        preprocessor = find_preprocessor(path, file.metadata, options, (height, width), dtype == np.uint8)
        source = PictureInput(found.name, dtype, channels_last, batch or 1, preprocessor)
        if math.prod(source.shape) > LARGEST_INPUT:
            raise DataError(
                f"{file.name} must take an input of at most {LARGEST_INPUT:,} numbers, got shape "
                f"{list(source.shape)}."
            )
        outputs = check_sizes(file, {found.name: source.shape})
        output = choose_output(file, outputs, self.output, self.pool, texts=False)
        runner = Runner(
            file.name, open_session(file, part(file, [found.name], output)), output, channels_last=channels_last
        )
        probe = runner.run(source.feeds(np.full((*preprocessor.image_size, 3), 127, np.uint8)))
        pool = choose_pool(self.pool, probe.ndim, output)
        settings = {"input": found.name, "output": output, "pool": pool, **preprocessor.settings()}
        return Opened(file.content, settings, replace(runner, n_axes=probe.ndim, pool=pool), source)


def _choose_input(file: OnnxFile, wanted: str | None) -> Value:
    """Return the input for pictures.

    Raises
    ------
    DataError, ParameterError
        There is none, or several, or it has another type or shape.
    """
    names = ", ".join(repr(printable(value.name)) for value in file.inputs)
    if wanted is not None:
        chosen = [value for value in file.inputs if value.name == wanted]
        if not chosen:
            raise ParameterError(f"input must be one of {names or 'no inputs'}, got {brief(wanted)}.")
    elif len(file.inputs) == 1:
        chosen = file.inputs
    else:
        chosen = [value for value in file.inputs if value.kind in _TYPES and value.rank == 4]
        if len(chosen) != 1:
            raise DataError(
                f"{file.name} must have one input for pictures, got {names or 'none'}"
                f"{'; choose one with input=NAME' if chosen else ''}."
            )
    if chosen[0].kind not in _TYPES or chosen[0].rank not in (None, 4):
        raise DataError(
            f"{file.name} must take pictures as float32, float16 or uint8 of 4 axes, got the input {chosen[0]}."
        )
    return chosen[0]


def _layout(file: OnnxFile, value: Value) -> tuple[bool, list[int | None]]:
    """Return whether channels are last, and the sizes of batch, height and width, which are None if they vary.

    If no size is 3, channels are second (or last, if the name of the last size contains "channel").
    """
    shape = value.shape or (None,) * 4
    last = shape[3] == 3 or "channel" in str(shape[3])
    channels_last = last and shape[1] != 3
    channels = shape[3] if channels_last else shape[1]
    if isinstance(channels, int) and channels != 3:
        raise DataError(f"{file.name} must take pictures with 3 channels, got the input {value}.")
    sides = shape[1:3] if channels_last else shape[2:4]
    return channels_last, [size if isinstance(size, int) else None for size in (shape[0], *sides)]
