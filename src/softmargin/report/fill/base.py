"""What the panels share while they are filled: the scores, computed once, and the shelf of samples to show."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from softmargin.accuracy import wilson_interval
from softmargin.data.base import Dataset, shown
from softmargin.errors import DataError
from softmargin.losses import CrossEntropy, softmax
from softmargin.losses.base import Floats, Ints
from softmargin.model import Model
from softmargin.preprocessing import unit_rows
from softmargin.report.base import Sample, Share, Sheet, Term

__all__ = ["Evidence", "Shelf", "encoded", "reduced", "rows_for", "words_of"]

_MOST_TERMS = 12
_MOST_SAMPLES = 2_000
_LARGEST_PICTURE = 64
_LOSSLESS_PIXELS = 400_000
"""Sheets up to this size keep every bit of their pictures."""

_QUALITIES = (88, 70, 45, 20)
_SHEET_BYTES = 3_500_000
"""Larger sheets are saved with the first quality, from the best down, that makes them no larger than this."""

_MOST_CLASSES_NAMED = 3


def words_of(label: object) -> str:
    """Return a label or a name as text for a document: broken bytes and control characters are escaped."""
    text = str(label)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


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


def rows_for(model: Model, X: Any) -> Any:
    """Return rows of X in float64 as the model's weights see them: of length 1, if it divides them by it."""
    return (unit_rows(X) if model.preprocessing.rows == "unit" else X).astype(np.float64)


def fitted_size(height: int, width: int, largest: int) -> tuple[int, int]:
    """Return height and width, reduced in proportion until neither is more than ``largest``."""
    factor = min(1.0, largest / max(height, width))
    return max(1, round(factor * height)), max(1, round(factor * width))


class Evidence:
    """The model's answers on the labelled samples of a data set, in the order of the data.

    Samples whose label is no class of the model have no loss; they are counted and left out.
    """

    def __init__(
        self, model: Model, data: Dataset, training: Dataset | None, n_threads: int | None, *, on_training: bool
    ) -> None:
        if data.y is None or data.n_samples == 0:
            raise DataError(f"{shown(data.name)} has no labelled samples, and a report is about those.")
        self.model, self.data, self.training, self.n_threads = model, data, training, n_threads
        self.on_training = on_training
        codes = codes_of(model, data.y)
        self.rows: Ints = np.flatnonzero(codes >= 0)
        """Rows of the data that are in the panels."""
        self.n_unknown = len(codes) - len(self.rows)
        if not len(self.rows):
            found = ", ".join(repr(label) for label in np.unique(data.y)[:_MOST_CLASSES_NAMED].tolist())
            raise DataError(f"None of the labels of {shown(data.name)} ({found}, …) is a class of this model.")
        self.y: Ints = codes[self.rows]
        self.X = data.X if not self.n_unknown else data.X[self.rows]
        self.scores = model.scores(self.X, n_threads)
        self.losses = model.loss.values(self.scores, self.y)
        self.predicted: Ints = self.scores.argmax(axis=1)
        self.right = self.predicted == self.y
        self.counts = np.bincount(self.y, minlength=model.n_classes)
        place = np.arange(len(self.y))
        self.own_score = self.scores[place, self.y]
        others = self.scores.copy()
        others[place, self.y] = -np.inf
        self.rival: Ints = others.argmax(axis=1)
        """The strongest wrong class of each sample."""
        self.margins = self.own_score - others[place, self.rival]

    @property
    def n(self) -> int:
        """How many samples are in the panels."""
        return len(self.rows)

    @property
    def delta(self) -> float | None:
        """Δ of the loss, if it has one."""
        return self.model.loss.parameters().get("delta")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(words_of(label) for label in self.model.classes.tolist())

    @cached_property
    def probabilities(self) -> Floats:
        """Softmax of the scores."""
        return softmax(self.scores)

    def share(self, n_right: int, n: int) -> Share:
        """Return a share, with Wilson's interval of 95 % unless the model was trained on these samples."""
        if n == 0:
            return Share(0, 0, None, None, None)
        low, high = (None, None) if self.on_training else wilson_interval(n_right, n)
        return Share(int(n_right), int(n), n_right / n, low, high)

    def name(self, i: int) -> str:
        """Return what to call a sample: its file, or its row."""
        return name_of(self.data, int(self.rows[i]))

    def sample(self, i: int, picture: int | None) -> Sample:
        """Return the record of a sample, with the terms of its loss."""
        scores, y = self.scores[i], int(self.y[i])
        if isinstance(self.model.loss, CrossEntropy):
            values = softmax(scores[None])[0]
        else:
            values = terms_of_margins(self.model, scores, y)
        order = np.argsort(-scores, kind="stable")
        kept = order[:_MOST_TERMS]
        if y not in kept:
            kept = np.append(kept[:-1], y)
        rest = np.setdiff1d(order, kept)
        return Sample(
            row=int(self.rows[i]),
            name=self.name(i),
            label=y,
            predicted=int(self.predicted[i]),
            loss=float(self.losses[i]),
            margin=float(self.margins[i]),
            terms=tuple(Term(int(j), float(scores[j]), float(values[j])) for j in kept),
            n_rest=len(rest),
            rest=float(values[rest].sum()),
            picture=picture,
        )


def name_of(data: Dataset, row: int) -> str:
    """Return what to call a row of a data set."""
    return f"row {row}" if data.ids is None else words_of(data.ids[row])


def codes_of(model: Model, labels: NDArray[Any]) -> Ints:
    """Return the number of each label's class, -1 where it is no class of the model."""
    numbers = {label: k for k, label in enumerate(model.classes.tolist())}
    present, inverse = np.unique(labels, return_inverse=True)
    codes = np.array([numbers.get(label, -1) for label in present.tolist()], dtype=np.int64)
    return codes[inverse]


def terms_of_margins(model: Model, scores: Floats, y: int) -> Floats:
    """Return what each wrong class adds to the loss: the loss of the two scores s_y and s_j alone."""
    pairs = np.column_stack([np.full(len(scores), scores[y]), scores])
    values = model.loss.values(pairs, np.zeros(len(scores), dtype=np.int64))
    values[y] = 0.0
    return values


class Shelf:
    """Collects the samples and pictures that panels ask for, each once.

    Whoever asks first is served first: beyond a budget, samples that are not on the shelf yet are refused.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._places: dict[int, int] = {}
        self._samples: list[Sample] = []
        self._tiles: list[NDArray[np.uint8]] = []
        shape = evidence.data.image_shape
        self._size = None
        if shape is not None and shape[2] in (1, 3):
            self._size = fitted_size(shape[0], shape[1], _LARGEST_PICTURE)
        self._low, self._high = 0.0, 255.0
        if self._size is not None and evidence.data.X.dtype != np.uint8:
            self._low, self._high = float(evidence.X.min()), float(evidence.X.max())

    def __call__(self, i: int) -> int | None:
        """Return the number of a sample (by its place in the evidence) on the shelf, None if there is no room."""
        i = int(i)
        if i not in self._places:
            if len(self._samples) >= _MOST_SAMPLES:
                return None
            self._places[i] = len(self._samples)
            picture = self.picture(self._evidence.X[i])
            self._samples.append(self._evidence.sample(i, picture))
        return self._places[i]

    def put(self, places: Iterable[int]) -> tuple[int, ...]:
        """Return the numbers of as many of these samples as there is room for."""
        return tuple(number for i in places if (number := self(i)) is not None)

    def picture(self, row: NDArray[Any]) -> int | None:
        """Put the picture of a row of X on the sheet and return its number; None where rows are no pictures."""
        if self._size is None:
            return None
        shape = self._evidence.data.image_shape
        pixels = np.asarray(row, dtype=np.float64).reshape(shape)
        spread = self._high - self._low or 1.0
        levels = np.clip(np.rint(255.0 * (pixels - self._low) / spread), 0, 255).astype(np.uint8)
        if levels.shape[:2] != self._size:
            image = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
            image = image.resize(self._size[::-1], Image.Resampling.BOX)
            levels = np.asarray(image).reshape(*self._size, shape[2])  # type: ignore[index]
        self._tiles.append(levels)
        return len(self._tiles) - 1

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What was asked for, in the order of its numbers."""
        return tuple(self._samples)

    def sheet(self) -> Sheet | None:
        """Return all pictures as one, losslessly if they are few."""
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
