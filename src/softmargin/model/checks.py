"""Validation of the fields of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import brief, check_count, check_number
from softmargin.errors import DataError, ParameterError
from softmargin.text import to_json

__all__ = [
    "CLASS_TYPES", "FLOATS", "NOT_FINITE", "checked_classes", "checked_history", "checked_record",
    "frozen",
]  # fmt: skip

CLASS_TYPES = {
    "str": np.dtype(np.str_),
    "int": np.dtype(np.int64),
    "uint": np.dtype(np.uint64),
    "bool": np.dtype(np.bool_),
    "float": np.dtype(np.float64),
}
FLOATS = ("reg", "value", "lower_bound", "gap", "tol", "seconds")
_COUNTS = ("n_passes", "n_samples")
_TEXTS = ("fingerprint", "data_name", "created", "command")
_COLUMNS = ("text", "label_column", "groups_column", "weights_column")
_STEP = ("n_passes", "seconds", "value", "lower_bound", "estimate")
NOT_FINITE = ("inf", "-inf", "nan")


def frozen(name: str, values: ArrayLike, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Return a read-only float64 copy, or raise a `DataError`."""
    array = np.array(values, dtype=np.float64, order="C")
    if shape is not None and array.shape != shape:
        raise DataError(f"{name} must have shape {shape} to match W, got {array.shape}.")
    if not np.isfinite(array).all():
        raise DataError(f"{name} must be finite, got NaN or infinite numbers.")
    array.flags.writeable = False
    return array


def checked_record(model: Any) -> dict[str, Any]:
    """Return the numbers and strings of a model as plain Python objects, or raise a `ParameterError`."""
    record: dict[str, Any] = {name: check_number(name, getattr(model, name)) for name in FLOATS}
    record |= {name: check_count(name, getattr(model, name), 0) for name in _COUNTS}
    gap, tol, versions = record["gap"], record["tol"], model.versions
    are_texts = isinstance(versions, dict) and all(isinstance(text, str) for text in versions.values())
    rules: list[tuple[str, bool, str]] = [
        ("converged", isinstance(model.converged, (bool, np.bool_)), "be True or False"),
        *((name, 0.0 <= record[name] < np.inf, "be a finite number ≥ 0") for name in ("reg", "tol", "seconds")),
        ("gap", gap >= 0.0, "be a number ≥ 0"),
        *((name, isinstance(getattr(model, name), str), "be a string") for name in _TEXTS),
        *((name, isinstance(getattr(model, name), (str, type(None))), "be a string or None") for name in _COLUMNS),
        ("versions", are_texts, "be a dict of strings"),
        ("selection", isinstance(model.selection, dict), "be a dict"),
    ]
    for name, holds, what in rules:
        if not holds:
            raise ParameterError(f"{name} must {what}, got {brief(record.get(name, getattr(model, name)))}.")
    record["converged"] = bool(model.converged)
    if record["converged"] != (gap <= tol):
        raise ParameterError(
            f"converged must be {gap <= tol} for gap={gap:g} and tol={tol:g}, got {record['converged']}."
        )
    for name, n_sides in (("image_shape", 3), ("image_size", 2)):
        sides = getattr(model, name)
        if sides is not None:
            if not isinstance(sides, (tuple, list)) or len(sides) != n_sides:
                raise ParameterError(f"{name} must be a tuple of {n_sides} integers, got {brief(sides)}.")
            record[name] = tuple(check_count(f"{name}[{k}]", side) for k, side in enumerate(sides))
    if model.feature_names is not None:
        names = () if isinstance(model.feature_names, str) else tuple(model.feature_names)
        if not all(isinstance(name, str) for name in names):
            raise ParameterError(f"feature_names must be strings, got {brief(names)}.")
        record["feature_names"] = tuple(map(str, names))
    return record


def checked_history(history: Any) -> dict[str, Any]:
    """Return the history of a fit as JSON values, or raise a `ParameterError`."""
    plain = to_json(history, repr)
    if plain == {}:
        return {}
    if not isinstance(plain, dict) or set(plain) != set(_STEP):
        raise ParameterError(f"history must be a dict of the lists {', '.join(_STEP)}, got {brief(plain)}.")
    for name, column in plain.items():
        if not isinstance(column, list) or len(column) != len(plain["value"]):
            raise ParameterError(f"history must contain lists of equal length, got {brief(column)} for {name}.")
        for number in column:
            if isinstance(number, bool) or not (isinstance(number, (int, float)) or number in NOT_FINITE):
                raise ParameterError(f"history[{name!r}] must contain numbers, got {brief(number)}.")
    return plain


def checked_classes(classes: ArrayLike, n_classes: int) -> NDArray[Any]:
    """Return a read-only array of labels of one of the types in `CLASS_TYPES`, or raise a `DataError`."""
    array = np.asarray(classes)
    if array.dtype.kind in "OT" and all(isinstance(label, str) for label in array.flat):
        array = array.astype(np.str_)
    dtype = {dtype.kind: dtype for dtype in CLASS_TYPES.values()}.get(array.dtype.kind)
    if dtype is None or array.shape != (n_classes,):
        raise DataError(
            f"classes must be {n_classes} strings, numbers or booleans, got {array.dtype} of shape {array.shape}."
        )
    array = np.array(array.tolist(), dtype=dtype)  # strings as narrow as possible, as in a loaded model
    if len(np.unique(array)) != n_classes:
        raise DataError("classes must be unique, got a repeated label.")
    array.flags.writeable = False
    return array
