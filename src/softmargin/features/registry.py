"""The extractors by name. To add one, add a file with its class and an entry in `EXTRACTORS`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from softmargin.data import Dataset
from softmargin.errors import ModelFileError, ParameterError
from softmargin.features.base import FeatureExtractor
from softmargin.features.hog import HOG
from softmargin.features.kmeans import KMeansPatches
from softmargin.features.pixels import Pixels

__all__ = ["EXTRACTORS", "extractor_of", "from_record", "make_extractor"]

EXTRACTORS: dict[str, type[FeatureExtractor]] = {kind.name: kind for kind in (Pixels, HOG, KMeansPatches)}

SPECS = "pixels, hog, kmeans, kmeans:K, FILE.onnx, st:NAME"


def make_extractor(
    spec: str, *, pool: str | None = None, image_size: tuple[int, int] | None = None
) -> FeatureExtractor:
    """Return the extractor that a word of the command line describes.

    Parameters
    ----------
    spec : str
        ``pixels``, ``hog``, ``kmeans``, ``kmeans:K`` (K centroids), ``FILE.onnx`` or ``st:NAME`` (a model of
        sentence-transformers).
    pool : str, optional
        Only for a backbone: how its output becomes one row.
    image_size : tuple of int (height, width), optional
        Size to which pictures are resized.

    Raises
    ------
    ParameterError
        The word is unknown, or an option does not apply.
    """
    raise ParameterError(f"features must be one of {SPECS}, got {spec!r}.")


def extractor_of(data: Dataset) -> FeatureExtractor | None:
    """Return the extractor of the features of a data set, None if they are the data themselves."""
    if data.stored is not None:
        return from_record(data.stored.record, data.stored.arrays, os.curdir)
    extractor = data.extractor
    return extractor if isinstance(extractor, FeatureExtractor) and not isinstance(extractor, Pixels) else None


def from_record(
    record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], folder: str | os.PathLike[str]
) -> FeatureExtractor:
    """Return the extractor with this `FeatureExtractor.record` and these ``arrays_``.

    Parameters
    ----------
    record : mapping
    arrays : mapping of str to ndarray
    folder : path
        Where else to look for files that the extractor needs: the folder of the model.

    Raises
    ------
    ModelFileError
        The extractor is unknown, or of another version.
    """
    kind = EXTRACTORS.get(record["name"])
    if kind is None or record["version"] != kind.version:
        raise ModelFileError(f"extractor must be one of {', '.join(EXTRACTORS)} of this version, got {record}.")
    return kind.restored(record, arrays, folder)
