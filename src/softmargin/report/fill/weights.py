"""The weights of each class: as pictures if features are pixels, and their cosine similarity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from softmargin.losses.base import Floats
from softmargin.model import Model
from softmargin.report.fill.predictions import Predictions, rows_for
from softmargin.report.fill.samples import SampleStore, encoded, fitted_size, reduced
from softmargin.report.panels import Confusion, FeatureWeight, Pixels, WeightsPanel
from softmargin.sparse import issparse
from softmargin.text import Phrase, printable

__all__ = ["top_samples", "weights_panel"]

_PICTURE_BYTES = 1_500_000
_LARGEST_PICTURE = 64
_LARGEST_MAP = 32
_TOP = 6
_TOP_BUDGET = 600
_ALONG_BYTES = 1_200_000
_MOST_FEATURES = 5_000
_EFFECTS = 10
"""Largest number of positive and of negative features per class; fewer if there are many classes."""

_EFFECT_BUDGET = 3_000
_FILLED = 1 << 20
"""Largest number of elements of a chunk of rows in float64."""


def top_samples(preds: Predictions, store: SampleStore) -> tuple[tuple[int, ...], ...]:
    """Return the samples with the largest score of each class, regardless of their label."""
    n_classes = preds.model.n_classes
    n_top = max(1, min(_TOP, _TOP_BUDGET // n_classes))
    best = np.argsort(-preds.scores, axis=0, kind="stable")[:n_top]
    return tuple(store.add_all(best[:, k]) for k in range(n_classes))


def weights_panel(
    preds: Predictions,
    store: SampleStore,
    confusion: Confusion,
    top: tuple[tuple[int, ...], ...],
    worst: Sequence[int],
    along: Sequence[Model],
) -> WeightsPanel:
    """Return the weights as pictures or by feature, their similarity, and the samples with the largest scores.

    Parameters
    ----------
    preds : Predictions
    store : SampleStore
    confusion : Confusion
        Its classes are those of the cosines.
    top : tuple of tuple of int
        The `top_samples`.
    worst : sequence of int
        Indices of the samples whose scores are split into the contributions of pixels.
    along : sequence of Model
        The same classes fitted with other λ.
    """
    model = preds.model
    W, _ = model.preprocessing.unfold(model.W, model.b)
    centred = W - W.mean(axis=1, keepdims=True)  # a vector added to all classes does not change the predictions
    norms = np.sqrt((centred**2).sum(axis=0))
    directions = centred[:, list(confusion.shown)] / np.maximum(norms[list(confusion.shown)], 1e-300)
    sizes, sizes_of = preds.counts, Phrase("evaluated samples")
    if preds.training is not None:
        labels = preds.training_labels
        sizes = np.bincount(labels[labels >= 0], minlength=model.n_classes)
        sizes_of = Phrase("training data")
    shape, pictures = preds.data.image_shape, dict[str, Any]()
    if shape is not None and shape[2] in (1, 3):
        height, width = _picture_size(shape, model.n_classes, _PICTURE_BYTES)
        map_size = fitted_size(shape[0], shape[1], _LARGEST_MAP)
        fits = 4 * model.n_classes * height * width * shape[2] * len(along) <= _ALONG_BYTES
        drawn = [model, *(along if fits else ())]
        weights = [encoded(reduced(other.W.T.reshape(-1, *shape), height, width)) for other in drawn]
        pictures = {
            "height": height,
            "width": width,
            "channels": shape[2],
            "pictures": weights[0],
            "reduced": (height, width) != shape[:2],
            "map_height": map_size[0],
            "map_width": map_size[1],
            "pixels": tuple(_pixels(preds, store, i, map_size) for i in worst),
            "along_reg": tuple(other.reg for other in drawn[1:]),
            "along": tuple(weights[1:]),
        }
    return WeightsPanel(
        norms=tuple(norms.tolist()),
        biases=tuple(model.b.tolist()),
        sizes=tuple(sizes.tolist()),
        sizes_of=sizes_of,
        shown=confusion.shown,
        cosines=tuple(map(tuple, (directions.T @ directions).tolist())),
        top=top,
        features=() if pictures else _features(preds),
        **pictures,
    )


def _features(preds: Predictions) -> tuple[tuple[FeatureWeight, ...], ...]:
    """Return the features with the largest effect on the score of each class, () if there are too many."""
    model = preds.model
    if model.n_features > _MOST_FEATURES:
        return ()
    names = model.feature_names or tuple(Phrase("feature {0}", str(d)) for d in range(model.n_features))
    names = tuple(map(printable, names))
    W = model.W - model.W.mean(axis=1, keepdims=True)
    effects = W * _spread(preds)[:, None]
    most = max(1, min(_EFFECTS, _EFFECT_BUDGET // (2 * model.n_classes)))
    found = []
    for k in range(model.n_classes):
        order = np.argsort(-effects[:, k], kind="stable")
        positive, negative = order[effects[order, k] > 0.0][:most], order[effects[order, k] < 0.0][-most:]
        kept = np.concatenate([positive, negative])
        found.append(tuple(FeatureWeight(names[d], float(W[d, k]), float(effects[d, k])) for d in kept))
    return tuple(found)


def _spread(preds: Predictions) -> Floats:
    """Return the standard deviation of each feature on the evaluated samples, in two passes."""
    step = max(1, _FILLED // preds.model.n_features)

    def blocks() -> Iterator[Floats]:
        for start in range(0, preds.n, step):
            rows = rows_for(preds.model, preds.X[start : start + step])
            yield rows.toarray() if issparse(rows) else rows

    mean = sum(rows.sum(axis=0) for rows in blocks()) / preds.n
    return np.asarray(np.sqrt(sum(np.square(rows - mean).sum(axis=0) for rows in blocks()) / preds.n))


def _picture_size(shape: tuple[int, int, int], n_classes: int, n_bytes: int) -> tuple[int, int]:
    """Return the height and width at which the pictures of all classes fit into the budget."""
    largest = _LARGEST_PICTURE
    while True:
        height, width = fitted_size(shape[0], shape[1], largest)
        if 4 * n_classes * height * width * shape[2] <= n_bytes or largest <= 8:
            return height, width
        largest //= 2


def _pixels(preds: Predictions, store: SampleStore, i: int, size: tuple[int, int]) -> Pixels:
    shape = preds.data.image_shape
    assert shape is not None
    number = store.add(i)
    assert number is not None
    rival = int(preds.rival[i])
    (x,) = rows_for(preds.model, preds.X[i : i + 1])

    def contributions(label: int) -> Floats:
        parts = (x * preds.model.W[:, label]).reshape(shape).sum(axis=2)[None, :, :, None]
        # The mean over a box times its number of pixels is their sum, so the map still sums to the score.
        return reduced(parts, *size) * (shape[0] * shape[1] / (size[0] * size[1]))

    return Pixels(number, rival, encoded(contributions(int(preds.y[i]))), encoded(contributions(rival)))
