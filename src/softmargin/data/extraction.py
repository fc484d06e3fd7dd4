"""Features of the pictures or texts of a source, computed by an extractor."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, Extractor, ReadOptions
from softmargin.data.images import PixelPictures
from softmargin.data.inputs import Inputs, joined
from softmargin.errors import DataError

__all__ = ["eight_bit", "extracted"]

MULTIPLIED = "pixels from 0 to 1 are multiplied by 255 and rounded"


def extracted(data: Dataset, extractor: Extractor, where: str, options: ReadOptions, cache: bool) -> Dataset:
    """Return the data with X computed from its pictures or texts.

    Raises
    ------
    DataError
        The data hold something else than the extractor takes, or their pixels are not from 0 to 255.
    """
    parts = [data] if data.test is None else [data, data.test]
    inputs, pixel_notes = _inputs(parts, extractor, where)
    settings: dict[str, Any] = {"cache": cache, "n_threads": options.n_workers, "progress": options.progress}
    if not extractor.is_fitted:
        extractor.learn(inputs[0], **settings)
    X, image_shape, n_cached, notes = extractor.extract(joined(inputs), **settings)
    notes = data.notes + pixel_notes + notes
    if n_cached:
        notes += (f"the features of {n_cached:,} of {len(X):,} samples were in the cache",)
    more: dict[str, Any] = {"image_shape": image_shape, "feature_names": None, "extractor": extractor}
    test, n = None, data.n_samples
    if data.test is not None:
        test = replace(data.test, X=X[n:], inputs=inputs[1], **more)
    return replace(data, X=X[:n], inputs=inputs[0], test=test, notes=notes, **more)


def _inputs(parts: Sequence[Dataset], extractor: Extractor, where: str) -> tuple[list[Inputs], tuple[str, ...]]:
    """Return the pictures or texts of each part; rows of pixels are pictures, too."""
    given = [part.inputs for part in parts]
    shapes = [part.image_shape for part in parts]
    notes: tuple[str, ...] = ()
    if extractor.takes == PixelPictures.kind and None not in shapes and given[0] is None and parts[0].n_samples:
        rows, notes = eight_bit([np.asarray(part.X) for part in parts], where)
        given = [
            PixelPictures(X, shape, where) for X, shape in zip(rows, shapes, strict=True) if shape is not None
        ]
    found = [inputs for inputs in given if inputs is not None and inputs.kind == extractor.takes]
    if len(found) < len(parts):
        wrong = next(part for part in parts if part.inputs is None or part.inputs.kind != extractor.takes)
        has = f"a table of {wrong.n_features:,} features" if wrong.inputs is None else wrong.inputs.kind
        raise DataError(f"{where} must hold {extractor.takes} for the features {extractor.describe()}, got {has}.")
    return found, notes


def eight_bit(parts: Sequence[NDArray[Any]], where: str) -> tuple[list[NDArray[np.uint8]], tuple[str, ...]]:
    """Return rows of pixels as integers from 0 to 255, the same for all parts, with a note if they change.

    Whole numbers from 0 to 255 are taken as they are. Floats from 0 to 1 are multiplied by 255 and rounded.

    Raises
    ------
    DataError
        The pixels are neither.
    """
    least, most = (float(f([f(X) for X in parts if X.size])) for f in (np.min, np.max))
    if least >= 0 and most <= 1 and all(X.dtype.kind == "f" for X in parts):
        return [np.rint(X.astype(np.float64) * 255).astype(np.uint8) for X in parts], (MULTIPLIED,)
    if least >= 0 and most <= 255 and all(X.dtype.kind != "f" or bool((np.floor(X) == X).all()) for X in parts):
        return [X.astype(np.uint8, copy=False) for X in parts], ()
    raise DataError(
        f"{where} must hold pixels that are whole numbers from 0 to 255 or floats from 0 to 1, got numbers from "
        f"{least:g} to {most:g}."
    )
