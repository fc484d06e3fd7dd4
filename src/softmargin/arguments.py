"""What numbers, flags and vectors must be: one sentence names the argument that is not."""

from __future__ import annotations

import operator
import reprlib
from decimal import Decimal
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.errors import DataError, ParameterError

__all__ = [
    "Floats",
    "Ints",
    "as_floats",
    "brief",
    "check_count",
    "check_flag",
    "check_number",
    "check_reg",
    "check_vector",
    "floats_of_objects",
    "refuse_masked",
]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


class _NoNumberError(DataError, TypeError):
    """An object among numbers; `float` and scikit-learn call this a `TypeError`."""


def check_number(name: str, value: float) -> float:
    """Return a real number as a float, or raise a `ParameterError` that names it."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(f"{name} must be a number, but it is {value!r}.") from None


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return a whole number of at least ``least`` as an int, or raise a `ParameterError` that names it."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ParameterError(f"{name} must be a whole number, but it is {value!r}.") from None
    if number < least:
        raise ParameterError(f"{name} must be at least {least}, but it is {value!r}.")
    return number


def check_flag(name: str, value: bool) -> bool:
    """Return True or False as a bool, or raise a `ParameterError` that names it."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(f"{name} must be True or False, but it is {value!r}.")
    return bool(value)


def check_reg(reg: float) -> float:
    """Return λ as a float, or raise a `ParameterError`."""
    number = check_number("reg", reg)
    if not (0.0 <= number < np.inf):
        raise ParameterError(f"reg must be at least 0 and finite, but it is {reg!r}.")
    return number


def check_vector(name: str, vector: ArrayLike | None, n_features: int, default: float) -> Floats:
    """Return a finite number for each feature, or raise a `DataError`."""
    if vector is None:
        return np.full(n_features, default)
    array = as_floats(name, vector)
    if array.shape != (n_features,) or not np.isfinite(array).all():
        raise DataError(f"{name} must hold {n_features} finite numbers, one a feature.")
    return array


def refuse_masked(name: str, values: object) -> None:
    """Raise a `DataError` if these are a masked array: all that follows would use the masked values."""
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{name} is a masked array, whose mask would be ignored; fill or drop the masked values.")


def as_floats(name: str, values: ArrayLike) -> Floats:
    """Return real numbers as a float64 array, or raise a `DataError` that names them."""
    refuse_masked(name, values)
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} must be an array of real numbers, but its rows have different lengths.") from None
    if array.dtype.kind == "O":
        return floats_of_objects(name, array)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} must be an array of real numbers, but its dtype is {array.dtype}.")
    with np.errstate(over="ignore"):  # of a wider type: what becomes infinite is refused as such
        return np.asarray(array, dtype=np.float64)


def floats_of_objects(name: str, array: NDArray[Any]) -> Floats:
    """Return an array of objects as float64, or raise a `DataError` that names the first that is no real number.

    NumPy itself would read numbers from strings and take None for NaN.
    """
    others = {kind for kind in set(map(type, array.flat)) if not _is_real(kind)}
    if not others:
        try:
            return array.astype(np.float64)
        except (OverflowError, ValueError):
            raise DataError(f"{name} holds a number that is beyond the range of 64 bits.") from None
    n_others = sum(type(value) in others for value in array.flat)
    place, value = next((place, value) for place, value in np.ndenumerate(array) if type(value) in others)
    where = ", ".join(f"{axis} {index}" for axis, index in zip(("row", "column"), place, strict=False))
    more = f", and {n_others - 1:,} more such" if n_others > 1 else ""
    # scikit-learn looks for the words "argument must be … string … number".
    raise _NoNumberError(
        f"{name} holds {brief(value)} in {where}{more}: the argument must be an array without strings and "
        f"other objects, of real numbers alone."
    )


def _is_real(kind: type) -> bool:
    # NumPy counts spans of time among its integers.
    return issubclass(kind, (Real, Decimal, np.bool_)) and not issubclass(kind, np.timedelta64)


def brief(value: object) -> str:
    """Return any value in a few words on one line."""
    return " ".join(reprlib.repr(value).split())
