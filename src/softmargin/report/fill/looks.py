"""What each class looks at: its weights, as a picture where features are pixels, and whom it resembles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import issparse

from softmargin.losses.base import Floats
from softmargin.model import Model
from softmargin.report.base import Confusion, FeatureWeight, Looks, Pixels
from softmargin.report.fill.base import (
    Evidence,
    Shelf,
    codes_of,
    encoded,
    fitted_size,
    reduced,
    rows_for,
    words_of,
)

__all__ = ["favourites", "looks"]

_PICTURE_BYTES = 1_500_000
_LARGEST_PICTURE = 64
_LARGEST_MAP = 32
_TOP = 6
_TOP_BUDGET = 600
_ALONG_BYTES = 1_200_000
_MOST_FEATURES = 5_000
_EFFECTS = 10
"""Features shown for each class at most on either side; fewer where there are many classes."""

_EFFECT_BUDGET = 3_000
_FILLED = 1 << 22
"""Numbers of rows that are filled in at once."""


def favourites(evidence: Evidence, shelf: Shelf) -> tuple[tuple[int, ...], ...]:
    """Return the samples with the largest score of each class, whatever their label."""
    n_classes = evidence.model.n_classes
    n_top = max(1, min(_TOP, _TOP_BUDGET // n_classes))
    best = np.argsort(-evidence.scores, axis=0, kind="stable")[:n_top]
    return tuple(shelf.put(best[:, k]) for k in range(n_classes))


def looks(
    evidence: Evidence,
    shelf: Shelf,
    confusion: Confusion,
    top: tuple[tuple[int, ...], ...],
    worst: Sequence[int],
    along: Sequence[Model],
) -> Looks:
    """Return the weights as pictures or cosines, and the samples that please each class most.

    Parameters
    ----------
    evidence, shelf : Evidence, Shelf
    confusion : Confusion
        Its classes are those of the cosines.
    top : tuple of tuple of int
        The `favourites`.
    worst : sequence of int
        Samples whose scores are taken apart by pixel: places in the evidence.
    along : sequence of Model
        The same classes fitted with other λ.
    """
    model = evidence.model
    W, _ = model.preprocessing.unfold(model.W, model.b)
    centred = W - W.mean(axis=1, keepdims=True)  # a vector added to all classes changes no decision
    norms = np.sqrt((centred**2).sum(axis=0))
    directions = centred[:, list(confusion.shown)] / np.maximum(norms[list(confusion.shown)], 1e-300)
    sizes, sizes_of = evidence.counts, "the samples judged"
    if evidence.training is not None:
        codes = codes_of(model, evidence.training.y)  # type: ignore[arg-type]
        sizes = np.bincount(codes[codes >= 0], minlength=model.n_classes)
        sizes_of = "the training data"
    height = width = channels = None
    pictures, is_reduced, map_size = "", False, (0, 0)
    pixels: tuple[Pixels, ...] = ()
    along_reg: tuple[float, ...] = ()
    along_pictures: tuple[str, ...] = ()
    shape = evidence.data.image_shape
    if shape is not None and shape[2] in (1, 3):
        channels = shape[2]
        height, width = _picture_size(shape, model.n_classes, _PICTURE_BYTES)
        is_reduced = (height, width) != shape[:2]
        pictures = encoded(reduced(model.W.T.reshape(-1, *shape), height, width))
        map_size = fitted_size(shape[0], shape[1], _LARGEST_MAP)
        pixels = tuple(_pixels(evidence, shelf, i, map_size) for i in worst)
        room = 4 * model.n_classes * height * width * channels * len(along) <= _ALONG_BYTES
        if along and room:
            along_reg = tuple(other.reg for other in along)
            along_pictures = tuple(
                encoded(reduced(other.W.T.reshape(-1, *shape), height, width)) for other in along
            )
    return Looks(
        height=height,
        width=width,
        channels=channels,
        weights=pictures,
        reduced=is_reduced,
        norms=tuple(norms.tolist()),
        biases=tuple(model.b.tolist()),
        sizes=tuple(sizes.tolist()),
        sizes_of=sizes_of,
        shown=confusion.shown,
        cosines=tuple(map(tuple, (directions.T @ directions).tolist())),
        top=top,
        features=() if pictures else _features(evidence),
        map_height=map_size[0],
        map_width=map_size[1],
        pixels=pixels,
        along_reg=along_reg,
        along=along_pictures,
    )


def _features(evidence: Evidence) -> tuple[tuple[FeatureWeight, ...], ...]:
    """Return the features that move the score of each class most, () if there are too many to be looked at."""
    model = evidence.model
    if model.n_features > _MOST_FEATURES:
        return ()
    names = model.feature_names or tuple(f"feature {d}" for d in range(model.n_features))
    names = tuple(map(words_of, names))
    W = model.W - model.W.mean(axis=1, keepdims=True)
    effects = W * _spread(evidence)[:, None]
    most = max(1, min(_EFFECTS, _EFFECT_BUDGET // (2 * model.n_classes)))
    found = []
    for k in range(model.n_classes):
        order = np.argsort(-effects[:, k], kind="stable")
        positive, negative = order[effects[order, k] > 0.0][:most], order[effects[order, k] < 0.0][-most:]
        kept = np.concatenate([positive, negative])
        found.append(tuple(FeatureWeight(names[d], float(W[d, k]), float(effects[d, k])) for d in kept))
    return tuple(found)


def _spread(evidence: Evidence) -> Floats:
    """Return the standard deviation of each feature on the samples judged, as the model's weights see them."""
    step = max(1, _FILLED // evidence.model.n_features)

    def blocks() -> Iterator[Floats]:
        for start in range(0, evidence.n, step):
            rows = rows_for(evidence.model, evidence.X[start : start + step])
            yield rows.toarray() if issparse(rows) else rows

    n_features = evidence.model.n_features
    mean, variance = np.zeros(n_features), np.zeros(n_features)
    for rows in blocks():
        mean += rows.sum(axis=0) / evidence.n
    for rows in blocks():
        variance += ((rows - mean) ** 2).sum(axis=0) / evidence.n
    return np.sqrt(variance)


def _picture_size(shape: tuple[int, int, int], n_classes: int, n_bytes: int) -> tuple[int, int]:
    """Return height and width at which the pictures of all classes fit into the budget."""
    largest = _LARGEST_PICTURE
    while True:
        height, width = fitted_size(shape[0], shape[1], largest)
        if 4 * n_classes * height * width * shape[2] <= n_bytes or largest <= 8:
            return height, width
        largest //= 2


def _pixels(evidence: Evidence, shelf: Shelf, i: int, size: tuple[int, int]) -> Pixels:
    shape = evidence.data.image_shape
    assert shape is not None
    number = shelf(i)
    assert number is not None  # it has been put there
    rival = int(evidence.rival[i])
    (x,) = rows_for(evidence.model, evidence.X[i : i + 1])

    def by_place(label: int) -> Floats:
        parts = (x * evidence.model.W[:, label]).reshape(shape).sum(axis=2)[None, :, :, None]
        # An average over a box times its pixels is their sum, so that the map still adds up to the score.
        return reduced(parts, *size) * (shape[0] * shape[1] / (size[0] * size[1]))

    return Pixels(number, rival, encoded(by_place(int(evidence.y[i]))), encoded(by_place(rival)))
