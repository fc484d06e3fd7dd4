"""The extractors by name. To add one, add a file with its class and an entry in `EXTRACTORS`."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from softmargin.arguments import brief, check_count
from softmargin.data import Dataset
from softmargin.errors import DataError, ModelFileError, ParameterError
from softmargin.features.backbone import Backbone
from softmargin.features.base import FeatureExtractor
from softmargin.features.hog import HOG
from softmargin.features.kmeans import KMeansPatches
from softmargin.features.pixels import Pixels
from softmargin.features.sentence import SentenceEncoder
from softmargin.features.text_backbone import TextBackbone, takes_texts
from softmargin.text import quoted

__all__ = ["EXTRACTORS", "extractor_of", "from_record", "make_extractor"]

EXTRACTORS: dict[str, type[FeatureExtractor]] = {
    kind.name: kind for kind in (Pixels, HOG, KMeansPatches, Backbone, TextBackbone, SentenceEncoder)
}

SPECS = "pixels, hog, kmeans, kmeans:K, kmeans:K:plain, FILE.onnx, st:NAME"
_NO_FILE = ("pixels", "hog", "kmeans")
"""Extractors that need no file."""
_LARGEST_SIDE = 1 << 14


def make_extractor(
    spec: str, *, pool: str | None = None, image_size: tuple[int, int] | None = None
) -> FeatureExtractor:
    """Return the extractor that a word of the command line describes.

    Parameters
    ----------
    spec : str
        ``pixels``, ``hog``, ``kmeans``, ``kmeans:K`` (K centroids; with ``:plain``, pictures are not mirrored),
        ``FILE.onnx`` or ``st:NAME`` (a model of sentence-transformers).
    pool : str, optional
        Only for a backbone: how its output becomes one row.
    image_size : tuple of int (height, width), optional
        Size to which pictures are resized.

    Raises
    ------
    ParameterError
        The word is unknown, or an option does not apply.
    DataError
        A file cannot be used.
    CapabilityError
        A package is missing.
    """
    if not isinstance(spec, str):
        raise ParameterError(f"features must be one of {SPECS}, got {brief(spec)}.")
    options: dict[str, Any] = {
        name: v for name, v in {"pool": pool, "image_size": image_size}.items() if v is not None
    }
    word, _, argument = spec.partition(":")
    kind: type[FeatureExtractor] | None
    positional: tuple[str, ...] = ()
    if spec.lower().endswith(".onnx"):
        kind = TextBackbone if takes_texts(spec) else Backbone
        positional = (spec,)
    elif word == "st" and argument:
        kind, positional = SentenceEncoder, (argument,)
    else:
        number = re.fullmatch("([0-9]{1,9})(:plain)?", argument) if word == "kmeans" else None
        if word not in _NO_FILE or (":" in spec and number is None):
            raise ParameterError(f"features must be one of {SPECS}, got {spec!r}.")
        kind = EXTRACTORS[word]
        if number is not None:
            options |= {"n_centroids": check_count("n_centroids", int(number[1])), "mirror": number[2] is None}
    parameters = inspect.signature(kind).parameters
    unused = [name for name in options if name not in parameters]
    if unused:
        raise ParameterError(f"{unused[0]} does not apply to features {quoted(spec)}; leave it out.")
    return kind(*positional, **options)


def extractor_of(data: Dataset) -> FeatureExtractor | None:
    """Return the extractor of the features of a data set, None if they are the data themselves."""
    if data.stored is not None:
        return from_record(data.stored.record, data.stored.arrays, os.curdir)
    extractor = data.extractor
    return extractor if isinstance(extractor, FeatureExtractor) and not isinstance(extractor, Pixels) else None


def from_record(
    record: Any, arrays: Mapping[str, NDArray[Any]], folder: str | os.PathLike[str]
) -> FeatureExtractor:
    """Return the extractor with this `FeatureExtractor.record` and these ``arrays_``.

    Parameters
    ----------
    record : mapping
        From a file, so it may hold anything.
    arrays : mapping of str to ndarray
    folder : path
        Where else to look for files that the extractor needs: the folder of the model.

    Raises
    ------
    ModelFileError
        The extractor is unknown, of another version, or has invalid settings.
    """
    kind = _kind(record)
    unknown = set(record["settings"]) - set(inspect.signature(kind).parameters)
    if unknown:
        raise ModelFileError(f"The extractor {kind.name} has the unknown setting {brief(min(unknown))}.")
    size = record["settings"].get("image_size")
    if size is not None:
        with suppress(TypeError, ValueError):
            height, width = (size, size) if isinstance(size, int) else size
            if max(check_count("image_size", height), check_count("image_size", width)) <= _LARGEST_SIDE:
                size = None
    if size is not None:
        raise ModelFileError(
            f"The extractor {kind.name} must have a pair of sizes as image_size, got {brief(size)}."
        )
    try:
        return kind.restored(record, arrays, folder)
    except (DataError, ParameterError) as error:
        raise ModelFileError(f"The extractor {kind.name} has invalid settings: {error}") from error
    except (TypeError, ValueError, LookupError) as error:
        raise ModelFileError(f"The extractor {kind.name} has invalid settings, got {brief(record)}.") from error


def _kind(record: Any) -> type[FeatureExtractor]:
    """Return the class of an extractor, after a check of the types in its record."""
    types = {"name": str, "version": int, "settings": dict, "content": str}
    if not isinstance(record, Mapping) or any(
        not isinstance(record.get(key), kind) for key, kind in types.items()
    ):
        raise ModelFileError(f"An extractor must have {', '.join(types)}, got {brief(record)}.")
    kind = EXTRACTORS.get(record["name"])
    if kind is None or record["version"] != kind.version:
        raise ModelFileError(
            f"extractor must be one of {', '.join(EXTRACTORS)} in the version of this package, got "
            f"{brief(record['name'])} in version {record['version']}."
        )
    needs_file = issubclass(kind, (Backbone, TextBackbone, SentenceEncoder))
    if needs_file and (not isinstance(record.get("path"), str) or "\0" in record["path"]):
        raise ModelFileError(f"The extractor {kind.name} must have a path, got {brief(record.get('path'))}.")
    if needs_file and not re.fullmatch("[0-9a-f]{64}", record["content"]):
        raise ModelFileError(f"The extractor {kind.name} must have a SHA-256, got {brief(record['content'])}.")
    return kind
