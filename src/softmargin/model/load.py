"""Read a model file: its tensors and metadata become a `Model` if they are consistent."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin._version import __version__
from softmargin.arguments import brief
from softmargin.errors import DataError, ModelFileError, ParameterError
from softmargin.io.paths import check_path
from softmargin.io.safetensors import damaged
from softmargin.losses import LOSSES
from softmargin.model import checks
from softmargin.model.file import check_names, read_file
from softmargin.model.record import FURTHER, LEARNED, METADATA_FIELDS, Model
from softmargin.preprocessing import Preprocessing
from softmargin.text import printable

__all__ = ["load_model"]


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        If the file is missing, damaged (even by one bit), of another kind or of a newer format, or if its content
        is invalid.
    """
    where = printable(check_path(path))
    try:
        return _from_file(*read_file(path), where, os.path.dirname(os.path.abspath(path)))
    except (DataError, ParameterError) as error:
        raise ModelFileError(f"Invalid model file {where}: {error}") from error
    except ModelFileError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise damaged(where) from error


def _from_file(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]], where: str, folder: str) -> Model:
    """Return the model with this metadata and these tensors, or raise an error if they are inconsistent."""
    check_names(metadata, (*METADATA_FIELDS, *FURTHER), "entry")
    learned = {name.removeprefix(LEARNED): array for name, array in tensors.items() if name.startswith(LEARNED)}
    check_names(
        tensors,
        (*(LEARNED + name for name in learned), "W", "b", "preprocessing.mean", "preprocessing.scale"),
        "tensor",
    )
    loss = metadata["loss"]
    if not (isinstance(loss, dict) and loss.keys() == {"name", "parameters"} and isinstance(loss["name"], str)):
        raise DataError(f"loss must have a name and parameters, got {brief(loss)}.")
    if loss["name"] not in LOSSES:
        raise ModelFileError(
            f"{where} has the loss {loss['name']!r}, but this version ({__version__}) supports only "
            f"{', '.join(LOSSES)}; install a newer softmargin."
        )
    record = {name: metadata[name] for name in METADATA_FIELDS}
    record |= {name: float(metadata[name]) for name in checks.FLOATS if metadata[name] in checks.NOT_FINITE}
    record["classes"] = np.array(metadata["classes"], dtype=checks.CLASS_TYPES[metadata["classes_kind"]])
    record["loss"] = LOSSES[loss["name"]](**loss["parameters"])
    if record["extractor"] is not None:
        from softmargin.features import from_record  # slow to import

        record["extractor"] = from_record(record["extractor"], learned, folder)
    mean, scale = tensors["preprocessing.mean"], tensors["preprocessing.scale"]
    preprocessing = Preprocessing(metadata["scaling"], mean, scale, metadata["rows"])
    model = Model(W=tensors["W"], b=tensors["b"], preprocessing=preprocessing, **record)
    for name, value in model.metadata().items():  # sizes, and the JSON type of every number
        if json.dumps(metadata[name], sort_keys=True) != json.dumps(value, sort_keys=True):
            raise DataError(f"{name} must be {brief(value)}, got {brief(metadata[name])}.")
    return model
